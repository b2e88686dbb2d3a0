"""What caches measure, and spans of their loads, for OpenTelemetry.

This module and `config` import nothing of opentelemetry: naming the plugin costs nothing.
"""

from __future__ import annotations

from predis_core.plugin import PluginSpec
from predis_otel.config import OtelConfig, Tls

__all__ = ["PLUGIN", "OtelConfig", "Tls"]

PLUGIN = PluginSpec(plugin="predis_otel.plugin:Otel", config=OtelConfig)
"""What the entry point names."""
