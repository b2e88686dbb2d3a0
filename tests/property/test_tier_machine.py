"""Every face of a cache with a tier, in any order, against the model."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from predis_core import Cache
from predis_core.errors import ConfigurationError
from tests.property.test_gpu_machine import GpuMachine
from tests.support.depth import search
from tests.support.gpu import open_on_host
from tests.support.tiers import open_tiered


class TierMachine(GpuMachine):
    """A cache of numbers whose table above holds a third of them."""

    device = "cpu"

    def make_cache(self) -> Cache[Any, Any]:
        return open_tiered(11, 33, policy=self.policy, clock=self.clock, seed=1, device=self.device)

    @rule(copies=st.integers(1, 40))
    def resize_above(self, copies: int) -> None:
        """Have more copies above, or fewer; what is held stays."""
        self._unpin_all()
        copies = min(copies, self.cache.capacity)
        before = self.cache.stats()
        with contextlib.suppress(ConfigurationError):  # a namespace that asks for too many
            self.cache.resize(self.cache.capacity, above=copies)
            assert self.cache.tiers()[0].capacity == copies
        assert self.cache.stats() == before


@pytest.mark.parametrize("policy", ["lru", "s3fifo"])
def test_no_order_of_calls_breaks_a_promise(policy: str) -> None:
    machine = type("Machine", (TierMachine,), {"policy": policy})
    run_state_machine_as_test(machine, settings=search(examples=25, steps=30))


def test_nor_does_one_under_a_table_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    open_on_host(monkeypatch)
    machine = type("Machine", (TierMachine,), {"policy": "lru", "device": "cuda"})
    run_state_machine_as_test(machine, settings=search(examples=15, steps=20))
