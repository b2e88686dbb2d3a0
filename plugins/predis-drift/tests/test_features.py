"""Histograms of blocks beside plain Python."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predis_drift.config import FEATURES
from predis_drift.features import BINS, FAR, LAG, MEMORY, SPAN, Histograms
from predis_drift.gathering import Events, part

BLOCK = 250


def events(words: object, **columns: object) -> Events:
    found = np.asarray(words, np.int64)
    count = len(found)
    return Events(found, np.arange(float(count)), np.ones(count, bool), **columns)  # type: ignore[arg-type]


def row(counts: np.ndarray, feature: str) -> list[int]:  # type: ignore[type-arg]
    found: list[int] = counts[FEATURES.index(feature)].tolist()  # type: ignore[arg-type]
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 3_000))
def test_popularity_reuse_and_new_keys_are_those_of_plain_python(seed: int, keys: int) -> None:
    blocks = MEMORY + 6
    words = (np.random.default_rng(seed).random(blocks * BLOCK) ** 3 * keys).astype(np.int64)
    histograms = Histograms(BLOCK)
    for at in range(blocks):
        (counts,) = histograms.take(events(words[at * BLOCK : (at + 1) * BLOCK]))
    start = (blocks - 1) * BLOCK
    latest = {int(word): at for at, word in enumerate(words[:start])}
    table = Counter(words[start - (LAG + SPAN) * BLOCK : start - LAG * BLOCK].tolist())
    reuse, new, popularity = np.zeros(BINS, int), np.zeros(2, int), np.zeros(BINS)
    for at in range(start, len(words)):
        word = int(words[at])
        distance = at - latest.get(word, -(10**9))
        latest[word] = at
        reuse[int(2 * np.log2(min(distance, FAR * BLOCK)))] += 1
        new[int(distance > MEMORY * BLOCK)] += 1
        fine = int(16 * np.log2(table[word] + 1))
        popularity[fine // 16] += 16 - fine % 16
        popularity[fine // 16 + 1] += fine % 16
    # Few of 3,000 keys share a place of the table.
    assert np.abs(np.array(row(counts, "reuse_distance")) - reuse).sum() <= BLOCK * 0.1
    assert np.abs(np.array(row(counts, "new_keys"))[:2] - new).sum() <= BLOCK * 0.1
    assert np.abs(np.array(row(counts, "popularity")) - popularity).sum() <= BLOCK * 16 * 0.1


def test_bins_of_what_events_have() -> None:
    count = BLOCK
    batches = np.repeat(np.arange(count // 5), 5)
    sizes = np.where(np.arange(count) % 2 == 0, 1_024.0, np.nan)
    (counts,) = Histograms(count).take(
        events(np.zeros(count), batches=batches, sizes=sizes, spaces=np.arange(count) % 2)
    )
    assert row(counts, "batch_size")[2] == count // 5
    assert row(counts, "value_size")[10] == sum(row(counts, "value_size")) == count // 2
    assert row(counts, "namespace_share")[:3] == [count // 2, count // 2, 0]
    assert row(counts, "hit_ratio")[:2] == [0, count]
    assert row(counts, "inter_arrival")[20] == sum(row(counts, "inter_arrival")) == count - 1


@pytest.mark.parametrize("blocks", [2, 5])
def test_blocks_that_come_at_once_are_as_those_that_come_one_by_one(blocks: int) -> None:
    random = np.random.default_rng(blocks)
    count = blocks * BLOCK
    sizes = np.where(random.random(count) < 0.1, np.nan, random.lognormal(5, 2, count))
    sizes[7] = np.inf
    whole = Events(
        random.integers(0, 300, count),
        np.cumsum(random.exponential(0.01, count)),
        random.random(count) < 0.5,
        sizes,
        np.cumsum(random.random(count) < 0.1),
        random.integers(0, 3, count),
    )
    one_by_one, at_once = Histograms(BLOCK), Histograms(BLOCK)
    expected = [
        counts
        for at in range(0, count, BLOCK)
        for counts in one_by_one.take(part(whole, at, at + BLOCK))
    ]
    assert np.array_equal(list(at_once.take(whole)), expected)
    assert sum(row(expected[0], "value_size")) == np.isfinite(sizes[:BLOCK]).sum()
    assert at_once.state() == one_by_one.state()


def test_what_is_not_known_is_not_counted() -> None:
    (counts,) = Histograms(BLOCK).take(events(np.zeros(BLOCK)))
    for feature in ("batch_size", "value_size", "namespace_share"):
        assert not any(row(counts, feature))


def test_a_single_key_has_the_highest_popularity_there_is() -> None:
    histograms = Histograms(BLOCK)
    for _ in range(40):
        (counts,) = histograms.take(events(np.full(BLOCK, 7)))
    assert sum(row(counts, "popularity")) == 16 * BLOCK
    assert row(counts, "new_keys")[0] == BLOCK
    assert row(counts, "reuse_distance")[0] == BLOCK


@pytest.mark.parametrize("before", [1, LAG, LAG + SPAN, MEMORY, MEMORY + 7])
def test_what_was_kept_goes_on_as_if_nothing_had_been(before: int) -> None:
    words = np.random.default_rng(before).integers(0, 500, (before + 30, BLOCK))
    first, second = Histograms(BLOCK), Histograms(BLOCK)
    for block in words[:before]:
        list(first.take(events(block)))
    second.restore(*first.state())
    for block in words[before:]:
        (expected,), (got,) = first.take(events(block)), second.take(events(block))
        timeless = [at for at, name in enumerate(FEATURES) if name != "inter_arrival"]
        assert (expected[timeless] == got[timeless]).all()


@pytest.mark.parametrize(
    ("blocks", "places"),
    [(3, b"1234"), (-1, bytes(4 * MEMORY * BLOCK)), (3, b"\xff" * 4 * MEMORY * BLOCK)],
)
def test_what_was_not_kept_here_is_refused(blocks: int, places: bytes) -> None:
    with pytest.raises(ValueError, match="expected marks"):
        Histograms(BLOCK).restore(blocks, places)
