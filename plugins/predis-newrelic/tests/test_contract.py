"""What every plugin owes the core."""

from __future__ import annotations

from predis_core.testing.plugin_contract import PluginContract


class TestNewRelic(PluginContract):
    plugin = "newrelic"
    # Nobody listens there; an export fails at once, and the cache does not notice.
    options = {"license_key": "x", "host": "127.0.0.1:9", "timeout": "1s"}  # noqa: RUF012
