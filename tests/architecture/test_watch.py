"""The check of invariants after every test (conftest.py) does look, and does complain."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from predis_core.cache import Cache
from predis_core.errors import CacheClosed, InvariantError

if TYPE_CHECKING:
    from conftest import Watch


def complain() -> NoReturn:
    raise InvariantError("broken on purpose")


def damaged() -> Cache[Any, Any]:
    cache: Cache[Any, Any] = Cache(8)
    cache.check_invariants = complain  # type: ignore[method-assign]
    return cache


def test_an_open_cache_is_checked_at_the_end_of_its_test(cache_watch: Watch) -> None:
    damaged()
    with pytest.raises(InvariantError):
        cache_watch.check_held()


def test_a_cache_is_checked_when_its_test_closes_it(cache_watch: Watch) -> None:
    cache = damaged()
    with pytest.raises(InvariantError):
        cache.close()
    cache_watch.held.clear()


def test_a_closed_cache_is_left_alone(cache_watch: Watch) -> None:
    cache: Cache[Any, Any] = Cache(8)
    cache.close()
    with pytest.raises(CacheClosed):
        cache.check_invariants()
    cache_watch.check_held()


def test_a_test_of_many_caches_holds_few_and_checks_all(cache_watch: Watch) -> None:
    with pytest.raises(InvariantError):
        [damaged() for _ in range(100)]
    assert len(cache_watch.held) < 100
    cache_watch.held.clear()


@pytest.mark.breaks_invariants
def test_the_mark_breaks_invariants_leaves_a_test_unchecked(cache_watch: Watch) -> None:
    damaged().close()
    assert not cache_watch.held


@pytest.mark.watches_lifetime
def test_the_mark_watches_lifetime_holds_no_reference(cache_watch: Watch) -> None:
    gone = weakref.ref(Cache(8))
    gc.collect()
    assert gone() is None
