"""What every plugin owes the core."""

from __future__ import annotations

from predis_core.testing.plugin_contract import PluginContract


class TestLab(PluginContract):
    plugin = "lab"
    options = {"keep": 100}  # noqa: RUF012 - as the base class has it
    works = """
        from predis_lab import recording_of

        assert [batch.keys for _, batch in recording_of("contract").batches()] == [1, 2]
    """
