"""The plugin: it records every cache that has it, and writes a page when one closes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from predis_core.plugin import CacheView, Health, MetricSource, Observer, hookimpl
from predis_lab import recording
from predis_lab.config import CACHE, LabConfig
from predis_lab.recording import Recording

logger = logging.getLogger("predis.lab")


class Lab:
    """Records what caches do.

    Args:
        config: the section `[plugins.lab]`.

    Raises:
        ValueError: if the report's folder is not there.
    """

    def __init__(self, config: LabConfig) -> None:
        self._config = config
        self._begun: dict[str, Recording] = {}
        self._recordings: dict[str, Recording] = {}
        folder = None if config.report is None else config.report.parent
        if folder is not None and not folder.is_dir():
            raise ValueError(f"report: there is no folder {str(folder)!r}; make it or name another")

    @hookimpl
    def predis_observers(self, cache: CacheView) -> Sequence[Observer]:
        """Begin a recording."""
        begun = self._begun[cache.name] = Recording(cache, self._config.keep)
        return [begun]

    @hookimpl
    def predis_metric_sources(self, cache: CacheView) -> Sequence[MetricSource]:
        """Tell of the batches that are remembered."""
        return [self._begun[cache.name]]

    @hookimpl
    def predis_cache_opened(self, cache: CacheView) -> None:
        """Let `predis_lab.recording_of` find the recording."""
        opened = self._recordings[cache.name] = self._begun.pop(cache.name)
        recording.publish(opened)

    @hookimpl
    def predis_cache_closing(self, cache: CacheView) -> None:
        """End the recording, and write the page."""
        ended = self._recordings.pop(cache.name)
        recording.withdraw(ended)
        if self._config.report is not None:
            path = _of(cache, self._config.report)
            ended.write(path)
            logger.info("cache %r: report written to %s", cache.name, path)

    @hookimpl
    def predis_health(self) -> Health:
        """Tell of reports that would overwrite each other."""
        report, caches = self._config.report, ", ".join(sorted(self._recordings))
        if report is not None and len(self._recordings) > 1 and CACHE not in report.name:
            return Health(
                "degraded",
                f"report: caches {caches} would write one file; put {CACHE} into its name",
            )
        return Health()


def _of(cache: CacheView, report: Path) -> Path:
    """The file of a cache's report."""
    return report.with_name(report.name.replace(CACHE, cache.name))
