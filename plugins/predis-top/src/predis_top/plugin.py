"""The plugin: it has latencies measured, so that there are some to show."""

from __future__ import annotations

from collections.abc import Sequence

from predis_core.plugin import Exporter, NoOptions, Snapshot, hookimpl


class _Asked:
    """Values are asked for through the control socket, never exported."""

    interval = None

    def export(self, snapshot: Snapshot) -> None:
        """Never called, as there is no interval."""


class Top:
    """Makes caches measure how long batches take.

    Args:
        options: the section `[plugins.top]`, which is empty.
    """

    def __init__(self, options: NoOptions) -> None:
        self._exporter = _Asked()

    @hookimpl
    def predis_exporters(self) -> Sequence[Exporter]:
        """Want latencies."""
        return [self._exporter]
