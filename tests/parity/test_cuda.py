"""The table of CUDA C++, run on the host, does what the reference says, however it is scheduled."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from predis_core import policies
from predis_core.policies import Policy
from predis_core.policies.choice import auto, candidates_of
from predis_core.table.cuda.host import HostDevice, HostKernels
from predis_core.table.cuda.referenced import ReferencedTable
from predis_core.table.cuda.table import GpuTable
from predis_core.table.interface import Keys
from predis_core.table.layout import Layout
from tests.parity.test_tables import (
    BATCH,
    CAPACITY,
    REGION,
    SCALARS,
    SEED,
    VECTORS,
    Batch,
    Case,
    Tables,
    long_run,
    some_batch,
    step,
)
from tests.support.counterparts import counterpart
from tests.support.depth import DEPTH, search
from tests.support.dumps import assert_same
from tests.support.policies import NARROW, NRU, VALUED, WIDE

AUTO = policies.get("auto")
CASES = [
    *(Case(policies.get(name), "int64", None) for name in policies.names()),
    *(Case(policy, "int64", None) for policy in (NARROW, NRU)),
    *(Case(policy, "int64", SCALARS) for policy in (WIDE, VALUED)),
    Case(policies.get("s3fifo"), "int64", SCALARS),
    Case(policies.get("lfu"), "int64", VECTORS),
    Case(policies.get("s3fifo"), "int64", SCALARS, (WIDE, policies.get("lru"))),
    Case(VALUED, "int64", SCALARS, (policies.get("fifo"),)),
    Case(candidates_of(AUTO)[0], "int64", None, candidates_of(AUTO)[1:]),
    Case(policies.get("s3fifo"), "str", SCALARS),
    Case(policies.get("lru"), "bytes", None, (policies.get("sieve"),)),
    Case(policies.get("s3fifo"), "any", SCALARS),
    Case(policies.get("lru"), "any", None, (policies.get("sieve"),)),
]


class Stepped:
    """A table that changes its policy in steps, as the CPU's does."""

    def switch(self, policy: Policy) -> Iterator[None]:
        super().switch(policy)  # type: ignore[misc]
        yield


class SteppedTable(Stepped, GpuTable):  # type: ignore[misc]
    """Of int64 keys."""


class SteppedReferencedTable(Stepped, ReferencedTable):  # type: ignore[misc]
    """Of other keys."""


class GpuTables(Tables):
    """A reference table and one of CUDA C++ on fibers."""

    scheduler = 0
    device: Any = None

    @initialize(
        capacities=st.lists(CAPACITY, min_size=1, max_size=3),
        seed=SEED,
        scheduler=st.integers(0, 2**20),
    )
    def build(self, capacities: list[int], seed: int, scheduler: int | None = None) -> None:
        if scheduler is not None:
            self.scheduler = scheduler
        super().build(capacities, seed)

    def under_test(self, layout: Layout, seed: int) -> Any:
        row = None if self.case.dtype is None else np.dtype(self.case.dtype)
        device = self.device or HostDevice(self.scheduler, counterpart("g++"))
        given = auto(self.case.policy, *self.case.reserved) if self.case.reserved else None
        kind = SteppedReferencedTable if self.codec.has_refs else SteppedTable
        return kind(device, layout, given or self.case.policy, seed, row)

    def reschedule(self, scheduler: int) -> None:
        """Have what is launched from now on be under another seed of the scheduler."""
        self.table._device._seed = scheduler  # of programs that are yet to be loaded
        for kernels in self.table._programs.values():
            kernels._seeds = itertools.count(scheduler * 1_000_003)

    @precondition(lambda self: self.case.values)
    @rule(batch=BATCH, region=REGION, zero=st.booleans())
    def fetch(self, batch: Batch, region: int, zero: bool) -> None:
        """Rows and mask at once, which the reference does not offer."""
        region, keys = self.keys(batch, region)
        rows, expected = (self.room(len(keys.words)) for _ in range(2))
        hit = self.reference.lookup(keys, self.now, out=expected, region=region) >= 0
        if zero:
            expected[~hit] = 0
        found = self.table.fetch(keys, self.now, rows, zero=zero, region=region)
        assert_same(hit, found, "hits")
        assert_same(expected, rows, "rows")

    @rule(batch=BATCH, region=REGION)
    def misses(self, batch: Batch, region: int) -> None:
        """Which positions have none, compacted by the table under test."""
        region, keys = self.keys(batch, region)
        found = self.both("contains", keys, self.now, region=region)
        device = self.table._device
        places, count = map(device.give, self.table.misses(device.take(found, np.bool_)))
        assert_same(np.flatnonzero(~found), places[: count[0]], "misses")


def machine(case: Case, **attributes: Any) -> type[GpuTables]:
    return type("GpuTables", (GpuTables,), {"case": case, **attributes})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_verb_agrees_with_the_reference(case: Case) -> None:
    run_state_machine_as_test(machine(case), settings=search(examples=8, steps=15))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_long_runs_agree_with_the_reference(case: Case) -> None:
    for seed in range(DEPTH):
        long_run(machine(case, scheduler=seed)(), seed)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_schedule_of_a_hundred_makes_a_difference(case: Case) -> None:
    """Each goes on where the one before it stopped, so that most of them find the sets full."""
    tables, rng = machine(case)(), np.random.default_rng(1)
    tables.build([33, 70], 1)
    for seed in range(100 * DEPTH):
        tables.reschedule(seed)
        for _ in range(3):
            step(tables, rng)
        if case.values is not None:
            tables.fetch(some_batch(rng), int(rng.integers(2)), bool(rng.integers(2)))
        tables.misses(some_batch(rng), int(rng.integers(2)))
        tables.same()


class BesideTheCpu(GpuTables):
    """The CPU's table in the reference's place; with no values, as its own tests compile it."""

    def build(self, capacities: list[int], seed: int, scheduler: int | None = None) -> None:
        super().build(capacities, seed, scheduler)
        self.reference: Any = Tables.under_test(self, self.layout, self.seed)


@pytest.mark.parametrize("name", policies.names())
def test_every_policy_agrees_with_the_table_on_the_cpu(name: str) -> None:
    tables = type("Tables", (BesideTheCpu,), {"case": Case(policies.get(name), "int64", None)})
    for seed in range(3 * DEPTH):
        long_run(tables(), seed)


class Mutant(HostDevice):
    """A device whose program has a fault: one piece of its text is another."""

    def __init__(self, old: str, new: str, seed: int) -> None:
        super().__init__(seed, counterpart("g++"))
        self._old, self._new = old, new

    def build(self, text: str) -> HostKernels:
        assert text.count(self._old) == 1, "the piece to be changed is not there, or not once"
        return super().build(text.replace(self._old, self._new))


FAULTS = {
    "a lane is skipped": (
        "same = looks && part < FLAGS_PART",
        "same = looks && part < FLAGS_PART && part != 3",
        policies.get("lru"),
    ),
    "nobody owns a set": (
        "if (at > 0 && batch.order[at - 1] >> 32 == index) continue;\n"
        "        Owned set = load_set(table, i64(index));\n"
        "        for (i64 next = at; next < batch.n && batch.order[next] >> 32 == index; next++) {",
        "Owned set = load_set(table, i64(index)); for (i64 next = at; next == at; next++) {",
        policies.get("lru"),
    ),
    "a tie goes to the highest way": (
        "return lowest(lanes_where(is_least && low == lowest_low));",
        "return 31 - __builtin_clz(lanes_where(is_least && low == lowest_low) | 1);",
        NRU,
    ),
    "a key that a lookup holds twice is touched twice": (
        "if (atomicExch(&table.claims[found.slot], mine) == mine) return;",
        "(void)mine;",
        policies.get("lfu"),
    ),
    "a count of the sketch is not atomic": (
        "const u32 held = atomicCAS(word, seen, seen + (1u << shift));",
        "shim::pause_sometimes(); const u32 held = seen; *word = seen + (1u << shift);",
        policies.get("wtinylfu"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    with pytest.raises(AssertionError, match="differ"):
        compare_faulty(*FAULTS[fault])


def compare_faulty(old: str, new: str, policy: Policy, kind: str = "int64") -> None:
    for seed in range(50):
        device = Mutant(old, new, seed)
        long_run(machine(Case(policy, kind, None), device=device)(), seed)


FAULTS_OF_IDENTS = {
    "keys of one hash are found as one": (
        "return !HAS_IDENTS || batch.idents == 0 || table.idents[slot] == batch.idents[i];",
        "return true;",
    ),
    "keys of one hash are one in a batch": (
        "return !HAS_IDENTS || batch.idents[a] == batch.idents[b];",
        "return true;",
    ),
    "keys of one hash take each other's place": (
        "(!HAS_IDENTS || set.ident == placing.ident)",
        "true",
    ),
    "a key comes without its ident": ("        set.ident = placing.ident;\n", ""),
    "an ident is not kept": ("if (HAS_IDENTS) table.idents[slot] = set.ident;", ""),
    "what left is told by others' idents": (
        "batch.whose[at] = set.ident;",
        "batch.whose[at] = placing.ident;",
    ),
}


@pytest.mark.parametrize("fault", FAULTS_OF_IDENTS)
def test_a_planted_fault_in_telling_keys_apart_is_caught(fault: str) -> None:
    with pytest.raises(AssertionError):
        compare_faulty(*FAULTS_OF_IDENTS[fault], policies.get("lru"), "any")


def test_lanes_that_do_not_meet_are_an_error() -> None:
    device = Mutant(
        "if (lanes_where(looks) == 0) break;", "if (!looks || lanes_where(true) == 0) break;", 0
    )
    table = GpuTable(device, Layout.build(57), policies.get("lru"), 1)
    message = "^lookup: the lanes of a warp did not take part in the same operations$"
    with pytest.raises(RuntimeError, match=message):
        table.lookup(Keys(np.arange(5)), 0)
