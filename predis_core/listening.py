"""Telling whoever asked of entries that left a cache, and why."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np

from predis_core.clock import NANOSECONDS
from predis_core.errors import ConfigurationError
from predis_core.packed import Packed
from predis_core.stores import Store
from predis_core.table.batches import part_of
from predis_core.table.interface import Bools, Reason, Removed
from predis_core.table.keys import KeyCodec
from predis_core.types import Removals

logger = logging.getLogger("predis")

RemovalReason = Literal["replaced", "expired", "evicted", "deleted", "cleared"]
Listener = Callable[[Removals], object]

REASONS: tuple[RemovalReason, ...] = ("replaced", "expired", "evicted", "deleted", "cleared")
FAILURES_IN_A_ROW = 3
"""After so many, a listener is not called any more."""


class Listeners:
    """Those who want to know what leaves one cache. Any thread may tell, or add one.

    Args:
        cache: the cache's name.
        codec: turns keys back into what a user gave.
        store: does so with values.
    """

    def __init__(self, cache: str, codec: KeyCodec, store: Store) -> None:
        self._cache, self._codec, self._store = cache, codec, store
        # In the order in which they came; each change is one atomic operation.
        self._all: dict[_Listening, None] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def told(self) -> dict[_Listening, None]:
        """Those who are told: always the same dict."""
        return self._all

    def add(
        self,
        listener: Listener,
        reasons: Iterable[RemovalReason] | None = None,
        *,
        name: str = "listener",
    ) -> None:
        """Tell a listener from now on, of entries that leave for some reasons, or for any.

        Args:
            listener: who is told.
            reasons: of what; None: of all.
            name: the user's argument that is at fault if the listener is unfit.

        Raises:
            ConfigurationError: if it cannot be called, or a reason is unknown.
        """
        if not callable(listener):
            raise ConfigurationError(f"{name}: expected a callable, got {listener!r}")
        if inspect.iscoroutinefunction(listener):
            raise ConfigurationError(
                f"{name}: expected a plain function, for nobody awaits here, got the coroutine "
                f"function {listener!r}; hand removals to its event loop, as with "
                "loop.call_soon_threadsafe(queue.put_nowait, removals)"
            )
        self._all[_Listening(listener, _wanted(reasons))] = None

    def remove(self, listener: Listener) -> bool:
        """Do not tell a listener any more; return whether it was told so far."""
        gone = [each for each in list(self._all) if each.listener == listener]
        for each in gone:
            self._all.pop(each, None)
        return bool(gone)

    def tell(self, removed: Removed | None) -> None:
        """Tell all of what left; called where no lock is held. What they raise is logged."""
        if removed is None or not len(removed.reasons):
            return
        for each in list(self._all):
            where: Bools = each.wanted[removed.reasons]
            if where.any():
                self._tell(each, removed, where)

    def _tell(self, each: _Listening, removed: Removed, where: Bools) -> None:
        try:
            each.listener(self.shown(removed, where))
        except Exception as error:
            self._failed(each, error)
        else:
            each.failures_in_a_row = 0

    def _failed(self, each: _Listening, error: Exception) -> None:
        is_first, is_last = each.fail()
        if is_first:
            logger.warning(
                "cache %r: removal listener %r raised", self._cache, each.listener, exc_info=error
            )
        if is_last:
            self._all.pop(each, None)
            logger.error(
                "cache %r: removal listener %r is not told any more, after %d failures in a row, "
                "the last one %s: %s",
                self._cache,
                each.listener,
                FAILURES_IN_A_ROW,
                type(error).__name__,
                error,
            )

    def shown(self, removed: Removed, where: Bools) -> Removals:
        """Return some of what left as a user sees it. Args: where, bool[m]."""
        keys, values = removed.keys, removed.values
        some = part_of(keys, where)
        if not isinstance(values, Packed):
            values = values[where]
        elif not where.all():
            chosen = np.flatnonzero(where).tolist()
            values = np.fromiter((bytes(values[at]) for at in chosen), object, len(chosen))
        return Removals(
            self._codec.decode(some),
            self._store.present(values),
            [REASONS[reason] for reason in removed.reasons[where].tolist()],
            removed.costs[where] / NANOSECONDS,
        )


class _Listening:
    """A listener, and what it wants to be told.

    Args:
        listener: who is told.
        wanted: bool[len(REASONS)], of what.

    Attributes:
        failures_in_a_row: how often it raised since it last did not.
    """

    def __init__(self, listener: Listener, wanted: Bools) -> None:
        self.listener, self.wanted = listener, wanted
        self.failures_in_a_row = 0
        self._failures = 0
        self._lock = threading.Lock()

    def fail(self) -> tuple[bool, bool]:
        """Count a failure; return whether it is the first, and the one after which it is over."""
        with self._lock:
            self._failures += 1
            self.failures_in_a_row += 1
            return self._failures == 1, self.failures_in_a_row == FAILURES_IN_A_ROW


def _wanted(reasons: Iterable[RemovalReason] | None) -> Bools:
    """Return which reasons are wanted (bool[len(REASONS)]), or say which one is none."""
    if reasons is None:
        return np.ones(len(REASONS), bool)
    named = ", ".join(REASONS)
    if isinstance(reasons, str) or not isinstance(reasons, Iterable):
        raise ConfigurationError(
            f"reasons: expected some of {named}, as in ['evicted'], got {reasons!r}"
        )
    wanted = list(reasons)
    if not wanted:
        raise ConfigurationError("reasons: there are none; leave it out to be told of all")
    for reason in wanted:
        if reason not in REASONS:
            raise ConfigurationError(f"reasons: {reason!r} is none; there are {named}")
    return np.array([reason in wanted for reason in REASONS])


assert len(REASONS) == len(Reason)
