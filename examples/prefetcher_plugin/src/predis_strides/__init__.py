"""Loads what a scan will ask for, for Predis."""

from predis_core.plugin import PluginSpec

PLUGIN = PluginSpec(plugin="predis_strides.plugin:Strides")
