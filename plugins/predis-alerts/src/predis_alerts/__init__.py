"""Rules of a user's own over what caches measure, and notices when one begins or ceases to hold."""

from __future__ import annotations

from predis_alerts.config import AlertsConfig, Rule, Webhook
from predis_core.plugin import PluginSpec

__all__ = ["PLUGIN", "AlertsConfig", "Rule", "Webhook"]

PLUGIN = PluginSpec(plugin="predis_alerts.plugin:Alerts", config=AlertsConfig)
"""What the entry point names."""
