"""What caches measure, for New Relic.

This module and `config` import nothing of New Relic's: naming the plugin costs nothing.
"""

from __future__ import annotations

from predis_core.plugin import PluginSpec
from predis_newrelic.config import NewRelicConfig

__all__ = ["PLUGIN", "NewRelicConfig"]

PLUGIN = PluginSpec(plugin="predis_newrelic.plugin:NewRelic", config=NewRelicConfig)
"""What the entry point names."""
