"""What must always be true of values that weigh something, while nobody is using their table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from predis_core.table.arena import BLOCK_HEAD, Arena
from predis_core.table.interface import Bools, Bytes, Int64s

_NONE = -1


class Weights(NamedTuple):
    """What the values of a table of references weigh.

    Attributes:
        live: bool[slots].
        weights: int64[slots].
        limit: what they may weigh together.
        counted: what the table counts for them.
    """

    live: Bools
    weights: Int64s
    limit: int
    counted: int


class Pieces(NamedTuple):
    """The books of an arena, and what lies in it.

    Attributes:
        arena: its shape.
        start: address of its first byte.
        data: uint8, its pages.
        pages: int64[pages, 2], class or -1, pieces in use or the next free page.
        classes: int64[classes, 4], as `Arena.classes`.
        free_page: the first free page, or -1.
        free_pages: how many there are.
        handles: int64[slots, 2], address of the first piece, and length of the value.
        live: bool[slots].
        pinned: bool[slots]; what is pinned and not live keeps its pieces.
        counted: what the table counts for the lengths of live values.
    """

    arena: Arena
    start: int
    data: Bytes
    pages: Int64s
    classes: Int64s
    free_page: int
    free_pages: int
    handles: Int64s
    live: Bools
    pinned: Bools
    counted: int


def broken(weights: Weights | None, pieces: Pieces | None) -> list[str]:
    """Return every broken invariant of what there is of these, as a sentence each."""
    found = [] if weights is None else list(broken_weights(weights))
    return found if pieces is None else [*found, *broken_pieces(pieces)]


def broken_weights(held: Weights) -> Iterator[str]:
    """Yield every broken invariant of weights, as a sentence."""
    total = int(held.weights[held.live].sum())
    if total != held.counted:
        yield f"values weigh {total}, and {held.counted} is counted"
    if total > held.limit:
        yield f"values weigh {total} of {held.limit}"


def broken_pieces(held: Pieces) -> Iterator[str]:
    """Yield every broken invariant of an arena, as a sentence."""
    total = int(held.handles[held.live, 1].sum())
    if total != held.counted:
        yield f"blobs are {total} bytes long, and {held.counted} is counted"
    forgotten = np.flatnonzero(~held.live & ~held.pinned & (held.handles[:, 1] != 0))
    if len(forgotten):
        yield f"free slots {forgotten[:5].tolist()} still have blobs"
    yield from _broken_pages(held)
    owned: set[int] = set()
    for slot in np.flatnonzero(held.live | held.pinned).tolist():
        yield from _broken_value(held, slot, owned)
    used = sum(_used_on(held, page) for page in np.flatnonzero(held.pages[:, 0] >= 0).tolist())
    if used != len(owned):
        yield f"{used} pieces are in use, {len(owned)} of them by a value"


def _words(held: Pieces, page: int) -> tuple[Int64s, Int64s]:
    """Return the first two words of each piece of a page."""
    size, per_page = held.classes[held.pages[page, 0], :2].tolist()
    start = page * held.arena.page_bytes
    words = held.data[start : start + size * per_page].view(np.int64).reshape(per_page, -1)
    return words[:, 0], words[:, 1]


def _used_on(held: Pieces, page: int) -> int:
    return int((_words(held, page)[0] >= 0).sum())


def _broken_pages(held: Pieces) -> Iterator[str]:
    free: list[int] = []
    page = held.free_page
    while page != _NONE and len(free) <= len(held.pages):
        free.append(page)
        page = int(held.pages[page, 1])
    if len(free) != held.free_pages or set(free) != set(np.flatnonzero(held.pages[:, 0] < 0)):
        yield f"{held.free_pages} free pages are counted, {len(free)} are linked"
    for number, (size, _, unused, first) in enumerate(held.classes.tolist()):
        linked, found = {}, 0
        for page in np.flatnonzero(held.pages[:, 0] == number).tolist():
            owners, before = _words(held, page)
            if int((owners >= 0).sum()) != held.pages[page, 1]:
                yield f"page {page} counts {held.pages[page, 1]} pieces in use"
            base = held.start + page * held.arena.page_bytes
            for place in np.flatnonzero(owners < 0).tolist():
                linked[base + place * size] = (-2 - int(owners[place]), int(before[place]))
        piece, previous = first, _NONE
        while piece in linked and linked[piece][1] == previous and found <= len(linked):
            previous, piece, found = piece, linked[piece][0], found + 1
        if piece != _NONE or not unused == found == len(linked):
            yield (
                f"class {number} counts {unused} free pieces, links {found} and has {len(linked)}"
            )


def _broken_value(held: Pieces, slot: int, owned: set[int]) -> Iterator[str]:
    """Follow the pieces of a value, and add them to those that are owned."""
    piece, length = held.handles[slot].tolist()
    blocks, last = held.arena.pieces(length)
    for number in (*(0 for _ in range(blocks)), last):
        page, offset = divmod(piece - held.start, held.arena.page_bytes)
        inside = 0 <= page < len(held.pages) and held.pages[page, 0] == number
        if not inside or offset % held.classes[number, 0] or piece in owned:
            yield f"slot {slot}: its value of {length} bytes lies in no piece of its own"
            return
        owned.add(piece)
        words = held.data[piece - held.start :][:BLOCK_HEAD].view(np.int64)
        if words[0] != slot:
            yield f"slot {slot}: a piece of its value belongs to {words[0]}"
            return
        piece = int(words[1])
