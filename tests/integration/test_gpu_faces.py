"""The faces of a cache on a GPU: what holds for each store and kind of keys holds there."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from predis_core.table import moving
from tests.concurrency import test_loader_failures, test_loaders, test_resize, test_threads
from tests.integration import (
    test_faces,
    test_promises,
    test_promises_namespaces,
    test_promises_pins,
    test_promises_removals,
    test_promises_resize,
    test_promises_snapshots,
    test_promises_ttl,
)
from tests.support.combinations import Combination
from tests.support.gpu import open_on_host


@pytest.fixture
def combination(monkeypatch: pytest.MonkeyPatch) -> Combination:
    """Rows and int64 keys, on a GPU."""
    open_on_host(monkeypatch)
    return Combination("rows", "int64", device="cuda:0")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a snapshot goes."""
    return tmp_path / "cache.snapshot"


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many steps per move, so that others come between them."""
    monkeypatch.setattr(moving, "_BYTES", 1 << 12)


def borrowed(*modules: ModuleType) -> dict[str, Callable[..., None]]:
    """Return the tests of other modules that take any combination, by names of their own."""
    return {
        f"{module.__name__.rpartition('.')[2]}_{name}": test
        for module in modules
        for name, test in vars(module).items()
        if name.startswith("test_") and takes_any(test)
    }


def takes_any(test: Callable[..., None]) -> bool:
    first, *others = [*inspect.signature(test).parameters, ""]
    # How a move is interrupted is another thing for each kind of table.
    return first == "combination" and "interrupted" not in others


globals().update(
    borrowed(
        test_faces, test_promises, test_promises_namespaces, test_promises_pins,
        test_promises_removals, test_promises_resize, test_promises_snapshots, test_promises_ttl,
        test_loaders, test_loader_failures, test_resize, test_threads,
    )
)  # fmt: skip
