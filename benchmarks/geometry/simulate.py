"""Eviction policies inside the sets of a set-associative cache, one request at a time.

Every simulator takes

    requests  int32[n]        indices of keys
    home      int32[keys]     the set of each key
    start     int64[sets + 1] first slot of each set

and returns the number of misses (get, then insert on a miss). With one set they are the fully
associative policies; `run.py` checks that against published miss ratios. Keys are indices, so
that a hit costs one array read; only an eviction looks at a set's ways.

SIEVE: Zhang et al., NSDI 2024. S3-FIFO: Yang et al., SOSP 2023 (queue limits, promotion and
warm-up as in the authors' simulator).
"""

from __future__ import annotations

import numpy as np
from numba import njit

WRAP = np.int64(1) << 40  # greater than any sequence number


@njit(cache=True)
def fifo(requests: np.ndarray, home: np.ndarray, start: np.ndarray) -> int:
    """First in, first out: a ring per set."""
    resident = np.zeros(home.size, np.bool_)
    slots = np.full(start[-1], -1, np.int32)
    oldest = start[:-1].copy()
    misses = 0
    for key in requests:
        if resident[key]:
            continue
        misses += 1
        s = home[key]
        slot = oldest[s]
        if slots[slot] >= 0:
            resident[slots[slot]] = False
        slots[slot] = key
        resident[key] = True
        oldest[s] = slot + 1 if slot + 1 < start[s + 1] else start[s]
    return misses


@njit(cache=True)
def lru(requests: np.ndarray, home: np.ndarray, start: np.ndarray) -> int:
    """Least recently used, by the time of the last request; free ways have time -1."""
    where = np.full(home.size, -1, np.int64)
    slots = np.full(start[-1], -1, np.int32)
    used = np.full(start[-1], -1, np.int64)
    misses = 0
    for now in range(requests.size):
        key = requests[now]
        if where[key] >= 0:
            used[where[key]] = now
            continue
        misses += 1
        s = home[key]
        slot = start[s]
        for i in range(start[s] + 1, start[s + 1]):
            if used[i] < used[slot]:
                slot = i
        if slots[slot] >= 0:
            where[slots[slot]] = -1
        slots[slot] = key
        where[key] = slot
        used[slot] = now
    return misses


@njit(cache=True)
def sieve(requests: np.ndarray, home: np.ndarray, start: np.ndarray, rewind: bool = True) -> int:
    """SIEVE: a hand over the keys in the order of their insertion, and a visited bit.

    The hand stands on a sequence number. The victim is the first unvisited key from there on,
    cyclically; visited keys that the hand passes lose their bit. When the newest key is the
    victim, the original goes back to the oldest key (`rewind`); without that, the next key to
    be inserted is the next one that the hand looks at.
    """
    where = np.full(home.size, -1, np.int64)
    slots = np.full(start[-1], -1, np.int32)
    sequence = np.zeros(start[-1], np.int64)
    visited = np.zeros(start[-1], np.bool_)
    hand = np.zeros(start.size - 1, np.int64)
    filled = start[:-1].copy()
    misses = 0
    for now in range(requests.size):
        key = requests[now]
        if where[key] >= 0:
            visited[where[key]] = True
            continue
        misses += 1
        s = home[key]
        if filled[s] < start[s + 1]:
            slot = filled[s]
            filled[s] += 1
        else:
            slot, first, newest = np.int64(-1), start[s], start[s]
            distance, shortest = WRAP * 2, WRAP * 2
            for i in range(start[s], start[s + 1]):
                d = sequence[i] - hand[s]
                if d < 0:
                    d += WRAP
                if d < shortest:
                    first, shortest = i, d
                if not visited[i] and d < distance:
                    slot, distance = i, d
                if sequence[i] > sequence[newest]:
                    newest = i
            if slot < 0:
                slot = first  # all visited: one whole turn clears every bit
            for i in range(start[s], start[s + 1]):
                d = sequence[i] - hand[s]
                if d < 0:
                    d += WRAP
                if d < distance:
                    visited[i] = False
            hand[s] = 0 if rewind and slot == newest else sequence[slot] + 1
            where[slots[slot]] = -1
        slots[slot] = key
        where[key] = slot
        sequence[slot] = now
        visited[slot] = False
    return misses


@njit(cache=True)
def stamp_of(now: int) -> int:
    """Five bits of a tick, mixed: a loop whose length is a multiple of 32 must not freeze them."""
    return ((now * 0x9E3779B1) >> 16) & 31


@njit(cache=True)
def forget(ghosts: np.ndarray, length: np.ndarray, s: int, mark: int) -> bool:
    """Remove the newest ghost of set `s` that bears `mark`, if there is one."""
    for i in range(length[s]):
        if ghosts[s, i] == mark:
            length[s] -= 1
            for j in range(i, length[s]):
                ghosts[s, j] = ghosts[s, j + 1]
            return True
    return False


@njit(cache=True)
def remember(ghosts: np.ndarray, length: np.ndarray, s: int, mark: int, limit: int) -> None:
    """Put `mark` first; beyond `limit` the oldest ghost is dropped."""
    if limit == 0:
        return
    if length[s] < limit:
        length[s] += 1
    for j in range(length[s] - 1, 0, -1):
        ghosts[s, j] = ghosts[s, j - 1]
    ghosts[s, 0] = mark


@njit(cache=True)
def s3fifo(
    requests: np.ndarray,
    home: np.ndarray,
    start: np.ndarray,
    marks: np.ndarray,
    share: float = 0.1,
    ghost: float = 1.0,
    threshold: int = 2,
    stamped: bool = False,
    main_first: bool = True,
) -> int:
    """S3-FIFO with real queues: a small one, a main one with reinsertion, and ghosts.

    marks       int32[keys]: what a ghost keeps of a key (its fingerprint)
    share       the small queue's part of a set's ways (at least one way)
    ghost       ghosts per way
    threshold   hits that promote a key when it leaves the small queue
    stamped     a hit whose 5-bit stamp equals that of the last counted hit (or of the
                insertion) does not count
    main_first  warm-up: until a set evicts, keys beyond the small queue's limit go to main
    """
    cap, sets = start[-1], start.size - 1
    widest = int(start[1] - start[0])
    queue = np.zeros((2, cap), np.int32)  # rings: 0 small, 1 main
    head = np.zeros((2, sets), np.int64)
    size = np.zeros((2, sets), np.int64)
    ghosts = np.zeros((sets, int(round(ghost * widest)) + 1), np.int32)
    length = np.zeros(sets, np.int64)
    resident = np.zeros(home.size, np.bool_)
    count = np.zeros(home.size, np.int8)
    stamp = np.zeros(home.size, np.int8)
    full = np.zeros(sets, np.bool_)
    misses = 0
    for now in range(requests.size):
        key = requests[now]
        if resident[key]:
            if stamped:
                if stamp[key] == stamp_of(now):
                    continue
                stamp[key] = stamp_of(now)
            if count[key] < 3:
                count[key] += 1
            continue
        misses += 1
        s = home[key]
        base, ways = start[s], start[s + 1] - start[s]
        limit = max(1, int(round(share * ways)))
        known = forget(ghosts, length, s, marks[key])
        while size[0, s] + size[1, s] == ways:
            full[s] = True
            q = 0 if size[0, s] >= limit or size[1, s] == 0 else 1
            while size[q, s] > 0:
                old = queue[q, base + head[q, s]]
                head[q, s] = (head[q, s] + 1) % ways
                size[q, s] -= 1
                if count[old] < (threshold if q == 0 else 1):
                    resident[old] = False
                    if q == 0:
                        remember(ghosts, length, s, marks[old], int(round(ghost * ways)))
                    break
                count[old] = 0 if q == 0 else count[old] - 1
                queue[1, base + (head[1, s] + size[1, s]) % ways] = old
                size[1, s] += 1
        q = 1 if known or (main_first and not full[s] and size[0, s] >= limit) else 0
        queue[q, base + (head[q, s] + size[q, s]) % ways] = key
        size[q, s] += 1
        resident[key] = True
        count[key] = 0
        stamp[key] = stamp_of(now)
    return misses


@njit(cache=True)
def s3fifo_ranked(
    requests: np.ndarray,
    home: np.ndarray,
    start: np.ndarray,
    marks: np.ndarray,
    share: float = 0.1,
    ghost: float = 1.0,
    threshold: int = 2,
    stamped: bool = False,
    main_first: bool = True,
) -> int:
    """S3-FIFO as a rank over the metadata of ways: one scan finds the victim, one updates.

    It differs from `s3fifo` in one thing: keys that are promoted or reinserted by the same
    eviction get the same sequence number, so that their order in the main queue is that of
    their ways and not that of their age.
    """
    cap, sets = start[-1], start.size - 1
    widest = int(start[1] - start[0])
    ghosts = np.zeros((sets, int(round(ghost * widest)) + 1), np.int32)
    length = np.zeros(sets, np.int64)
    where = np.full(home.size, -1, np.int64)
    slots = np.zeros(cap, np.int32)
    main = np.zeros(cap, np.bool_)
    count = np.zeros(cap, np.int64)
    stamp = np.zeros(cap, np.int8)
    sequence = np.zeros(cap, np.int64)
    filled = start[:-1].copy()
    small = np.zeros(sets, np.int64)
    misses = 0
    for now in range(requests.size):
        key = requests[now]
        slot = where[key]
        if slot >= 0:
            if stamped:
                if stamp[slot] == stamp_of(now):
                    continue
                stamp[slot] = stamp_of(now)
            if count[slot] < 3:
                count[slot] += 1
            continue
        misses += 1
        s = home[key]
        lo, hi = start[s], start[s + 1]
        limit = max(1, int(round(share * (hi - lo))))
        known = forget(ghosts, length, s, marks[key])
        to_main = known
        if filled[s] < hi:
            slot = filled[s]
            filled[s] += 1
            to_main = known or (main_first and small[s] >= limit)
        else:
            from_small = small[s] >= limit or small[s] == hi - lo
            slot, best = lo, np.int64(1) << 62
            for i in range(lo, hi):
                if from_small and not main[i]:
                    # Promotable keys would stand at the end of main, with no hits there.
                    r = sequence[i] - WRAP if count[i] < threshold else WRAP // 2 + sequence[i]
                else:
                    r = (count[i] if main[i] else 8) * WRAP + sequence[i]
                if r < best:
                    slot, best = i, r
            drop, age = count[slot], sequence[slot]
            if not main[slot]:
                small[s] -= 1
                if count[slot] < threshold:
                    remember(ghosts, length, s, marks[slots[slot]], int(round(ghost * (hi - lo))))
            for i in range(lo, hi):
                ahead = sequence[i] < age or (sequence[i] == age and i < slot)
                if i == slot:
                    continue
                if from_small and not main[i] and count[i] >= threshold and (ahead or main[slot]):
                    main[i], count[i], sequence[i] = True, 0, now
                    small[s] -= 1
                elif main[i] and main[slot]:
                    count[i] -= drop + 1 if ahead else drop
                    if ahead:
                        sequence[i] = now
            where[slots[slot]] = -1
        slots[slot] = key
        where[key] = slot
        main[slot] = to_main
        if not to_main:
            small[s] += 1
        count[slot] = 0
        sequence[slot] = now
        stamp[slot] = stamp_of(now)
    return misses
