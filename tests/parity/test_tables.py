"""The CPU table does what the reference says: every verb, every policy, bit for bit."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from predis_core import policies
from predis_core.packed import Packed
from predis_core.policies import Policy
from predis_core.policies.choice import auto
from predis_core.table import equality, invariants
from predis_core.table.arena import Arena
from predis_core.table.cpu import CpuTable
from predis_core.table.interface import Keys
from predis_core.table.keys import codec, objects, spread_seed
from predis_core.table.layout import Layout
from predis_core.table.reference import ReferenceTable
from tests.support.depth import DEPTH, search
from tests.support.dumps import assert_same, assert_same_dump, assert_same_removed
from tests.support.policies import NARROW, NRU, STEEP, VALUED, WIDE
from tests.support.pools import pool

SCALARS, VECTORS, OBJECTS = ("int64", ()), ("float32", (3,)), ("object", ())
WEIGHED, BLOBS = ("object", (1,)), ("blobs", ())
LIMIT, ARENA = 500, Arena(10_000)
LENGTHS = (0, 1, 30, 60, 200, 24, 700, 100, 47, 5000)


@dataclass(frozen=True)
class Case:
    """A policy, a kind of keys, what a slot holds, and policies that may come later."""

    policy: Policy
    keys: str
    values: tuple[str, tuple[int, ...]] | None
    reserved: tuple[Policy, ...] = ()

    @property
    def weighs(self) -> bool:
        return self.values in (WEIGHED, BLOBS)

    def column(self, slots: int) -> Any:
        if self.values is None or self.values == BLOBS:
            return None
        dtype, shape = self.values
        return np.empty(slots, object) if dtype == "object" else np.zeros((slots, *shape), dtype)

    @property
    def dtype(self) -> Any:
        if self.values is None or self.values == BLOBS:
            return None
        # References have no shape: that of weighed ones is but their mark.
        return np.dtype(object if self.values[0] == "object" else self.values)

    @property
    def bounds(self) -> dict[str, Any]:
        """What tables of this case are bounded by, besides their capacity."""
        if self.values == BLOBS:
            return {"arena": ARENA}
        return {"limit": LIMIT} if self.values == WEIGHED else {}

    def __str__(self) -> str:
        kept = "nothing" if self.values is None else f"{self.values[0]}{list(self.values[1])}"
        names = "+".join(policy.name for policy in (self.policy, *self.reserved))
        return f"{names}-{self.keys}-{kept}"


# These meet every kind of keys and values, the others one: each case compiles for seconds.
COMMON = [policies.get(name) for name in ("fifo", "lru", "s3fifo", "sieve")]
OTHERS = [policies.get(name) for name in policies.names() if policies.get(name) not in COMMON]
CASES = [
    *(Case(policy, "int64", SCALARS) for policy in (*COMMON, WIDE)),
    *(Case(policy, "any", OBJECTS) for policy in COMMON),
    *(Case(policy, "int64", None) for policy in (*COMMON, *OTHERS, NARROW, NRU, STEEP)),
    Case(policies.get("s3fifo"), "int64", OBJECTS),
    Case(policies.get("s3fifo"), "any", VECTORS),
    Case(policies.get("lru"), "int64", VECTORS),
    Case(policies.get("sieve"), "str", SCALARS),
    *(Case(policies.get(name), "int64", BLOBS) for name in ("lru", "s3fifo", "wtinylfu")),
    Case(policies.get("sieve"), "any", BLOBS),
    *(Case(policies.get(name), "any", WEIGHED) for name in ("lru", "s3fifo")),
    Case(policies.get("sieve"), "int64", WEIGHED),
    Case(policies.get("s3fifo"), "int64", SCALARS, (WIDE, policies.get("lru"))),
    Case(policies.get("lru"), "any", WEIGHED, (policies.get("s3fifo"),)),
    Case(policies.get("fifo"), "int64", BLOBS, (policies.get("wtinylfu"),)),
    Case(policies.get("gdsf"), "int64", BLOBS),
    Case(VALUED, "int64", BLOBS, (policies.get("fifo"),)),
    Case(VALUED, "any", WEIGHED),
    Case(VALUED, "int64", SCALARS),
]

CAPACITY = st.sampled_from((1, 2, 3, 4, 7, 8, 10, 27, 28, 29, 33, 56, 57, 95)) | st.integers(1, 300)
SEED = st.integers(0, 2**32)
REGION = st.integers(0, 2)


@dataclass(frozen=True)
class Batch:
    """Keys by their number in a region's pool: either these, or `count` of them, `step` apart."""

    numbers: tuple[int, ...] = ()
    start: int = 0
    step: int = 0
    count: int = 0

    def within(self, size: int) -> list[int]:
        run = (self.start + self.step * at for at in range(self.count))
        return [number % size for number in (*self.numbers, *run)]


BATCH = st.builds(Batch, st.lists(st.integers(0, 500), max_size=8).map(tuple)) | st.builds(
    Batch, start=st.integers(0, 500), step=st.integers(0, 7), count=st.integers(0, 200)
)
# Repeated over a batch; a deadline is so far ahead, 0 stands for none.
AHEAD = st.none() | st.lists(st.integers(0, 5), min_size=1, max_size=4)
VETO = st.none() | st.lists(st.integers(0, 1), min_size=1, max_size=4)


class Tables(RuleBasedStateMachine):
    """A reference table and another one that are told the same."""

    case: Case

    @initialize(capacities=st.lists(CAPACITY, min_size=1, max_size=3), seed=SEED)
    def build(self, capacities: list[int], seed: int) -> None:
        case = self.case
        capacities = capacities[:1] if case.weighs else capacities
        layout = Layout.build(*capacities)
        spread = spread_seed(seed)
        self.seed, self.layout = spread, layout
        self.codec = codec(case.keys, spread)
        self.pools = [pool(case.keys, int(1.6 * capacity) + 8) for capacity in capacities]
        self.reference = ReferenceTable(layout, case.policy, spread, case.dtype, **case.bounds)
        self.table = self.under_test(layout, spread)
        self.pinned: list[tuple[int, Keys, Any]] = []
        self.now = 1000
        self.numbers = itertools.count(1)

    def under_test(self, layout: Layout, seed: int) -> Any:
        """The table that is compared with the reference."""
        case = self.case
        return CpuTable(
            layout,
            auto(case.policy, *case.reserved) if case.reserved else case.policy,
            seed,
            case.column(layout.slots),
            key_refs=self.codec.has_refs,
            **case.bounds,
        )

    # ------------------------------------------------------------------ what the rules share

    def keys(self, batch: Batch, region: int) -> tuple[int, Keys]:
        """The region's number in this layout, and the batch's keys."""
        region %= len(self.layout.regions)
        keys = [self.pools[region][number] for number in batch.within(len(self.pools[region]))]
        given = np.array(keys, np.int64) if self.case.keys == "int64" else keys
        return region, self.codec.encode(given)

    def values(self, n: int) -> Any:
        """Values that no slot has held yet."""
        if self.case.values is None:
            return None
        if self.case.values == BLOBS:
            return Packed.of(
                str(number).encode() * (LENGTHS[number % len(LENGTHS)] // len(str(number)))
                for number in itertools.islice(self.numbers, n)
            )
        dtype, shape = self.case.values
        if dtype == "object":
            return objects([f"value {next(self.numbers)}" for _ in range(n)])
        fresh = [np.full(shape, next(self.numbers), dtype) for _ in range(n)]
        return np.array(fresh, dtype).reshape(n, *shape)

    def room(self, n: int) -> Any:
        """A place for n values; that of rows holds something."""
        place = Packed() if self.case.values == BLOBS else self.case.column(n)
        if isinstance(place, Packed):
            return place
        if place is not None and place.dtype != object:
            place += 77
        return place

    def both(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Call both tables, compare what they return, return it."""
        found = [getattr(table, verb)(*args, **kwargs) for table in (self.reference, self.table)]
        assert_same(*found, verb)
        return found[1]

    # ------------------------------------------------------------------ the verbs

    @rule(batch=BATCH, region=REGION, out=st.booleans(), count=st.booleans())
    def lookup(self, batch: Batch, region: int, out: bool, count: bool) -> None:
        region, keys = self.keys(batch, region)
        outs = [self.room(len(keys.words)) if out else None for _ in range(2)]
        found = [
            table.lookup(keys, self.now, out=place, count=count, region=region)
            for table, place in zip((self.reference, self.table), outs, strict=True)
        ]
        assert_same(*found, "slots")
        assert_same(*outs, "out")

    @rule(
        batch=BATCH,
        region=REGION,
        ahead=AHEAD,
        veto=VETO,
        absent_only=st.booleans(),
        guess=st.booleans(),
        wanted=st.booleans(),
        cost=st.none() | st.integers(0, 9),
    )
    def insert(
        self,
        batch: Batch,
        region: int,
        ahead: list[int] | None,
        veto: list[int] | None,
        absent_only: bool,
        guess: bool,
        wanted: bool,
        cost: int | None,
    ) -> None:
        region, keys = self.keys(batch, region)
        n = len(keys.words)
        deadlines = None
        if ahead is not None:
            lives = np.resize(np.array(ahead, np.int64), n)
            deadlines = np.where(lives > 0, self.now + lives, 0)
        vetoed = None if veto is None else np.resize(np.array(veto, np.uint8), n)
        values = self.values(n)
        sizes = np.resize(np.array(LENGTHS, np.int64) // 3, n)
        one, other = (
            table.insert(
                keys,
                copy.copy(values),
                self.now,
                deadlines=deadlines,
                costs=None if cost is None else cost + np.arange(n, dtype=np.int64) % 5,
                sizes=sizes if self.case.values == WEIGHED else None,
                absent_only=absent_only,
                guess=guess,
                veto=vetoed,
                want_removed=wanted,
                region=region,
            )
            for table in (self.reference, self.table)
        )
        for field in ("status", "slots"):
            assert_same(getattr(one, field), getattr(other, field), field)
        assert_same_removed(one.removed, other.removed)

    @rule(batch=BATCH, region=REGION, wanted=st.booleans())
    def delete(self, batch: Batch, region: int, wanted: bool) -> None:
        region, keys = self.keys(batch, region)
        one, other = (
            table.delete(keys, self.now, want_removed=wanted, region=region)
            for table in (self.reference, self.table)
        )
        assert_same(one.deleted, other.deleted, "deleted")
        assert_same_removed(one.removed, other.removed)

    @rule(batch=BATCH, region=REGION)
    def pin(self, batch: Batch, region: int) -> None:
        region, keys = self.keys(batch, region)
        few = Keys(keys.words[:40], None if keys.refs is None else keys.refs[:40])
        self.pinned.append((region, few, self.both("pin", few, self.now, region=region)))

    @rule(at=st.integers(0, 9))
    def unpin(self, at: int) -> None:
        if self.pinned:
            region, keys, slots = self.pinned.pop(at % len(self.pinned))
            self.both("unpin", keys, slots, region=region)

    @rule(batch=BATCH, region=REGION, verb=st.sampled_from(("contains", "touch", "deadlines")))
    def ask(self, batch: Batch, region: int, verb: str) -> None:
        region, keys = self.keys(batch, region)
        self.both(verb, keys, self.now, region=region)

    @rule(region=REGION)
    def export(self, region: int) -> None:
        region %= len(self.layout.regions)
        one, other = (t.export(self.now, region=region) for t in (self.reference, self.table))
        assert_same(one.keys.words, other.keys.words, "words")
        if self.codec.has_refs:
            assert_same(one.keys.refs, other.keys.refs, "refs")
        for field in ("slots", "metas", "guesses", "deadlines", "values"):
            assert_same(getattr(one, field), getattr(other, field), field)

    @rule(region=REGION, wanted=st.booleans())
    def clear(self, region: int, wanted: bool) -> None:
        region %= len(self.layout.regions)
        one, other = (
            table.clear(self.now, want_removed=wanted, region=region)
            for table in (self.reference, self.table)
        )
        assert_same_removed(one, other)

    @precondition(lambda self: self.case.policy.parameters)
    @rule(parameter=st.integers(1, 99))
    def set_parameters(self, parameter: int) -> None:
        changed = tuple(parameter + at for at in range(len(self.reference.policy.parameters)))
        self.reference.set_parameters(changed)
        self.table.set_parameters(changed)

    @precondition(lambda self: self.case.reserved)
    @rule(number=st.integers(0, 2))
    def switch(self, number: int) -> None:
        among = (self.case.policy, *self.case.reserved)
        policy = among[number % len(among)]
        for _ in self.table.switch(policy):
            pass
        if self.reference.policy != policy:
            self.reference.switch(policy)
        assert self.table.policy == policy

    @rule(passed=st.integers(0, 3))
    def wait(self, passed: int) -> None:
        self.now += passed

    @invariant()
    def same(self) -> None:
        for region in range(len(self.layout.regions)):
            counters = [t.counters(region=region) for t in (self.reference, self.table)]
            assert counters[0] == counters[1]
            self.both("conflicts", region=region)
        dump = self.table.dump()
        assert_same_dump(self.reference.dump(), dump)
        assert invariants.broken(dump, self.layout, self.seed) == []


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_verb_agrees_with_the_reference(case: Case) -> None:
    machine = type("Tables", (Tables,), {"case": case})
    run_state_machine_as_test(machine, settings=search(examples=12, steps=20))


VERBS = ("lookup", "insert", "delete", "ask", "pin", "other")


def some_batch(rng: np.random.Generator) -> Batch:
    return Batch(start=rng.integers(500), step=rng.integers(4), count=rng.integers(80))


def some_of(rng: np.random.Generator, limit: int, share: float) -> list[int] | None:
    """Numbers below a limit to repeat over a batch, or, but for a share of all cases, None."""
    return rng.integers(0, limit, 4).tolist() if rng.random() < share else None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_long_runs_agree_with_the_reference(case: Case) -> None:
    """What comes about only after a while: full sets, old ghosts, a sketch that ages."""
    tables = type("Tables", (Tables,), {"case": case})()
    for seed in range(2 * DEPTH):
        long_run(tables, seed)


def long_run(tables: Tables, seed: int, steps: int = 100) -> None:
    """Tell both tables so many things that a seed names, and compare them after each."""
    rng = np.random.default_rng(seed)
    tables.build([int(rng.integers(1, 60)), int(rng.integers(20, 100))], seed)
    for _ in range(steps):
        step(tables, rng)


def step(tables: Tables, rng: np.random.Generator) -> None:
    """Tell both tables something, and compare them."""
    batch, region, chance = some_batch(rng), int(rng.integers(2)), rng.random(4) < 0.25
    verb = rng.choice(VERBS, p=(0.3, 0.36, 0.1, 0.1, 0.06, 0.08))
    if verb == "lookup":
        tables.lookup(batch, region, out=bool(chance[0]), count=not chance[1])
    elif verb == "insert":
        tables.insert(
            batch,
            region,
            some_of(rng, 6, 0.5),
            some_of(rng, 2, 0.1),
            absent_only=bool(chance[0]),
            guess=bool(chance[1]),
            wanted=bool(chance[2]),
            cost=3 if chance[3] else None,
        )
    elif verb == "delete":
        tables.delete(batch, region, wanted=bool(chance[0]))
    elif verb == "pin" and (chance[0] or len(tables.pinned) < 3):
        tables.pin(batch, region)
    elif verb == "pin":
        tables.unpin(int(rng.integers(9)))
    elif verb == "ask":
        tables.ask(batch, region, str(rng.choice(("contains", "touch", "deadlines"))))
    elif chance[0]:
        tables.export(region)
    elif tables.case.reserved and chance[1]:
        tables.switch(int(rng.integers(3)))
    elif tables.case.policy.parameters:
        tables.set_parameters(int(rng.integers(1, 50)))
    tables.wait(int(rng.integers(3)))
    tables.same()


CHUNKED = [Case(policies.get("s3fifo"), keys, OBJECTS) for keys in ("any", "int64")]


@pytest.mark.parametrize("case", CHUNKED, ids=str)
def test_nothing_depends_on_where_a_batch_is_cut(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels that hold the GIL get a batch in chunks, of 4,096 keys where they are not so few."""
    monkeypatch.setattr(equality, "CHUNK", 5)
    machine = type("Tables", (Tables,), {"case": case})
    run_state_machine_as_test(machine, settings=search(examples=12, steps=20))


TRACED = [Case(policy, "int64", None) for policy in (*COMMON, NARROW, VALUED)]


@pytest.mark.parametrize("case", TRACED, ids=str)
@given(
    capacity=CAPACITY,
    seed=SEED,
    batches=st.lists(BATCH, max_size=4),
    guesses=BATCH,
)
@search(examples=15)
def test_a_replayed_trace_is_get_then_insert_one_request_at_a_time(
    case: Case, capacity: int, seed: int, batches: list[Batch], guesses: Batch
) -> None:
    layout, spread = Layout.build(capacity), spread_seed(seed)
    reference = ReferenceTable(layout, case.policy, spread)
    cpu = CpuTable(layout, case.policy, spread)
    universe = int(1.6 * capacity) + 8
    first = Keys(np.array(guesses.within(universe), np.int64))
    for table in (reference, cpu):
        table.insert(first, None, 0, guess=True)
    for batch in batches:
        trace = np.array(batch.within(universe), np.int64)
        expected = []
        for word in trace:
            one = Keys(np.array([word], np.int64))
            expected.append(reference.lookup(one, 0)[0] >= 0)
            if not expected[-1]:
                reference.insert(one, None, 0)
        assert_same(np.array(expected, bool), cpu.replay(trace), "hits")
        assert_same_dump(reference.dump(), cpu.dump())


@pytest.mark.parametrize("policy", [VALUED, policies.get("gdsf")], ids=["valued", "gdsf"])
@given(
    capacity=CAPACITY,
    limit=st.sampled_from((0, 50, 1_000, 100_000)),
    seed=SEED,
    batches=st.lists(BATCH, max_size=4),
)
@search(examples=15)
def test_a_replayed_trace_may_have_sizes_and_costs(
    policy: Policy, capacity: int, limit: int, seed: int, batches: list[Batch]
) -> None:
    layout, spread = Layout.build(capacity), spread_seed(seed)
    reference = ReferenceTable(layout, policy, spread, limit=limit)
    cpu = CpuTable(layout, policy, spread, limit=limit)
    for batch in batches:
        trace = np.array(batch.within(int(1.6 * capacity) + 8), np.int64)
        sizes, costs = trace * 7 % 60, trace * 11 % 90
        expected = []
        for at, word in enumerate(trace):
            one, here = Keys(np.array([word], np.int64)), slice(at, at + 1)
            expected.append(reference.lookup(one, 0)[0] >= 0)
            if not expected[-1]:
                reference.insert(one, None, 0, sizes=sizes[here], costs=costs[here])
        found = cpu.replay(trace, sizes=sizes, costs=costs)
        assert_same(np.array(expected, bool), found, "hits")
        assert_same_dump(reference.dump(), cpu.dump())
