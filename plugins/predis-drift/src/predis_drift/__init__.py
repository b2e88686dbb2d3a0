"""Notices when the workload of a cache changes.

Importing this package imports nothing heavy: naming the plugin costs nothing.
"""

from __future__ import annotations

from predis_core.plugin import PluginSpec
from predis_drift.config import DriftConfig

__all__ = ["PLUGIN", "DriftConfig"]

PLUGIN = PluginSpec(plugin="predis_drift.plugin:Drift", config=DriftConfig)
"""What the entry point names."""
