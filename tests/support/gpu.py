"""A GPU that is none, for caches: kernels made by the host's compiler."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from predis_core import devices
from predis_core.table.cuda import launch
from predis_core.table.cuda.host import FLAGS, HostDevice
from predis_core.table.cuda.source import source
from tests.support.counterparts import counterpart
from tests.support.cupy import cupy


def open_on_host(monkeypatch: pytest.MonkeyPatch) -> HostDevice:
    """Have the host stand in for every GPU that a cache asks for."""
    device = HostDevice(compiler=counterpart("g++"))
    monkeypatch.setattr(devices, "open_gpu", lambda number: device)
    return device


class Compiler:
    """The host's compiler in NVRTC's place."""

    version = " ".join(("13.0", "of the host", *FLAGS))

    def __init__(self, folder: Path) -> None:
        self._library = folder / "compiled.so"

    def compile(self, text: str, architecture: str) -> bytes:
        assert architecture == "sm_90"
        HostDevice(compiler=counterpart("g++")).compile(text, self._library)
        return self._library.read_bytes()


def put_cupy_in_place(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Any:
    """Have a CuPy of the host in CuPy's place, and its compiler in NVRTC's; return the module."""
    monkeypatch.setattr(launch, "nvrtc", lambda majors: Compiler(folder))
    monkeypatch.setattr(launch, "source", partial(source, host=True))
    module = cupy(folder)
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module
