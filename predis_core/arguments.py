"""What a cache is opened with, checked; messages name the argument and the fix."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from predis_core.clock import Clock
from predis_core.errors import ConfigurationError
from predis_core.stores import Objects, Store


def checked_store(value: Any) -> Store:
    """Return the store of a cache: Objects by default.

    Raises:
        ConfigurationError: if it is none; so do the others.
    """
    if value is None:
        return Objects()
    if isinstance(value, Store):
        return value
    raise ConfigurationError(
        f"value: expected Objects(), Rows(dtype, shape) or Blobs(), got {value!r}"
    )


def checked_seed(seed: Any) -> int:
    """Return the seed, a new one if none is given."""
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise ConfigurationError(f"seed: expected an int, got {seed!r}")
    return operator.index(seed)


def check_others(clock: Any, loader: Any) -> None:
    """Refuse what is no clock, and what cannot be called."""
    if clock is not None and not isinstance(clock, Clock):
        raise ConfigurationError(f"clock: expected a Clock, got {clock!r}; ManualClock() is one")
    if loader is not None and not callable(loader):
        raise ConfigurationError(f"loader: expected a callable, got {loader!r}")
