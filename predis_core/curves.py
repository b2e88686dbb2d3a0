"""What a cache tells of other sizes; it adds to a cache, and does nothing past it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from predis_core.adapt import Curves, Drain, MissRatioCurve
from predis_core.adapt.draining import INTERVAL
from predis_core.adapt.sampled import FollowedTable, SampledLookups
from predis_core.errors import ConfigurationError, CurveError
from predis_core.recurring import never, recurring
from predis_core.table.interface import CacheTable, Int64s
from predis_core.table.keys import spread_seed


class CurveFace:
    """Curves from the lookups of a share of the keys, where `sampling` is on."""

    if TYPE_CHECKING:
        _root: Any
        _seed: int
        _table: CacheTable

        def _check(self) -> None: ...

    _sampled: SampledLookups
    _curves: Curves | None
    _drain: Drain
    _no_longer: Callable[[], Any]

    def _room(self) -> int:
        """Return how many sampled lookups others want to be able to wait."""
        return 0

    def _begin_sampling(self, sampling: float | None) -> None:
        """Follow a share of the keys from now on, in the background; None: of none."""
        rate = checked_rate(sampling)
        self._sampled = SampledLookups(spread_seed(self._seed))
        self._curves, self._no_longer = None, never
        if rate is not None:
            table = self._followable()
            self._curves = Curves(table.policy, table.layout.slots, rate, spread_seed(self._seed))
            self._curves.prepare()
            self._drain = Drain(self._sampled, table, [self._curves], self._room())
            self._no_longer = recurring(self, INTERVAL, _drain)

    def miss_ratio_curve(self, sizes: Any = None) -> MissRatioCurve:
        """Return how much an LRU cache of other sizes would have missed, of all lookups so far.

        Its `live` is the curve of the cache's own policy, at an eighth of the capacity to four
        times as much. Both are of a cache that was empty at first and of which nothing expires or
        is deleted or cleared. A resize keeps the curve, and begins `live` anew.

        Args:
            sizes: n sizes in entries, ascending; by default about 250, from the least that the
                sample can tell to those that are as good as any.

        Raises:
            ConfigurationError: if the cache was opened without `sampling`.
            CurveError: if too few keys were sampled so far, or the sizes do not fit.
        """
        wanted = None if sizes is None else _checked_sizes(sizes)
        curves = self._followed()
        with self._drain.drained(self._followable):
            return msgspec.structs.replace(curves.curve(wanted), lost=self._drain.lost)

    def size_for(self, hit_ratio: float) -> int:
        """Return the entries with which that share of the lookups so far would have been hits.

        It is read off the curve of the cache's own policy if that reaches the hit ratio between its
        smallest and its largest size, else off LRU's; see `miss_ratio_curve`.

        Args:
            hit_ratio: from 0 to 1.

        Raises:
            ConfigurationError: if the cache was opened without `sampling`.
            CurveError: if too few keys were sampled so far, or no size reaches the hit ratio.
        """
        curves = self._followed()
        with self._drain.drained(self._followable):
            return curves.size_for(hit_ratio)

    def _followable(self) -> FollowedTable:
        """Return the table, whose lookups can be followed."""
        return cast("FollowedTable", self._table)

    def _followed(self) -> Curves:
        self._check()
        if self._curves is not None:
            return self._curves
        if self._root is not None:
            raise ConfigurationError(
                "sampling: a namespace has no curve of its own; ask the cache that it is of"
            )
        raise ConfigurationError(
            "sampling: is off; open the cache with Cache(..., sampling=0.01), or with "
            "sampling = 0.01 in [cache]"
        )


def checked_rate(sampling: Any) -> float | None:
    """Return a share of keys as a float, or None.

    Raises:
        ConfigurationError: if it is none.
    """
    if sampling is None:
        return None
    is_number = isinstance(sampling, int | float) and not isinstance(sampling, bool)
    if not is_number or not 0 < sampling <= 1:
        raise ConfigurationError(
            f"sampling: expected a share of the keys, above 0 and at most 1, got {sampling!r}"
        )
    return float(sampling)


def _checked_sizes(sizes: Any) -> Int64s:
    found = np.asarray(sizes)
    fits = found.ndim == 1 and found.size and found.dtype.kind in "iu"
    if not fits or found[0] < 1 or (np.diff(found.astype(np.int64)) <= 0).any():
        raise CurveError(f"sizes: expected integers >= 1 that ascend, got {sizes!r}")
    return found.astype(np.int64)


def _drain(cache: CurveFace) -> None:
    cache._drain.drain(cache._followable)
