"""Fixtures of the tests of the core."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from predis_core import host
from predis_core.host import drains
from predis_core.table import cpython
from tests.support.combinations import COMBINATIONS, Combination
from tests.support.crew import Crew
from tests.support.shelf import Shelf, shelf_in


@pytest.fixture(params=COMBINATIONS, ids=str)
def combination(request: pytest.FixtureRequest) -> Combination:
    """Each store with each kind of keys."""
    found: Combination = request.param
    return found


@pytest.fixture(params=["in place", "in Python"], scope="module")
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Objects are read in place, or as on an interpreter that is not known."""
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "in Python":
            patched.setattr(cpython, "is_known", lambda: False)
        else:
            assert cpython.is_known()
        yield request.param


@pytest.fixture
def crew() -> Iterator[Crew]:
    """Threads for a test, which take turns far more often than usual; at its end none may run."""
    members, interval = Crew(), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield members
    sys.setswitchinterval(interval)
    members.end()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Names the threads that began in this test; what tests before it left does not matter.

    A cache in a cycle of references is there until Python collects it, and its thread with it.
    """
    own, before = drains.Drains(), set(threading.enumerate())
    monkeypatch.setattr(drains, "DRAINS", own)
    monkeypatch.setattr(host.host, "DRAINS", own)
    return lambda: sorted(thread.name for thread in set(threading.enumerate()) - before)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """A folder for plugins; no cache may be left open afterwards."""
    with shelf_in(tmp_path) as found:
        yield found
    assert host.status() is None, "a cache with plugins was left open"
