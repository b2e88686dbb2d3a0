"""Traces in CSV and TSV files: one request per row, the key in one column."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from predis_lab.traces.binary import Chunk, with_sizes
from predis_lab.traces.errors import TraceError
from predis_lab.traces.text import integer, keys_of

# Tried, in this order, where no column is named.
KEY_NAMES = ("key", "id", "obj_id")
# Surrogate escapes carry bytes that are not UTF-8 through csv and back unchanged.
UNDECODED = "surrogateescape"

Row = list[str]


def delimited(
    stream: BinaryIO,
    path: Path,
    size: int,
    column: str | int | None,
    delimiter: str,
    sizes: str | int | None = None,
) -> Iterator[Chunk]:
    """Keys of `column`: a name out of the header, or an index from 0 (negative from the end).

    None takes the only column, or the first of key, id and obj_id that the header has. With an
    index, the first row is a header if its field is no integer and the second row's is. `sizes`
    names the column with the bytes of values; None: there is none.
    """
    lines = io.TextIOWrapper(stream, "utf-8", errors=UNDECODED, newline="")
    rows = csv.reader(lines, delimiter=delimiter)
    fields: list[bytes] = []
    weights: list[int] = []

    def taken() -> Chunk:
        keys = keys_of(fields)
        requests = keys if sizes is None else with_sizes(keys, weights)
        fields.clear()
        weights.clear()
        return requests

    try:
        head = list(islice(_filled(rows), 2))
        if not head:
            return
        index, header = _locate(path, head, column)
        at = None if sizes is None else _locate(path, head, sizes)[0]
        for row in chain(head[header:], _filled(rows)):
            fields.append(row[index].strip().encode("utf-8", UNDECODED))
            if at is not None:
                weights.append(_size(path, row[at], rows.line_num))
            if len(fields) == size:
                yield taken()
    except IndexError:
        missing = index if at is None or len(fields) == len(weights) else at
        raise TraceError(
            path,
            f"the row has too few columns: there is none at index {missing}",
            where=f"line {rows.line_num:,}",
        ) from None
    except csv.Error as error:
        raise TraceError(
            path,
            f"is not readable as delimited text ({error}): pass the format= it has",
            where=f"line {rows.line_num:,}",
        ) from error
    yield taken()


def _size(path: Path, field: str, line: int) -> int:
    size = integer(field.strip().encode("utf-8", UNDECODED))
    if size is None or size < 0:
        raise TraceError(path, f"the size {field!r} is no number of bytes", where=f"line {line:,}")
    return size


def _filled(rows: Iterator[Row]) -> Iterator[Row]:
    return (row for row in rows if row)


def _locate(path: Path, head: list[Row], column: str | int | None) -> tuple[int, bool]:
    """The index of the key's column, and whether the first row is a header."""
    names = [name.strip() for name in head[0]]
    if isinstance(column, str):
        if column not in names:
            near = get_close_matches(column, names, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TraceError(
                path,
                f"there is no column {column!r}.{hint} The header has {', '.join(names)}",
                where="line 1",
            )
        return names.index(column), True
    if column is None and len(names) > 1:
        known = [name for name in KEY_NAMES if name in names]
        if not known:
            raise TraceError(
                path,
                f"has {len(names)} columns ({', '.join(names)}): say with "
                "column= (a name, or an index from 0) which one holds the key",
            )
        return names.index(known[0]), True
    index = column or 0
    if not -len(names) <= index < len(names):
        raise TraceError(
            path,
            f"there is no column at index {index}: the first row has {len(names)}",
            where="line 1",
        )
    return index, len(head) > 1 and _is_header(head, index)


def _is_header(head: list[Row], index: int) -> bool:
    first, second = (row[index].strip().encode("utf-8", UNDECODED) for row in head)
    return integer(first) is None and integer(second) is not None
