"""What must always be true of a table that nobody is using at the moment."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from predis_core.table.interface import Counter, Dump
from predis_core.table.keys import mix
from predis_core.table.layout import FINGERPRINT_BITS, GUESS_SHARE, Layout, Region


def broken(dump: Dump, layout: Layout, seed: int) -> list[str]:
    """Return every broken invariant of a dumped table, as a sentence each."""
    found: list[str] = []
    for number, region in enumerate(layout.regions):
        slots = slice(region.first_slot, region.first_slot + region.capacity)
        size = dump.counters[number, Counter.SIZE]
        live = int(dump.live[slots].sum())
        if size != live:
            found.append(f"region {number} counts {size} entries but holds {live}")
        if size > region.capacity:
            found.append(f"region {number} holds {size} of {region.capacity} entries")
        # What grew by updates and moved to another table takes more along than it came with.
        if (np.delete(dump.counters[number], Counter.INSERTED_BYTES) < 0).any():
            found.append(f"region {number} has a negative counter: {dump.counters[number]}")
        found.extend(_balance(dump, number))
        for index in range(region.sets):
            found.extend(_broken_set(dump, region, index, seed))
    found.extend(_broken_slots(dump))
    return found


def _balance(dump: Dump, number: int) -> Iterator[str]:
    counts = dict(zip(Counter, dump.counters[number].tolist(), strict=True))
    left = counts[Counter.EVICTIONS] + counts[Counter.EXPIRATIONS] + counts[Counter.DELETIONS]
    if counts[Counter.INSERTIONS] - left != counts[Counter.SIZE]:
        yield f"region {number}: insertions less what left is not its size: {counts}"


def _broken_set(dump: Dump, region: Region, index: int, seed: int) -> Iterator[str]:
    where = f"set {region.base + index}"
    slots = [region.slot(index, way) for way in range(region.ways(index))]
    live = [slot for slot in slots if dump.live[slot]]
    for slot in live:
        if region.home(mix(int(dump.words[slot]), seed)).number != index:
            yield f"{where}: slot {slot} holds a key of another set"
    for at, slot in enumerate(live):
        for other in live[at + 1 :]:
            if dump.words[slot] == dump.words[other] and _same_key(dump, slot, other):
                yield f"{where}: slots {slot} and {other} hold the same key"
    guesses = sum(bool(dump.guesses[slot]) for slot in live)
    if guesses > len(slots) // GUESS_SHARE:
        yield f"{where}: {guesses} of {len(slots)} ways are unused guesses"
    ghosts = dump.ghosts[region.base + index]
    used = np.flatnonzero(ghosts)
    if len(used) and used[-1] != len(used) - 1:
        yield f"{where}: its ghosts have gaps"
    if (ghosts[used] >> FINGERPRINT_BITS == 0).any():
        yield f"{where}: a ghost has no tag"


def _same_key(dump: Dump, slot: int, other: int) -> bool:
    return (
        dump.refs is None
        or dump.refs[slot] is dump.refs[other]
        or bool(dump.refs[slot] == dump.refs[other])
    )


def _broken_slots(dump: Dump) -> Iterator[str]:
    free = ~dump.live
    for name, column in (("key", dump.refs), ("value", dump.values)):
        if column is not None and column.dtype == object:
            held = [slot for slot in np.flatnonzero(free) if column[slot] is not None]
            if held:
                yield f"free slots {held[:5]} still hold a {name}"
    if (dump.deadlines[dump.live] < 0).any():
        yield "a deadline is negative"
