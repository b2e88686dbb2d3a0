"""The faces of a cache with a tier: what holds for each store and kind of keys holds there."""

from __future__ import annotations

from pathlib import Path

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
from tests.integration.test_gpu_faces import borrowed
from tests.support.tiers import Tiered


@pytest.fixture
def combination() -> Tiered:
    """Rows and int64 keys, in a table over another."""
    return Tiered("rows", "int64")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a snapshot goes."""
    return tmp_path / "cache.snapshot"


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many steps per move, so that others come between them."""
    monkeypatch.setattr(moving, "_BYTES", 1 << 12)


globals().update(
    borrowed(
        test_faces, test_promises, test_promises_namespaces, test_promises_pins,
        test_promises_removals, test_promises_resize, test_promises_snapshots, test_promises_ttl,
        test_loaders, test_loader_failures, test_resize, test_threads,
    )
)  # fmt: skip
