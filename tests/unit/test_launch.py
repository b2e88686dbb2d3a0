"""The code that launches on a GPU, with CuPy replaced by one that does the same on the host."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from predis_core import policies
from predis_core.errors import DeviceError
from predis_core.table.cuda import launch
from predis_core.table.cuda.host import HostDevice
from predis_core.table.cuda.launch import CupyDevice, cubin
from predis_core.table.cuda.source import source
from predis_core.table.cuda.table import GpuTable
from predis_core.table.interface import Keys
from predis_core.table.layout import Layout
from tests.parity.test_cuda import machine
from tests.parity.test_tables import SCALARS, Case, long_run
from tests.support.counterparts import counterpart
from tests.support.cupy import Array, DriverFailure, MemoryIsOut, RuntimeFailure, cupy
from tests.support.policies import NARROW, NRU

LOST = "and what it held may be lost; open the cache anew, or use device='cpu'"


class Compiler:
    """The host's compiler in NVRTC's place."""

    version = "13.0"

    def __init__(self, folder: Path) -> None:
        self._library = folder / "compiled.so"

    def compile(self, text: str, architecture: str) -> bytes:
        assert architecture == "sm_90"
        HostDevice(compiler=counterpart("g++")).compile(text, self._library)
        return self._library.read_bytes()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("PREDIS_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(launch, "nvrtc", lambda majors: Compiler(tmp_path))
    monkeypatch.setattr(launch, "source", partial(source, host=True))
    module = cupy(tmp_path)
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


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
        (cuda.driver, "launchKernel", DriverFailure("gone"),
         f"the GPU did not do the kernel lookup (gone), {LOST}"),
        (fake, "asnumpy", RuntimeFailure("gone"),
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


@pytest.mark.parametrize(
    ("count", "number", "message"),
    [
        (
            _too_old,
            0,
            "no GPU can be used (driver version is insufficient); install a driver for CUDA 13 or "
            "newer, the extra that fits the driver, or use device='cpu'",
        ),
        (
            lambda: 2,
            2,
            "device: there is no cuda:2 among 2; name one of cuda:0, cuda:1, or use 'cpu'",
        ),
        (lambda: 0, 0, "device: there is no cuda:0 among 0; name one of none, or use 'cpu'"),
    ],
    ids=["driver", "number", "none"],
)
def test_a_gpu_that_cannot_be_used_is_told_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: Any, number: int, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy(tmp_path, getDeviceCount=count))
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        CupyDevice(number)


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
