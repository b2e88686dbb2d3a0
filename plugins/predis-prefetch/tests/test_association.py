"""What follows what: against a model, and where it matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predis_core.plugin import AccessBatch
from predis_prefetch.association import Association
from predis_prefetch.config import SMALLEST, AssociationConfig
from predis_prefetch.mining import ENTRY_BYTES
from tests.support.associations import Model
from tests.support.depth import search


def batch_of(keys: Any, late: Any = None) -> AccessBatch:
    """Return a batch of look-ups of int64 keys that were all there."""
    words = np.asarray(keys, np.int64)
    hits = np.ones(len(words), bool)
    return AccessBatch("test", words, words, hits, None, None if late is None else np.asarray(late))


def after(prefetcher: Association, *batches: Any) -> list[int]:
    """Return what is expected after the last of some batches."""
    for keys in batches:
        prefetcher.observe(batch_of(keys))
    keys, confidences = prefetcher.predict(100)
    assert confidences.tolist() == sorted(confidences, reverse=True)
    found: list[int] = keys.tolist()
    return found


@search(150)
@given(
    st.lists(st.lists(st.integers(-3, 12), min_size=1, max_size=12), max_size=60),
    st.sampled_from([0.1, 0.3, 0.5]),
    st.sampled_from([1, 2, 3]),
)
def test_it_does_what_the_model_does(batches: list[list[int]], least: float, depth: int) -> None:
    prefetcher, model = Association(AssociationConfig(confidence=least)), Model()
    prefetcher._reach.steps = depth
    for number, keys in enumerate([*batches, *batches]):
        prefetcher.observe(batch_of(keys))
        model.learn(keys)
        if number % 3:
            found, confidences = prefetcher.predict(100)
            expected = model.expect(keys, depth, least)
            assert found.tolist() == [key for key, _ in expected]
            assert confidences.tolist() == [confidence for _, confidence in expected]
        again, _ = prefetcher.predict(100)
        assert number % 3 == 0 or not len(again)


def test_sequences_that_always_repeat_are_expected_from_the_second_time_on() -> None:
    prefetcher = Association(AssociationConfig())
    sequences = np.random.default_rng(1).permutation(4_000).reshape(400, 10)
    asked = came = 0
    for _ in range(2):
        for number, sequence in enumerate(sequences):
            expected: set[int] = set()
            for key in sequence.tolist():
                expected.update(after(prefetcher, [key]))
            if _ and number > 20:  # by then it is known that they do
                asked += 9
                came += len(expected & set(sequence[1:].tolist()))
    assert came > 0.95 * asked


def test_what_never_repeats_is_not_expected() -> None:
    prefetcher = Association(AssociationConfig())
    keys = np.random.default_rng(2).integers(0, 500, 20_000)
    proposed = 0
    for start in range(0, len(keys), 10):
        for key in keys[start : start + 10].tolist():
            proposed += len(after(prefetcher, [key]))
    assert proposed < 1_000


def test_batches_are_expected_after_batches() -> None:
    prefetcher = Association(AssociationConfig())
    rounds = np.random.default_rng(3).permutation(3_000).reshape(3, 1_000)
    for _ in range(4):
        for keys in rounds:
            found = after(prefetcher, keys)
    assert set(rounds[0].tolist()) <= set(found)
    assert not set(rounds[2].tolist()) & set(found)  # they were asked for together


def test_a_batch_of_any_size_is_learnt_from() -> None:
    prefetcher = Association(AssociationConfig())
    keys = np.arange(50_000)
    for _ in range(3):
        found = after(prefetcher, keys[:20_000], keys[20_000:], np.arange(60_000, 60_003))
    assert set(found) & set(keys.tolist())
    every_other = np.arange(0, 40, dtype=np.int64)[::2]
    prefetcher.observe(AccessBatch("test", every_other, every_other, np.ones(20, bool)))


def test_memory_is_bounded_and_grows_as_it_is_needed() -> None:
    limit = 1 << 20
    prefetcher = Association(AssociationConfig(memory=limit))  # type: ignore[arg-type]
    small = prefetcher.nbytes
    assert small < 400_000
    keys = np.random.default_rng(4).permutation(200_000)
    for start in range(0, len(keys), 500):
        after(prefetcher, keys[start : start + 500])
    assert limit / 2 < ENTRY_BYTES * len(prefetcher._memory.known) <= limit
    assert prefetcher.nbytes < limit + 400_000


def test_what_was_known_is_known_after_growing() -> None:
    prefetcher = Association(AssociationConfig())
    sequence = [[key] for key in range(1 << 40, (1 << 40) + 10)]
    for _ in range(5):
        after(prefetcher, *sequence, *([-1 - n] for n in range(20)))
    room = len(prefetcher._memory.known)
    keys = np.random.default_rng(5).permutation(10_000)
    after(prefetcher, *keys.reshape(-1, 100))
    assert len(prefetcher._memory.known) > room
    assert set(after(prefetcher, sequence[0])) == set(range((1 << 40) + 1, (1 << 40) + 5))


def test_what_was_often_asked_for_outlives_what_was_seen_once() -> None:
    prefetcher = Association(AssociationConfig(memory=SMALLEST))
    sequence = [[key] for key in range(1_000_000, 1_000_009)]
    once = iter(range(100_000))
    for _ in range(100):
        after(prefetcher, *sequence, *([next(once)] for _ in range(20)))
    assert 1_000_001 in after(prefetcher, sequence[0])
    after(prefetcher, *([next(once)] for _ in range(50_000)))
    assert after(prefetcher, sequence[0]) == []  # and yet it is forgotten some day


def test_it_looks_further_ahead_while_guesses_come_late() -> None:
    prefetcher = Association(AssociationConfig())
    sequence = list(range(100))
    for _ in range(10):
        after(prefetcher, *([key] for key in sequence))
    near = set(after(prefetcher, [0]))
    for start in range(0, 99, 33):
        prefetcher.observe(batch_of(sequence[start : start + 33], [True] * 33))
    for _ in range(10):
        after(prefetcher, *([key] for key in sequence))
    far = set(after(prefetcher, [0]))
    assert near < far
    assert max(far) > 2 * max(near)
    for start in range(1_000, 30_000, 33):
        keys = np.arange(start, start + 33)
        used = np.ones(33, bool)
        prefetcher.observe(AccessBatch("test", keys, keys, used, used))
    assert prefetcher._reach.steps == 1


@pytest.mark.parametrize("kind", [str, lambda key: str(key).encode()])
def test_objects_are_proposed_as_they_were_stored(kind: Any) -> None:
    prefetcher = Association(AssociationConfig(), holds_objects=True)
    names = [kind(key) for key in range(10)]
    words = np.random.default_rng(6).integers(-(1 << 62), 1 << 62, 6_000)
    noise = 10
    for _ in range(20):
        for number, name in enumerate(names):
            prefetcher.observe(_of_objects([name], words[number : number + 1]))
        for _ in range(290):
            prefetcher.observe(_of_objects([kind(noise)], words[noise : noise + 1]))
            noise += 1
    prefetcher.predict(100)
    prefetcher.observe(_of_objects(names[:1], words[:1]))
    keys, confidences = prefetcher.predict(100)
    assert set(keys) == set(names[1:5])
    assert len(confidences) == len(keys)


def _of_objects(keys: list[Any], words: Any) -> AccessBatch:
    held = np.empty(len(keys), object)
    held[:] = keys
    return AccessBatch("test", held, words, np.zeros(len(keys), bool))
