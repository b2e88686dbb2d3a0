"""A GPU that is none, for caches: kernels made by the host's compiler."""

from __future__ import annotations

import pytest

from predis_core import devices
from predis_core.table.cuda.host import HostDevice
from tests.support.counterparts import counterpart


def open_on_host(monkeypatch: pytest.MonkeyPatch) -> HostDevice:
    """Have the host stand in for every GPU that a cache asks for."""
    device = HostDevice(compiler=counterpart("g++"))
    monkeypatch.setattr(devices, "open_gpu", lambda number: device)
    return device
