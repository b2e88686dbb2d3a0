"""What caches measure, for Prometheus to scrape.

This module and `config` import nothing of prometheus_client: naming the plugin costs nothing.
"""

from __future__ import annotations

from predis_core.plugin import PluginSpec
from predis_prometheus.config import BasicAuth, PrometheusConfig, Tls

__all__ = ["PLUGIN", "BasicAuth", "PrometheusConfig", "Tls"]

PLUGIN = PluginSpec(plugin="predis_prometheus.plugin:Prometheus", config=PrometheusConfig)
"""What the entry point names."""
