"""The faces of a cache on a GPU: what holds for each store and kind of keys holds there."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType

import pytest

from tests.concurrency import test_loader_failures, test_loaders, test_threads
from tests.integration import test_faces, test_promises, test_promises_ttl
from tests.support.combinations import Combination
from tests.support.gpu import open_on_host


@pytest.fixture
def combination(monkeypatch: pytest.MonkeyPatch) -> Combination:
    """Rows and int64 keys, on a GPU."""
    open_on_host(monkeypatch)
    return Combination("rows", "int64", device="cuda:0")


def borrow(*modules: ModuleType) -> None:
    """Have the tests of other modules that take any combination run here as well."""
    for module in modules:
        for name, test in vars(module).items():
            if name.startswith("test_") and takes_any(test):
                globals()[f"{module.__name__.rpartition('.')[2]}_{name}"] = test


def takes_any(test: Callable[..., None]) -> bool:
    return next(iter(inspect.signature(test).parameters), "") == "combination"


borrow(
    test_faces, test_promises, test_promises_ttl,
    test_loaders, test_loader_failures, test_threads,
)  # fmt: skip
