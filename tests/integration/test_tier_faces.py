"""The faces of a cache with a tier: what holds for each store and kind of keys holds there."""

from __future__ import annotations

import pytest

from tests.concurrency import test_loader_failures, test_loaders, test_threads
from tests.integration import (
    test_faces,
    test_promises,
    test_promises_pins,
    test_promises_removals,
    test_promises_ttl,
)
from tests.integration.test_gpu_faces import takes_any
from tests.support.tiers import Tiered


@pytest.fixture
def combination() -> Tiered:
    """Rows and int64 keys, in a table over another."""
    return Tiered("rows", "int64")


for _module in (
    test_faces, test_promises, test_promises_pins, test_promises_removals, test_promises_ttl,
    test_loaders, test_loader_failures, test_threads,
):  # fmt: skip
    for _name, _test in list(vars(_module).items()):
        if _name.startswith("test_") and takes_any(_test):
            globals()[f"{_module.__name__.rpartition('.')[2]}_{_name}"] = _test
