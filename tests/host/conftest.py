"""What the tests of the plugin host share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from predis_core import host
from tests.support.shelf import Shelf


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A folder for plugins; nothing may be left open afterwards."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    found = Shelf(folder)
    yield found
    found.clear()
    assert host.status() is None, "a cache with plugins was left open"
