"""What caches do, live in a terminal: `predis top`.

Importing this package costs next to nothing; the command imports what draws.
"""

from __future__ import annotations

from predis_core.plugin import PluginSpec

__all__ = ["PLUGIN"]

PLUGIN = PluginSpec(plugin="predis_top.plugin:Top")
"""What the entry point names; the section has no options."""
