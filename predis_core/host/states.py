"""How the host of a running process is: what `predis plugins` shows."""

from __future__ import annotations

from typing import Literal

import msgspec

from predis_core.host.guard import GuardStatus
from predis_core.types import Health

State = Literal["healthy", "degraded", "failing", "disabled", "hung", "skipped"]


SEVERITY = {"healthy": 0, "degraded": 1, "failing": 2}
"""How bad what a plugin says of itself is."""


class PluginStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one plugin is.

    Attributes:
        name: its section's name.
        distribution, version: what it comes with; "" if it could not be found.
        state: the worst that holds: "hung" (a background call is past its deadline), "disabled"
            (something of it failed too often in a row), "failing" and "degraded" (it says so
            itself), "skipped" (it could not be enabled and is not required), "healthy".
        reason: why, if it is not healthy.
        caches: the caches that use it.
        functions: how the calls of its hooks and objects went.
        observer_seconds: mean time that its observers take per batch.
        sampled: accesses of keys that its samplers were handed.
        dropped: accesses of keys that were sampled and lost, as its samplers did not keep up.
    """

    name: str
    distribution: str
    version: str
    state: State
    reason: str = ""
    caches: tuple[str, ...] = ()
    functions: tuple[GuardStatus, ...] = ()
    observer_seconds: float = 0.0
    sampled: int = 0
    dropped: int = 0


class CacheStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One cache of a process.

    Attributes:
        name: its name.
        stats: the counters of `Stats`, by name.
    """

    name: str
    stats: dict[str, int]


class HostStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A process with caches that a configuration opened.

    Attributes:
        pid: the process.
        version: of predis-core.
        caches: those that are open.
        plugins: those that they use, and those that were skipped.
    """

    pid: int
    version: str
    caches: tuple[CacheStatus, ...]
    plugins: tuple[PluginStatus, ...]


def state_of(health: Health, functions: tuple[GuardStatus, ...], hangs: bool) -> tuple[State, str]:
    """Return a plugin's state and the reason for it."""
    if hangs:
        return "hung", "something that it does in the background has passed its deadline"
    disabled = [function for function in functions if function.disabled]
    if disabled:
        told = "; ".join(f"{each.what}: {each.last_error}" for each in disabled)
        return "disabled", told
    return health.status, health.message
