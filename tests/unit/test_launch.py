"""The code that launches on a GPU, with CuPy replaced by one that does the same on the host."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from predis_core import Cache, Rows, policies
from predis_core.errors import DeviceError, PolicyError
from predis_core.table.cpu import CpuTable
from predis_core.table.cuda.launch import CupyDevice, cubin
from predis_core.table.cuda.shared import SharedGpuTable
from predis_core.table.cuda.table import GpuTable
from predis_core.table.interface import Keys
from predis_core.table.layout import Layout
from tests.parity.test_cuda import machine
from tests.parity.test_tables import SCALARS, Case, long_run
from tests.support.cupy import Array, DriverFailure, MemoryIsOut, RuntimeFailure, cupy
from tests.support.gpu import put_cupy_in_place
from tests.support.policies import NARROW, NRU

LOST = "and what it held may be lost; open the cache anew, or use device='cpu'"


def looping(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    for _ in range(2):
        meta += 1
    return meta


LOOPING = dataclasses.replace(NRU, name="looping", rank=looping)
"""Runs on the CPU only."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    return put_cupy_in_place(monkeypatch, tmp_path)


def test_what_is_launched_agrees_with_the_reference(fake: Any) -> None:
    tables = machine(Case(policies.get("lru"), "int64", SCALARS), device=CupyDevice())()
    long_run(tables, 0, steps=40)


def test_arrays_of_the_gpu_stay_there(fake: Any) -> None:
    device = CupyDevice()
    table = GpuTable(device, Layout.build(100), NRU, 1, np.dtype("int64"))
    words = device.take(np.arange(10), np.int64)
    assert device.take(words, np.int64) is not None
    assert device.address(device.take(words, np.int64)) == device.address(words)
    assert device.address(device.take(words[1:], np.int64)) % 16 == 0
    interface = SimpleNamespace(__cuda_array_interface__=words.__cuda_array_interface__)
    assert device.holds(interface)
    assert device.address(interface) == device.address(words)
    assert not device.holds(np.arange(10))
    keys = Keys(words)
    table.insert(keys, words, 0)
    out = device.zeros(10, np.int64)
    assert type(table.lookup(keys, 0, out=out)) is Array
    assert out.tolist() == list(range(10))


def test_failures_of_the_gpu_are_told_with_the_fix(fake: Any) -> None:
    device = CupyDevice()
    table = GpuTable(device, Layout.build(100), NRU, 1)
    keys = Keys(np.arange(10))

    def fail(error: Exception, *_: Any) -> None:
        raise error

    cuda = fake.cuda
    cases = [
        (fake, "asarray", RuntimeFailure("gone"),
         f"the GPU did not do what was asked for (gone), {LOST}"),
        (cuda.driver, "launchKernel", DriverFailure("gone"),
         f"the GPU did not do the kernel lookup (gone), {LOST}"),
        (cuda, "alloc_pinned_memory", RuntimeFailure("gone"),
         f"the GPU did not do what was asked for (gone), {LOST}"),
        (fake, "empty", MemoryIsOut("full"),
         "cuda:0 has no 80 bytes left (full); lower the cache's capacity or memory, or use "
         "device='cpu'"),
    ]  # fmt: skip
    for place, name, error, message in cases:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(place, name, partial(fail, error))
            with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
                table.lookup(keys, 0)
    assert table.lookup(keys, 0).tolist() == [-1] * 10


def test_without_cupy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    message = (
        "a cache on a GPU needs CuPy (import of cupy halted; None in sys.modules); install "
        "predis-core[cuda13] or predis-core[cuda12], as the driver's version of CUDA is, or use "
        "device='cpu'"
    )
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        CupyDevice()


def _too_old() -> int:
    raise RuntimeFailure("driver version is insufficient")


def fail_with(message: str) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise RuntimeFailure(message)

    return fail


UNUSABLE = [
    (
        {"getDeviceCount": fail_with("insufficient"), "driverGetVersion": lambda: 0},
        "there is no driver for a GPU (insufficient); install NVIDIA's for CUDA 13.2 or newer, or "
        "use device='cpu'",
    ),
    (
        {"getDeviceCount": fail_with("insufficient"), "driverGetVersion": fail_with("neither")},
        "there is no driver for a GPU (insufficient); install NVIDIA's for CUDA 13.2 or newer, or "
        "use device='cpu'",
    ),
    (
        {"getDeviceCount": fail_with("insufficient"), "driverGetVersion": lambda: 12040},
        "the driver is for CUDA 12.4, older than CuPy's 13.2 (insufficient); install a newer "
        "driver, or predis-core[cuda12], or use device='cpu'",
    ),
    (
        {"getDeviceCount": fail_with("no device")},
        "no GPU can be used (no device); see whether nvidia-smi lists one and CUDA_VISIBLE_DEVICES "
        "leaves it in, or use device='cpu'",
    ),
    (
        {"getDeviceCount": lambda: 2},
        "device: there is no cuda:2 among 2; name one of cuda:0, cuda:1, or use 'cpu'",
    ),
    (
        {"getDeviceCount": lambda: 0},
        "device: there is no cuda:2 among 0; name one of none, or use 'cpu'",
    ),
]


@pytest.mark.parametrize(
    ("runtime", "message"),
    UNUSABLE,
    ids=["no driver", "no answer", "old driver", "hidden", "number", "none"],
)
def test_a_gpu_that_cannot_be_used_is_told_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runtime: dict[str, Any], message: str
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy(tmp_path, **runtime))
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        CupyDevice(2)


def test_a_program_that_the_driver_does_not_take_is_told_with_the_fix(fake: Any) -> None:
    def load(code: bytes) -> None:
        raise DriverFailure("bad image")

    fake.cuda.function.Module = lambda: SimpleNamespace(load=load)
    message = (
        "the driver (CUDA 13.1) does not take the program of the table (bad image); install a "
        "newer driver, or the extra of predis-core that fits the driver, or use device='cpu'"
    )
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        GpuTable(CupyDevice(), Layout.build(9), NRU, 1)


def open_cache(device: str, policy: Any = "lru") -> Cache[int, int]:
    return Cache(9, value=Rows("int64"), policy=policy, device=device, name="rows")


def test_auto_takes_the_gpu_without_a_word(fake: Any, caplog: pytest.LogCaptureFixture) -> None:
    cache = open_cache("auto")
    cache[1] = 2
    assert cache[1] == 2
    assert isinstance(cache._table, SharedGpuTable)
    assert caplog.messages == []


def test_auto_says_once_why_it_is_the_cpu(
    fake: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "predis")

    def full(*_: Any) -> Any:
        raise MemoryIsOut("full")

    with monkeypatch.context() as patch:
        patch.setattr(fake, "zeros", full)
        with pytest.raises(DeviceError, match=r"^cuda:0 has no 256 bytes left \(full\); lower"):
            open_cache("cuda:0")
        assert isinstance(open_cache("auto")._table, CpuTable)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cupy", None)
        assert isinstance(open_cache("auto")._table, CpuTable)
    with pytest.raises(PolicyError, match="cannot run on the GPU"):
        open_cache("cuda:0", LOOPING)
    assert isinstance(open_cache("auto", LOOPING)._table, CpuTable)
    assert caplog.records[1].levelname == "INFO"
    assert len(caplog.messages) == 3
    for said, why in zip(
        caplog.messages, ("cuda:0 has no ", "a cache on a GPU needs CuPy", "policy"),
        strict=True,
    ):  # fmt: skip
        assert said.startswith(f"cache 'rows': device='auto' is the CPU: {why}")
        assert said.endswith("use device='cpu'")


def test_a_cache_whose_gpu_is_lost_says_so(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = open_cache("cuda:0")
    cache[1] = 2

    def gone(*_: Any) -> None:
        raise DriverFailure("gone")

    with monkeypatch.context() as patch:
        patch.setattr(fake.cuda.driver, "launchKernel", gone)
        with pytest.raises(DeviceError, match=f"{re.escape(LOST)}$"):
            cache.get(1)
    cache.close()


def test_a_cubin_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREDIS_CACHE_DIR", str(tmp_path))
    compiler: Any = SimpleNamespace(version="1.0", compile=lambda text, architecture: b"made once")
    assert cubin(NRU, 0, "sm_90", compiler) == b"made once"
    compiler.compile = lambda text, architecture: architecture.encode()
    assert cubin(NRU, 0, "sm_90", compiler) == b"made once"
    assert cubin(NRU, 0, "sm_80", compiler) == b"sm_80"
    compiler.version = "1.1"
    assert cubin(NRU, 0, "sm_90", compiler) == b"sm_90"
    assert cubin(NARROW, 0, "sm_80", compiler) == b"sm_80"
    assert not list(tmp_path.glob("*/.*"))
