"""Every face of a cache on a GPU, in any order, against the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from predis_core import Cache, Rows
from predis_core.testing import CacheMachine
from tests.support.depth import search
from tests.support.gpu import open_on_host


class GpuMachine(CacheMachine):
    """A cache of numbers."""

    policy = "lru"

    def make_cache(self) -> Cache[Any, Any]:
        return Cache(
            33, policy=self.policy, value=Rows("int64"), clock=self.clock, seed=1, device="cuda"
        )

    def keys(self) -> st.SearchStrategy[int]:
        return st.integers(0, 60)

    def values(self) -> st.SearchStrategy[int]:
        return st.integers(-5, 5)

    def blank(self) -> int:
        return 0

    def make_out(self, n: int) -> Any:
        return np.full(n, 9)


class GpuMachineOfAnyKeys(GpuMachine):
    """The same by keys that are equal where a dict says so, many of them with one hash."""

    def make_cache(self) -> Cache[Any, Any]:
        return Cache(
            33,
            policy=self.policy,
            value=Rows("int64"),
            keys="any",
            clock=self.clock,
            seed=1,
            device="cuda",
        )

    def keys(self) -> st.SearchStrategy[Any]:
        numbers = st.integers(-2, 9)
        apart = numbers.map(lambda n: n + 2**61 - 1)  # hashes as n does
        return numbers | numbers.map(float) | apart | apart.map(lambda n: (n % 2**61, n % 4))


CASES = [(GpuMachine, policy) for policy in ("lru", "s3fifo", "density")]


@pytest.mark.parametrize(("base", "policy"), [*CASES, (GpuMachineOfAnyKeys, "s3fifo")])
def test_no_order_of_calls_breaks_a_promise(
    base: type[GpuMachine], policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_on_host(monkeypatch)
    machine = type("Machine", (base,), {"policy": policy})
    run_state_machine_as_test(machine, settings=search(examples=20, steps=20))
