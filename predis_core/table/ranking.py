"""Where entries belong and in which order they would leave, for many at once.

What kernels do for one key at a time while they insert it, for those who look at a table from
outside: plain NumPy, and the policy's functions as they are written.
"""

from __future__ import annotations

import numpy as np

from predis_core.policies.contract import Policy
from predis_core.table.interface import Bytes, Entries, Int64s
from predis_core.table.keys import MIX_FACTORS, MIX_SHIFTS
from predis_core.table.layout import Region

_MASK = (1 << 64) - 1


def sets_of_words(region: Region, words: Int64s, seed: int) -> Int64s:
    """Return the set of each word (int64[n], numbered in the region, which has up to 2**32)."""
    x = words.view(np.uint64) ^ np.uint64(seed & _MASK)
    for shift, factor in zip(MIX_SHIFTS, MIX_FACTORS, strict=False):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    x ^= x >> np.uint64(MIX_SHIFTS[-1])
    sets, half = np.uint64(region.sets), np.uint64(32)
    # The high half of a 64 by 64 bit product, of which one factor has 32.
    low = (x & np.uint64((1 << 32) - 1)) * sets >> half
    found: Int64s = ((x >> half) * sets + low >> half).astype(np.int64)
    return found


def sets_of_slots(region: Region, slots: Int64s) -> Int64s:
    """Return the set of each slot (int64[n], numbered in the region)."""
    quotient, remainder = divmod(region.capacity, region.sets)
    at = slots - region.first_slot
    wide = remainder * (quotient + 1)
    found: Int64s = np.where(
        at < wide, at // (quotient + 1), remainder + (at - wide) // max(quotient, 1)
    )
    return found


def ways_of(region: Region) -> Bytes:
    """Return how many ways each set of a region has (uint8[sets])."""
    quotient, remainder = divmod(region.capacity, region.sets)
    found = np.full(region.sets, quotient, np.uint8)
    found[:remainder] += 1
    return found


def levels(
    policy: Policy,
    parameters: list[int],
    entries: Entries,
    sets: Int64s,
    states: Int64s,
    tick: int,
) -> Int64s:
    """Return for each entry how many of its set the policy would let go after it (int64[m]).

    Level 0 leaves last. Guesses that were not used leave first, then what ranks lowest, ties by
    lowest slot. Segments, which only `admit` compares, are taken together.

    Args:
        policy: of the table.
        parameters: of the policy, at present.
        entries: m of them, by slot.
        sets: the set of each, int64[m].
        states: the policy's state of that set, int64[m].
        tick: the table's.
    """
    m = len(sets)
    starts = np.flatnonzero(np.diff(sets, prepend=-1))
    ends = np.append(starts[1:], m)[: len(starts)]
    metas = entries.metas.tolist()
    ranks: list[int] = []
    for start, end, state in zip(
        starts.tolist(), ends.tolist(), states[starts].tolist(), strict=True
    ):
        live = metas[start:end]
        total = sum(map(policy.tally, live))
        ranks += [policy.rank(meta, tick, state, total, parameters) for meta in live]
    order = np.lexsort((entries.slots, np.array(ranks, np.int64), ~entries.guesses, sets))
    found = np.empty(m, np.int64)
    found[order] = np.repeat(ends, ends - starts) - 1 - np.arange(m)
    return found
