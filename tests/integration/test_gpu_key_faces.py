"""The faces of a cache on a GPU whose keys are text, or anything, which the host compares."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.concurrency import test_resize
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
from tests.integration.test_gpu_faces import borrowed, small_windows
from tests.support.combinations import Combination
from tests.support.gpu import open_on_host

__all__ = ["small_windows"]


@pytest.fixture(params=["str", "any"])
def combination(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Combination:
    """Rows on a GPU."""
    open_on_host(monkeypatch)
    return Combination("rows", request.param, device="cuda:0")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a snapshot goes."""
    return tmp_path / "cache.snapshot"


globals().update(
    borrowed(
        test_faces, test_promises, test_promises_namespaces, test_promises_pins,
        test_promises_removals, test_promises_resize, test_promises_snapshots, test_promises_ttl,
        test_resize,
    )
)  # fmt: skip
