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
"""Look-ups that belong to no stream and are kept, as the next one may begin with two of them."""

IDLE = 8_192
"""Look-ups after which a stream that none belonged to has ended."""

SHORTEST = 3
"""Keys in a row that make a stream."""

SKIP = 0
"""Keys of a stream that may be left out, beside those that were proposed."""

FIRST_WINDOW = 4
"""Keys ahead of a stream at first, and at least."""

LENGTHS = 128
"""Marks along the lengths of streams, an eighth or less apart from some 8 on."""

# The columns of a stream. `FRONTIER`: how many strides beyond the last key have been proposed.
LAST, STRIDE, LENGTH, FRONTIER, SEEN, WINDOW, MOVED, COLUMNS = range(8)

_FORGET = 256.0
"""Streams that came to a mark after which its counts are halved, so that old ones count less."""


class Streams(NamedTuple):
    """What is known of scans.

    Attributes:
        rows: int64[n, COLUMNS]; the stride is 0 where there is no stream.
        recent: int64[RECENT], a ring of keys.
        counters: int64[2], look-ups so far, and keys written to `recent`.
        passed: float64[LENGTHS], streams that went from a mark on to the next.
        ended: float64[LENGTHS], streams that did not.
    """

    rows: Int64s
    recent: Int64s
    counters: Int64s
    passed: Floats
    ended: Floats


def new_streams(number: int) -> Streams:
    """Return what is known before the first look-up."""
    return Streams(
        np.zeros((number, COLUMNS), np.int64),
        np.zeros(RECENT, np.int64),
        np.zeros(2, np.int64),
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
def _end(streams: Streams, number: int) -> None:
    """Take note that a stream has ended."""
    row = streams.rows[number]
    if row[STRIDE]:
        _count(streams, streams.ended, mark_of(row[LENGTH]))
        row[STRIDE] = 0


@compiled(types.void(_STREAMS, _I8, _I8))
def _lengthen(streams: Streams, number: int, steps: int) -> None:
    """Take note that a stream went on."""
    row = streams.rows[number]
    before = mark_of(row[LENGTH])
    row[LENGTH] += steps
    for mark in range(before, mark_of(row[LENGTH])):
        _count(streams, streams.passed, mark)


@compiled(_I8(_STREAMS, _I8, _I8))
def _stream_of(streams: Streams, key: int, skip: int) -> int:
    """Return the stream that a key belongs to; -1: none.

    A key belongs to the stream whose next one it is, or one up to `skip` further on, or as far as
    was proposed, or whose last one it is.
    """
    for number in range(len(streams.rows)):
        row = streams.rows[number]
        stride = row[STRIDE]
        if not stride:
            continue
        distance = key - row[LAST]
        if stride < 0:
            stride, distance = -stride, -distance
        furthest = max(row[FRONTIER], skip + 1) * stride
        if 0 <= distance <= furthest and distance % stride == 0:
            return number
    return -1


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
    row[SEEN], row[WINDOW], row[MOVED] = streams.counters[0], FIRST_WINDOW, 1


@compiled(types.void(_STREAMS, _I8, _I8))
def _look_for_one(streams: Streams, key: int, most: int) -> None:
    """Begin a stream if a key and two recent ones are in a row; keep the key."""
    recent, written = streams.recent, streams.counters[1]
    filled = min(written, RECENT)
    for back in range(1, filled + 1):
        stride = key - recent[(written - back) % RECENT]
        if stride == 0:
            return
        if not -most <= stride <= most:
            continue
        wanted = key - 2 * stride
        for further in range(back + 1, filled + 1):
            if recent[(written - further) % RECENT] == wanted:
                _begin(streams, key, stride)
                return
    recent[written % RECENT] = key
    streams.counters[1] = written + 1


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
    for at in range(len(words)):
        now = streams.counters[0] = streams.counters[0] + 1
        swept = now % len(rows)
        if now - rows[swept, SEEN] > IDLE:
            _end(streams, swept)
        number = _stream_of(streams, words[at], SKIP)
        if number < 0:
            _look_for_one(streams, words[at], most_stride)
            continue
        row = rows[number]
        steps = (words[at] - row[LAST]) // row[STRIDE]
        row[SEEN] = now
        if not steps:
            continue
        was_proposed = steps <= row[FRONTIER]
        _lengthen(streams, number, steps)
        row[LAST] = words[at]
        row[FRONTIER] = max(0, row[FRONTIER] - steps)
        row[MOVED] += steps
        if len(late) and late[at]:
            row[WINDOW] = min(2 * row[WINDOW], most_window)
        elif hits[at]:
            row[WINDOW] = min(row[WINDOW] + steps, most_window)
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
    return count
