"""Scans among look-ups: kernels over the streams of one `Readahead`.

A stream is a run of keys a constant stride apart, of any stride and direction, and many may be
interleaved. It begins with three keys in such a row. How far a stream will go is estimated from how
far the others went: from the share of those that, having come to some length, went on to the next
(the estimator of Kaplan and Meier, 1958), so that nothing is loaded beyond where streams end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import typeof, types

from predis_prefetch.compiling import compiled

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

RECENT = 32
"""Look-ups that belong to no stream and are kept, as the next one may begin with two of them; a
power of two."""

IDLE = 8_192
"""Look-ups after which a stream that none belonged to has ended."""

SHORTEST = 3
"""Keys in a row that make a stream."""

FIRST_WINDOW = 4
"""Keys ahead of a stream at first, and at least."""

LENGTHS = 128
"""Marks along the lengths of streams, an eighth or less apart from some 8 on."""

# The columns of a stream. `FRONTIER`: how many strides beyond the last key have been proposed.
LAST, STRIDE, LENGTH, FRONTIER, SEEN, WINDOW, MOVED, COLUMNS = range(8)

# The positions of the counters: look-ups so far, keys written to `recent`, the stream that was last
# looked at for having ended, and how many strides from its last key one belongs to a stream anyhow.
LOOKUPS, WRITTEN, SWEPT, DISORDER = range(4)

OVERTAKEN = 8
"""Batches of a scan that may come in any order: threads that read one together overtake each other.
Single keys come in theirs."""

_MARKS = 8
"""Bits of a hash by which it is known at once that most keys are not among the recent ones."""

_FORGET = 256.0
"""Streams that came to a mark after which its counts are halved, so that old ones count less."""


class Streams(NamedTuple):
    """What is known of scans.

    Attributes:
        rows: int64[n, COLUMNS]; the stride is 0 where there is no stream.
        last: int64[n], the last key of each.
        following: int64[n], its next one.
        low: int64[n], the lowest of the keys that belong to it: those that were proposed, and those
            that others may have overtaken; above `high` where there is no stream.
        high: int64[n], the highest one.
        recent: int64[RECENT], a ring of keys.
        marks: int64[2**_MARKS], how many recent keys have each hash.
        counters: int64[4].
        passed: float64[LENGTHS], streams that went from a mark on to the next.
        ended: float64[LENGTHS], streams that did not.
    """

    rows: Int64s
    last: Int64s
    following: Int64s
    low: Int64s
    high: Int64s
    recent: Int64s
    marks: Int64s
    counters: Int64s
    passed: Floats
    ended: Floats


def new_streams(number: int) -> Streams:
    """Return what is known before the first look-up."""
    return Streams(
        np.zeros((number, COLUMNS), np.int64),
        np.zeros(number, np.int64),
        np.zeros(number, np.int64),
        np.ones(number, np.int64),
        np.zeros(number, np.int64),
        np.zeros(RECENT, np.int64),
        np.zeros(1 << _MARKS, np.int64),
        np.zeros(4, np.int64),
        np.zeros(LENGTHS),
        np.zeros(LENGTHS),
    )


_I8, _F8 = types.int64, types.float64
_RING, _REALS = types.Array(_I8, 1, "C"), types.Array(_F8, 1, "C")
_STREAMS = typeof(new_streams(1))
_WORDS = types.Array(_I8, 1, "C", readonly=True)
_BOOLS = types.Array(types.boolean, 1, "C", readonly=True)


@compiled(_I8(_I8))
def mark_of(length: int) -> int:
    """Return the last mark that a length has come to: marks 0 to 7, then eight per doubling."""
    if length < 8:
        return length
    octave = 0
    while length >> (octave + 1) >= 8:
        octave += 1
    return min(8 * octave + (length >> octave), LENGTHS - 1)


@compiled(_F8(_STREAMS, _I8))
def _goes_on(streams: Streams, mark: int) -> float:
    """Return the share of streams at a mark that come to the next; an optimist's, at first."""
    passed, ended = streams.passed[mark], streams.ended[mark]
    return float((passed + 2.0) / (passed + ended + 2.125))


@compiled(types.void(_STREAMS, _REALS, _I8))
def _count(streams: Streams, counts: Floats, mark: int) -> None:
    """Count one more stream at a mark, among those that went on or those that did not."""
    counts[mark] += 1
    if streams.passed[mark] + streams.ended[mark] > _FORGET:
        streams.passed[mark] *= 0.5
        streams.ended[mark] *= 0.5


@compiled(types.void(_STREAMS, _I8))
def _bound(streams: Streams, number: int) -> None:
    """Note which keys belong to a stream: its last one, its next one, and those around them."""
    row = streams.rows[number]
    last, stride = row[LAST], row[STRIDE]
    disorder = streams.counters[DISORDER]
    nearest, furthest = last - disorder * stride, last + max(row[FRONTIER], disorder) * stride
    streams.last[number], streams.following[number] = last, last + stride
    streams.low[number], streams.high[number] = min(nearest, furthest), max(nearest, furthest)


@compiled(types.void(_STREAMS, _I8))
def _end(streams: Streams, number: int) -> None:
    """Take note that a stream has ended."""
    row = streams.rows[number]
    if row[STRIDE]:
        _count(streams, streams.ended, mark_of(row[LENGTH]))
        row[STRIDE] = 0
        streams.low[number], streams.high[number] = 1, 0


@compiled(types.void(_STREAMS, _I8, _I8))
def _lengthen(streams: Streams, number: int, steps: int) -> None:
    """Take note that a stream went on."""
    row = streams.rows[number]
    before = mark_of(row[LENGTH])
    row[LENGTH] += steps
    for mark in range(before, mark_of(row[LENGTH])):
        _count(streams, streams.passed, mark)


@compiled(_I8(_STREAMS, _I8))
def _stream_of(streams: Streams, key: int) -> int:
    """Return the stream that a key belongs to; -1: none."""
    last, following, low, high = streams.last, streams.following, streams.low, streams.high
    may_be = 0
    for number in range(len(low)):  # all of them, without a branch: several at a time
        may_be |= (last[number] == key) | (following[number] == key)
        may_be |= (low[number] <= key) & (key <= high[number])
    if may_be:
        for number in range(len(low)):
            stride = streams.rows[number, STRIDE]
            if not stride:
                continue
            if last[number] == key or following[number] == key:
                return number
            if low[number] <= key <= high[number] and (key - last[number]) % stride == 0:
                return number
    return -1


@compiled(_I8(_I8))
def _hash(key: Any) -> Any:
    return np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _MARKS))


@compiled(types.void(_STREAMS, _I8, _I8))
def _begin(streams: Streams, key: int, stride: int) -> None:
    """Begin a stream in a free place, or in that of the one that is idle the longest."""
    oldest = 0
    for number in range(len(streams.rows)):
        if not streams.rows[number, STRIDE]:
            oldest = number
            break
        if streams.rows[number, SEEN] < streams.rows[oldest, SEEN]:
            oldest = number
    _end(streams, oldest)
    row = streams.rows[oldest]
    row[:] = 0
    row[LAST], row[STRIDE], row[LENGTH] = key, stride, SHORTEST
    row[SEEN], row[WINDOW], row[MOVED] = streams.counters[LOOKUPS], FIRST_WINDOW, 1
    _bound(streams, oldest)


@compiled(types.void(_STREAMS, _I8, _I8))
def _look_for_one(streams: Streams, key: int, most: int) -> None:
    """Begin a stream if a key and two recent ones are in a row; keep the key."""
    recent, marks, written = streams.recent, streams.marks, streams.counters[WRITTEN]
    filled = min(written, RECENT)
    for back in range(1, filled + 1):
        stride = key - recent[(written - back) & (RECENT - 1)]
        if stride == 0:
            return
        if not -most <= stride <= most:
            continue
        wanted = key - 2 * stride
        if not marks[_hash(wanted)]:
            continue
        for further in range(back + 1, filled + 1):
            if recent[(written - further) & (RECENT - 1)] == wanted:
                _begin(streams, key, stride)
                return
    place = written & (RECENT - 1)
    if filled == RECENT:
        marks[_hash(recent[place])] -= 1
    marks[_hash(key)] += 1
    recent[place] = key
    streams.counters[WRITTEN] = written + 1


@compiled(types.void(_STREAMS, _WORDS, _BOOLS, _BOOLS, _I8, _I8))
def follow(
    streams: Streams, words: Int64s, hits: Any, late: Any, most_window: int, most_stride: int
) -> None:
    """Take note of a batch of look-ups.

    Args:
        streams: what is known; changed.
        words: int64[n], what was asked for.
        hits: bool[n], which of it was there.
        late: bool[n] or bool[0], which of it came late.
        most_window: keys ahead of a stream, at most.
        most_stride: the largest distance between two keys of a stream.
    """
    rows = streams.rows
    streams.counters[DISORDER] = OVERTAKEN * len(words) if len(words) > 1 else 0
    for at in range(len(words)):
        now = streams.counters[LOOKUPS] = streams.counters[LOOKUPS] + 1
        swept = streams.counters[SWEPT] + 1
        swept = streams.counters[SWEPT] = swept if swept < len(rows) else 0
        if now - rows[swept, SEEN] > IDLE:
            _end(streams, swept)
        number = _stream_of(streams, words[at])
        if number < 0:
            _look_for_one(streams, words[at], most_stride)
            continue
        row = rows[number]
        steps = (words[at] - row[LAST]) // row[STRIDE]
        row[SEEN] = now
        if not steps:
            continue
        was_proposed = 0 < steps <= row[FRONTIER]
        if steps > 0:
            _lengthen(streams, number, steps)
            row[LAST] = words[at]
            row[FRONTIER] = max(0, row[FRONTIER] - steps)
            row[MOVED] += steps
            _bound(streams, number)
        if len(late) and late[at]:
            row[WINDOW] = min(2 * row[WINDOW], most_window)
        elif hits[at]:
            row[WINDOW] = min(row[WINDOW] + max(1, steps), most_window)
        elif was_proposed:  # it left before it was asked for, or was not loaded
            row[WINDOW] = max(row[WINDOW] // 2, FIRST_WINDOW)


@compiled(_I8(_STREAMS, _F8, _RING, _REALS))
def propose(streams: Streams, least: float, keys: Int64s, confidences: Floats) -> int:
    """Write what comes next in streams that went on since the last call; return how much it is.

    Args:
        streams: what is known; changed.
        least: confidences below are left out.
        keys: int64[m], written.
        confidences: float64[m], written.
    """
    count = 0
    for number in range(len(streams.rows)):
        row = streams.rows[number]
        if not row[STRIDE] or not row[MOVED]:
            continue
        # What is asked for in large batches has to be there a batch before.
        window = max(row[WINDOW], 2 * row[MOVED])
        if row[FRONTIER] > window // 2:
            continue
        row[MOVED] = 0
        confidence, mark = 1.0, mark_of(row[LENGTH])
        for ahead in range(1, window + 1):
            while mark < mark_of(row[LENGTH] + ahead):
                confidence *= _goes_on(streams, mark)
                mark += 1
            if confidence < least or count == len(keys):
                break
            if ahead > row[FRONTIER]:
                keys[count] = row[LAST] + ahead * row[STRIDE]
                confidences[count] = confidence
                row[FRONTIER] = ahead
                count += 1
        _bound(streams, number)
    return count
