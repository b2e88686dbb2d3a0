"""What every plugin owes the core."""

from predis_core.testing.plugin_contract import PluginContract


class TestStrides(PluginContract):
    plugin = "strides"
