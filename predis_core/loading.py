"""Read-through: a batch that misses loads each id once, however many threads and tasks miss it.

The rules, in the order in which a call keeps them:

1. A call takes part from before its first lookup until its own load has ended.
2. Of the ids that it misses, it claims those that nobody is loading. A claim is one atomic
   operation on a dict; no lock is held here while anybody's code can run.
3. Claimed ids are looked up again, in the cache and among the loads that ended since the call
   began: between its lookup and its claim somebody may have loaded them.
4. The rest goes to the loader in one call, is checked whole, and is stored; ids that were set or
   deleted meanwhile are skipped, at the very moment of each insertion.
5. Only then does the call wait for ids that others are loading. If one of those waits for this
   call, directly or through others, that is an error and not a deadlock.
6. What the call returns comes from what was loaded, wherever the cache has put it since.

What a load does is written down once, as generators that yield what they cannot do alone: call the
loader, wait for another load, let others run. `Loads.fill` drives them in the calling thread;
`aio` does on an event loop.
"""

from __future__ import annotations

import inspect
import itertools
import threading
from array import array
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from predis_core.clock import stopwatch
from predis_core.errors import LoaderDeadlock, LoaderError, ValueShapeError, shown
from predis_core.flights import (
    LOOK_AFTER,
    Ask,
    Call,
    Load,
    Loader,
    Steps,
    Storing,
    Wait,
    answered,
    needing,
    refuse_deadlock,
    waiting,
)
from predis_core.ids import Claims, dicts_of, distinct, listed, parts
from predis_core.stores.base import Store
from predis_core.table.batches import part_of
from predis_core.table.interface import Bools, Bytes, Int64s, Keys

__all__ = ["LoadTarget", "Loader", "Loads", "coerced"]

_PENDING, _LOADED, _ABSENT = 0, 1, 2


class _Unfit(Exception):
    """A loader returned something that is neither values nor a mapping of the ids."""


class LoadTarget(Protocol):
    """What loading needs of the cache."""

    def find(self, keys: Keys, out: npt.NDArray[Any]) -> Bools:
        """Put the keys' values into `out` and return the hit mask, without counting the lookup."""
        ...

    def store(self, keys: Keys, values: npt.NDArray[Any], ttl: Any, veto: Bytes, cost: int) -> Any:
        """Insert loaded values, except where `veto` is set by then; each took `cost` ns."""
        ...


def coerced(store: Store, values: Any, n: int, size: int) -> Steps:
    """Return what `store.coerce` does, step by step if the values are many Python objects."""
    if n <= size or not isinstance(values, list | tuple | np.ndarray) or len(values) != n:
        return store.coerce(values, n)
    rows = store.target(n).array
    if isinstance(values, np.ndarray) and rows.dtype != object:
        return store.coerce(values, n)
    try:
        for part in parts(n, size):
            rows[part] = store.coerce(values[part], part.stop - part.start)
            yield None
    except ValueShapeError:
        return store.coerce(values, n)  # whose message is about all of them
    return rows


class Loads:
    """All loads of a cache that are under way, and how many there were.

    Attributes:
        told: if set, called after each call of a loader, by whoever called it, with the number of
            ids that it was asked for, how many of them failed, the nanoseconds that it took, and
            the name of the type of its error, or "".
    """

    def __init__(self, target: LoadTarget, store: Store) -> None:
        self._target = target
        self._store = store
        self._claims = Claims[Load]()
        self._flights: dict[Load, None] = {}
        self._calls: dict[Call, None] = {}
        # Each thread counts for itself (loads, failures, saved), so that no lock is needed.
        self._counted: dict[int, list[int]] = {}
        self.told: Callable[[int, int, int, str], None] | None = None

    def begin(self) -> Call:
        """Take part in what is loaded from now on; `end` must follow."""
        call = Call()
        self._calls[call] = None
        return call

    def end(self, call: Call) -> None:
        """Stop taking part."""
        self._calls.pop(call, None)

    def overrule(self, keys: Keys) -> None:
        """Keep loads under way from storing these keys: they are being set or deleted."""
        if not self._flights:
            return
        held: dict[Load, list[int]] = {}
        for position, (claimed, key) in enumerate(
            self._claims.each(dicts_of(keys.words), listed(keys))
        ):
            load = claimed.get(key)
            if load is not None:
                held.setdefault(load, []).append(position)
        for load, some in held.items():
            load.veto[load.ids.places(part_of(keys, np.array(some)))] = 1

    def overrule_all(self) -> None:
        """Keep all loads under way from storing anything: the cache is being cleared."""
        for load in list(self._flights):
            load.veto[:] = 1

    @property
    def flights(self) -> dict[Load, None]:
        """The loads under way: always the same dict."""
        return self._flights

    @property
    def under_way(self) -> bool:
        """Whether anything is being loaded."""
        return bool(self._flights)

    def counts(self) -> tuple[int, int, int]:
        """Return how many ids were loaded, failed to load, and waited for another's load."""
        counted = np.array([(0, 0, 0), *self._counted.values()]).sum(axis=0)
        loads, failures, saved = counted.tolist()
        return loads, failures, saved

    def fill(
        self,
        call: Call,
        keys: Keys,
        values: npt.NDArray[Any],
        hit: Bools,
        loader: Loader,
        ttl: Any,
    ) -> Bools:
        """Put loaded values into `values` where `hit` is False; return where there are values now.

        Args:
            keys: the batch.
            loader: gets distinct ids (int64[m] or a list) in order of first appearance.
            ttl: nanoseconds, scalar or int64[n], 0 for none.

        Raises:
            LoaderError: if a load of one of the ids failed, here or where it was waited for.
            LoaderDeadlock: if waiting would never end.
        """
        load, whole = Load(), len(hit)
        with needing(load):
            self._drive(self.flight(call, load, keys, hit, loader, ttl, whole))
        found: Bools = self._drive(self.collecting(load, values, hit, whole))
        in_vain = load.in_vain(hit)
        if in_vain is not None:
            found |= self.fill(self.begin(), keys, values, ~in_vain, loader, ttl) & in_vain
        return found

    def guess(self, keys: Keys, loader: Loader, ttl: Any, store: Storing) -> Bools:
        """Load keys that nobody asked for; return which of them nobody else was loading.

        Args:
            keys: distinct ones.
            loader, ttl: as for `fill`.
            store: where they go.

        Raises:
            LoaderError: if the load failed.
        """
        load, n = Load(store), len(keys.words)
        self._drive(self.flight(self.begin(), load, keys, np.zeros(n, bool), loader, ttl, n))
        return load.mine

    def demanded(self) -> Load | None:
        """Return a load under way that somebody waits for; None if there is none."""
        return next((load for load in list(self._flights) if load.store is None), None)

    def flight(
        self, call: Call, load: Load, keys: Keys, hit: Bools, loader: Loader, ttl: Any, size: int
    ) -> Steps:
        """Load what was missed and nobody else is loading, from the claim to the end.

        Args:
            call: which ends with this.
            load: what is to be known of it.
            keys, hit, loader, ttl: as for `fill`.
            size: how many ids may be handled between two steps.
        """
        try:
            try:
                load.admit((yield from distinct(keys, np.flatnonzero(~hit), size)))
                yield from self._claim(load, size)
                yield from self._run(call, load, loader, ttl, size)
                load.error = None
            except GeneratorExit:
                raise
            except BaseException as error:
                load.error = error
                if not isinstance(error, Exception):
                    raise
            yield from self._give_back(load, size)
            if load.error is not None:
                raise load.error
        finally:
            # An interrupt may strike on any line, within `finish` too.
            try:
                self.end(call)
                self.finish(load)
            finally:
                self.finish(load)

    def collecting(self, load: Load, values: npt.NDArray[Any], hit: Bools, size: int) -> Steps:
        """Wait for what others load; put all that is there into `values` and return where."""
        for other, waited in load.others.items():
            places = np.array(waited)
            yield Wait(other, load, places)
            if other.error is not None:
                load.left = np.zeros(len(load.ids), bool) if load.left is None else load.left
                load.left[places] = True
                continue
            for part in parts(len(places), size):
                self._copy(load, places[part], other)
                yield None
        missing, found = np.flatnonzero(~hit), hit.copy()
        assert load.values is not None
        for part in parts(len(missing), size):
            at = load.ids.at[part]
            loaded = load.state[at] == _LOADED
            to = missing[part][loaded]
            values[to] = load.values[at[loaded]]
            found[to] = True
            yield None
        return found

    def finish(self, load: Load) -> None:
        """Tell everybody what became of a load; whatever runs it must not go on."""
        if not load.is_over:
            self._announce(load)
            self._release(load, len(load.ids))
            self._flights.pop(load, None)
            load.end()

    def finish_if_lost(self, load: Load) -> bool:
        """End a load whose event loop was closed; return whether it was."""
        lost = load.lost is not None and load.lost()
        if lost:
            self.finish(load)
        return lost

    # ------------------------------------------------------------------ the steps

    def _claim(self, load: Load, size: int) -> Steps:
        """Claim what nobody is loading; note who loads the rest, by place among the ids."""
        self._flights[load] = None
        for part in parts(len(load.ids), size):
            holders = self._claims.claim(load.ids.dicts[part], load.ids.listed(part), load)
            load.mine[part] = True
            if holders.count(load) < len(holders):
                self._claim_from(load, part.start, holders)
            yield None
        if load.store is None:
            self._count(saved=len(load.ids) - int(load.mine.sum()))

    def _claim_from(self, load: Load, start: int, holders: list[Load]) -> None:
        """Claim ids that other loads held a moment ago, or note that they still do."""
        part = slice(start, start + len(holders))
        claims = self._claims.each(load.ids.dicts[part], load.ids.listed(part))
        for place, holder, (held, key) in zip(itertools.count(start), holders, claims):
            while holder is not load and (holder.ended.is_set() or self.finish_if_lost(holder)):
                # It is giving its claims back, or could not, for its key's __eq__ raised.
                if held.get(key) is holder:
                    held.pop(key, None)
                holder = held.setdefault(key, load)
            load.mine[place] = holder is load
            if holder is not load:
                load.others.setdefault(holder, array("q")).append(place)

    def _run(self, call: Call, load: Load, loader: Loader, ttl: Any, size: int) -> Steps:
        """Find, load and store what was claimed."""
        n = len(load.ids)
        load.values = self._store.target(n).array
        for part in parts(n, size):
            known = self._target.find(load.ids.keys(part), load.values[part])
            load.state[part][known & load.mine[part]] = _LOADED
            yield None
        yield from self._take_from_ended(call, load, size)
        wanted = np.flatnonzero(load.mine & (load.state == _PENDING))
        if len(wanted):
            yield from self._load_rest(load, wanted, loader, size)
            yield None
            yield from self._store_all(load, ttl, size)

    def _take_from_ended(self, call: Call, load: Load, size: int) -> Steps:
        """Take ids from loads that ended after this call's lookup, evicted though they may be."""
        for ended in call.ended:
            if ended.error is None:
                pending = np.flatnonzero(load.mine & (load.state == _PENDING))
                for part in parts(len(pending), size):
                    self._copy(load, pending[part], ended)
                    yield None

    def _copy(self, load: Load, places: Int64s, source: Load) -> None:
        """Copy values and states of those ids at some places that another load has."""
        there = source.ids.places(load.ids.keys(places))
        # The state first: the other load's call may still be collecting what it waited for, and
        # writes a value before it says that the value is there.
        state = source.state[there]
        known = np.flatnonzero((there >= 0) & (state != _PENDING))
        assert load.values is not None and source.values is not None
        to = places[known]
        load.values[to] = source.values[there[known]]
        load.state[to] = state[known]

    def _load_rest(self, load: Load, wanted: Int64s, loader: Loader, size: int) -> Steps:
        """Have the loader called for the ids at some places, and take what it returned."""
        n = len(wanted)
        if load.store is None:
            self._count(loads=n)
        begin = stopwatch()
        try:
            present, rows = yield from self._loaded(load, wanted, loader, size)
            took = stopwatch() - begin
            load.cost = took // n
        except BaseException as error:
            if load.store is None:
                self._count(failures=n)
            if self.told is not None:
                self.told(n, n, stopwatch() - begin, type(error.__cause__ or error).__name__)
            raise
        if self.told is not None:
            self.told(n, 0, took, "")
        assert load.values is not None
        keep, taken = np.zeros(len(load.ids), bool), 0
        for part in parts(len(wanted), size):
            there = present[part]
            places = wanted[part][there]
            load.values[places] = rows[taken : taken + len(places)]
            load.state[wanted[part]] = np.where(there, _LOADED, _ABSENT)
            keep[places] = True
            taken += len(places)
            yield None
        load.veto[~keep] = 1

    def _loaded(self, load: Load, wanted: Int64s, loader: Loader, size: int) -> Steps:
        """Ask a loader; what it raises, even while it is read, names the ids."""
        try:
            given: Any = load.ids.words[wanted]
            if load.ids.has_refs:
                given = []
                for part in parts(len(wanted), size):
                    given += load.ids.listed(wanted[part])
                    yield None
            loaded = yield Ask(load, loader, given)
            yield None
            return (yield from self._checked(loaded, load, wanted, size))
        except LoaderDeadlock:
            raise
        except ValueShapeError as error:
            raise LoaderError(
                f"the loader returned what does not fit: {error}", load.ids.listed(wanted)
            ) from error
        except _Unfit as error:
            raise LoaderError(str(error), load.ids.listed(wanted)) from None
        except Exception as error:
            raise LoaderError(
                f"the loader raised {type(error).__name__}: {error}", load.ids.listed(wanted)
            ) from error

    def _checked(self, loaded: Any, load: Load, wanted: Int64s, size: int) -> Steps:
        """Return which ids a loader knows and their values, or refuse what does not fit."""
        present = np.ones(len(wanted), bool)
        if loaded is None:
            raise _Unfit("the loader returned None instead of values or a mapping")
        if inspect.isawaitable(loaded):
            if inspect.iscoroutine(loaded):
                loaded.close()
            raise _Unfit("the loader returned an awaitable; await aget_or_load_many instead")
        if isinstance(loaded, Mapping):
            values: list[Any] = []
            for part in parts(len(wanted), size):
                asked = load.ids.listed(wanted[part])
                known = [key in loaded for key in asked]
                present[part] = known
                values += [loaded[key] for key in itertools.compress(asked, known)]
                yield None
            unasked = len(loaded) > len(values) and loaded.keys() - set(load.ids.listed(wanted))
            if unasked:
                raise _Unfit(f"the loader returned ids that it was not asked for: {shown(unasked)}")
            if not values:
                return present, self._store.blank(0)
            loaded = values
        return present, (yield from coerced(self._store, loaded, int(present.sum()), size))

    def _store_all(self, load: Load, ttl: Any, size: int) -> Steps:
        """Put what was loaded into the cache."""
        assert load.values is not None
        for part in parts(len(load.ids), size):
            lives = ttl if np.ndim(ttl) == 0 else ttl[load.ids.first[part]]
            keys, values = load.ids.keys(part), load.values[part]
            store = self._target.store if load.store is None else load.store
            store(keys, values, lives, load.veto[part], load.cost)
            yield None

    # ------------------------------------------------------------------ the end of a load

    def _give_back(self, load: Load, size: int) -> Steps:
        """Do the long part of `finish`."""
        self._announce(load)
        for part in parts(len(load.ids), size):
            self._release(load, part.stop)
            yield None

    def _announce(self, load: Load) -> None:
        """Tell the calls under way; later ones must not see the load, so this comes first."""
        for call in list(self._calls):
            call.ended.append(load)

    def _release(self, load: Load, stop: int) -> None:
        """Give the claims before a place back."""
        part = slice(load.released, stop)
        if part.start == stop:
            return
        for held, key in self._claims.each(load.ids.dicts[part], load.ids.listed(part)):
            # A key's own __eq__ may raise; nobody must wait for ever because of that.
            try:
                if held.get(key) is load:
                    del held[key]
            except Exception:
                continue
        load.released = stop

    # ------------------------------------------------------------------ in a thread

    def _drive(self, steps: Steps) -> Any:
        """Do what a load asks for, in this thread, until it returns something."""
        try:
            step = next(steps)
            while True:
                if isinstance(step, Ask):
                    step = answered(steps, step)
                    continue
                if step is not None:
                    self._wait_for(step)
                step = next(steps)
        except StopIteration as end:
            return end.value
        finally:
            steps.close()

    def _wait_for(self, wait: Wait) -> None:
        me, load = threading.get_ident(), wait.load
        before = waiting.get(me)
        try:
            waiting[me] = load
            if not load.ended.is_set():
                with needing(load):
                    refuse_deadlock(wait, me)
                    while not load.ended.wait(None if load.lost is None else LOOK_AFTER):
                        self.finish_if_lost(load)
        finally:
            if before is None:
                waiting.pop(me, None)
            else:
                waiting[me] = before
        wait.check()

    def _count(self, *, loads: int = 0, failures: int = 0, saved: int = 0) -> None:
        mine = self._counted.setdefault(threading.get_ident(), [0, 0, 0])
        mine[0] += loads
        mine[1] += failures
        mine[2] += saved
