"""A cache on a GPU and one on the CPU that are told the same hold the same, bit for bit.

The GPU is the host's build of its kernels, under a scheduler that another seed makes another one.
"""

from __future__ import annotations

import itertools
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import predis_core as predis
from predis_core import devices, policies
from predis_core.errors import CacheBusy, ConfigurationError
from predis_core.pins import Pinned
from predis_core.table import moving
from predis_core.table.cuda.host import HostDevice
from tests.parity.test_cuda import Mutant
from tests.support.combinations import plain
from tests.support.counterparts import counterpart
from tests.support.depth import DEPTH, search
from tests.support.dumps import assert_same, assert_same_dump

CHOICE = policies.auto(*map(policies.get, ("s3fifo", "lru", "fifo")))
# Kernels of the CPU that other tests compile as well; of the rest of the policies, tables alone are
# compared, in test_cuda.py.
CASES = [
    *((name, "int64") for name in ("fifo", "lru", "s3fifo", "sieve")),
    *((CHOICE, "int64"), ("lru", "str"), (CHOICE, "any")),
]
CAPACITY = st.sampled_from((1, 3, 4, 27, 28, 29, 57, 100, 150))
KEYS = st.lists(st.integers(0, 220), max_size=60) | st.builds(
    lambda start, count: list(range(start, start + count)),
    st.integers(0, 200),
    st.integers(0, 120),
)
TTL = st.sampled_from((None, 2, 5))


def note(told: list[tuple[str, Any, int]], left: predis.Removals) -> None:
    told += zip(left.reasons, plain(left.keys), left.values.tolist(), strict=True)


def mixed(number: int) -> Any:
    """Return a key of kind "any": some are equal, and some have the hashes of others."""
    kinds = (
        lambda n: n,
        lambda n: -n,
        lambda n: float(n + 20),
        lambda n: (None, "t", (n % 9, "t"))[n % 3],
        lambda n: f"s{n}",
        lambda n: n + (2**61 - 1) * (n % 3),
    )
    return kinds[number % 6](number // 6)


def resized(cache: predis.Cache[int, int], capacity: int) -> list[int]:
    try:
        report = cache.resize(capacity)
    except CacheBusy:
        return [-1]
    except ConfigurationError:
        return [-2]
    return [report.moved, report.evicted]


class Pair(RuleBasedStateMachine):
    """Two caches, the same but for their device."""

    policy: Any = "lru"
    kind: Any = "int64"

    @initialize(capacity=CAPACITY, seed=st.integers(0, 9))
    def build(self, capacity: int, seed: int) -> None:
        self.clock = predis.ManualClock(1_000)
        self.folder = tempfile.TemporaryDirectory(prefix="predis-test-")
        self.paths = [Path(self.folder.name) / name for name in ("one", "other")]
        self.values = 0
        self.pinned: list[list[Pinned]] = []
        self.open(capacity, seed)

    def teardown(self) -> None:
        self.let_go()
        self.folder.cleanup()

    def let_go(self) -> None:
        """Take all pins back."""
        while self.pinned:
            self.unpin(0)

    def open(self, capacity: int, seed: int) -> None:
        self.let_go()
        self.told: list[list[tuple[str, Any, int]]] = [[], []]
        self.caches = [
            predis.Cache(
                capacity,
                policy=self.policy,
                keys=self.kind,
                value=predis.Rows("int64"),
                seed=seed,
                clock=self.clock,
                device=device,
                name="rows",
            )
            for device in ("cpu", "cuda:0")
        ]
        self.roots = self.caches
        for cache, told in zip(self.caches, self.told, strict=True):
            cache.add_removal_listener(partial(note, told))
            cache._followable().sample_keys(0.5, 4)
        self.sampled = 0

    def keys(self, numbers: list[int]) -> list[Any]:
        """Keys of the caches' kind; the very same for both."""
        if self.kind == "int64":
            return numbers
        if self.kind == "str":
            return [f"key {number}" for number in numbers]
        return [mixed(number) for number in numbers]

    def both(self, verb: Any) -> Any:
        """Do something with both, and have it return the same."""
        one, other = (verb(cache) for cache in self.caches)
        several = (one, other) if isinstance(one, tuple) else ((one,), (other,))
        for at, (left, right) in enumerate(zip(*several, strict=True)):
            assert_same(left, right, f"result {at}")
        return one

    # ------------------------------------------------------------------ verbs

    @rule(keys=KEYS, ttl=TTL)
    def set(self, keys: list[int], ttl: float | None) -> None:
        self.values += 1
        rows = np.arange(len(keys), dtype=np.int64) + 1000 * self.values
        given = self.keys(keys)
        self.both(lambda cache: cache.set_many(given, rows, ttl=ttl))

    @rule(keys=KEYS)
    def get(self, keys: list[int]) -> None:
        given = self.keys(keys)
        self.both(lambda cache: cache.get_many(given))

    @rule(keys=KEYS)
    def touch(self, keys: list[int]) -> None:
        given = self.keys(keys)
        self.both(lambda cache: cache.touch_many(given))

    @rule(keys=KEYS)
    def delete(self, keys: list[int]) -> None:
        given = self.keys(keys)
        self.both(lambda cache: cache.delete_many(given))

    @rule(keys=KEYS)
    def guess(self, keys: list[int]) -> None:
        rows = np.arange(len(keys), dtype=np.int64)
        self.both(
            lambda cache: (
                cache._intake.put(
                    cache._encode(self.keys(keys)), rows, cache._clock.monotonic(), None, guess=True
                ).status
            )
        )

    @rule(keys=KEYS)
    def pin(self, keys: list[int]) -> None:
        """Twenty at most, so that most sets have room."""
        given = self.keys(keys[:20])
        contexts = [cache.pinned(given) for cache in self.caches]
        for context in contexts:
            context.__enter__()
        self.pinned.append(contexts)

    @rule(at=st.integers(0, 9))
    def unpin(self, at: int) -> None:
        if self.pinned:
            for context in self.pinned.pop(at % len(self.pinned)):
                context.__exit__(None, None, None)

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    # ------------------------------------------------------------------ the whole

    @rule()
    def iterate(self) -> None:
        one, other = (list(cache.items()) for cache in self.caches)
        assert one == other

    @rule(capacity=CAPACITY, seed=st.integers(0, 9), fresh=st.booleans())
    def restore(self, capacity: int, seed: int, fresh: bool) -> None:
        """What is written is the same file, and fits where the other one's would."""
        for cache, path in zip(self.caches, self.paths, strict=True):
            cache.snapshot(path)
        assert self.paths[0].read_bytes() == self.paths[1].read_bytes()
        if fresh:
            self.open(capacity, seed)
        else:
            self.delete(list(range(0, 220, 3)))
        # Each from what the other wrote.
        self.both(lambda cache: np.array(self.restored(cache)))

    @rule(capacity=CAPACITY)
    def resize(self, capacity: int) -> None:
        """Unless something is pinned, which both tell."""
        self.both(lambda cache: np.array(resized(cache, capacity)))

    @rule(number=st.integers(0, 3))
    def switch(self, number: int) -> None:
        """To another candidate, or to the only one."""
        for cache in self.caches:
            candidates = cache._table.candidates
            cache._change_policy(candidates[number % len(candidates)])
            assert cache.policy == candidates[number % len(candidates)].name

    @rule(name=st.sampled_from("ab"), capacity=st.integers(1, 60))
    def enter_namespace(self, name: str, capacity: int) -> None:
        """Or say what room is left; go on in there."""
        self.leave_namespace()
        try:
            spaces = [cache.namespace(name, capacity=capacity) for cache in self.caches]
        except (CacheBusy, ConfigurationError):
            for cache in self.caches:
                with pytest.raises((CacheBusy, ConfigurationError)):
                    cache.namespace(name, capacity=capacity)
        else:
            self.roots, self.caches = self.caches, spaces

    @rule()
    def leave_namespace(self) -> None:
        self.caches = self.roots

    def restored(self, cache: predis.Cache[int, int]) -> list[int]:
        report = cache.restore(self.paths[cache is self.caches[0]])
        assert report.entries == (
            report.restored + report.present + report.expired + report.did_not_fit
        )
        return [report.restored, report.present, report.expired, report.did_not_fit]

    # ------------------------------------------------------------------ at any time

    @invariant()
    def they_hold_the_same(self) -> None:
        one, other = (cache._table.dump() for cache in self.caches)
        assert_same_dump(one._replace(refs=None), other._replace(refs=None))
        if one.refs is not None and other.refs is not None:  # restored ones are equal only
            assert one.refs.tolist() == other.refs.tolist()
        assert self.caches[0].stats() == self.caches[1].stats()
        assert self.told[0] == self.told[1]
        read = [cache._followable().drain_sampled(self.sampled) for cache in self.roots]
        for (one, since, lost), other in itertools.pairwise(read):
            assert (since, lost) == other[1:]
            for field, left, right in zip(one._fields, one, other[0], strict=True):
                assert_same(left, right, field)
            self.sampled = since


def machine(policy: Any, kind: str = "int64") -> type[Pair]:
    return type("Machine", (Pair,), {"policy": policy, "kind": kind})


def schedule(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every GPU be the host, under that seed of the scheduler."""
    device = HostDevice(seed, counterpart("g++"))
    monkeypatch.setattr(devices, "open_gpu", lambda number: device)


@pytest.mark.parametrize(("policy", "kind"), CASES, ids=lambda each: getattr(each, "name", each))
def test_a_cache_on_a_gpu_does_what_one_on_the_cpu_does(
    policy: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(0, monkeypatch)
    run_state_machine_as_test(machine(policy, kind), settings=search(examples=12, steps=20))


def long_run(pair: Pair, seed: int, steps: int) -> None:
    """Some rules with some arguments, which a seed says, and all comparisons."""
    random = np.random.default_rng(seed)
    pair.build(capacity=int(random.choice((3, 29, 57, 100))), seed=seed)
    for _ in range(steps):
        keys = random.integers(0, 220, random.integers(0, 90)).tolist()
        size, at = int(random.choice((4, 28, 57, 130))), int(random.integers(0, 9))
        verbs: list[Any] = [
            partial(pair.set, keys, random.choice((None, 2, 5))),
            partial(pair.set, keys, None),
            partial(pair.get, keys),
            partial(pair.touch, keys),
            partial(pair.delete, keys),
            partial(pair.guess, keys),
            partial(pair.pin, keys),
            partial(pair.unpin, at),
            partial(pair.wait, 3),
            pair.iterate,
            partial(pair.resize, size),
            partial(pair.switch, at),
            partial(pair.enter_namespace, "ab"[at % 2], 1 + at * 7),
            pair.leave_namespace,
            partial(pair.restore, size, at, bool(at % 2)),
        ]
        verbs[random.integers(0, len(verbs))]()
        pair.they_hold_the_same()
    pair.teardown()


def test_no_schedule_of_a_hundred_makes_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "_BYTES", 1 << 12)  # more windows than one
    for seed in range(100 * DEPTH):
        schedule(seed, monkeypatch)
        pair = (machine(CHOICE), machine("lru", "str"), machine(CHOICE, "any"))[seed % 3]
        long_run(pair(), seed % 25, steps=8)


FAULTS = {
    "a pinned way is room": ("!set.live && !set.pinned));", "!set.live));"),
    "guesses arrive as if they were asked for": (
        "batch.guesses[i] = (*hot_at(table, found.home.number, found.way) & GUESS) != 0;",
        "batch.guesses[i] = 0;",
    ),
    "ties go the other way": (
        "rank > mine : lane > lane_number()",
        "rank > mine : lane < lane_number()",
    ),
    "ghosts stay": ("        set.ghost = 0;\n        store_set", "        store_set"),
    "what is over moves": (
        "const bool moves = found.slot >= 0 && !is_over(found.deadline, batch.now);",
        "const bool moves = found.slot >= 0;",
    ),
    "of too many lookups some stay that should not": (
        "if (noted && number + table.samples_mask + 1 >= all) {",
        "if (noted) {",
    ),
    "a count is not atomic": (
        "atomicAdd((u32*)(record_at(table, home.number) + CONFLICTS), 1u);",
        "u32* at = (u32*)(record_at(table, home.number) + CONFLICTS); const u32 old = *at; "
        "shim::pause_sometimes(); *at = old + 1;",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        run_faulty(*FAULTS[fault], monkeypatch)


def run_faulty(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(200):
        monkeypatch.setattr(devices, "open_gpu", lambda number, seed=seed: Mutant(old, new, seed))
        policy = CHOICE if "set.ghost" in old else "lru"
        long_run(machine(policy)(), seed, steps=12)
