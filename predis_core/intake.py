"""How entries get into a table: weighed, dated, and those told that leave for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.clock import Clock
from predis_core.errors import ValueShapeError
from predis_core.lifetimes import deadlines_of
from predis_core.listening import Listeners
from predis_core.stores import Store
from predis_core.table.batches import part_of
from predis_core.table.interface import Bools, Bytes, CacheTable, Inserted, Int64s, Keys
from predis_core.table.keys import KeyCodec

Weigher = Callable[[Any, Any], int]

_HEAVIEST = (1 << 63) - 1
"""What never fits, whatever it weighs."""


class Intake:
    """The way into a table.

    Args:
        table, store, codec, clock: the cache's.
        listeners: who is told of what leaves.
        weigher: gets a key and a value and returns the bytes that they take; None if values weigh
            nothing, or weigh what they are.
        keeps_costs: whether to keep what each entry cost to load.

    Attributes:
        table: the table; a resize puts another one there.
        keeps_costs: as given.
    """

    def __init__(
        self,
        table: CacheTable,
        store: Store,
        codec: KeyCodec,
        clock: Clock,
        listeners: Listeners,
        weigher: Weigher | None,
        keeps_costs: bool,
    ) -> None:
        self.table, self._store, self._codec, self._clock = table, store, codec, clock
        self._listeners, self._weigher, self.keeps_costs = listeners, weigher, keeps_costs

    def weights(self, keys: Keys, values: Any) -> Int64s | None:
        """Return what n values weigh (int64[n]), or None if they do not.

        Raises:
            ValueShapeError: if the weigher returns anything but an int >= 0.
            Exception: what the weigher raises.
        """
        if self._weigher is None:
            return None
        decoded, weigher = self._codec.decode(keys), self._weigher
        listed = decoded.tolist() if isinstance(decoded, np.ndarray) else decoded
        weights = np.empty(len(values), np.int64)
        for at, (key, value) in enumerate(zip(listed, values.tolist(), strict=True)):
            weight = weigher(key, value)
            if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
                raise ValueShapeError(
                    f"weigher: expected bytes as an int >= 0 for {key!r}, got {weight!r}"
                )
            weights[at] = min(weight, _HEAVIEST)
        return weights

    def put(
        self,
        keys: Keys,
        values: Any,
        now: int,
        deadlines: Int64s | None,
        *,
        weights: Int64s | None = None,
        want_removed: bool = False,
        absent_only: bool = False,
        guess: bool = False,
        veto: Bytes | None = None,
        costs: Int64s | None = None,
    ) -> Inserted:
        """Insert values as the table takes them; tell of what leaves."""
        listeners = self._listeners
        inserted = self.table.insert(
            keys,
            values,
            now,
            deadlines=deadlines,
            costs=costs,
            sizes=weights,
            absent_only=absent_only,
            guess=guess,
            veto=veto,
            want_removed=want_removed or bool(listeners),
        )
        if listeners:
            listeners.tell(inserted.removed)
        return inserted

    # ------------------------------------------------------------------ as loading sees it

    def find(self, keys: Keys, out: npt.NDArray[Any]) -> Bools:
        """Put the keys' values into `out` and return the hit mask, without counting the lookup."""
        now = self._clock.monotonic()
        return self.table.fetch(keys, now, out, zero=out.dtype != object, count=False)

    def store(
        self,
        keys: Keys,
        values: npt.NDArray[Any],
        ttl: Any,
        veto: Bytes,
        cost: int,
        guess: bool = False,
    ) -> Inserted:
        """Insert loaded values, except where `veto` is set by then; tell of what leaves.

        Args:
            cost: nanoseconds per value.
            guess: whether nobody asked for them; then what was removed is returned as well.
        """
        n = len(keys.words)
        stored = veto == 0
        weights = None
        if self._weigher is not None:
            weights = np.zeros(n, np.int64)
            some = part_of(keys, stored)
            weighed = self.weights(some, values[stored])
            assert weighed is not None
            weights[stored] = weighed
        now = self._clock.monotonic()
        # What is resident by now was set during the load, and wins.
        return self.put(
            keys,
            self._store.take_over(values),
            now,
            deadlines_of(ttl, now, n),
            weights=weights,
            want_removed=guess,
            absent_only=True,
            guess=guess,
            veto=veto,
            costs=np.full(n, cost, np.int64) if self.keeps_costs else None,
        )
