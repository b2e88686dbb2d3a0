"""Sampled accesses: which are taken, where they wait, and how they come to a plugin's samplers.

Batches are drawn in the way of their callers, which costs those that are not drawn a count and a
comparison. Lookups of sampled keys are noted by the table itself. Both wait in bounded rings until
a thread of the core makes samples of them, which the plugin's own thread then hands over; so a
plugin that hangs holds up nobody but itself.
"""

from __future__ import annotations

import itertools
import sys
import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from predis_core.errors import CacheUnusable
from predis_core.host.background import Worker
from predis_core.host.guard import FAILED, Guard
from predis_core.host.view import Hosted
from predis_core.plugin import SAMPLE_INTERVAL, SAMPLE_RATE
from predis_core.table.interface import Bools, Keys
from predis_core.types import BatchSample, KeySample

EVENTS = 1_000_000
"""Accesses that may wait for a sampler; what comes on top is dropped, and counted."""

ALL = NEVER = sys.maxsize

_AT_ONCE = 100
"""Samples that a plugin's thread hands over before it does what else is due."""


class Wish(NamedTuple):
    """What a sampler wants; see `predis_core.plugin.Sampler`."""

    stream: str
    rate: float
    interval: float


def wish_of(sampler: Any) -> Wish:
    """Return what a sampler wants.

    Raises:
        ValueError: naming the attribute that does not fit.
    """
    stream = getattr(sampler, "stream", "batches")
    rate = getattr(sampler, "rate", SAMPLE_RATE)
    interval = getattr(sampler, "interval", SAMPLE_INTERVAL)
    if stream not in ("batches", "keys"):
        raise ValueError(f"stream: expected 'batches' or 'keys', got {stream!r}")
    if not 0 < float(rate) <= 1:
        raise ValueError(f"rate: expected a share above 0, at most 1, got {rate!r}")
    if not float(interval) > 0:
        raise ValueError(f"interval: expected seconds > 0, got {interval!r}")
    return Wish(stream, float(rate), float(interval))


# ---------------------------------------------------------------------- what each sampler gets


class Stream(ABC):
    """What one sampler gets.

    Args:
        cache: the cache's name.
        sampler: its `on_sample`, guarded.
        wish: what it wants.
        worker: the plugin's thread.

    Attributes:
        events: accesses that were handed over.
        dropped: accesses that were sampled and lost.
    """

    def __init__(self, cache: str, sampler: Guard, wish: Wish, worker: Worker) -> None:
        self.rate = wish.rate
        self.interval = wish.interval
        self.events = 0
        self.dropped = 0
        self._name = cache
        self._sampler = sampler
        self._worker = worker
        self._ready: deque[tuple[Any, int]] = deque()
        self._submitted = False
        self._held = 0
        # A finaliser that uses the cache may come in while its own thread holds the lock.
        self._lock = threading.RLock()

    @property
    def is_wanted(self) -> bool:
        """Whether the sampler is still called."""
        return not self._sampler.disabled

    @abstractmethod
    def begin(self, cache: Hosted) -> None:
        """The cache is there; it is not kept alive from here."""

    @abstractmethod
    def _taken(self) -> Iterator[tuple[Any, int]]:
        """Yield samples of what waits, and how many accesses each has."""

    def drain(self, *, at_end: bool = False) -> None:
        """Make samples of what waits, in the core's thread, and have them handed over.

        Until the last ones are, there are no further ones, except `at_end`.
        """
        if self._worker.hangs:
            return
        if at_end or not self._ready:
            self._ready.extend(self._taken())
        if self._ready and not self._submitted:
            self._submit()

    def _submit(self) -> None:
        self._submitted = True
        if not self._worker.submit(self.deliver):
            self._submitted = False

    def deliver(self, at_most: int = _AT_ONCE) -> None:
        """Hand samples over, in the plugin's thread; if some are left, they have another turn.

        Raises:
            Exception: what the sampler raised, if its guard is strict.
        """
        self._submitted = False
        while self._ready and at_most:
            at_most -= 1
            sample, events = self._ready.popleft()
            with self._lock:
                self._held -= events
            if self._sampler(sample) is not FAILED:
                self.events += events
        if self._ready:
            self._submit()


class Drawn(NamedTuple):
    """A batch that was drawn; arrays are read-only and nobody else's."""

    operation: str
    time: int
    keys: Keys
    found: Bools


class BatchStream(Stream):
    """Whole batches, each drawn with the same chance.

    Attributes:
        due: the number of the next batch that is drawn; always 0 if every one is.
    """

    _decode: Callable[[Keys], Any]

    def __init__(self, cache: str, sampler: Guard, wish: Wish, worker: Worker) -> None:
        super().__init__(cache, sampler, wish, worker)
        self._random = np.random.default_rng()
        self.due = 0 if self.rate == 1 else self._gap() - 1
        self._waiting: list[Drawn] = []

    def _gap(self) -> int:
        """Draw how far it is to the next batch: at random, as work may have a period."""
        return int(self._random.geometric(self.rate))

    def draws(self, number: int) -> bool:
        """Return whether a batch is drawn, and if so, draw which one is the next."""
        if number < self.due or not self.is_wanted:
            return False
        if self.rate < 1:
            self.due = number + self._gap()
        return True

    def put(self, batch: Drawn) -> None:
        """Have a batch wait, if there is room."""
        events = len(batch.found)
        with self._lock:
            if self._held + events > EVENTS:
                self.dropped += events
            else:
                self._held += events
                self._waiting.append(batch)

    def begin(self, cache: Hosted) -> None:
        self._decode = cache.decoder()

    def _taken(self) -> Iterator[tuple[Any, int]]:
        with self._lock:
            taken, self._waiting = self._waiting, []
        for operation, time, keys, found in taken:
            sample = BatchSample(self._name, operation, time, self._decode(keys), found)
            yield sample, len(found)


class KeyStream(Stream):
    """Every lookup of the keys whose hash is below a limit, as the table noted them."""

    _cache: Callable[[], Hosted | None]
    _since = 0

    def begin(self, cache: Hosted) -> None:
        self._cache = weakref.ref(cache)

    def _taken(self) -> Iterator[tuple[Any, int]]:
        cache = self._cache()
        if cache is None:
            return
        try:
            noted = cache.sampled_keys(self._since, self.rate)
        except CacheUnusable:  # closed meanwhile
            return
        self._since = noted.since
        self.dropped += noted.lost
        if events := noted.words.size:
            with self._lock:
                self._held += events
            sample = KeySample(self._name, noted.words, noted.ticks, noted.hits, noted.rate)
            yield sample, events


# ---------------------------------------------------------------------- in the way of batches


class Draw:
    """Which of a cache's batches are drawn, and for whom.

    Args:
        streams: what wants some.

    Attributes:
        numbers: the next one is the number of a batch that begins, in any thread.
        due: no batch with a lower number is drawn.
    """

    def __init__(self, streams: Sequence[BatchStream] = ()) -> None:
        self.numbers = itertools.count()
        self._streams = streams
        self._lock = threading.RLock()
        self.look_again()

    def look_again(self) -> None:
        """Find out who is due next; for when a sampler was given up, too."""
        with self._lock:
            self.due = min((each.due for each in self._streams if each.is_wanted), default=NEVER)

    def note(self, number: int, operation: str, time: int, batch: Keys) -> Callable[[Bools], Bools]:
        """Return what takes, and returns, the found mask of a batch that is due.

        The keys are copied now: they may be the caller's, who may have changed them by then.
        """
        with self._lock:
            takers = [stream for stream in self._streams if stream.draws(number)]
            self.look_again()
        refs = None if batch.refs is None else _kept(batch.refs)
        keys = Keys(_kept(batch.words), refs)

        def take(found: Bools) -> Bools:
            drawn = Drawn(operation, time, keys, _kept(found))
            for taker in takers:
                taker.put(drawn)
            return found

        return take


def _kept(array: Any) -> Any:
    """Return a copy that nobody writes to."""
    copy = array.copy()
    copy.setflags(write=False)
    return copy
