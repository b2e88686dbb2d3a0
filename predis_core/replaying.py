"""Replays of requests into a cache whose prefetchers load ahead, in a time that is simulated.

Nothing sleeps and no thread runs: the same requests make the same decisions. That of the live cache
is `prefetching`; both have the same engine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from predis_core import config
from predis_core.adapt import Inline as Adapts
from predis_core.clock import Clock
from predis_core.config import Configuration, PluginSection
from predis_core.errors import ConfigurationError, PluginError
from predis_core.host import Session, discovery
from predis_core.host.plugged import Plugged
from predis_core.host.registry import Registry
from predis_core.policies import Auto
from predis_core.prefetch import Engine, Inline, Member
from predis_core.table import codec, open_table
from predis_core.table.interface import Inserted, Keys
from predis_core.types import AccessBatch, PrefetchStats

_STEP = 256
"""Requests after which a cache that chooses its policy may change it: as `adapt.replayed`."""


def prefetching_plugins() -> list[str]:
    """Return the names of the installed plugins that offer prefetchers and need no options."""
    available = discovery.installed_plugins()
    found = []
    for name in available:
        try:
            loaded = discovery.load(PluginSection(name, {}), available)
        except (ConfigurationError, PluginError):
            continue  # whoever enables it is told
        if hasattr(loaded.kind, "predis_prefetchers"):
            found.append(name)
    return found


@contextlib.contextmanager
def _members(
    configuration: Configuration, wanted: Collection[str] | None
) -> Iterator[list[Member]]:
    """Start the plugins of a configuration, and yield the prefetchers of theirs that are wanted."""
    registry, clock = Registry(), Clock()
    available = discovery.installed_plugins()
    with contextlib.ExitStack() as stack:
        plugged: list[Plugged] = []
        for section in configuration.plugins.values():
            loaded = discovery.load(section, available)
            deadline = float(configuration.host.deadline)
            plugged.append(Plugged(section, loaded, registry, deadline, clock))
            stack.callback(plugged[-1].close)
        session = Session(
            configuration.cache, plugged, {}, strict=True, clock=clock, emit=lambda event: True
        )
        offered = session.members(configuration.cache.name)
        known = [member.name for member in offered]
        for name in wanted or ():
            if name not in known:
                raise ConfigurationError(
                    f"prefetchers: no plugin offers {name!r}; "
                    f"there are: {', '.join(known) or 'none'}"
                )
        yield [member for member in offered if wanted is None or member.name in wanted]


class PrefetchReplay:
    """An empty cache of int64 keys, without values, that requests are fed to, one at a time.

    A request looks up, and what is missing is there before the next one; loads ahead take their
    time. Requests come at a constant rate, whether or not earlier ones still wait.

    Args:
        configuration: as for `open`: the cache's capacity, policy, seed and `[cache.prefetch]`, and
            the plugins whose prefetchers load ahead; none: nothing does.
        prefetchers: the names of those that do; None: all that the plugins offer.
        latency: nanoseconds that a load takes; 0: what is loaded ahead is there before the next
            request.
        gap: nanoseconds from one request to the next.

    Attributes:
        requests: fed so far.
        misses: of them, those that were not there.
        late: of the misses, those that were being loaded ahead.
        waited: nanoseconds that misses took: `latency`, and less for late ones.

    Raises:
        ConfigurationError: as `open`, and if no plugin offers a prefetcher of such a name.
        PluginError: as `open`.
    """

    def __init__(
        self,
        configuration: Any,
        *,
        prefetchers: Collection[str] | None = None,
        latency: int = 0,
        gap: int = 0,
    ) -> None:
        decoded = config.load(configuration)
        section = msgspec.structs.replace(decoded.cache, keys="int64")
        decoded = msgspec.structs.replace(decoded, cache=section)
        capacity, seed = section.capacity or 1, section.seed or 0
        self.requests = self.misses = self.late = self.waited = 0
        self._latency, self._gap = latency, gap
        self._name, self._now = section.name, 0
        policy = Registry().policy(section.policy)
        self._table = table = open_table(capacity, policy, seed)
        self._adapts = Adapts(table) if isinstance(policy, Auto) else None
        self._held = contextlib.ExitStack()
        members = self._held.enter_context(_members(decoded, prefetchers))
        self._engine = Engine(
            members,
            section.prefetch,
            capacity,
            codec("int64", seed).encode,
            lambda keys: table.contains(keys, 0),
            lambda keys: table.touch(keys, 0),
        )
        self._inline = Inline(self._engine, self._insert, latency)

    def feed(self, keys: npt.NDArray[np.int64]) -> None:
        """Ask for int64[n] keys, one after the other."""
        while len(keys):
            some = keys[: _STEP - self.requests % _STEP]
            self._ask(some)
            self.requests += len(some)
            if self._adapts is not None:
                self._adapts.follow(some)
            keys = keys[len(some) :]

    def stats(self) -> list[PrefetchStats]:
        """Return what each prefetcher did so far."""
        return self._engine.stats()

    def __enter__(self) -> PrefetchReplay:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _ask(self, keys: npt.NDArray[np.int64]) -> None:
        inline, lookup = self._inline, self._table.lookup
        for at in range(len(keys)):
            words = keys[at : at + 1]
            self._now += self._gap
            inline.arrive(self._now)
            asked = Keys(words)
            hits = lookup(asked, 0) >= 0
            if not hits[0]:
                self._miss(asked)
            inline.follow(AccessBatch(self._name, words, words, hits), self._now)

    def _miss(self, asked: Keys) -> None:
        self.misses += 1
        due = self._inline.due(int(asked.words[0]))
        self.late += due is not None
        self.waited += self._latency if due is None else due - self._now
        self._table.insert(asked, None, 0, absent_only=True)

    def _insert(self, keys: Keys, guess: bool) -> Inserted:
        return self._table.insert(keys, None, 0, absent_only=True, guess=guess, want_removed=True)
