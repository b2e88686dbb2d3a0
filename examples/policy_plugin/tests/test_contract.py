"""What every plugin owes the core."""

from predis_core.testing.plugin_contract import PluginContract


class TestLfuda(PluginContract):
    plugin = "lfuda"
    works = """
        with predis.open(
            {"cache": {"capacity": 10, "policy": "lfuda"}, "plugins": {"lfuda": {}}}
        ) as other:
            other[1] = "one"
            assert other[1] == "one"
    """
