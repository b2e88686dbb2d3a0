"""Fixtures of the tests of the core."""

from __future__ import annotations

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
    """Threads for a test; at its end none of them may run any more."""
    members = Crew()
    yield members
    members.end()
