"""What every plugin owes the core, with spans and with connections that are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from predis_core.testing.plugin_contract import PluginContract


class TestOtel(PluginContract):
    plugin = "otel"
    url = ""

    @pytest.fixture(autouse=True)
    def _received(self, receiving: Callable[..., Any]) -> None:
        type(self).url = receiving("grpc").url

    def section(self) -> dict[str, Any]:
        return {"endpoint": self.url, "traces": True, "sample": 1.0}
