"""Probe speed of set geometries: lookups only, random keys, one core.

A table is int64[sets, lines, 8]. With `keys_per_line` 7 the eighth word of a line says which
of its ways are live (bits 0-6) and holds one byte of metadata per way (bytes 1-7). With 8 the
keys fill the line, and a line of metadata per set (`side`) holds the live bits and the bytes.
A hit marks its way's byte when that is not yet marked. Keys are hashed and prefetched in
blocks of 64, so that their memory accesses overlap.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from machine import (
    aligned_words,
    equal_lanes,
    first_bit,
    high_product,
    load_word,
    prefetch,
    store_word,
)
from numba import njit

BLOCK = 64
PROBES = 1 << 20
SAMPLES = 7
GEOMETRIES = [(1, 7), (2, 7), (3, 7), (4, 7), (4, 8)]  # lines, keys in a line
WALK, ROUNDS, DEFER, FLAT = range(4)
STRATEGIES = {
    WALK: "walk",  # the home line is prefetched; from there line by line until the key is found
    ROUNDS: "rounds",  # keys not found prefetch one more line and wait for the block's next round
    DEFER: "defer",  # the same, but the second round prefetches and compares all other lines
    FLAT: "flat",  # the whole set is prefetched and compared, without a branch between its lines
}
Row = dict[str, str | int | float]


@njit(inline="always")
def mix(key: int) -> np.uint64:
    """The finaliser of MurmurHash3 (Appleby): bijective, 64 bits."""
    h = np.uint64(key)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ (h >> np.uint64(33))


@njit(inline="always")
def home_line(h: np.uint64, lines: int) -> int:
    return np.int64(((h & np.uint64(0xFFFF)) * np.uint64(lines)) >> np.uint64(16))


def make_find(lines: int, per_line: int) -> tuple[Callable[..., int], Callable[..., int]]:
    """Compile (find, mark): the way mask of a key in one line, and the metadata of a hit."""
    full = np.uint64((1 << per_line) - 1)
    separate = per_line == 8

    @njit(inline="always")
    def find(address, side, line, key):  # type: ignore[no-untyped-def]
        """Bit w: way w of the line at `address` is live and holds `key`; uint64."""
        if separate:
            live = load_word(side) >> np.uint64(8 * line)
        else:
            live = load_word(address + np.uint64(56))
        return equal_lanes(address, key) & live & full

    @njit(inline="always")
    def mark(address, side, line, way):  # type: ignore[no-untyped-def]
        """Set the byte of `way`, and write only if that changes it."""
        if separate:
            place, bit = side + np.uint64(8 + 8 * line), np.uint64(1) << (np.uint64(8) * way)
        else:
            place, bit = address + np.uint64(56), np.uint64(256) << (np.uint64(8) * way)
        word = load_word(place)
        if word & bit == np.uint64(0):
            store_word(place, word | bit)

    return find, mark


def make_probe(lines: int, per_line: int, strategy: int) -> Callable[..., int]:
    """Compile a lookup of `lines` lines: (table, side, keys, out) -> hits; out: slot or -1."""
    find, mark = make_find(lines, per_line)
    rounds = {ROUNDS: lines, DEFER: 2}.get(strategy, 1)

    @njit(inline="always")
    def search_line(base, side, s, line, key):  # type: ignore[no-untyped-def]
        """Slot of `key` in one line of set s, or -1."""
        row = s * lines + line
        address = base + np.uint64(row * 64)
        found = find(address, side, line, key)
        if found == np.uint64(0):
            return np.int64(-1)
        way = first_bit(found)
        mark(address, side, line, way)
        return row * per_line + np.int64(way)

    @njit(inline="always")
    def search_on(base, side, s, home, key):  # type: ignore[no-untyped-def]
        """Slot of `key` in set s, line by line from its home line on, or -1."""
        for step in range(lines):
            line = home + step if home + step < lines else home + step - lines
            slot = search_line(base, side, s, line, key)
            if slot >= 0:
                return slot
        return np.int64(-1)

    @njit(inline="always")
    def search_flat(base, side, s, key):  # type: ignore[no-untyped-def]
        """The same in all lines at once: no branch depends on where the key is."""
        found = np.uint64(0)
        for line in range(lines):
            address = base + np.uint64((s * lines + line) * 64)
            found |= find(address, side, line, key) << np.uint64(8 * line)
        if found == np.uint64(0):
            return np.int64(-1)
        place = first_bit(found)
        line, way = np.int64(place >> np.uint64(3)), place & np.uint64(7)
        mark(base + np.uint64((s * lines + line) * 64), side, line, way)
        return (s * lines + line) * per_line + np.int64(way)

    @njit(inline="always")
    def prefetch_on(base, s, line):  # type: ignore[no-untyped-def]
        """Prefetch what a key that is not in `line` asks for next; the last line asked for."""
        for _ in range(lines - 1 if strategy == DEFER else 1):
            line = line + 1 if line + 1 < lines else 0
            prefetch(base + np.uint64((s * lines + line) * 64))
        return line

    @njit
    def probe(table, side_table, keys, out):  # type: ignore[no-untyped-def]
        sets = np.uint64(table.shape[0] // lines)
        base, sides = np.uint64(table.ctypes.data), np.uint64(side_table.ctypes.data)
        side_step = np.uint64(64 if per_line == 8 else 0)
        set_at, line_at = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
        waiting = np.empty(BLOCK, np.int64)
        hits = 0
        for begin in range(0, keys.size, BLOCK):
            block, result = keys[begin : begin + BLOCK], out[begin : begin + BLOCK]
            for j in range(block.size):
                h = mix(block[j])
                s = np.int64(high_product(h, sets))
                home = home_line(h, lines)
                set_at[j], line_at[j] = s, home
                if strategy == FLAT:
                    for line in range(lines):
                        prefetch(base + np.uint64((s * lines + line) * 64))
                else:
                    prefetch(base + np.uint64((s * lines + home) * 64))
                if per_line == 8:
                    prefetch(sides + np.uint64(s) * side_step)
            left = 0
            for j in range(block.size):
                s, line, key = set_at[j], line_at[j], block[j]
                side = sides + np.uint64(s) * side_step
                if strategy == WALK:
                    slot = search_on(base, side, s, line, key)
                elif strategy == FLAT:
                    slot = search_flat(base, side, s, key)
                else:
                    slot = search_line(base, side, s, line, key)
                    if slot < 0:
                        line_at[j] = prefetch_on(base, s, line)
                        waiting[left] = j
                        left += 1
                        continue
                result[j] = slot
                hits += slot >= 0
            for turn in range(1, rounds):
                asked, left = left, 0
                for i in range(asked):
                    j = waiting[i]
                    s, line, key = set_at[j], line_at[j], block[j]
                    side = sides + np.uint64(s) * side_step
                    if strategy == DEFER:
                        slot = search_flat(base, side, s, key)
                    else:
                        slot = search_line(base, side, s, line, key)
                    if slot < 0 and turn + 1 < rounds:
                        line_at[j] = prefetch_on(base, s, line)
                        waiting[left] = j
                        left += 1
                    else:
                        result[j] = slot
                        hits += slot >= 0
        return hits

    return probe


@njit(inline="always")
def put(
    table: np.ndarray, side: np.ndarray, row: int, lines: int, per_line: int, way: int, key: int
) -> None:
    """Write a key into a way of a line, live and not marked."""
    table[row, way] = key
    if per_line == 8:
        s, line = row // lines, row % lines
        side[s, 0] |= 1 << (8 * line + way)
        side[s, 1 + line] &= ~(1 << (8 * way))
    else:
        table[row, 7] = (table[row, 7] | (1 << way)) & ~(1 << (8 * way + 8))


@njit
def insert(
    table: np.ndarray, side: np.ndarray, lines: int, per_line: int, keys: np.ndarray, swap: bool
) -> None:
    """Insert distinct new keys: free ways first, from the home line on; else a random way.

    As with an eviction policy, the victim's way has nothing to do with the new key's home line.
    With `swap` the new key then changes places with one of its home line that is a guest there.
    """
    sets, ways = np.uint64(table.shape[0] // lines), lines * per_line
    full = (1 << per_line) - 1
    for begin in range(0, keys.size, BLOCK):
        for key in keys[begin : begin + BLOCK]:
            s = np.int64(high_product(mix(key), sets))
            for line in range(lines):
                prefetch(np.uint64(table.ctypes.data) + np.uint64((s * lines + line) * 64))
        for key in keys[begin : begin + BLOCK]:
            h = mix(key)
            s = np.int64(high_product(h, sets))
            home = home_line(h, lines)
            row, way = np.int64(-1), np.int64(0)
            for step in range(lines):
                line = (home + step) % lines
                word = side[s, 0] >> (8 * line) if per_line == 8 else table[s * lines + line, 7]
                if ~word & full:
                    row, way = s * lines + line, np.int64(first_bit(np.uint64(~word & full)))
                    break
            if row < 0:
                victim = np.int64(((h >> np.uint64(16)) & np.uint64(0xFFFF)) * np.uint64(ways))
                row, way = s * lines + (victim >> 16) // per_line, (victim >> 16) % per_line
            if swap and row != s * lines + home:
                for guest in range(per_line):
                    other = table[s * lines + home, guest]
                    if home_line(mix(other), lines) != home:
                        put(table, side, row, lines, per_line, way, other)
                        row, way = s * lines + home, guest
                        break
            put(table, side, row, lines, per_line, way, key)


@njit
def count_lines(table: np.ndarray, lines: int, per_line: int, slots: np.ndarray) -> np.ndarray:
    """How many of the found slots lie 0, 1, ... lines after their key's home line."""
    steps = np.zeros(lines, np.int64)
    for slot in slots:
        if slot >= 0:
            row, way = slot // per_line, slot % per_line
            home = home_line(mix(table[row, way]), lines)
            steps[(row % lines - home) % lines] += 1
    return steps


@dataclass
class Table:
    """One geometry, filled, with a probe kernel for each strategy."""

    lines: int
    per_line: int
    words: np.ndarray  # int64[sets * lines, 8]
    side: np.ndarray  # int64[sets or 1, 8]

    @property
    def ways(self) -> int:
        return self.lines * self.per_line

    @property
    def name(self) -> str:
        return f"{self.ways} = {self.lines} x {self.per_line}"

    @classmethod
    def empty(cls, entries: int, lines: int, per_line: int) -> Table:
        sets = -(-entries // (lines * per_line))
        side = sets if per_line == 8 else 1
        return cls(
            lines,
            per_line,
            aligned_words(sets * lines * 8).reshape(-1, 8),
            aligned_words(side * 8).reshape(-1, 8),
        )

    def insert(self, keys: np.ndarray, swap: bool = False) -> None:
        insert(self.words, self.side, self.lines, self.per_line, keys, swap)

    def resident(self) -> np.ndarray:
        """The live keys, int64[n]."""
        if self.per_line == 7:
            live = self.words[:, 7:] >> np.arange(7) & 1
        else:
            live = (self.side[:, :1] >> np.arange(32) & 1)[:, : self.ways].reshape(-1, 8)
        return self.words[:, : self.per_line][live.astype(bool)]


def new_keys(first: int, count: int) -> np.ndarray:
    """Distinct keys number first to first + count, in an order without locality."""
    odd = np.uint64(0x9E3779B97F4A7C15)
    return (np.arange(first, first + count, dtype=np.uint64) * odd).astype(np.int64)


def interleaved(calls: list[Callable[[], int]], repeats: int) -> list[list[float]]:
    """Seconds of each call in each of SAMPLES rounds: the shortest of `repeats` in a row."""
    for call in calls:
        call()
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(SAMPLES):
        for call, taken in zip(calls, seconds, strict=True):
            times = []
            for _ in range(repeats):
                begin = time.perf_counter()
                call()
                times.append(time.perf_counter() - begin)
            taken.append(min(times))
    return seconds


def measure_state(
    tables: list[Table],
    probes: dict[str, list[Callable[..., int]]],
    entries: int,
    state: str,
    repeats: int,
) -> Iterator[Row]:
    """Time all kernels on all tables: keys that hit, then keys that miss."""
    rng = np.random.default_rng(entries)
    absent = rng.permutation(new_keys(1 << 40, PROBES))
    out = np.empty(PROBES, np.int64)
    present = [rng.choice(t.resident(), PROBES) for t in tables]
    shares = []
    for table, keys in zip(tables, present, strict=True):
        hits = probes[table.name][0](table.words, table.side, keys, out)
        if hits != PROBES:
            raise AssertionError(f"{table.name}: {hits} of {PROBES} resident keys found")
        shares.append(count_lines(table.words, table.lines, table.per_line, out) / PROBES)
    cases = [(i, s) for i, t in enumerate(tables) for s in range(len(probes[t.name]))]
    seconds = {}
    for kind in ("hit", "miss"):
        calls = []
        for i, s in cases:
            table, keys = tables[i], present[i] if kind == "hit" else absent
            probe = probes[table.name][s]
            calls.append(lambda p=probe, t=table, k=keys: p(t.words, t.side, k, out))
        seconds[kind] = interleaved(calls, repeats)
    for row, (i, s) in enumerate(cases):
        table, share = tables[i], shares[i]
        result: Row = {
            "entries": entries,
            "state": state,
            "geometry": table.name,
            "strategy": STRATEGIES[s] if table.lines > 1 else "-",
            "resident_share": round(table.resident().size / entries, 4),
            "home_share": round(float(share[0]), 4),
            "lines_per_hit": round(
                float(share @ np.arange(1, table.lines + 1)) + (table.per_line == 8), 3
            ),
        }
        for kind in ("hit", "miss"):
            pairs = zip(seconds[kind][0], seconds[kind][row], strict=True)
            result[f"{kind}_speed_ratio"] = round(statistics.median(a / b for a, b in pairs), 3)
            result[f"{kind}_mprobes_s"] = round(
                PROBES / statistics.median(seconds[kind][row]) / 1e6, 1
            )
        yield result


def measure(
    sizes: list[int],
    geometries: list[tuple[int, int]] = GEOMETRIES,
    repeats: int = 3,
    turnover: int = 5,
) -> list[Row]:
    """Rows for every size, state, geometry and strategy; ratios are to the first geometry.

    States: "filled" with as many distinct keys as slots; "steady" after `turnover` times as many
    inserts that evict; "swapped" after as many again that put the new key in its home line.
    """
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    probes = {
        Table.empty(1, lines, per_line).name: [
            make_probe(lines, per_line, s) for s in (STRATEGIES if lines > 1 else (WALK,))
        ]
        for lines, per_line in geometries
    }
    rows: list[Row] = []
    for entries in sizes:
        tables = [Table.empty(entries, *geometry) for geometry in geometries]
        for table in tables:
            table.insert(new_keys(0, entries))
        rows += measure_state(tables, probes, entries, "filled", repeats)
        for table in tables:
            table.insert(new_keys(entries, turnover * entries))
        rows += measure_state(tables, probes, entries, "steady", repeats)
        for table in tables:
            table.insert(new_keys((1 + turnover) * entries, turnover * entries), swap=True)
        rows += measure_state(tables, probes, entries, "swapped", repeats)
    return rows
