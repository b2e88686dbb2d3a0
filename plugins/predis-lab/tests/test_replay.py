"""Replays agree with textbook caches, however the trace arrives."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from predis_core.errors import ConfigurationError
from predis_lab import miss_ratio_curve, open_trace, replay
from predis_lab.runs import Report
from predis_lab.workloads import Interleaved, Loop, Scan, Workload, Zipf

# No set has more ways, so a cache of that size is one set: fully associative.
ONE_SET = 28

STREAMS: dict[str, Workload] = {
    "zipf": Zipf(requests=20_000, keys=200, exponent=0.9, seed=1),
    "loop": Loop(keys=30, rounds=200, seed=1),
    "scans": Interleaved((Zipf(requests=9_000, keys=40), Scan(requests=9_000)), disjoint=True),
}


# ---- textbook caches: the hits of get-then-insert over `keys` with `capacity` entries ------------


def fifo(keys: Iterable[int], capacity: int) -> int:
    held: set[int] = set()
    queue: deque[int] = deque()
    hits = 0
    for key in keys:
        if key in held:
            hits += 1
            continue
        if len(queue) == capacity:
            held.remove(queue.popleft())
        held.add(key)
        queue.append(key)
    return hits


def lru(keys: Iterable[int], capacity: int) -> int:
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in held:
            hits += 1
            held.move_to_end(key)
            continue
        if len(held) == capacity:
            held.popitem(last=False)
        held[key] = None
    return hits


def sieve(keys: Iterable[int], capacity: int) -> int:
    """Zhang et al., NSDI 2024: the hand goes from the oldest to the newest, then starts again."""
    queue: list[int] = []
    visited: dict[int, bool] = {}
    hand = 0
    hits = 0
    for key in keys:
        if key in visited:
            hits += 1
            visited[key] = True
            continue
        if len(queue) == capacity:
            while visited[queue[hand]]:
                visited[queue[hand]] = False
                hand = (hand + 1) % capacity
            del visited[queue.pop(hand)]
            # Beyond the newest of those that were there is the oldest, not the one that comes now.
            hand = 0 if hand == len(queue) else hand
        queue.append(key)
        visited[key] = False
    return hits


def s3fifo(keys: Iterable[int], capacity: int) -> int:
    """Yang et al., SOSP 2023: a small queue of a tenth, a main queue, and a queue of ghosts."""
    small: deque[int] = deque()
    main: deque[int] = deque()
    ghosts: OrderedDict[int, None] = OrderedDict()
    uses: dict[int, int] = {}
    small_share = max(1, capacity // 10)
    hits = 0

    def evict_small() -> bool:
        while small:
            key = small.popleft()
            if uses[key] > 1:
                main.append(key)
                uses[key] = 0
                continue
            del uses[key]
            ghosts[key] = None
            if len(ghosts) > capacity - small_share:
                ghosts.popitem(last=False)
            return True
        return False

    def evict_main() -> bool:
        while main:
            key = main.popleft()
            if uses[key] == 0:
                del uses[key]
                return True
            uses[key] -= 1
            main.append(key)
        return False

    for key in keys:
        if key in uses:
            hits += 1
            uses[key] = min(3, uses[key] + 1)
            continue
        while len(uses) >= capacity:
            evicted = evict_small() if len(small) >= small_share else evict_main()
            if not evicted:
                (evict_main if main else evict_small)()
        (main if key in ghosts else small).append(key)
        ghosts.pop(key, None)
        uses[key] = 0
    return hits


MODELS: dict[str, Callable[[Iterable[int], int], int]] = {
    "fifo": fifo,
    "lru": lru,
    "s3fifo": s3fifo,
    "sieve": sieve,
}


# ---- replay --------------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1, 2, 7, 27, ONE_SET])
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("policy", ["fifo", "lru", "sieve"])
def test_one_set_is_the_textbook_cache(policy: str, stream: str, capacity: int) -> None:
    keys = STREAMS[stream].ids()
    report = replay(keys, capacity, policy)
    assert report.hits == MODELS[policy](keys.tolist(), capacity)
    assert report.requests == len(keys)
    assert report.misses - report.evictions == min(capacity, len(np.unique(keys)))


@pytest.mark.parametrize("policy", MODELS)
def test_many_sets_are_close_to_the_textbook_cache(policy: str) -> None:
    keys = Zipf(requests=100_000, keys=10_000, exponent=0.9, seed=2).ids()
    expected = 1 - MODELS[policy](keys.tolist(), 1_000) / len(keys)
    assert replay(keys, 1_000, policy).miss_ratio == pytest.approx(expected, abs=0.012)


def test_policies_differ_where_they_should() -> None:
    keys = STREAMS["scans"].ids()
    by_policy = {policy: replay(keys, 40, policy).miss_ratio for policy in MODELS}
    for resistant in ("sieve", "s3fifo"):
        assert by_policy[resistant] < min(by_policy["lru"], by_policy["fifo"]) - 0.02, by_policy


def test_a_large_cache_misses_each_key_once() -> None:
    keys = Zipf(requests=20_000, keys=1_000, seed=1).ids()
    report = replay(keys, 50_000)
    assert (report.misses, report.evictions) == (len(np.unique(keys)), 0)
    assert report.policy == "auto"


@pytest.mark.parametrize("policy", MODELS)
def test_it_does_not_matter_how_the_trace_arrives(tmp_path: Path, policy: str) -> None:
    keys = STREAMS["zipf"].ids()
    np.save(tmp_path / "t.npy", keys)
    whole = replay(keys, 100, policy, seed=4)
    parts = replay(iter(np.array_split(keys, 7)), 100, policy, seed=4)
    trace = replay(open_trace(tmp_path / "t.npy"), 100, policy, seed=4)
    listed = replay(keys.tolist(), 100, policy, seed=4)
    assert len({(r.requests, r.hits, r.evictions) for r in (whole, parts, trace, listed)}) == 1


def test_the_seed_decides_which_keys_share_a_set() -> None:
    keys = STREAMS["zipf"].ids()
    hits = [replay(keys, 100, "lru", seed=seed).hits for seed in (0, 0, 1, 2)]
    assert hits[0] == hits[1]
    assert len(set(hits)) > 1


def test_a_batch_is_looked_up_before_it_is_inserted() -> None:
    assert replay([5, 5, 5, 5], 10).hits == 3
    assert replay([5, 5, 5, 5], 10, batch=2).hits == 2
    assert replay([5, 5, 5, 5], 10, batch=4).hits == 0
    assert replay([5, 5, 5, 5, 5], 10, batch=4).hits == 1


def test_batches_do_not_depend_on_chunks() -> None:
    keys = STREAMS["zipf"].ids()
    whole = replay(keys, 100, batch=7)
    parts = replay(iter(np.array_split(keys, 11)), 100, batch=7)
    assert (whole.hits, whole.evictions) == (parts.hits, parts.evictions)


def test_a_report_of_nothing() -> None:
    report = replay([], 10)
    assert (report.requests, report.hits, report.miss_ratio) == (0, 0, 0.0)


def test_a_report_as_a_dict() -> None:
    report = Report("lru", 10, 0, requests=4, hits=1, evictions=2, seconds=0.5)
    assert (report.misses, report.miss_ratio) == (3, 0.75)
    assert report.as_dict() == {
        "policy": "lru", "capacity": 10, "seed": 0, "requests": 4, "hits": 1, "misses": 3,
        "miss_ratio": 0.75, "evictions": 2, "seconds": 0.5,
    }  # fmt: skip


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'lru'"):
        replay([1], 10, "lruu")
    with pytest.raises(ConfigurationError, match="capacity"):
        replay([1], 0)
    with pytest.raises(ValueError, match="batch is 0"):
        replay([1], 10, batch=0)
    with pytest.raises(TypeError, match="float64"):
        replay(np.zeros(3), 10)
    with pytest.raises(TypeError, match=r"\(2, 2\)"):
        replay(np.zeros((2, 2), dtype=np.int64), 10)


def test_a_curve_is_a_replay_per_policy_and_size(tmp_path: Path) -> None:
    keys = STREAMS["zipf"].ids()
    distinct = len(np.unique(keys))
    np.save(tmp_path / "t.npy", keys)
    seen: list[tuple[int, int]] = []
    points = miss_ratio_curve(
        open_trace(tmp_path / "t.npy"),
        ["lru", "sieve"],
        ["10%", 50],
        seeds=(0, 5),
        threads=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    sizes = [round(0.1 * distinct), 50]
    assert [(p.policy, p.entries) for p in points] == [
        (policy, entries) for entries in sizes for policy in ("lru", "sieve")
    ]
    for point in points:
        assert point.trace == "t"
        for seed, report in zip((0, 5), point.reports, strict=True):
            alone = replay(keys, point.entries, point.policy, seed=seed)
            assert (report.hits, report.evictions) == (alone.hits, alone.evictions)
        assert point.miss_ratio == pytest.approx(np.mean([r.miss_ratio for r in point.reports]))
    assert seen[-1] == (8 * len(keys), 8 * len(keys))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_curve_of_an_array_has_the_name_it_is_given() -> None:
    assert [p.trace for p in miss_ratio_curve(np.arange(5), ["lru"], [2], name="five")] == ["five"]


def test_a_curve_needs_a_trace_that_can_be_read_twice() -> None:
    with pytest.raises(TypeError, match="only once"):
        miss_ratio_curve(iter([np.arange(5)]), ["lru"], [2])


@pytest.mark.parametrize("batch", [1, 64])
def test_a_replay_finds_the_curve_on_its_way(batch: int) -> None:
    keys = Zipf(requests=30_000, keys=3_000, seed=2).ids()
    plain = replay(keys, 300, "lru", batch=batch)
    report = replay(keys, 300, "lru", batch=batch, curve=True)
    assert (report.hits, report.evictions) == (plain.hits, plain.evictions)
    assert plain.curve is None
    assert "curve" not in plain.as_dict()
    curve = report.curve
    assert curve is not None
    assert (curve.requests, curve.sampled, curve.error.any()) == (30_000, 30_000, False)
    assert curve.miss_ratio(300) == pytest.approx(replay(keys, 300, "lru").miss_ratio, abs=0.01)
    assert curve.live is not None
    assert curve.live.sizes.tolist() == [38, 75, 150, 225, 300, 450, 600, 1_200]
    assert report.as_dict()["curve"]["live"]["policy"] == "lru"


def test_the_curve_of_a_replay_is_the_same_however_the_trace_comes() -> None:
    keys = Zipf(requests=30_000, keys=3_000, seed=2).ids()
    whole = replay(keys, 300, curve=True, sampling=0.2, seed=5).curve
    parts = replay(iter(np.array_split(keys, 7)), 300, curve=True, sampling=0.2, seed=5).curve
    other = replay(keys, 300, curve=True, sampling=0.2, seed=6).curve
    assert whole is not None
    assert parts is not None
    assert other is not None
    assert whole.as_dict() == parts.as_dict()
    assert whole.sampled != other.sampled


@pytest.mark.parametrize("wrong", [0, -0.1, 1.5, float("nan")])
def test_a_share_of_the_keys_that_is_none_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=f"sampling is {wrong}: a share of the keys"):
        replay(np.arange(9), 3, curve=True, sampling=wrong)
