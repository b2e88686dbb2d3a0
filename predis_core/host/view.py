"""A cache as one plugin sees it, and what the host needs of a cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from predis_core.adapt.sampled import Noted
from predis_core.config import CacheConfig
from predis_core.host.models import OfferedModel
from predis_core.pages import ReportPage
from predis_core.table.interface import Keys
from predis_core.types import Event, Sample, Snapshot, Stats


class Hosted(Protocol):
    """What the host needs of a cache."""

    def stats(self) -> Stats:
        """Return what the cache did; CacheUnusable once it is closed."""
        ...

    def samples(self) -> Sequence[Sample]:
        """Return what the cache itself measures; CacheUnusable once it is closed."""
        ...

    @property
    def chooses(self) -> bool:
        """Whether it chooses its policy itself, at present."""
        ...

    def choose_anew(self) -> None:
        """Have it forget what it learned about policies, if it chooses."""
        ...

    def decoder(self) -> Callable[[Keys], Any]:
        """Return what turns a table's keys into a user's, and does not keep the cache alive."""
        ...

    def sample_keys(self, rate: float, capacity: int) -> None:
        """Note lookups of that share of keys, so many at a time; with rate 0, none any longer."""
        ...

    def sampled_keys(self, since: int, rate: float) -> Noted:
        """Return what was noted, of keys that a lower rate has too; CacheUnusable once closed."""
        ...


class View:
    """One plugin's view of a cache; see `predis_core.plugin.CacheView`."""

    def __init__(
        self,
        config: CacheConfig,
        stats: Callable[[], Stats],
        snapshot: Callable[[], Snapshot],
        emit: Callable[[Event], None],
        models: Callable[[], Sequence[OfferedModel]] = tuple,
        report_pages: Callable[[], Sequence[ReportPage]] = tuple,
    ) -> None:
        self._config = config
        self._stats = stats
        self._snapshot = snapshot
        self._emit = emit
        self._models = models
        self._report_pages = report_pages

    @property
    def name(self) -> str:
        """The cache's name."""
        return self._config.name

    @property
    def config(self) -> CacheConfig:
        """The cache's section of the configuration."""
        return self._config

    def stats(self) -> Stats:
        """Return what the cache did since it was opened."""
        return self._stats()

    def snapshot(self) -> Snapshot:
        """Return all that is measured about the cache."""
        return self._snapshot()

    def emit(self, event: Event) -> None:
        """Tell the other plugins of something rare."""
        self._emit(event)

    def models(self) -> Sequence[OfferedModel]:
        """Return the models of all plugins of the cache; all of them once it was opened."""
        return self._models()

    def report_pages(self) -> Sequence[ReportPage]:
        """Return the pages that plugins of the cache have for a report about it, as of now."""
        return self._report_pages()

    def __repr__(self) -> str:
        return f"<view of cache {self.name!r}>"
