"""The table of CUDA C++ on a GPU does what the others do. Without a GPU these tests skip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from predis_core import policies
from predis_core.errors import DeviceError
from predis_core.policies import Policy
from predis_core.table.cpu import CpuTable
from predis_core.table.cuda.host import HostDevice
from predis_core.table.cuda.launch import CupyDevice
from predis_core.table.cuda.table import GpuTable
from predis_core.table.interface import Keys
from predis_core.table.layout import Layout
from tests.parity.test_cuda import CASES, machine
from tests.parity.test_gpu_caches import CHOICE
from tests.parity.test_gpu_caches import long_run as long_run_of_caches
from tests.parity.test_gpu_caches import machine as machine_of_caches
from tests.parity.test_tables import Case, long_run
from tests.support.counterparts import counterpart
from tests.support.depth import DEPTH
from tests.support.dumps import assert_same, assert_same_dump, assert_same_removed


@pytest.fixture(scope="module")
def gpu() -> CupyDevice:
    try:
        return CupyDevice()
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES, ids=str)
def test_long_runs_agree_with_the_reference(gpu: CupyDevice, case: Case) -> None:
    for seed in range(2 * DEPTH):
        long_run(machine(case, device=gpu)(), seed, steps=200)


@pytest.mark.gpu
@pytest.mark.parametrize(("policy", "kind"), [(CHOICE, "int64"), ("lru", "str")])
def test_whole_caches_do_what_those_on_the_cpu_do(gpu: CupyDevice, policy: Any, kind: str) -> None:
    for seed in range(20 * DEPTH):
        long_run_of_caches(machine_of_caches(policy, kind)(), seed, steps=20)


LARGE = [policies.get(name) for name in ("lru", "s3fifo", "wtinylfu")]


@pytest.mark.gpu
@pytest.mark.parametrize("policy", LARGE, ids=lambda policy: policy.name)
def test_large_batches_agree_with_the_table_on_the_cpu(gpu: CupyDevice, policy: Policy) -> None:
    compare_large_batches(gpu, policy, capacity=300_000, n=200_000)


def test_batches_that_are_large_for_fibers_agree_with_the_table_on_the_cpu() -> None:
    """The same as above where there is no GPU, so that it is known to work."""
    device = HostDevice(compiler=counterpart("g++"))
    compare_large_batches(device, policies.get("lru"), capacity=3_000, n=2_000)


def compare_large_batches(device: Any, policy: Policy, capacity: int, n: int) -> None:
    layout, rng = Layout.build(capacity), np.random.default_rng(0)
    row = np.dtype("int64")
    cpu = CpuTable(layout, policy, 9, np.zeros(layout.slots, row))
    gpu = GpuTable(device, layout, policy, 9, row)
    both = cpu, gpu
    for step in range(6):
        keys = Keys(rng.integers(0, 2 * capacity, n))
        values = rng.integers(0, 2**60, n)
        one, other = (table.insert(keys, values, step, want_removed=True) for table in both)
        for field in ("status", "slots"):
            assert_same(getattr(one, field), getattr(other, field), field)
        assert_same_removed(one.removed, other.removed)
        asked, outs = Keys(rng.integers(0, 2 * capacity, n)), (np.zeros(n, row), np.zeros(n, row))
        slots = [table.lookup(asked, step, out=out) for table, out in zip(both, outs, strict=True)]
        assert_same(*slots, "slots")
        assert_same(*outs, "out")
    assert_same_dump(cpu.dump(), gpu.dump())
