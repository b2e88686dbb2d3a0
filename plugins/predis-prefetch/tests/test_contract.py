"""What every plugin owes the core."""

from __future__ import annotations

from predis_core.testing.plugin_contract import PluginContract


class TestPrefetch(PluginContract):
    plugin = "prefetch"
