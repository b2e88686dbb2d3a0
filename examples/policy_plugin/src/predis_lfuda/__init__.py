"""LFU with dynamic ageing, an eviction policy for Predis."""

from predis_core.plugin import PluginSpec

PLUGIN = PluginSpec(plugin="predis_lfuda.plugin:Lfuda")
