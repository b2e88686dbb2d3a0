"""Where a cache's table lies: in the host's memory, or in a GPU's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from predis_core.errors import ConfigurationError
from predis_core.policies import Policy
from predis_core.policies.choice import candidates_of
from predis_core.stores import Rows, Store
from predis_core.table.cpu import CpuTable
from predis_core.table.interface import CacheTable
from predis_core.table.layout import Layout

if TYPE_CHECKING:
    from predis_core.table.cuda.device import Device

AUTO, CPU = "auto", "cpu"
_NAME = re.compile(r"cuda(?::([0-9]+))?")


def check(device: Any, store: Store, keys: str, *, sampled: bool = False) -> None:
    """Refuse what names no device, and of a GPU what a cache on it cannot be.

    Args:
        device: as for `Cache`.
        store: what is held per entry.
        keys: kind of the keys.
        sampled: whether lookups are to be followed.

    Raises:
        ConfigurationError: naming the argument and the fix.
    """
    if device in (AUTO, CPU):
        return
    if not isinstance(device, str) or not _NAME.fullmatch(device):
        raise ConfigurationError(
            f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:N', got {device!r}"
        )
    if problem := _problem(device, store, keys, sampled):
        raise ConfigurationError(problem)


def _problem(device: str, store: Store, keys: str, sampled: bool) -> str:
    """Return what a GPU has not, of what is asked for; "" if it has all of it."""
    if type(store) is not Rows:
        return f"value: a cache on {device} holds Rows(dtype, shape), got {store}; use device='cpu'"
    if keys != "int64":
        return f"keys: a cache on {device} takes int64 keys, got {keys!r}; use device='cpu'"
    if sampled:
        return (
            f"sampling: a cache on {device} does not follow lookups; leave it out, with the "
            "plugins that ask for it, or use device='cpu'"
        )
    return ""


def table(
    device: Any,
    on_cpu: Callable[[], CpuTable],
    *,
    layout: Layout,
    policy: Policy,
    seed: int,
    store: Store,
    keys: str,
    sampled: bool,
) -> CacheTable:
    """Return the table of a cache, on the device that is asked for; "auto" is the CPU.

    Args:
        device: as for `Cache`.
        on_cpu: makes the table on the CPU.
        layout, policy, seed: of the table; a GPU takes the first of a policy's candidates.
        store, keys, sampled: as for `check`.

    Raises:
        ConfigurationError: as `check`.
        DeviceError: if the GPU cannot be used.
        PolicyError: if the policy cannot be translated for it.
    """
    check(device, store, keys, sampled=sampled)
    named = _NAME.fullmatch(device)
    if named is None:
        return on_cpu()
    # What translates policies is of no use to a cache on the CPU.
    from predis_core.table.cuda.shared import SharedGpuTable

    assert isinstance(store, Rows)
    row = np.dtype((store.dtype, store.shape))
    gpu = open_gpu(int(named[1] or 0))
    return SharedGpuTable(gpu, layout, candidates_of(policy)[0], seed, row)


def open_gpu(number: int) -> Device:
    """Return a GPU by its number; raises `DeviceError` if it cannot be used."""
    from predis_core.table.cuda.launch import CupyDevice

    return CupyDevice(number)
