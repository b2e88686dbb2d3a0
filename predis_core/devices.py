"""Where a cache's table lies: in the host's memory, or in a GPU's."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from predis_core.errors import ConfigurationError, DeviceError, PolicyError
from predis_core.policies import Policy
from predis_core.stores import Rows, Store
from predis_core.table.cpu import CpuTable
from predis_core.table.cuda.exchange import imported_cupy
from predis_core.table.interface import CacheTable, Keys
from predis_core.table.layout import Layout
from predis_core.tiers.tiered import TieredTable

if TYPE_CHECKING:
    from predis_core.table.cuda.device import Device
    from predis_core.table.cuda.shared import SharedGpuTable

logger = logging.getLogger("predis")

AUTO, CPU = "auto", "cpu"
_REHEARSED = 64
"""Entries of the table that is tried out before "auto" is a GPU."""

_NAME = re.compile(r"cuda(?::([0-9]+))?")


def check(device: Any, store: Store) -> None:
    """Refuse what names no device, and of a GPU what a cache on it cannot be.

    Args:
        device: as for `Cache`.
        store: what is held per entry.

    Raises:
        ConfigurationError: naming the argument and the fix.
    """
    if device in (AUTO, CPU):
        return
    if not isinstance(device, str) or not _NAME.fullmatch(device):
        raise ConfigurationError(
            f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:N', got {device!r}"
        )
    if type(store) is not Rows:
        raise ConfigurationError(
            f"value: a cache on {device} holds Rows(dtype, shape), got {store}; use device='cpu'"
        )


def table(
    device: Any,
    on_cpu: Callable[[], CpuTable],
    *,
    name: str,
    layout: Layout,
    policy: Policy,
    seed: int,
    store: Store,
    keys: str,
) -> CacheTable:
    """Return the table of a cache, on the device that is asked for.

    "auto" is the first GPU for what can be on one; if it cannot be used, or a small table on it
    fails in a rehearsal, a line of the log says why, and the table is on the CPU. The line is a
    warning if CuPy is installed; otherwise nobody seems to want a GPU.

    Args:
        device: as for `Cache`.
        on_cpu: makes the table on the CPU.
        name: of the cache.
        layout, policy, seed: of the table.
        store: as for `check`.
        keys: kind of the keys.

    Raises:
        ConfigurationError: as `check`.
        DeviceError: if a GPU is named and cannot be used.
        PolicyError: if a GPU is named and the policy cannot be translated for it.
    """
    check(device, store)
    named = _NAME.fullmatch(device)
    if named is not None:
        return _on_gpu(int(named[1] or 0), layout, policy, seed, store, keys)
    if device == AUTO and type(store) is Rows:
        try:
            _rehearse(policy, seed, store)
            return _on_gpu(0, layout, policy, seed, store, keys)
        except (DeviceError, PolicyError) as error:
            has_none = isinstance(error.__cause__, ModuleNotFoundError)
            level = logging.INFO if has_none else logging.WARNING
            logger.log(level, "cache %r: device='auto' is the CPU: %s", name, error)
    return on_cpu()


def _rehearse(policy: Policy, seed: int, store: Store) -> None:
    """See to it that a GPU that nobody named does what a cache needs.

    Raises:
        DeviceError: if a small table on it does not hold what is put into it.
    """
    words = np.arange(0, 3 * _REHEARSED, 3)
    try:
        small = _on_gpu(0, Layout.build(_REHEARSED), policy, seed, store)
        values = store.target(_REHEARSED).array
        values.view(np.uint8)[...] = 7
        stored = small.insert(Keys(words), values, 0).stored
        found = store.target(_REHEARSED).array
        hit = small.fetch(Keys(words), 0, found, zero=True)
        missed = small.fetch(Keys(words + 1), 0, found.copy(), zero=True)
    except (DeviceError, PolicyError):
        raise
    except Exception as error:
        raise DeviceError(f"cuda:0 fails in a rehearsal: {error}; use device='cpu'") from error
    same = np.array_equal(found[hit].view(np.uint8), values[hit].view(np.uint8))
    if not (hit.any() and (hit <= stored).all() and same and not missed.any()):
        raise DeviceError("cuda:0 does not hold what is put there in a rehearsal; use device='cpu'")


def _on_gpu(
    number: int,
    layout: Layout,
    policy: Policy,
    seed: int,
    store: Store,
    keys: str = "int64",
) -> CacheTable:
    gpu = open_gpu(number)
    # What translates policies is of no use to a cache on the CPU.
    from predis_core.table.cuda.shared import SharedGpuTable

    assert isinstance(store, Rows)
    row = np.dtype((store.dtype, store.shape))
    return SharedGpuTable(gpu, layout, policy, seed, row, key_refs=keys != "int64")


def name_of(table: CacheTable) -> str:
    """Return the name of the device that a table is on; of two, that of the one above."""
    if isinstance(table, TieredTable):
        return name_of(table.upper)
    if isinstance(table, CpuTable):
        return CPU
    return f"cuda:{cast('SharedGpuTable', table).device.number}"


def open_gpu(number: int) -> Device:
    """Return a GPU by its number; raises `DeviceError` if it cannot be used."""
    # Without CuPy that is all, so that "auto" costs no time where nobody wants a GPU.
    imported_cupy()
    from predis_core.table.cuda.launch import CupyDevice

    return CupyDevice(number)
