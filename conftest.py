"""What every test run shares, in tests/ and in plugins/*/tests.

Hypothesis profiles: "ci" is deterministic, "dev" explores. HYPOTHESIS_PROFILE names one; without it
"ci" is taken where CI is set, else "dev".

After every test, `check_invariants()` runs on each cache the test created: when the test closes it,
and at the test's end if it is still open. The caches are held until then, as otherwise most of them
would be gone with the test's own variables. A test that damages a cache on purpose is marked
`breaks_invariants`; one that watches a cache being collected is marked `watches_lifetime`, and only
its calls of `close()` are checked.

A cache of policy "auto", which is the default, has no turns in the background, so that a test knows
what happens when; one that is marked `adapts` lets it have them.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest

from predis_core import adapting
from predis_core.adapt import choosing
from predis_core.cache import Cache
from predis_core.errors import CacheBusy, CacheUnusable
from predis_core.table import codegen

hypothesis.settings.register_profile(
    "ci", derandomize=True, database=None, deadline=None, max_examples=100, print_blob=True
)
hypothesis.settings.register_profile("dev", deadline=None, max_examples=50)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
)

# Seconds until a cache has its first turn.
NEVER = 1e6

# A Hypothesis test builds hundreds of caches: beyond this many, the oldest is checked and let go.
HELD_AT_MOST = 32


class Watch:
    """Knows the caches that the running test created and checks them."""

    def __init__(self) -> None:
        self.checking = False
        self.holding = False
        self.held: deque[Cache[Any, Any]] = deque()

    def begin(self, checking: bool, holding: bool) -> None:
        self.checking, self.holding = checking, checking and holding
        self.held.clear()

    def add(self, cache: Cache[Any, Any]) -> None:
        if self.holding:
            self.held.append(cache)
            while len(self.held) > HELD_AT_MOST:
                self.check(self.held.popleft())

    def check(self, cache: Cache[Any, Any]) -> None:
        # Unusable: closed already, or built before a fork that this process is the child of.
        # Busy: closed within a snapshot.
        with contextlib.suppress(CacheUnusable, CacheBusy):
            cache.check_invariants()

    def check_held(self) -> None:
        while self.held:
            self.check(self.held.popleft())

    def end(self) -> None:
        self.begin(checking=False, holding=False)


watch = Watch()


def checked(kernels: codegen.Kernels, verb: Any) -> Callable[..., Any]:
    """Stand in for `codegen.direct`: call a kernel as it does, if the arguments are of its types.

    Without the check, those of another type would be taken for what they are not.
    """

    def call(*arguments: Any) -> Any:
        if not verb.overloads:
            return verb(*arguments)
        given = tuple(map(verb.typeof_pyval, arguments))
        ((types, compiled),) = verb.overloads.items()
        assert given == types, f"{verb.__name__}: {given} instead of {types}"
        return compiled.entry_point(*arguments)

    return call


def pytest_configure(config: pytest.Config) -> None:
    """Make `Cache` tell `watch` of every construction and check itself before it closes."""
    codegen.direct = checked
    construct, close = Cache.__init__, Cache.close

    @functools.wraps(construct)
    def construct_and_tell(self: Cache[Any, Any], *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        watch.add(self)

    @functools.wraps(close)
    def check_and_close(self: Cache[Any, Any]) -> None:
        if watch.checking:
            watch.check(self)
        close(self)

    Cache.__init__ = construct_and_tell  # type: ignore[method-assign]
    Cache.close = check_and_close  # type: ignore[method-assign]

    def restore() -> None:
        Cache.__init__, Cache.close = construct, close  # type: ignore[method-assign]

    config.add_cleanup(restore)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Watch from before the test's fixtures are set up until after they are torn down."""
    watch.begin(
        checking=item.get_closest_marker("breaks_invariants") is None,
        holding=item.get_closest_marker("watches_lifetime") is None,
    )
    adapts = item.get_closest_marker("adapts") is not None
    adapting.INTERVAL = choosing.INTERVAL if adapts else NEVER
    try:
        return (yield)
    finally:
        watch.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Check what is still open as part of the test, so that a breach is the test's failure."""
    result = yield
    watch.check_held()
    return result


@pytest.fixture
def cache_watch() -> Watch:
    """The watch itself, for the test that proves it works."""
    return watch
