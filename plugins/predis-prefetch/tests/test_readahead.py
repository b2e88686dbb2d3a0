"""Scans: found among others, followed as far as they go, and not beyond."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predis_core.plugin import AccessBatch
from predis_prefetch.config import ReadaheadConfig
from predis_prefetch.readahead import Readahead
from predis_prefetch.streams import (
    FIRST_WINDOW,
    IDLE,
    LENGTHS,
    OVERTAKEN,
    STRIDE,
    WINDOW,
    mark_of,
)
from tests.support.depth import search

Int64s = npt.NDArray[np.int64]


class Cached:
    """A cache that holds all that was asked for or proposed, and a prefetcher at it."""

    def __init__(self, **config: Any) -> None:
        self.prefetcher = Readahead(ReadaheadConfig(**config))
        self.held: set[int] = set()
        self.proposed: list[int] = []
        self.missed: list[int] = []

    def ask(self, keys: Any, late: Any = None) -> list[int]:
        """Ask for keys at once; return what is proposed then."""
        words = np.atleast_1d(np.asarray(keys, np.int64))
        hits = np.array([key in self.held for key in words.tolist()])
        self.missed += words[~hits].tolist()
        self.prefetcher.observe(AccessBatch("test", words, words, hits, None, late))
        found, confidences = self.prefetcher.predict(10_000)
        assert ((confidences >= 0.5) & (confidences <= 1)).all()
        self.proposed += found.tolist()
        self.held.update(words.tolist(), found.tolist())
        return list(found.tolist())

    def windows(self) -> list[int]:
        return list(self.prefetcher._streams.rows[:, WINDOW].tolist())


strides = st.integers(1, 50) | st.integers(-50, -1) | st.sampled_from([65_536, -65_536])


@search(60)
@given(st.lists(strides, min_size=1, max_size=10), st.randoms(use_true_random=False))
def test_every_scan_among_many_is_followed(steps: list[int], random: Any) -> None:
    cached = Cached()
    left = [iter(range(n << 40, (n << 40) + 100 * step, step)) for n, step in enumerate(steps)]
    asked = []
    while left:
        one = random.choice(left)
        if (key := next(one, None)) is None:
            left.remove(one)
        else:
            asked.append(key)
            cached.ask(key)
    assert len(cached.missed) == 3 * len(steps)
    beyond = set(cached.proposed) - set(asked)
    for number, step in enumerate(steps):
        of_this = [key for key in beyond if abs(key - (number << 40)) < 1 << 30]
        assert len(of_this) <= 120
        assert all((key - (number << 40)) % step == 0 for key in of_this)
    assert len(set(cached.proposed)) == len(cached.proposed)


@pytest.mark.parametrize("step", [1, -1, 7])
@pytest.mark.parametrize("threads", [2, OVERTAKEN])
def test_threads_that_read_one_scan_and_overtake_each_other_are_one_scan(
    threads: int, step: int
) -> None:
    """Batches come in any order within a round of the threads; later keys only are proposed."""
    cached, generator, size = Cached(), np.random.default_rng(1), 32
    scan = step * np.arange(200 * threads * size)
    rounds = scan.reshape(200, threads, size)
    for number, batches in enumerate(rounds):
        reached = scan[number * threads * size]
        for batch in generator.permutation(batches):
            found = cached.ask(batch)
            assert all((key - reached) * step >= 0 for key in found)
    assert np.count_nonzero(cached.prefetcher._streams.rows[:, STRIDE]) == 1
    assert len(cached.missed) <= 3 * threads * size
    assert len(set(cached.proposed)) == len(cached.proposed)


def test_two_in_a_row_are_no_scan_and_random_keys_are_none() -> None:
    cached = Cached()
    assert cached.ask(5) == cached.ask(6) == []
    for key in np.random.default_rng(1).integers(0, 1 << 40, 20_000).tolist():
        cached.ask(key)
    assert cached.proposed == []


def test_equal_keys_are_no_scan() -> None:
    cached = Cached()
    for key in [7] * 100 + [8] * 3:
        assert cached.ask(key) == []
    assert cached.ask(9) == [10, 11, 12, 13]
    assert cached.ask([9, 9, 9]) == []


def test_batches_of_a_scan_are_there_a_batch_before() -> None:
    cached = Cached()
    for start in range(0, 20_000, 500):
        cached.ask(np.arange(start, start + 500))
    assert len(cached.missed) == 500
    back = Cached()
    for start in range(20_000, 0, -500):
        back.ask(np.arange(start, start - 500, -1))
    assert len(back.missed) == 500


def test_hardly_anything_is_proposed_beyond_where_scans_end() -> None:
    cached = Cached()
    wasted = []
    for number in range(300):
        first = number << 20
        before = len(cached.proposed)
        for key in range(first, first + 20):
            cached.ask(key)
        wasted.append(sum(key >= first + 20 for key in cached.proposed[before:]))
    assert sum(wasted[:5]) > 0  # at first it cannot know
    assert max(wasted[-100:]) <= 1  # lengths are told apart by an eighth
    assert len(cached.missed) < 300 * 8  # and of the twenty most are still there in time


def test_a_window_doubles_when_it_is_late_and_is_halved_when_guesses_are_gone() -> None:
    cached = Cached(window=256)
    for key in range(40):
        cached.ask(key)
    (window,) = {window for window in cached.windows() if window}
    assert FIRST_WINDOW < window <= FIRST_WINDOW + 40
    cached.ask(40, np.ones(1, bool))
    assert max(cached.windows()) == 2 * window
    for key in range(41, 1_000):
        cached.ask(key)
    assert max(cached.windows()) == 256
    cached.held.clear()
    cached.ask(1_000)
    assert max(cached.windows()) == 128
    for key in range(1_001, 1_100):
        cached.held.clear()
        cached.ask(key)
    assert max(cached.windows()) == FIRST_WINDOW


def test_of_more_scans_than_there_is_room_for_the_idlest_is_forgotten() -> None:
    cached = Cached(streams=2)
    for _ in range(3):
        for first in (0, 1 << 30):
            for key in range(first, first + 3):
                cached.ask(key)
    for key in range(1 << 35, (1 << 35) + 3):
        cached.ask(key)
    assert cached.ask(3) == []  # was forgotten
    assert cached.ask((1 << 30) + 3) == []  # goes on, within what was proposed
    assert cached.ask((1 << 30) + 4) != []


def test_a_scan_that_nobody_goes_on_with_has_ended() -> None:
    cached = Cached(streams=1)
    for key in range(3):
        cached.ask(key)
    (ended,) = cached.prefetcher._streams.ended.nonzero()
    assert ended.tolist() == []
    for key in np.random.default_rng(2).integers(1 << 40, 1 << 50, IDLE + 2).tolist():
        cached.ask(key)
    (ended,) = cached.prefetcher._streams.ended.nonzero()
    assert ended.tolist() == [3]


def test_a_limit_is_kept_and_the_rest_comes_the_next_time() -> None:
    prefetcher = Readahead(ReadaheadConfig())
    found = []
    for key in range(0, 300, 3):
        words = np.array([key])
        prefetcher.observe(AccessBatch("test", words, words, np.ones(1, bool)))
        keys, _ = prefetcher.predict(2)
        assert len(keys) <= 2
        found += keys.tolist()
    assert len(set(found)) == len(found) > 100
    assert set(range(30, 300, 3)) <= set(found)


@pytest.mark.parametrize("edge", [np.iinfo(np.int64).max, np.iinfo(np.int64).min])
def test_the_ends_of_int64_do_no_harm(edge: int) -> None:
    cached = Cached()
    sign = 1 if edge < 0 else -1
    for back in range(20, -1, -1):
        cached.ask(edge + sign * back)
    assert edge in cached.proposed
    assert len(cached.missed) == 3


def test_marks_are_in_order_and_an_eighth_apart() -> None:
    marks = [mark_of(length) for length in range(1 << 12)]
    assert marks == sorted(marks)
    assert set(range(8 + 8 * 9)) <= set(marks)
    assert mark_of((1 << 62) + 5) == LENGTHS - 1
    firsts = [marks.index(mark) for mark in sorted(set(marks))]
    for first, following in itertools.pairwise(firsts):
        assert following - first <= first / 8 + 1
