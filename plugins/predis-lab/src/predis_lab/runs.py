"""One cache that a trace is replayed into, and what became of the requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from predis_core.adapt import Inline, MissRatioCurve, replayed
from predis_core.policies import Auto, Policy
from predis_core.table import Counter, codec, open_table
from predis_lab.values import Requests

Hits = npt.NDArray[np.bool_]

_BOUNDLESS = 1 << 62
_NANOSECONDS = 1e9


class Bound(NamedTuple):
    """What a cache may hold.

    slots: entries
    memory: bytes of values; None: as many as there are
    weighs: whether values take anything
    """

    slots: int
    memory: int | None = None
    weighs: bool = False

    @property
    def limit(self) -> int | None:
        """What a table is bounded by, besides its slots; None if values take nothing."""
        if not self.weighs:
            return None
        return _BOUNDLESS if self.memory is None else self.memory


@dataclass(frozen=True, slots=True)
class Share:
    """How much of what was asked for missed: bytes, or seconds that loading takes."""

    requested: float
    missed: float

    @property
    def miss_ratio(self) -> float:
        """The share that missed; 0.0 if nothing was asked for."""
        return self.missed / self.requested if self.requested else 0.0

    def as_dict(self) -> dict[str, float]:
        """All of it, as JSON can carry it."""
        known = {"requested": self.requested, "missed": self.missed}
        return known | {"miss_ratio": self.miss_ratio}


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the requests of a trace.

    Attributes:
        policy, capacity (entries), seed: what was replayed into.
        requests, hits, evictions: counts.
        seconds: time spent in the cache, reading of the trace not included.
        curve: of LRU at every size, with that of the policy beside it; None if nobody asked.
        memory: bytes that values could take; None if only entries were bounded.
        bytes: of values, requested and missed; None if they took nothing.
        cost: seconds to load what was requested, and what missed; None if nothing had a cost.
    """

    policy: str
    capacity: int
    seed: int
    requests: int
    hits: int
    evictions: int
    seconds: float
    curve: MissRatioCurve | None = None
    memory: int | None = None
    bytes: Share | None = None
    cost: Share | None = None

    @property
    def misses(self) -> int:
        """Requests that found nothing."""
        return self.requests - self.hits

    @property
    def miss_ratio(self) -> float:
        """Misses per request; 0.0 without requests."""
        return self.misses / self.requests if self.requests else 0.0

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        known |= {"misses": self.misses, "miss_ratio": self.miss_ratio}
        for name in ("curve", "bytes", "cost"):
            known[name] = None if known[name] is None else known[name].as_dict()
        optional = ("curve", "memory", "bytes", "cost")
        return {k: v for k, v in known.items() if k not in optional or v is not None}


class Run(ABC):
    """A bare table without values that requests are fed to; of their sizes and costs it is told."""

    def __init__(self, bound: Bound, policy: Policy, seed: int) -> None:
        self._of = (policy.name, bound.slots, seed)
        self._bound = bound
        self._table = open_table(bound.slots, policy, seed, limit=bound.limit)
        self._requests = self._hits = 0
        self._bytes, self._cost = _Sums(), _Sums()
        self._seconds = 0.0

    def feed(self, requests: Requests) -> Hits:
        """Get, and insert if absent; return the hits."""
        hits = self._ask(requests)
        self._requests += len(hits)
        self._hits += int(np.count_nonzero(hits))
        self._bytes.add(requests.sizes, hits)
        self._cost.add(requests.costs, hits)
        return hits

    @abstractmethod
    def _ask(self, requests: Requests) -> Hits:
        """Send requests through the table; add to the seconds."""

    def report(self) -> Report:
        """What became of what was fed so far."""
        return Report(
            *self._of,
            self._requests,
            self._hits,
            self._table.counters()[Counter.EVICTIONS],
            self._seconds,
            memory=self._bound.memory,
            bytes=self._bytes.share(1),
            cost=self._cost.share(_NANOSECONDS),
        )


class _Sums:
    """Amounts that were requested, and those that missed."""

    def __init__(self) -> None:
        self._known = False
        self._requested = self._missed = 0

    def add(self, amounts: npt.NDArray[np.int64] | None, hits: Hits) -> None:
        if amounts is not None:
            self._known = True
            self._requested += int(amounts.sum())
            self._missed += int(amounts[~hits].sum())

    def share(self, unit: float) -> Share | None:
        return Share(self._requested / unit, self._missed / unit) if self._known else None


def open_run(bound: Bound, policy: Policy, seed: int, batch: int) -> Run:
    """Open an empty cache; `batch` requests are looked up before those that missed come in."""
    if batch == 1:
        return _PerRequest(bound, policy, seed)
    return _PerBatch(bound, policy, seed, batch)


class _PerRequest(Run):
    """Get-then-insert per request: a compiled loop."""

    def __init__(self, bound: Bound, policy: Policy, seed: int) -> None:
        super().__init__(bound, policy, seed)
        self._replayed = replayed(self._table)
        # Not to be timed: the first call of a process loads or compiles the kernel.
        self._table.replay(np.empty(0, dtype=np.int64))

    def _ask(self, requests: Requests) -> Hits:
        begin = perf_counter()
        hits = self._replayed.replay(requests.keys, sizes=requests.sizes, costs=requests.costs)
        self._seconds += perf_counter() - begin
        return hits


class _PerBatch(Run):
    """Look a batch up, then insert what missed: the verbs of a program that works in batches."""

    def __init__(self, bound: Bound, policy: Policy, seed: int, batch: int) -> None:
        super().__init__(bound, policy, seed)
        self._batch = batch
        self._adapts = Inline(self._table) if isinstance(policy, Auto) else None
        self._encode = codec("int64", seed).encode
        self._look_up_and_insert(_NOTHING)  # not to be timed, as above

    def _ask(self, requests: Requests) -> Hits:
        hits = np.empty(len(requests.keys), np.bool_)
        for low in range(0, len(hits), self._batch):
            part = slice(low, low + self._batch)
            asked = requests.among(part)
            begin = perf_counter()
            hits[part] = self._look_up_and_insert(asked)
            self._seconds += perf_counter() - begin
            if self._adapts is not None:
                self._adapts.follow(asked.keys)
        return hits

    def _look_up_and_insert(self, asked: Requests) -> Hits:
        hit = self._table.lookup(self._encode(asked.keys), 0) >= 0
        missed = asked.among(~hit)
        keys = self._encode(missed.keys)
        self._table.insert(keys, None, 0, sizes=missed.sizes, costs=missed.costs)
        return hit


_NOTHING = Requests(np.empty(0, np.int64), None, None)
