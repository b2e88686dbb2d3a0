"""Replaying a trace into a cache whose prefetchers load ahead, and into one without."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.errors import ConfigurationError
from predis_core.replaying import PrefetchReplay, prefetching_plugins
from predis_core.types import PrefetchStats
from predis_lab.replaying import replay

_NANOSECONDS = 1e9
_AT_ONCE = 4_096
"""Requests between two calls of `progress`."""

Progress = Callable[[int, int], None]
Sections = Mapping[str, Mapping[str, Any]]
"""Plugins, and the keys of their sections."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What became of the requests of a trace, with prefetchers and without.

    Attributes:
        trace, policy, entries: what was replayed, and into what.
        requests: how many.
        plain_misses: misses of the same cache without prefetchers.
        misses: misses with them; `late` ones were being loaded ahead, and are not loaded twice.
        latency: seconds that a load takes; 0.0: what is loaded ahead is there at once.
        waited: seconds that misses took.
        prefetchers: what each did.
    """

    trace: str
    policy: str
    entries: int
    requests: int
    plain_misses: int
    misses: int
    late: int
    latency: float
    waited: float
    prefetchers: tuple[PrefetchStats, ...]

    @property
    def plain_waited(self) -> float:
        """Seconds that misses took without prefetchers."""
        return self.plain_misses * self.latency

    @property
    def loads(self) -> int:
        """Keys that were loaded ahead."""
        return sum(each.loads for each in self.prefetchers)

    @property
    def saved(self) -> float:
        """The share of the misses that there are no longer."""
        return _share(self.plain_misses - self.misses, self.plain_misses)

    @property
    def saved_seconds(self) -> float:
        """Seconds that nobody waits any longer."""
        return self.plain_waited - self.waited

    @property
    def fetched(self) -> int:
        """Keys that the backend loads, demanded or ahead; without prefetchers, `plain_misses`."""
        return self.misses - self.late + self.loads

    @property
    def fetches(self) -> float:
        """Keys that the backend loads, per key that it loads without prefetchers."""
        return _share(self.fetched, self.plain_misses)

    @property
    def precision(self) -> float:
        """The share of what was loaded ahead, and decided, that was asked for, late or in time."""
        return _share(self._asked_for(), self._asked_for() + self._sum("unused"))

    @property
    def coverage(self) -> float:
        """Keys that were loaded ahead and asked for, per miss without prefetchers."""
        return _share(self._asked_for(), self.plain_misses)

    @property
    def lateness(self) -> float:
        """The share of what was loaded ahead and asked for that came late."""
        return _share(self._sum("late"), self._asked_for())

    @property
    def harm(self) -> float:
        """The share of what was loaded ahead for which something left that was soon missed."""
        return _share(self._sum("harmful"), self.loads)

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        each = [
            {name: getattr(stats, name) for name in stats.__struct_fields__}
            for stats in self.prefetchers
        ]
        return {name: getattr(self, name) for name in _SHOWN} | {"prefetchers": each}

    def _asked_for(self) -> int:
        return self._sum("used") + self._sum("late")

    def _sum(self, name: str) -> int:
        return sum(getattr(each, name) for each in self.prefetchers)


_SHOWN = (
    "trace", "policy", "entries", "requests", "plain_misses", "misses", "late", "saved", "latency",
    "plain_waited", "waited", "saved_seconds", "loads", "fetched", "fetches", "precision",
    "coverage", "lateness", "harm",
)  # fmt: skip
"""What of a replay goes into JSON."""


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def replay_ahead(
    keys: npt.NDArray[np.int64],
    capacity: int,
    policy: str = "auto",
    *,
    prefetchers: Collection[str] | None = None,
    plugins: Sections | None = None,
    latency: float = 0.001,
    rate: float = 10_000.0,
    seed: int = 0,
    prefetch: Mapping[str, Any] | None = None,
    name: str = "trace",
    progress: Progress | None = None,
) -> Ahead:
    """Replay requests into an empty cache whose prefetchers load ahead, and into one without.

    Time is simulated, and a replay gives the same figures each time.

    keys: int64[n]
    prefetchers: names of those that load ahead, together; None: all that the plugins offer
    plugins: those that offer them, by name, with the keys of their sections; None: all that are
        installed and need no keys
    latency: seconds that a load takes; 0: what is loaded ahead is there before the next request
    rate: requests per second
    seed: of the hash that spreads keys over the sets
    prefetch: the keys of `[cache.prefetch]`
    name: of the trace in the result
    progress: called with the requests replayed so far and those to replay
    """
    if latency < 0 or rate <= 0:
        raise ValueError(f"latency is {latency} and rate {rate}: at least 0, and above 0")
    configuration = {
        "cache": {
            "capacity": capacity,
            "policy": policy,
            "seed": seed,
            "device": "cpu",
            "prefetch": dict(prefetch or {}),
        },
        "plugins": {plugin: dict(section) for plugin, section in _all(plugins).items()},
    }
    plain = replay(keys, capacity, policy, seed=seed)
    nanoseconds, gap = round(latency * _NANOSECONDS), round(_NANOSECONDS / rate)
    with PrefetchReplay(
        configuration, prefetchers=prefetchers, latency=nanoseconds, gap=gap
    ) as ahead:
        for start in range(0, len(keys), _AT_ONCE):
            ahead.feed(keys[start : start + _AT_ONCE])
            if progress is not None:
                progress(ahead.requests, len(keys))
        return Ahead(
            trace=name,
            policy=plain.policy,
            entries=capacity,
            requests=ahead.requests,
            plain_misses=plain.misses,
            misses=ahead.misses,
            late=ahead.late,
            latency=latency,
            waited=ahead.waited / _NANOSECONDS,
            prefetchers=tuple(ahead.stats()),
        )


def _all(plugins: Sections | None) -> Sections:
    return _with_defaults(prefetching_plugins()) if plugins is None else plugins


def _with_defaults(plugins: Sequence[str]) -> Sections:
    return {name: {} for name in plugins}


def offered(names: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of `replay_ahead` for prefetchers by name, or for all of some plugins.

    Raises:
        ConfigurationError: if some are plugins, and others are not.
    """
    plugins = prefetching_plugins()
    rest = [name for name in names if name not in plugins]
    if not rest:
        return {"plugins": _with_defaults(names)}
    if len(rest) < len(names):
        raise ConfigurationError(
            f"prefetchers: {', '.join(sorted({*names} - {*rest}))} is a plugin, and "
            f"{', '.join(rest)} is not; name plugins, or prefetchers"
        )
    return {"prefetchers": names, "plugins": _with_defaults(plugins)}


def rows(found: Iterable[Ahead]) -> list[list[str]]:
    """Return a row of a table for each, under `HEAD`."""
    return [
        [
            each.trace,
            each.policy,
            f"{each.entries:,}",
            f"{_share(each.plain_misses, each.requests):.4f}",
            f"{_share(each.misses, each.requests):.4f}",
            f"{each.saved:.1%}",
            f"{each.saved_seconds:,.1f} s" if each.latency else "–",
            f"{each.fetches:.2f}",
            f"{each.precision:.0%}" if each.loads else "–",
            f"{each.coverage:.0%}",
            f"{each.lateness:.0%}" if each.latency else "–",
            f"{each.harm:.1%}",
        ]
        for each in found
    ]


HEAD = (
    "trace", "policy", "entries", "misses without", "with", "saved", "waiting saved", "fetches",
    "precision", "coverage", "late", "harm",
)  # fmt: skip
"""What the columns of `rows` are."""

HELP = {
    "misses without, with": "The share of the requests that missed, without prefetchers and with.",
    "saved": "The share of the misses that there are no longer.",
    "waiting saved": "Seconds that all requests together wait less for loads.",
    "fetches": "Keys that the backend loads, demanded or ahead, per key that it loads without.",
    "precision": "Of what was loaded ahead and is decided, the share that was asked for.",
    "coverage": "Keys that were loaded ahead and asked for, per miss without prefetchers.",
    "late": "Of those, the share that was asked for while it was still being loaded.",
    "harm": "Of what was loaded ahead, the share for which something left that was missed soon.",
}
"""How columns of `rows` are to be read."""
