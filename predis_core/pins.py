"""Entries that stay while somebody works with them."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from predis_core.errors import CacheClosed
from predis_core.table.interface import Bools, CacheTable, Int64s, Keys, Sealed


class Pinned:
    """A context in which the entries of some keys do not leave to make room.

    It may be entered again once it was left. If it is lost without being left, its pins go with it.

    Args:
        table: returns what holds the entries.
        keys: the keys.
        now: tells the time.
        look_up: returns (values, hit) of the keys.
        check: raises if the table must not be used.

    Attributes:
        hit: bool[n], which keys were present; meaningless before it is entered.
    """

    def __init__(
        self,
        table: Callable[[], CacheTable],
        keys: Keys,
        now: Callable[[], int],
        look_up: Callable[[Keys], tuple[Any, Bools]],
        check: Callable[[], None],
    ) -> None:
        self._table, self._keys, self._now = table, keys, now
        self._look_up, self._check = look_up, check
        self._release: weakref.finalize[..., Pinned] | None = None
        self.hit: Bools = np.zeros(len(keys.words), bool)

    def __enter__(self) -> Any:
        """Pin what is present; return the values as `get_many` does, and set `hit`.

        Raises:
            RuntimeError: if it was entered already.
            CacheUnusable: after `close()` or in a forked child.
        """
        if self._release is not None and self._release.alive:
            raise RuntimeError("pinned: this was entered already; call pinned() again")
        self._check()
        # Known to the finalizer before anything is pinned: an interrupt may strike in between.
        slots = np.full(len(self._keys.words), -1, np.int64)
        where = [self._table()]
        self._release = weakref.finalize(self, _unpin, where, self._keys, slots, os.getpid())
        self._release.atexit = False
        try:
            self._pin(where, slots)
            values, hit = self._look_up(self._keys)
        except BaseException:
            self._release()
            raise
        # What came only after the pins is not pinned.
        self.hit = hit & (slots >= 0)
        return values

    def _pin(self, where: list[CacheTable], slots: Int64s) -> None:
        while True:
            try:
                where[0].pin(self._keys, self._now(), slots=slots)
                return
            except Sealed:
                self._check()
                newer = where[0].succeeding(self._keys, self._now())
                if newer is where[0]:
                    raise CacheClosed(
                        "the cache is being closed; open another with Cache(...)"
                    ) from None
                where[0] = newer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._release is not None:
            self._release()


def _unpin(where: list[CacheTable], keys: Keys, slots: Int64s, process: int) -> None:
    """Take pins back, in whichever thread drops the last reference.

    That thread runs Python code, so it is inside no kernel and holds no lock of the table; another
    one that does gives it back without the GIL. In a forked child nobody would give it back.
    """
    if os.getpid() == process:
        where[0].unpin(keys, slots)
