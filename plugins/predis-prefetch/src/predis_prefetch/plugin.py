"""The plugin: it offers its prefetchers to every cache."""

from __future__ import annotations

from collections.abc import Sequence

from predis_core.plugin import CacheView, Prefetcher, hookimpl
from predis_prefetch.config import PrefetchersConfig


class Prefetch:
    """Offers prefetchers, new ones for each cache and each namespace.

    Args:
        config: the section `[plugins.prefetch]`.
    """

    def __init__(self, config: PrefetchersConfig) -> None:
        self._config = config

    @hookimpl
    def predis_prefetchers(self, cache: CacheView) -> Sequence[Prefetcher]:
        """Return those that are configured and can follow keys of the cache's kind."""
        # Numba is loaded, and the kernels compiled, only where somebody has asked for them.
        from predis_prefetch.association import Association
        from predis_prefetch.readahead import Readahead

        config = self._config
        is_int64 = cache.config.key_kind == "int64"
        found: list[Prefetcher] = []
        if "association" in config.prefetchers:
            found.append(Association(config.association, not is_int64))
        if "readahead" in config.prefetchers and is_int64:
            found.append(Readahead(config.readahead))
        return found
