"""Times to live, as users give them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.clock import MAX_DURATION, NANOSECONDS, nanoseconds
from predis_core.errors import ConfigurationError


def lifetimes_of(ttl: Any, n: int) -> Any:
    """Return times to live in nanoseconds: an int, or int64[n]; 0 stands for forever.

    Args:
        ttl: seconds or a timedelta, or n seconds as an array or sequence; infinity is forever.
        n: how many entries there are.

    Raises:
        ConfigurationError: if one is not greater than zero, or there are not n of them.
    """
    if getattr(getattr(ttl, "dtype", None), "kind", "") == "m":
        ttl = ttl / np.timedelta64(1, "s")
    if isinstance(ttl, timedelta | int | float):
        return nanoseconds(ttl)
    try:
        seconds = np.asarray(ttl, np.float64)
        if seconds.ndim == 0:
            return nanoseconds(float(seconds))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"ttl: expected seconds, got {ttl!r}: {error}") from error
    if seconds.shape != (n,):
        raise ConfigurationError(
            f"ttl: expected {n} seconds, one per key, got shape {seconds.shape}"
        )
    if not (seconds > 0).all():
        at = int(np.argmin(seconds > 0))
        raise ConfigurationError(
            f"ttl: expected seconds > 0, got {seconds[at]} at position {at}; "
            "infinity is for entries that do not expire"
        )
    with np.errstate(over="ignore"):
        finite = np.minimum(np.maximum(np.rint(seconds * NANOSECONDS), 1), MAX_DURATION)
    return np.where(np.isinf(seconds), 0, finite.astype(np.int64))


def deadlines_of(lifetimes: Any, now: int, n: int) -> npt.NDArray[np.int64] | None:
    """Return deadlines (int64[n], 0 for none) of lifetimes that begin now; None if none ends.

    Args:
        lifetimes: what `lifetimes_of` returns.
        now: nanoseconds of the monotonic clock.
        n: how many entries there are.
    """
    if isinstance(lifetimes, int):
        return np.full(n, now + lifetimes, np.int64) if lifetimes else None
    return np.where(lifetimes > 0, now + lifetimes, 0)
