"""What every plugin owes the core."""

from __future__ import annotations

from predis_core.testing.plugin_contract import PluginContract


class TestDrift(PluginContract):
    plugin = "drift"
    options = {"rate": 1.0, "window": 500}  # noqa: RUF012 - as the base class has it
