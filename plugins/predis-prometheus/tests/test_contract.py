"""What every plugin owes the core."""

from __future__ import annotations

from predis_core.testing.plugin_contract import PluginContract


class TestPrometheus(PluginContract):
    plugin = "prometheus"
    options = {"port": 0}  # noqa: RUF012 - as the base class has it
