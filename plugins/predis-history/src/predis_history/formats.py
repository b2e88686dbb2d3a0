"""Rows as CSV, as JSON and as Parquet: long tables, with a number per line."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import IO, Any

import msgspec

from predis_history.reading import Row

COLUMNS = Row._fields

_AT_ONCE = 65_536


class NoArrow(Exception):
    """PyArrow, which writes Parquet, is not installed."""


def write_csv(rows: Iterable[Row], out: IO[bytes]) -> None:
    """Write a header and a line per row; labels as JSON."""
    text = io.TextIOWrapper(out, "utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow(row._replace(time=iso(row.time), labels=_json(row.labels)))  # type: ignore[arg-type]
    finally:
        text.detach()


def write_json(rows: Iterable[Row], out: IO[bytes]) -> None:
    """Write one array, with an object per row and line."""
    out.write(b"[")
    for number, row in enumerate(rows):
        out.write(b",\n" if number else b"\n")
        out.write(msgspec.json.encode(row._replace(time=iso(row.time))._asdict()))  # type: ignore[arg-type]
    out.write(b"\n]\n")


def write_parquet(rows: Iterable[Row], out: IO[bytes]) -> None:
    """Write a table; labels as JSON, values as float64.

    Raises:
        NoArrow: if PyArrow is not installed.
    """
    pa, parquet = arrow()
    strings = [(name, pa.string()) for name in COLUMNS]
    kinds = dict(strings) | {
        "time": pa.timestamp("ms", "UTC"),
        "pid": pa.int64(),
        "value": pa.float64(),
    }
    schema = pa.schema(list(kinds.items()))
    with parquet.ParquetWriter(out, schema) as writer:
        for some in _in_parts(rows):
            columns = dict(zip(COLUMNS, zip(*some, strict=True), strict=True))
            columns["time"] = tuple(time // 1_000_000 for time in columns["time"])
            columns["labels"] = tuple(map(_json, columns["labels"]))
            columns["value"] = tuple(map(float, columns["value"]))
            arrays = [pa.array(columns[name], kind) for name, kind in kinds.items()]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def arrow() -> tuple[Any, Any]:
    """Return PyArrow, and its module for Parquet.

    Raises:
        NoArrow: if it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise NoArrow(
            'Parquet needs PyArrow; run: pip install "predis-history[parquet]"'
        ) from error
    return pyarrow, pyarrow.parquet


FORMATS: dict[str, Callable[[Iterable[Row], IO[bytes]], None]] = {
    "csv": write_csv,
    "json": write_json,
    "parquet": write_parquet,
}
"""By the name of the option, and by the end of a file's name."""


def iso(nanoseconds: int) -> str:
    """Return a time as ISO 8601 in UTC, to the millisecond."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1_000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(labels: dict[str, str]) -> str:
    return msgspec.json.encode(labels).decode()


def _in_parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    several = iter(rows)
    while some := list(itertools.islice(several, _AT_ONCE)):
        yield some
