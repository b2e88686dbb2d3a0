"""Which device a cache is on, and what is said where it cannot be on the one asked for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import Cache, devices, policies
from predis_core.errors import CacheClosed, ConfigurationError, DeviceError
from predis_core.table.cpu import CpuTable
from predis_core.table.cuda.host import HostDevice
from predis_core.table.cuda.shared import SharedGpuTable
from predis_core.tiers.tiered import TieredTable
from tests.support.counterparts import counterpart
from tests.support.gpu import open_on_host

ROWS = predis.Rows("int64")
REFUSED = {
    "no such device": ({"device": "gpu"}, "device: expected 'auto', 'cpu', 'cuda' or 'cuda:N'"),
    "no number": ({"device": "cuda:x"}, "device: expected 'auto', 'cpu', 'cuda' or 'cuda:N'"),
    "objects": (
        {"value": predis.Objects()},
        "value: a cache on cuda holds Rows(dtype, shape), got Objects(); use device='cpu'",
    ),
    "blobs": (
        {"value": predis.Blobs(), "memory": "1MiB"},
        "value: a cache on cuda holds Rows(dtype, shape), got Blobs(); use device='cpu'",
    ),
}


def fail(number: int) -> Any:
    raise DeviceError(f"cuda:{number} is gone")


@pytest.mark.parametrize("refused", REFUSED)
def test_what_a_gpu_cannot_have_is_refused_by_its_name(refused: str) -> None:
    arguments, message = REFUSED[refused]
    with pytest.raises(ConfigurationError, match="^" + re.escape(message)):
        Cache(9, **{"value": ROWS, "device": "cuda"} | arguments)


def test_a_gpu_that_is_asked_for_by_name_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "open_gpu", fail)
    for device, number in (("cuda", 0), ("cuda:0", 0), ("cuda:12", 12)):
        with pytest.raises(DeviceError, match=f"^cuda:{number} is gone$"):
            Cache(9, value=ROWS, device=device)


@pytest.mark.parametrize("installed", [False, True], ids=["no cupy", "cupy"])
def test_auto_is_the_cpu_where_there_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, installed: bool
) -> None:
    def fail(number: int) -> Any:
        raise DeviceError(f"cuda:{number} is gone") from (
            RuntimeError() if installed else ModuleNotFoundError()
        )

    monkeypatch.setattr(devices, "open_gpu", fail)
    caplog.set_level("INFO", "predis")
    cache = Cache[int, int](9, value=ROWS, policy="lru", name="rows")
    assert isinstance(cache._table, CpuTable)
    (said,) = caplog.records
    assert said.getMessage() == "cache 'rows': device='auto' is the CPU: cuda:0 is gone"
    assert said.levelname == ("WARNING" if installed else "INFO")


def test_auto_is_the_gpu_for_what_can_be_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    open_on_host(monkeypatch)
    caplog.set_level("INFO", "predis")
    for keys in ("int64", "str", "bytes", "any"):
        assert isinstance(Cache(9, value=ROWS, policy="lru", keys=keys)._table, SharedGpuTable)
    for refused in ("objects", "blobs"):
        arguments, _ = REFUSED[refused]
        with Cache[Any, Any](9, **{"value": ROWS, "policy": "lru"} | arguments) as cache:
            assert isinstance(cache._table, CpuTable)
    assert caplog.messages == []


def _loses(self: Any, keys: Any, now: int, out: Any, **options: Any) -> Any:
    return np.zeros(len(keys.words), bool)


def _mistakes(self: Any, keys: Any, now: int, out: Any, **options: Any) -> Any:
    out[...] = 8
    return np.ones(len(keys.words), bool)


def _breaks(self: Any, *arguments: Any, **options: Any) -> Any:
    raise RuntimeError("an illegal address")


@pytest.mark.parametrize("fetch", [_loses, _mistakes, _breaks], ids=lambda each: each.__name__)
def test_auto_is_the_cpu_where_a_gpu_fails_in_a_rehearsal(
    fetch: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    open_on_host(monkeypatch)
    monkeypatch.setattr(SharedGpuTable, "fetch", fetch)
    cache = Cache[int, int](9, value=ROWS, policy="lru")
    assert isinstance(cache._table, CpuTable)
    assert "in a rehearsal" in caplog.text
    assert "use device='cpu'" in caplog.text


def test_a_gpu_begins_with_the_first_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    open_on_host(monkeypatch)
    given = policies.auto(policies.get("lru"), policies.get("fifo"))
    for options in ({}, {"host_capacity": 20}):
        cache = Cache[int, int](9, value=ROWS, policy=given, device="cuda", **options)
        assert cache.policy == "lru"
        assert cache._table.candidates == given.candidates


def test_namespaces_are_on_the_same_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def open_gpu(number: int) -> HostDevice:
        device = HostDevice(compiler=counterpart("g++"))
        device.number = number
        opened.append(number)
        return device

    monkeypatch.setattr(devices, "open_gpu", open_gpu)
    cache = Cache[int, int](90, value=ROWS, policy="lru", device="cuda:3")
    space = cache.namespace("a")
    assert isinstance(space._table, SharedGpuTable)
    assert opened == [3, 3]
    space[1] = 2
    assert dict(space.items()) == {1: 2}
    assert 1 not in cache


def test_single_keys_go_on_in_python_however_often(monkeypatch: pytest.MonkeyPatch) -> None:
    open_on_host(monkeypatch)
    cache = Cache[int, int](9, value=ROWS, policy="lru", device="cuda")
    cache[1] = 2
    assert all(1 in cache and cache[1] == 2 for _ in range(150))


def test_a_closed_cache_on_a_gpu_lets_nothing_in(monkeypatch: pytest.MonkeyPatch) -> None:
    open_on_host(monkeypatch)
    cache = Cache[int, int](9, value=ROWS, policy="lru", device="cuda")
    cache[1] = 2
    told: list[Any] = []
    cache.add_removal_listener(told.append)
    pins = cache.pinned([1])
    cache.close()
    assert [list(each.reasons) for each in told] == [["cleared"]]
    assert cache._table.size() == 0
    assert not cache._intake.put(cache._codec.encode([3]), ROWS.admit([3], 1), 0, None).stored.any()
    with pytest.raises(CacheClosed), pins:
        pass


def test_a_configuration_may_name_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    open_on_host(monkeypatch)
    rows = {"kind": "rows", "dtype": "int64"}
    section = {"capacity": 9, "policy": "lru", "device": "cuda:1", "value": rows}
    with predis.open({"cache": section}) as cache:
        assert isinstance(cache._table, SharedGpuTable)
    spaces = {"namespaces": {"a": {"capacity": 2}}}
    for device in ("cuda:1", "auto"):
        with predis.open({"cache": section | spaces | {"device": device}}) as cache:
            space = cache.namespaces()["a"]
            assert isinstance(space._table, SharedGpuTable)
            assert (cache.capacity, space.capacity) == (7, 2)
    tiered = section | spaces | {"host_capacity": 20}
    for device in ("cuda:1", "auto", "cpu"):
        with predis.open({"cache": tiered | {"device": device}}) as cache:
            space = cache.namespaces()["a"]
            assert isinstance(space._table, CpuTable if device == "cpu" else TieredTable)
            assert (cache.capacity, space.capacity) == (18, 2)
