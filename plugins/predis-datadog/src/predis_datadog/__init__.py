"""What caches measure, for Datadog.

This module and `config` import nothing of the `datadog` package: naming the plugin costs nothing.
"""

from __future__ import annotations

from predis_core.plugin import PluginSpec
from predis_datadog.config import DatadogConfig

__all__ = ["PLUGIN", "DatadogConfig"]

PLUGIN = PluginSpec(plugin="predis_datadog.plugin:Datadog", config=DatadogConfig)
"""What the entry point names."""
