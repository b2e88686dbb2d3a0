"""From a sample to the whole; tables in miniature; who reads the ring; the thread that drains."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from predis_core import policies
from predis_core.adapt import machine
from predis_core.adapt.estimate import Groups, Truth, estimate
from predis_core.adapt.sampled import SampledLookups
from predis_core.adapt.shadows import FACTORS, Shadows
from predis_core.host.drains import Drains
from predis_core.table import header, open_table, packages
from predis_core.table.interface import Keys
from predis_core.table.keys import mix, sample_bits

# ---------------------------------------------------------------------- estimates


def groups(requests: Any, would_miss: Any, misses: Any = None) -> Groups:
    requests = np.asarray(requests, float)
    missed = requests / 2 if misses is None else np.asarray(misses, float)
    return Groups(requests, missed, np.asarray(would_miss, float))


def test_a_sample_that_has_its_share_is_left_as_it_is() -> None:
    some = groups([250.0] * 4, [[100.0, 50.0]] * 4)
    ratios, errors = estimate(some.would_miss.sum(axis=0), some, Truth(1_000, 500), 0.1)
    assert ratios.tolist() == pytest.approx([0.4, 0.2])
    assert errors.tolist() == pytest.approx([0.0, 0.0])


def test_what_goes_with_the_requests_is_corrected_by_how_many_there_were() -> None:
    requests = np.array([100.0, 200.0, 300.0, 400.0, 500.0])
    some = groups(requests, 0.6 * requests[:, None])
    ratios, errors = estimate(some.would_miss.sum(axis=0), some, Truth(3_000, 1_500), 0.1)
    assert ratios.tolist() == pytest.approx([0.6])  # and not half of it: the sample was too small
    assert errors.tolist() == pytest.approx([0.0], abs=1e-9)


def test_what_goes_with_the_misses_is_corrected_by_how_many_there_were() -> None:
    random = np.random.default_rng(1)
    requests, misses = random.uniform(50, 150, (2, 32))
    some = groups(requests, (0.5 * misses + 0.1 * requests)[:, None], misses)
    truth = Truth(requests.sum(), 0.8 * misses.sum())
    ratios, _ = estimate(some.would_miss.sum(axis=0), some, truth, 0.1)
    expected = (0.5 * truth.misses + 0.1 * truth.requests) / truth.requests
    assert ratios.tolist() == pytest.approx([expected])


def test_ratios_stay_between_0_and_1_and_never_rise() -> None:
    some = groups([100.0] * 4, [[120.0, 80.0, 90.0, -5.0]] * 4)
    ratios, _ = estimate(some.would_miss.sum(axis=0), some, Truth(400, 200), 1.0)
    assert ratios.tolist() == pytest.approx([1.0, 0.8, 0.8, 0.0])


def test_the_error_is_what_groups_differ_by_and_nothing_where_all_are_sampled() -> None:
    random = np.random.default_rng(1)
    requests, misses, noise = random.normal(1_000, 50, (3, 32))
    some = groups(requests, noise[:, None], misses)
    truth = Truth(requests.sum(), misses.sum())
    for rate, expected in ((1e-6, 50 * 32**0.5), (0.75, 25 * 32**0.5), (1.0, 0.0)):
        _, errors = estimate(some.would_miss.sum(axis=0), some, truth, rate)
        assert errors[0] * truth.requests == pytest.approx(expected, rel=0.4, abs=1e-6)


# ---------------------------------------------------------------------- tables in miniature


def test_shadows_miss_as_tables_of_their_sizes_do() -> None:
    words = np.random.default_rng(2).zipf(1.2, 40_000) % 3_000
    policy = policies.get("s3fifo")
    shadows = Shadows(policy, 400, 1.0, 7)
    hits = open_table(400, policy, 3).replay(words)
    for part in (slice(0, 15_000), slice(15_000, None)):
        missed = int((~hits[part]).sum())
        shadows.feed(words[part], hits[part], Truth(len(words[part]), missed))
    curve = shadows.curve()
    assert curve is not None
    assert curve.sizes.tolist() == [round(400 * factor) for factor in FACTORS]
    for size, ratio in zip(curve.sizes.tolist(), curve.miss_ratios.tolist(), strict=True):
        expected = 1 - open_table(size, policy, 7).replay(words).mean()
        assert ratio == pytest.approx(expected)
    assert not curve.error.any()


def test_shadows_take_fewer_keys_for_a_larger_cache() -> None:
    policy = policies.get("lru")
    assert Shadows(policy, 1_000, 1.0, 7).rate == 1.0
    large = Shadows(policy, 1_000_000, 0.01, 7)
    assert large.rate == pytest.approx(8_192 / 4_000_000, rel=0.01)
    assert large.nbytes < 400_000
    assert large.curve() is None
    assert Shadows(policy, 3, 1.0, 7)._sizes.tolist() == [1, 2, 3, 4, 6, 12]


# ---------------------------------------------------------------------- who reads the ring


def test_each_reader_has_the_keys_of_its_rate_from_where_it_stopped() -> None:
    table = open_table(1_000, "lru", 5)
    seed = int(table.header[header.SEED])
    lookups = SampledLookups(seed)
    lookups.want(table, "one", 0.5, 1 << 14)
    lookups.want(table, "other", 0.1, 1 << 14)
    words = np.arange(4_000)
    table.lookup(Keys(words), 0)
    bits = sample_bits(mix(words.view(np.uint64), seed))
    half = lookups.read(table, 0, 0.5)
    assert half.words.tolist() == words[bits < 1 << 19].tolist()
    tenth = lookups.read(table, 0, 0.1)
    assert tenth.words.tolist() == words[bits < round(0.1 * 2**20)].tolist()
    assert (half.since, half.lost) == (tenth.since, 0)
    assert lookups.noted(table) == half.since == len(half.words)
    assert lookups.read(table, half.since, 0.5).words.size == 0
    lookups.want(table, "one", 0.0, 1 << 14)
    table.lookup(Keys(words), 0)
    assert len(lookups.read(table, half.since, 0.1).words) == len(tenth.words)


def test_what_was_noted_after_a_moment_stays_for_the_next_reading() -> None:
    table = open_table(1_000, "lru", 5)
    lookups = SampledLookups(0)
    lookups.want(table, "one", 1.0, 64)
    table.lookup(Keys(np.arange(10)), 0)
    until = lookups.noted(table)
    table.lookup(Keys(np.arange(10, 15)), 0)
    first = lookups.read(table, 0, 1.0, until)
    assert (first.words.tolist(), first.since) == (list(range(10)), 10)
    rest = lookups.read(table, first.since, 1.0)
    assert (rest.words.tolist(), rest.since) == (list(range(10, 15)), 15)
    table.lookup(Keys(np.arange(100)), 0)
    last = lookups.read(table, rest.since, 1.0, rest.since + 5)
    assert (last.words.tolist(), last.since, last.lost) == ([], 51, 36)
    assert lookups.read(table, last.since, 1.0).words.tolist() == list(range(36, 100))


# ---------------------------------------------------------------------- kernels and the thread


def test_kernels_that_cannot_be_kept_live_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "provide", lambda name, sources: None)
    found = machine.kernels.__wrapped__()
    misses = np.zeros(found.GROUPS)
    found.count_misses(np.arange(5), np.array([0, 1, 0, 0, 1], bool), 1, misses)
    assert misses.sum() == 3
    assert importlib.import_module("predis_core.adapt.kernels").CACHED is False


def test_the_thread_is_there_while_somebody_holds_it() -> None:
    drains = Drains()
    first, second = drains.hold(), drains.hold()
    assert first is second
    drains.release(first)
    assert first.ask(lambda: 1, 10.0) == 1
    drains.release(second, 10.0)
    assert not first._thread.is_alive()
    other = drains.hold()
    assert other is not first
    drains.release(first)  # that of a process that this one was forked from, say
    assert other.ask(lambda: 1, 10.0) == 1
    drains.release(other, 10.0)
    assert not other._thread.is_alive()


def test_after_a_fork_there_is_no_thread_to_let_go() -> None:
    drains = Drains()
    worker = drains.hold()
    drains._forked()
    other = drains.hold()
    drains.release(worker)
    assert other.ask(lambda: 1, 10.0) == 1
    drains.release(other, 10.0)
    worker.stop(10.0)
