"""What every plugin owes the core."""

from __future__ import annotations

from predis_core.testing.plugin_contract import PluginContract


class TestAlerts(PluginContract):
    plugin = "alerts"
    options = {  # noqa: RUF012 - as the base class has it
        "interval": "50ms",
        "log": False,
        "rules": [{"name": "low", "metric": "hit_ratio", "condition": "< 0.9"}],
        "webhook": {"url": "http://127.0.0.1:9/", "retries": 0, "flush": "100ms"},
    }
