"""Loads under way: what is known of one, who waits for whom, and what a load asks its driver for.

A load is run by a thread, by an event loop, or by one after the other. Who calls loaders is noted
twice: a thread that waits stands still, and with it every load that it runs; a task that waits
keeps the load whose loader it belongs to from going on, which its context tells.
"""

from __future__ import annotations

import contextlib
import threading
from array import array
from collections.abc import Callable, Generator, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from predis_core.errors import LoaderDeadlock, LoaderError
from predis_core.ids import NO_IDS, Ids
from predis_core.table.interface import Bools, Bytes, Int64s, Keys

Loader = Callable[[Any], Any]

Storing = Callable[[Keys, npt.NDArray[Any], Any, Bytes, int], Any]
"""Inserts loaded values: keys, values, ttl, veto and cost as in `loading.LoadTarget.store`."""

LOOK_AFTER = 1.0
"""Seconds between two looks at whether the event loop that runs a load is still there."""


class Load:
    """The distinct ids that one call misses: those that it claimed, and what became of all.

    Attributes:
        ids: the ids; arrays have their order.
        others: the loads that hold the rest, with places.
        released: how many of the first claims were given back.
        owner: the thread that runs it; None while it waits for one.
        lost: says whether the event loop that runs it was closed; None if a thread runs it.
        task: the task that runs it, which may have no other reference.
        needs: the loads that its loader runs or waits for.
        store: where what is loaded goes, if not where the others go; such a load is a guess, which
            nobody asked for: it is not counted, and if it fails, who waited for it loads instead.
        left: bool per id, which were waited for in vain, as a guess of others failed.
        cost: nanoseconds that the loader took per id.
        error: what went wrong, once it has ended.
    """

    def __init__(self, store: Storing | None = None) -> None:
        self.store = store
        self.owner: int | None = threading.get_ident()
        self.lost: Callable[[], bool] | None = None
        self.task: Any = None
        self.needs: dict[object, Load] = {}
        self.cost = 0
        self.error: BaseException | None = RuntimeError("the load was interrupted")
        self.ended = threading.Event()
        self.ids = NO_IDS
        self.others: dict[Load, array[int]] = {}
        self.released = 0
        self._callbacks: dict[object, Callable[[], None]] = {}

    def admit(self, ids: Ids) -> None:
        """Make room for what becomes of these distinct ids."""
        self.ids = ids
        self.mine: Bools = np.zeros(len(ids), bool)
        self.veto: Bytes = np.zeros(len(ids), np.uint8)
        self.state: Bytes = np.zeros(len(ids), np.uint8)
        self.values: npt.NDArray[Any] | None = None
        self.left: Bools | None = None

    def in_vain(self, hit: Bools) -> Bools | None:
        """Return which positions of a batch were waited for in vain; None if none was."""
        if self.left is None:
            return None
        positions = np.zeros(len(hit), bool)
        missing = np.flatnonzero(~hit)
        positions[missing] = self.left[self.ids.at[: len(missing)]]
        return positions

    def when_ended(self, callback: Callable[[], None]) -> object:
        """Have `callback` called, by whichever thread ends the load; return a token for `forget`.

        It is called at once if the load has ended, and must not raise.
        """
        token = object()
        self._callbacks[token] = callback
        if self.ended.is_set():
            self.end()
        return token

    def forget(self, token: object) -> None:
        """Do not call back."""
        self._callbacks.pop(token, None)

    def end(self) -> None:
        """Wake whoever waits."""
        self.ended.set()
        while self._callbacks:
            # Two threads may do this at a time: each callback goes to one of them.
            with contextlib.suppress(KeyError):
                self._callbacks.popitem()[1]()

    @property
    def is_over(self) -> bool:
        """Whether it has ended and everybody was told."""
        return self.ended.is_set() and not self._callbacks


class Ask(NamedTuple):
    """A step of a load: call its loader with these ids, and send or throw what comes of it."""

    load: Load
    loader: Loader
    ids: Any


class Wait(NamedTuple):
    """A step of a load: wait until another one, which has its ids at some places, has ended."""

    load: Load
    waiter: Load
    places: Int64s

    def check(self) -> None:
        """Raise LoaderError if the load that was waited for failed, unless it was a guess."""
        if (error := self.load.error) is not None and self.load.store is None:
            reason = str(error) or type(error).__name__
            raise LoaderError(
                f"the load in another thread or task failed: {reason}", self.ids
            ) from error

    @property
    def ids(self) -> list[Any]:
        """The ids that are waited for."""
        return self.waiter.ids.listed(self.places)


Steps = Generator[Ask | Wait | None, Any, Any]
"""What a load yields; None lets others run."""


class Call:
    """A call under way: the loads that ended since it began."""

    def __init__(self) -> None:
        self.ended: list[Load] = []


serving: ContextVar[Load | None] = ContextVar("predis_serving", default=None)
"""The load whose loader runs here; tasks and threads that a loader starts may inherit it."""

waiting: dict[int, Load] = {}
"""Which load a thread waits for, over all caches: those of two may wait for each other."""


@contextlib.contextmanager
def needing(load: Load) -> Iterator[None]:
    """Note, while this lasts, that the load served here goes on after `load` only."""
    served, token = serving.get(), object()
    if served is not None:
        served.needs[token] = load
    try:
        yield
    finally:
        if served is not None:
            served.needs.pop(token, None)


def refuse_deadlock(wait: Wait, me: int | None = None) -> None:
    """Follow what a load needs; everybody who waits has noted that before looking.

    Args:
        wait: who is waited for.
        me: the thread that stands still meanwhile, if one does.

    Raises:
        LoaderDeadlock: if that load will never go on.
    """
    served, seen = serving.get(), set[Load]()
    needed = [wait.load]
    while needed:
        load = needed.pop()
        if load in seen or load.ended.is_set():
            continue
        seen.add(load)
        if load is served or (me is not None and load.owner == me):
            raise LoaderDeadlock(
                "this thread's event loop runs the load that is waited for; "
                "await aget_or_load_many instead"
                if load is not served and load.lost is not None
                else "a loader waits for an id that is being loaded by the very call it serves",
                wait.ids,
            )
        needed.extend(list(load.needs.values()))
        awaited = None if load.owner is None else waiting.get(load.owner)
        if awaited is not None:
            needed.append(awaited)


def answered(steps: Steps, ask: Ask) -> Ask | Wait | None:
    """Call a loader here and now; return the next step."""
    before = serving.set(ask.load)
    try:
        loaded = ask.loader(ask.ids)
    except BaseException as error:
        return steps.throw(error)
    finally:
        serving.reset(before)
    return steps.send(loaded)
