"""What every plugin owes the core."""

from __future__ import annotations

from predis_core.testing.plugin_contract import PluginContract


class TestDatadog(PluginContract):
    plugin = "datadog"
    # Nobody listens there, and that is not found out while a test runs.
    options = {"port": 18125, "interval": "1h"}  # noqa: RUF012 - as the base class has it
    works = """
        import json
        from importlib import resources

        board = resources.files("predis_datadog").joinpath("data", "dashboard.json")
        assert json.loads(board.read_text())["title"] == "Predis"
    """
