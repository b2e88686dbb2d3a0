"""The table of CUDA C++, run on the host, does what the reference says, however it is scheduled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis.stateful import run_state_machine_as_test

from predis_core import policies
from predis_core.policies import Policy
from predis_core.policies.choice import auto, candidates_of
from predis_core.table.cuda.host import HostDevice, HostKernels
from predis_core.table.cuda.referenced import ReferencedTable
from predis_core.table.cuda.table import GpuTable
from predis_core.table.interface import Keys
from predis_core.table.layout import Layout
from tests.parity.test_tables import SCALARS, VECTORS, Case, Tables, long_run
from tests.support.counterparts import counterpart
from tests.support.depth import DEPTH, search
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

    def under_test(self, layout: Layout, seed: int) -> Any:
        row = None if self.case.dtype is None else np.dtype(self.case.dtype)
        device = self.device or HostDevice(self.scheduler, counterpart("g++"))
        given = auto(self.case.policy, *self.case.reserved) if self.case.reserved else None
        kind = SteppedReferencedTable if self.codec.has_refs else SteppedTable
        return kind(device, layout, given or self.case.policy, seed, row)


def machine(case: Case, **attributes: Any) -> type[GpuTables]:
    return type("GpuTables", (GpuTables,), {"case": case, **attributes})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_verb_agrees_with_the_reference(case: Case) -> None:
    run_state_machine_as_test(machine(case), settings=search(examples=8, steps=15))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_long_runs_agree_with_the_reference(case: Case) -> None:
    for seed in range(DEPTH):
        long_run(machine(case, scheduler=seed)(), seed)


def test_no_schedule_of_a_hundred_makes_a_difference() -> None:
    """Of the policy that uses all that the contract offers, with values."""
    tables = machine(Case(WIDE, "int64", SCALARS))()
    for seed in range(100 * DEPTH):
        tables.scheduler = seed
        long_run(tables, seed % 25, steps=8)


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
