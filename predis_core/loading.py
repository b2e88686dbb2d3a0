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
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from predis_core.errors import LoaderDeadlock, LoaderError, ValueShapeError, shown
from predis_core.flights import (
    LOOK_AFTER,
    Ask,
    Call,
    Load,
    Loader,
    Steps,
    Wait,
    answered,
    needing,
    refuse_deadlock,
    waiting,
)
from predis_core.stores.base import Store
from predis_core.table.interface import Bools, Bytes, Int64s, Keys

__all__ = ["LoadTarget", "Loader", "Loads", "coerced", "part_of", "parts"]

_PENDING, _LOADED, _ABSENT = 0, 1, 2


class _Unfit(Exception):
    """A loader returned something that is neither values nor a mapping of the ids."""


class LoadTarget(Protocol):
    """What loading needs of the cache."""

    def find(self, keys: Keys, out: npt.NDArray[Any]) -> Bools:
        """Put the keys' values into `out` and return the hit mask, without counting the lookup."""
        ...

    def store(self, keys: Keys, values: npt.NDArray[Any], ttl: Any, veto: Bytes) -> None:
        """Insert loaded values, except where `veto` is set by then."""
        ...


def parts(n: int, size: int) -> Iterator[slice]:
    """Yield the parts of n positions, `size` each, one after the other."""
    for first in range(0, n, size):
        yield slice(first, min(first + size, n))


def part_of(keys: Keys, part: slice) -> Keys:
    """Return some keys of a batch."""
    return Keys(keys.words[part], None if keys.refs is None else keys.refs[part])


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
    """All loads of a cache that are under way, and how many there were."""

    def __init__(self, target: LoadTarget, store: Store) -> None:
        self._target = target
        self._store = store
        self._flights: dict[Any, Load] = {}
        self._calls: dict[Call, None] = {}
        # Each thread counts for itself (loads, failures, saved), so that no lock is needed.
        self._counted: dict[int, list[int]] = {}

    def begin(self) -> Call:
        """Take part in what is loaded from now on; `end` must follow."""
        call = Call()
        self._calls[call] = None
        return call

    def end(self, call: Call) -> None:
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
        return found

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
                yield from self._open(load, keys, hit, size)
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
        for other, places in load.others.items():
            yield Wait(other, load, places)
            for part in parts(len(places), size):
                self._copy(load, places[part], other)
                yield None
        missing = np.flatnonzero(~hit)
        loaded = load.state[load.at] == _LOADED
        to, there = missing[loaded], load.at[loaded]
        assert load.values is not None
        for part in parts(len(to), size):
            values[to[part]] = load.values[there[part]]
            yield None
        found = hit.copy()
        found[to] = True
        return found

    def finish(self, load: Load) -> None:
        """Tell everybody what became of a load; whatever runs it must not go on."""
        if not load.is_over:
            self._announce(load)
            self._release(load, len(load.ids))
            load.end()

    def finish_if_lost(self, load: Load) -> bool:
        """End a load whose event loop was closed; return whether it was."""
        lost = load.lost is not None and load.lost()
        if lost:
            self.finish(load)
        return lost

    # ------------------------------------------------------------------ the steps

    def _open(self, load: Load, keys: Keys, hit: Bools, size: int) -> Steps:
        """Find the distinct ids, and where each of them stands."""
        missing = np.flatnonzero(~hit)
        held = keys.words if keys.refs is None else keys.refs
        asked: list[Any] = []
        distinct: dict[Any, None] = {}
        for part in parts(len(missing), size):
            some = held[missing[part]].tolist()
            asked += some
            distinct.update(dict.fromkeys(some))
            yield None
        load.admit(list(distinct))
        for part in parts(len(load.ids), size):
            load.index.update(zip(load.ids[part], range(part.start, part.stop), strict=True))
            yield None
        load.at = np.empty(len(asked), np.int64)
        load.first = np.empty(len(load.ids), np.int64)
        # Backwards, so that of equal ids the first one stays.
        for part in reversed(list(parts(len(asked), size))):
            load.at[part] = [load.index[key] for key in asked[part]]
            load.first[load.at[part][::-1]] = missing[part][::-1]
            yield None
        refs = None if keys.refs is None else np.empty(len(load.ids), object)
        if refs is not None:
            for part in parts(len(load.ids), size):
                refs[part] = np.fromiter(load.ids[part], object)
                yield None
        load.keys = Keys(keys.words[load.first], refs)

    def _claim(self, load: Load, size: int) -> Steps:
        """Claim what nobody is loading; note who loads the rest, by place among the ids."""
        for part in parts(len(load.ids), size):
            # One C loop of atomic operations: many ids cost little each.
            holders = list(map(self._flights.setdefault, load.ids[part], itertools.repeat(load)))
            load.mine[part] = [holder is load for holder in holders]
            for place in (np.flatnonzero(~load.mine[part]) + part.start).tolist():
                self._claim_from(load, place, holders[place - part.start])
            yield None
        self._count(saved=len(load.ids) - int(load.mine.sum()))

    def _claim_from(self, load: Load, place: int, holder: Load) -> None:
        """Claim an id that another load held a moment ago, or note that it still does."""
        key = load.ids[place]
        while holder is not load and (holder.ended.is_set() or self.finish_if_lost(holder)):
            # It is giving its claims back, or could not, for its key's __eq__ raised.
            if self._flights.get(key) is holder:
                self._flights.pop(key, None)
            holder = self._flights.setdefault(key, load)
        load.mine[place] = holder is load
        if holder is not load:
            load.others.setdefault(holder, []).append(place)

    def _run(self, call: Call, load: Load, loader: Loader, ttl: Any, size: int) -> Steps:
        """Find, load and store what was claimed."""
        n = len(load.ids)
        load.values = self._store.target(n).array
        for part in parts(n, size):
            known = self._target.find(part_of(load.keys, part), load.values[part])
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
                    places = [at for at in pending[part].tolist() if load.ids[at] in ended.index]
                    self._copy(load, places, ended)
                    yield None

    def _copy(self, load: Load, places: list[int], source: Load) -> None:
        """Copy values and states of the ids at some places from another load."""
        there = np.array([source.index[load.ids[at]] for at in places], np.int64)
        # The state first: the other load's call may still be collecting what it waited for, and
        # writes a value before it says that the value is there.
        state = source.state[there]
        known = np.flatnonzero(state != _PENDING)
        assert load.values is not None and source.values is not None
        to = np.array(places, np.int64)[known]
        load.values[to] = source.values[there[known]]
        load.state[to] = state[known]

    def _load_rest(self, load: Load, wanted: Int64s, loader: Loader, size: int) -> Steps:
        """Have the loader called for the ids at some places, and take what it returned."""
        ids: list[Any] = []
        for part in parts(len(wanted), size):
            ids += [load.ids[at] for at in wanted[part].tolist()]
            yield None
        self._count(loads=len(ids))
        try:
            given = load.keys.words[wanted] if load.keys.refs is None else list(ids)
            present, rows = yield from self._loaded(Ask(load, loader, given), ids, size)
        except BaseException:
            self._count(failures=len(ids))
            raise
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

    def _loaded(self, ask: Ask, ids: list[Any], size: int) -> Steps:
        """Ask a loader; what it raises, even while it is read, names the ids."""
        try:
            loaded = yield ask
            return (yield from self._checked(loaded, ids, size))
        except LoaderDeadlock:
            raise
        except ValueShapeError as error:
            raise LoaderError(f"the loader returned what does not fit: {error}", ids) from error
        except _Unfit as error:
            raise LoaderError(str(error), ids) from None
        except Exception as error:
            raise LoaderError(f"the loader raised {type(error).__name__}: {error}", ids) from error

    def _checked(self, loaded: Any, ids: list[Any], size: int) -> Steps:
        """Return which ids a loader knows and their values, or refuse what does not fit."""
        present = np.ones(len(ids), bool)
        if loaded is None:
            raise _Unfit("the loader returned None instead of values or a mapping")
        if inspect.isawaitable(loaded):
            if inspect.iscoroutine(loaded):
                loaded.close()
            raise _Unfit("the loader returned an awaitable; await aget_or_load_many instead")
        if isinstance(loaded, Mapping):
            values: list[Any] = []
            for part in parts(len(ids), size):
                known = [key in loaded for key in ids[part]]
                present[part] = known
                values += [loaded[key] for key in itertools.compress(ids[part], known)]
                yield None
            if len(loaded) > len(values) and (unasked := loaded.keys() - set(ids)):
                raise _Unfit(f"the loader returned ids that it was not asked for: {shown(unasked)}")
            if not values:
                return present, self._store.blank(0)
            loaded = values
        return present, (yield from coerced(self._store, loaded, int(present.sum()), size))

    def _store_all(self, load: Load, ttl: Any, size: int) -> Steps:
        """Put what was loaded into the cache."""
        assert load.values is not None
        values = self._store.take_over(load.values)
        yield None
        lifetimes = ttl if np.ndim(ttl) == 0 else ttl[load.first]
        for part in parts(len(load.ids), size):
            lives = lifetimes if np.ndim(ttl) == 0 else lifetimes[part]
            self._target.store(part_of(load.keys, part), values[part], lives, load.veto[part])
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
        flights = self._flights
        for key in load.ids[load.released : stop]:
            # A key's own __eq__ may raise; nobody must wait for ever because of that.
            try:
                if flights.get(key) is load:
                    del flights[key]
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
