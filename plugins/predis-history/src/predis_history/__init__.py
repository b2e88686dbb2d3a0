"""Keeps what caches measured in one bounded SQLite file, and exports it.

This module and `config` import nothing of sqlite3: naming the plugin costs nothing.
"""

from __future__ import annotations

from predis_core.plugin import PluginSpec
from predis_history.config import HistoryConfig

__all__ = ["PLUGIN", "HistoryConfig"]

PLUGIN = PluginSpec(plugin="predis_history.plugin:History", config=HistoryConfig)
"""What the entry point names."""
