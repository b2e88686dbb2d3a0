"""Every face of a cache with a tier, in any order, against the model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test

from predis_core import Cache
from tests.property.test_gpu_machine import GpuMachine
from tests.support.depth import search
from tests.support.gpu import open_on_host
from tests.support.tiers import open_tiered


class TierMachine(GpuMachine):
    """A cache of numbers whose table above holds a third of them."""

    device = "cpu"
    can_resize = False

    def make_cache(self) -> Cache[Any, Any]:
        return open_tiered(11, 33, policy=self.policy, clock=self.clock, seed=1, device=self.device)


@pytest.mark.parametrize("policy", ["lru", "s3fifo"])
def test_no_order_of_calls_breaks_a_promise(policy: str) -> None:
    machine = type("Machine", (TierMachine,), {"policy": policy})
    run_state_machine_as_test(machine, settings=search(examples=25, steps=30))


def test_nor_does_one_under_a_table_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    open_on_host(monkeypatch)
    machine = type("Machine", (TierMachine,), {"policy": "lru", "device": "cuda"})
    run_state_machine_as_test(machine, settings=search(examples=15, steps=20))
