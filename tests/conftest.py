"""Fixtures of the tests of the core."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from predis_core import host
from tests.support.combinations import COMBINATIONS, Combination
from tests.support.crew import Crew
from tests.support.shelf import Shelf


@pytest.fixture(params=COMBINATIONS, ids=str)
def combination(request: pytest.FixtureRequest) -> Combination:
    """Each store with each kind of keys."""
    found: Combination = request.param
    return found


@pytest.fixture
def crew() -> Iterator[Crew]:
    """Threads for a test, which take turns far more often than usual; at its end none may run."""
    members, interval = Crew(), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield members
    sys.setswitchinterval(interval)
    members.end()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A folder for plugins; no cache may be left open afterwards."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    found = Shelf(folder)
    yield found
    found.clear()
    assert host.status() is None, "a cache with plugins was left open"
