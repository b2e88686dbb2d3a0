"""Read-through: a batch that misses loads each id once, however many threads miss it at a time.

The rules, in the order in which a call keeps them:

1. A call takes part from before its first lookup until it returns.
2. Of the ids that it misses, it claims those that nobody is loading. A claim is one atomic
   operation on a dict; no lock is held here while anybody's code can run.
3. Claimed ids are looked up again, in the cache and among the loads that ended since the call
   began: between its lookup and its claim somebody may have loaded them.
4. The rest goes to the loader in one call, is checked whole, and is stored in one insert, which
   skips, at the very moment of each insertion, ids that were set or deleted meanwhile.
5. Only then does the call wait for ids that others are loading. If one of those waits for this
   thread, directly or through others, that is an error and not a deadlock.
6. What the call returns comes from what was loaded, wherever the cache has put it since.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from predis_core.errors import LoaderDeadlock, LoaderError, ValueShapeError, shown
from predis_core.stores.base import Store
from predis_core.table.interface import Bools, Bytes, Int64s, Keys

Loader = Callable[[Any], Any]
_PENDING, _LOADED, _ABSENT = 0, 1, 2


class _Unfit(Exception):
    """A loader returned something that is neither values nor a mapping of the ids."""


class LoadTarget(Protocol):
    """What loading needs of the cache."""

    def find(self, keys: Keys) -> tuple[npt.NDArray[Any], Bools]:
        """Return values and hit mask, without counting the lookup."""
        ...

    def store(self, keys: Keys, values: npt.NDArray[Any], ttl: Any, veto: Bytes) -> None:
        """Insert loaded values, except where `veto` is set by then."""
        ...


class _Load:
    """The distinct ids that one call misses: those that it claimed, and what became of all.

    Arrays and lists are in order of first appearance; `index` tells an id's place in them.
    """

    def __init__(self, asked: list[Any]) -> None:
        self.owner = threading.get_ident()
        self.ids = list(dict.fromkeys(asked))
        self.index = dict(zip(self.ids, range(len(self.ids)), strict=True))
        self.mine: Bools = np.zeros(len(self.ids), bool)
        self.veto: Bytes = np.zeros(len(self.ids), np.uint8)
        self.state: Bytes = np.zeros(len(self.ids), np.uint8)
        self.values: npt.NDArray[Any] | None = None
        self.error: BaseException | None = RuntimeError("the load was interrupted")
        self.ended = threading.Event()


class _Call:
    """A call under way: the loads that ended since it began."""

    def __init__(self) -> None:
        self.ended: list[_Load] = []


# Which load a thread waits for, over all caches: loaders of two caches may wait for each other.
_waiting: dict[int, _Load] = {}


class Loads:
    """All loads of a cache that are under way, and how many there were."""

    def __init__(self, target: LoadTarget, store: Store) -> None:
        self._target = target
        self._store = store
        self._flights: dict[Any, _Load] = {}
        self._calls: dict[_Call, None] = {}
        # Each thread counts for itself (loads, failures, saved), so that no lock is needed.
        self._counted: dict[int, list[int]] = {}

    def begin(self) -> _Call:
        """Take part in what is loaded from now on; `end` must follow."""
        call = _Call()
        self._calls[call] = None
        return call

    def end(self, call: _Call) -> None:
        """Stop taking part."""
        self._calls.pop(call, None)

    def overrule(self, ids: Iterable[Any]) -> None:
        """Keep loads under way from storing these ids: they are being set or deleted."""
        flights = self._flights
        if not flights:
            return
        for key in ids:
            load = flights.get(key)
            if load is not None:
                load.veto[load.index[key]] = 1

    def overrule_all(self) -> None:
        """Keep all loads under way from storing anything: the cache is being cleared."""
        for load in list(self._flights.values()):
            load.veto[:] = 1

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
        call: _Call,
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
        missing = np.flatnonzero(~hit)
        asked = (keys.words if keys.refs is None else keys.refs)[missing].tolist()
        # Where each distinct id stands first: assigned backwards, the first one stays.
        load = _Load(asked)
        try:
            try:
                at = np.fromiter(map(load.index.__getitem__, asked), np.int64, len(asked))
                first = np.empty(len(load.ids), np.int64)
                first[at[::-1]] = missing[::-1]
                batch = Keys(keys.words[first], None if keys.refs is None else keys.refs[first])
                holders = self._claim(load)
                self._run(call, load, batch, ttl if np.ndim(ttl) == 0 else ttl[first], loader)
                load.error = None
            except BaseException as error:
                load.error = error
                raise
            finally:
                self._finish(load)
        finally:
            # An interrupt may strike on any line, within `_finish` too.
            if not load.ended.is_set():
                self._finish(load)
        self._collect(load, holders)
        loaded = load.state[at] == _LOADED
        assert load.values is not None
        values[missing[loaded]] = load.values[at[loaded]]
        found = hit.copy()
        found[missing[loaded]] = True
        return found

    # ------------------------------------------------------------------ the steps

    def _claim(self, load: _Load) -> dict[_Load, list[int]]:
        """Claim what nobody is loading; return who loads the rest, by place among the ids."""
        # One C loop of atomic operations: many ids cost little each.
        holders = list(map(self._flights.setdefault, load.ids, itertools.repeat(load)))
        load.mine = np.fromiter((holder is load for holder in holders), bool, len(holders))
        others: dict[_Load, list[int]] = {}
        for place in np.flatnonzero(~load.mine).tolist():
            holder, key = holders[place], load.ids[place]
            while holder is not load and holder.ended.is_set():
                # It is giving its claims back, or could not, for its key's __eq__ raised.
                if self._flights.get(key) is holder:
                    self._flights.pop(key, None)
                holder = self._flights.setdefault(key, load)
            load.mine[place] = holder is load
            if holder is not load:
                others.setdefault(holder, []).append(place)
        self._count(saved=len(holders) - int(load.mine.sum()))
        return others

    def _run(self, call: _Call, load: _Load, keys: Keys, ttl: Any, loader: Loader) -> None:
        """Find, load and store what was claimed."""
        load.values, known = self._target.find(keys)
        load.state[known & load.mine] = _LOADED
        self._take_from_ended(call, load)
        wanted = np.flatnonzero(load.mine & (load.state == _PENDING))
        if len(wanted):
            self._load_rest(load, keys, wanted, ttl, loader)

    def _finish(self, load: _Load) -> None:
        """Tell everybody what became of a load, in this order: later calls must not see it."""
        for call in list(self._calls):
            call.ended.append(load)
        for key in load.ids:
            # A key's own __eq__ may raise; nobody must wait for ever because of that.
            with contextlib.suppress(Exception):
                if self._flights.get(key) is load:
                    del self._flights[key]
        load.ended.set()

    def _take_from_ended(self, call: _Call, load: _Load) -> None:
        """Take ids from loads that ended after this call's lookup, evicted though they may be."""
        for ended in call.ended:
            if ended.error is None:
                pending = np.flatnonzero(load.mine & (load.state == _PENDING)).tolist()
                self._copy(load, [at for at in pending if load.ids[at] in ended.index], ended)

    def _copy(self, load: _Load, places: list[int], source: _Load) -> None:
        """Copy values and states of the ids at some places from another load."""
        there = np.array([source.index[load.ids[at]] for at in places], np.int64)
        # The state first: the other load's thread may still be collecting what it waited for, and
        # writes a value before it says that the value is there.
        state = source.state[there]
        known = np.flatnonzero(state != _PENDING)
        assert load.values is not None and source.values is not None
        to = np.array(places, np.int64)[known]
        load.values[to] = source.values[there[known]]
        load.state[to] = state[known]

    def _load_rest(self, load: _Load, keys: Keys, wanted: Int64s, ttl: Any, loader: Loader) -> None:
        assert load.values is not None
        ids = [load.ids[at] for at in wanted.tolist()]
        self._count(loads=len(ids))
        try:
            given = keys.words[wanted] if keys.refs is None else list(ids)
            present, rows = self._loaded(loader, given, ids)
        except BaseException:
            self._count(failures=len(ids))
            raise
        load.values[wanted[present]] = rows
        load.state[wanted] = np.where(present, _LOADED, _ABSENT)
        keep = np.zeros(len(load.ids), bool)
        keep[wanted[present]] = True
        load.veto[~keep] = 1
        self._target.store(keys, self._store.take_over(load.values), ttl, load.veto)

    def _collect(self, load: _Load, others: Mapping[_Load, list[int]]) -> None:
        """Wait for what others load and copy it."""
        for other, places in others.items():
            self._wait_for(other, [load.ids[at] for at in places])
            self._copy(load, places, other)

    def _loaded(self, loader: Loader, given: Any, ids: list[Any]) -> tuple[Bools, npt.NDArray[Any]]:
        """Call a loader; what it raises, even while it is read, names the ids."""
        try:
            return self._checked(loader(given), ids)
        except LoaderDeadlock:
            raise
        except ValueShapeError as error:
            raise LoaderError(f"the loader returned what does not fit: {error}", ids) from error
        except _Unfit as error:
            raise LoaderError(str(error), ids) from None
        except Exception as error:
            raise LoaderError(f"the loader raised {type(error).__name__}: {error}", ids) from error

    def _checked(self, loaded: Any, ids: list[Any]) -> tuple[Bools, npt.NDArray[Any]]:
        """Return which ids a loader knows and their values, or refuse what does not fit."""
        present = np.ones(len(ids), bool)
        if loaded is None:
            raise _Unfit("the loader returned None instead of values or a mapping")
        if isinstance(loaded, Mapping):
            unasked = loaded.keys() - set(ids)
            if unasked:
                raise _Unfit(f"the loader returned ids that it was not asked for: {shown(unasked)}")
            present[:] = [key in loaded for key in ids]
            loaded = [loaded[key] for key in ids if key in loaded]
            if not loaded:
                return present, self._store.blank(0)
        return present, self._store.coerce(loaded, int(present.sum()))

    def _wait_for(self, load: _Load, ids: list[Any]) -> None:
        me = threading.get_ident()
        before = _waiting.get(me)
        try:
            _waiting[me] = load
            if not load.ended.is_set():
                self._refuse_deadlock(load, me, ids)
                load.ended.wait()
        finally:
            if before is None:
                _waiting.pop(me, None)
            else:
                _waiting[me] = before
        if load.error is not None:
            raise LoaderError(
                f"the load in another thread failed: {load.error}", ids
            ) from load.error

    def _refuse_deadlock(self, load: _Load, me: int, ids: list[Any]) -> None:
        """Follow who waits for whom; every waiter entered itself before it looks."""
        seen: set[int] = set()
        owner = load.owner
        while owner not in seen:
            if owner == me:
                raise LoaderDeadlock(
                    "a loader waits for an id that is being loaded by the very call it serves", ids
                )
            seen.add(owner)
            awaited = _waiting.get(owner)
            if awaited is None or awaited.ended.is_set():
                return
            owner = awaited.owner

    def _count(self, *, loads: int = 0, failures: int = 0, saved: int = 0) -> None:
        mine = self._counted.setdefault(threading.get_ident(), [0, 0, 0])
        mine[0] += loads
        mine[1] += failures
        mine[2] += saved
