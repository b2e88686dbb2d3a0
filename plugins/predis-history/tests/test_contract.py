"""What every plugin owes the core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from predis_core.testing.plugin_contract import PluginContract


class TestHistory(PluginContract):
    plugin = "history"

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def section(self) -> dict[str, Any]:
        return {"path": str(self.folder / "history.db"), "interval": "50ms"}
