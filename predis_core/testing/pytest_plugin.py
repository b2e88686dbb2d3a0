"""Fixtures for tests of programs that use Predis.

    pytest_plugins = ["predis_core.testing.pytest_plugin"]  # in conftest.py

It is not loaded by being installed: what pytest imports that early is not seen by coverage, and so
nothing of Predis is imported here before a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from predis_core.cache import Cache
    from predis_core.clock import ManualClock


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock that stands still until the test moves it."""
    from predis_core.clock import ManualClock

    return ManualClock()


@pytest.fixture
def open_cache(manual_clock: ManualClock) -> Iterator[Callable[..., Cache[Any, Any]]]:
    """Open caches as `predis_core.open`, on the manual clock and with plugins' failures raised.

    They are closed after the test, and their inside is checked.
    """
    import contextlib

    from predis_core.errors import CacheUnusable
    from predis_core.opening import open

    opened: list[Cache[Any, Any]] = []

    def opener(configuration: Any, **options: Any) -> Cache[Any, Any]:
        if isinstance(configuration, dict):
            strict = {"strict": True} | dict(configuration.get("host", {}))
            configuration = configuration | {"host": strict}
        cache = open(configuration, **({"clock": manual_clock} | options))
        opened.append(cache)
        return cache

    yield opener
    for cache in reversed(opened):
        with contextlib.suppress(CacheUnusable):
            cache.check_invariants()
        cache.close()
