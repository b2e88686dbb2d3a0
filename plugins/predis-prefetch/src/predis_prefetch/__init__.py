"""Prefetchers for Predis: `association`, what follows what, and `readahead`, scans.

Importing this package costs next to nothing; the kernels are loaded when a cache is opened with it.
"""

from __future__ import annotations

from predis_core.plugin import PluginSpec
from predis_prefetch.config import PrefetchersConfig

__all__ = ["PLUGIN", "PrefetchersConfig"]

PLUGIN = PluginSpec(plugin="predis_prefetch.plugin:Prefetch", config=PrefetchersConfig)
"""What the entry point names."""
