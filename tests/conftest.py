"""Fixtures of the tests of the core."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.support.combinations import COMBINATIONS, Combination
from tests.support.crew import Crew


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
