"""The cache: the facade over table, store, keys and loading; nothing but wiring."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, Literal, NoReturn, overload

import numpy as np
import numpy.typing as npt

from predis_core import policies, runtime, snapshot
from predis_core.aio import AsyncFace
from predis_core.clock import NANOSECONDS, Clock, nanoseconds
from predis_core.errors import (
    CacheClosed,
    CacheUnusable,
    ConfigurationError,
    ForkedCache,
    InvariantError,
    MissingKeys,
    NotPicklable,
)
from predis_core.lifetimes import deadlines_of, lifetimes_of
from predis_core.loading import Loader, Loads
from predis_core.mapping import TTL, DictFace, K, V, listed
from predis_core.memoize import Batched, Memoized, batched, memoized
from predis_core.memoize.functions import P, R
from predis_core.policies import Policy
from predis_core.snapshot import AnyPath, Codec, RestoreReport, SnapshotReport, Subject
from predis_core.stores import Objects, Store
from predis_core.table import invariants
from predis_core.table.cpu import CpuTable
from predis_core.table.interface import Bools, Bytes, Keys, Status
from predis_core.table.keys import KeyKind, codec, spread_seed
from predis_core.table.layout import Layout
from predis_core.types import Evicted, Stats


class Cache(DictFace[K, V], AsyncFace[K, V], Generic[K, V]):
    """A bounded, set-associative, in-process cache with batch and dict faces.

    Every method may be called from any thread.

    Args:
        capacity: entries that fit; `len(cache)` never exceeds it.
        policy: the eviction policy: a built-in's name, or an object that keeps the contract of
            `predis_core.policies.contract`.
        value: what is held per entry: `Objects()` or `Rows(dtype, shape)`.
        keys: "int64", "str", "bytes" or "any"; by default "any" for Objects and "int64" for Rows.
        ttl: default time to live, in seconds or as a timedelta; None or infinity: forever.
        loader: default for `get_or_load_many` and `get_or_load`: gets distinct ids (int64[m] for
            int64 keys, else a list) and returns values aligned with them, or a mapping.
        seed: fixes hashing, and with it where keys go; by default a new one per cache.
        clock: where the time comes from.
        name: how the cache is called where several are shown.
        device: "auto" or "cpu".

    Raises:
        ConfigurationError: naming the argument and the fix.
    """

    def __init__(
        self,
        capacity: int,
        *,
        policy: str | Policy | Any = policies.DEFAULT,
        value: Store | None = None,
        keys: KeyKind | None = None,
        ttl: float | timedelta | None = None,
        loader: Loader | None = None,
        seed: int | None = None,
        clock: Clock | None = None,
        name: str = "default",
        device: str = "auto",
    ) -> None:
        self._unusable: CacheUnusable | None = None
        self._store: Store = Objects() if value is None else _checked_store(value)
        if device not in ("auto", "cpu"):
            raise ConfigurationError(f"device: expected 'auto' or 'cpu', got {device!r}")
        if clock is not None and not isinstance(clock, Clock):
            raise ConfigurationError(
                f"clock: expected a Clock, got {clock!r}; ManualClock() is one"
            )
        if loader is not None and not callable(loader):
            raise ConfigurationError(f"loader: expected a callable, got {loader!r}")
        layout = Layout.build(capacity)
        spread = spread_seed(_checked_seed(seed))
        self._codec = codec(self._store.default_keys if keys is None else keys, spread)
        self._table = CpuTable(
            layout,
            policies.get(policy),
            spread,
            self._store.column(layout.slots),
            key_refs=self._codec.has_refs,
        )
        self._seed = spread
        self._clock = clock or Clock()
        self._ttl = 0 if ttl is None else nanoseconds(ttl)
        self._loader = loader
        self._loads = Loads(_Target(self._table, self._store, self._clock), self._store)
        self.name = name
        runtime.watch_fork(self)

    # ------------------------------------------------------------------ the batch face

    def get_many(self, keys: Any, *, out: Any = None) -> tuple[Any, Bools]:
        """Look up a batch of keys.

        Args:
            keys: n keys: an array, a tensor or a sequence.
            out: for Rows, an array or tensor [n, *shape] of the cache's dtype to write into.

        Returns:
            (values, hit): for Rows an array [n, *shape] whose missed rows are zero, or `out` with
            missed rows untouched; for Objects a list with None for a miss. hit is bool[n]; only it
            decides.

        Raises:
            KeyKindError: if a key is not of the cache's kind.
            ValueShapeError: if `out` does not fit.
            CacheUnusable: after `close()` or in a forked child; so does every other method.
        """
        batch = self._encode(keys)
        target = self._store.target(len(batch.words), out)
        hit = self._table.fetch(batch, self._clock.monotonic(), target.buffer, zero=target.zero)
        return (self._store.present(target.array) if out is None else out), hit

    @overload
    def set_many(
        self, keys: Any, values: Any, *, ttl: TTL = None, return_evicted: Literal[False] = False
    ) -> Bools: ...

    @overload
    def set_many(
        self, keys: Any, values: Any, *, ttl: TTL = None, return_evicted: Literal[True]
    ) -> tuple[Bools, Evicted]: ...

    def set_many(
        self, keys: Any, values: Any, *, ttl: TTL = None, return_evicted: bool = False
    ) -> Bools | tuple[Bools, Evicted]:
        """Store a batch of entries; of equal keys the last one wins.

        Args:
            keys: n keys.
            values: n values, one per key.
            ttl: time to live in seconds, as a timedelta, or n seconds; infinity: forever; None: the
                cache's default. Each set begins it anew.
            return_evicted: return what had to leave as well.

        Returns:
            bool[n], what was stored; with `return_evicted`, also the `Evicted` entries.

        Raises:
            KeyKindError, ValueShapeError, ConfigurationError: if keys, values or ttl do not fit.
        """
        batch = self._encode(keys)
        rows = self._store.coerce(values, len(batch.words))
        lifetimes = self._lifetimes(ttl, len(batch.words))
        self._overrule(batch)
        now = self._clock.monotonic()
        result = self._table.insert(
            batch,
            self._store.take_over(rows),
            now,
            deadlines=deadlines_of(lifetimes, now, len(batch.words)),
            return_displaced=return_evicted,
        )
        stored: Bools = (result.status == Status.INSERTED) | (result.status == Status.UPDATED)
        if not return_evicted:
            return stored
        gone = _subset(result.evicted_keys, result.evicted)
        values_gone = result.displaced[result.evicted]
        return stored, Evicted(self._codec.decode(gone), self._store.present(values_gone))

    def contains_many(self, keys: Any) -> Bools:
        """Return which of n keys are present (bool[n]); neither counts nor notes a use."""
        return self._table.contains(self._encode(keys), self._clock.monotonic())

    def touch_many(self, keys: Any) -> Bools:
        """Note the use of n keys as a lookup would; return which are present (bool[n]).

        Their time to live goes on as it was.
        """
        return self._table.touch(self._encode(keys), self._clock.monotonic())

    def delete_many(self, keys: Any) -> Bools:
        """Remove n keys; return which were present (bool[n])."""
        return self._deleted(self._encode(keys))

    def _deleted(self, batch: Keys, out: Any = None) -> Bools:
        """Remove keys, and put the values that they had into `out`."""
        self._overrule(batch)
        return self._table.delete(batch, self._clock.monotonic(), out=out)

    def get_or_load_many(
        self,
        keys: Any,
        loader: Loader | None = None,
        *,
        ttl: TTL = None,
        missing: Literal["raise", "mask"] = "raise",
    ) -> Any:
        """Look up a batch of keys and load what is missing, each id once in the whole process.

        Args:
            keys: n keys.
            loader: gets the distinct missing ids in order of first appearance (int64[m] for int64
                keys, else a list) and returns values aligned with them, or a mapping from id to
                value; the cache's `loader=` by default. Ids that another thread is loading are
                waited for instead.
            ttl: as for `set_many`, of what is loaded.
            missing: what to do about ids that a loader's mapping lacks: "raise", or "mask" to
                return (values, found).

        Returns:
            n values as `get_many` returns them; with missing="mask", (values, found bool[n]).

        Raises:
            MissingKeys: a KeyError with the ids that the loader does not know.
            LoaderError: if a loader raised or returned what does not fit; nothing of it is cached.
            LoaderDeadlock: if a loader waits for an id that waits for it.
        """
        load = self._demanded(loader, missing)
        batch = self._encode(keys)
        lifetimes = self._lifetimes(ttl, len(batch.words))
        values, _, found = self._filled(batch, load, lifetimes)
        return self._answer(batch, values, found, missing)

    def _demanded(self, loader: Loader | None, missing: str) -> Loader:
        """Return the loader of a call, or say what is wrong with what was asked for."""
        if missing not in ("raise", "mask"):
            raise ConfigurationError(f"missing: expected 'raise' or 'mask', got {missing!r}")
        demanded = self._loader if loader is None else loader
        if not callable(demanded):
            raise ConfigurationError(
                "loader: pass one to this call, or a default as Cache(loader=...)"
            )
        return demanded

    def _answer(self, batch: Keys, values: npt.NDArray[Any], found: Bools, missing: str) -> Any:
        """Return what a call that loads does."""
        if missing == "mask":
            return self._store.present(values), found
        if not found.all():
            absent = self._codec.decode(_subset(batch, ~found))
            raise MissingKeys(list(dict.fromkeys(listed(absent))))
        return self._store.present(values)

    def _filled(
        self, batch: Keys, loader: Loader, lifetimes: Any
    ) -> tuple[npt.NDArray[Any], Bools, Bools]:
        """Return values of a batch, which were hits, and which are there after loading."""
        call = self._loads.begin()
        try:
            target = self._store.target(len(batch.words))
            hit = self._table.fetch(batch, self._clock.monotonic(), target.buffer, zero=target.zero)
            found = hit
            if not hit.all():
                found = self._loads.fill(call, batch, target.array, hit, loader, lifetimes)
        finally:
            self._loads.end(call)
        return target.array, hit, found

    # ------------------------------------------------------------------ functions

    @overload
    def memoize(self, fn: Callable[P, R], /) -> Memoized[P, R]: ...

    @overload
    def memoize(
        self,
        fn: None = None,
        /,
        *,
        ttl: str | float | timedelta | None = None,
        key: Callable[..., Any] | None = None,
        typed: bool = False,
        name: str | None = None,
        cache_exceptions: type[Exception] | tuple[type[Exception], ...] = (),
    ) -> Callable[[Callable[P, R]], Memoized[P, R]]: ...

    def memoize(
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        ttl: str | float | timedelta | None = None,
        key: Callable[..., Any] | None = None,
        typed: bool = False,
        name: str | None = None,
        cache_exceptions: type[Exception] | tuple[type[Exception], ...] = (),
    ) -> Any:
        """Decorate a function, method or coroutine function so that its results are cached.

        Of equal calls at a time one runs the function, and the others wait for it.

        Args:
            fn: the function; without it, a decorator is returned.
            ttl: time to live of results: seconds, a timedelta or text such as "5m"; None: the
                cache's default.
            key: gets the arguments and returns what tells calls apart; by default all arguments,
                which have to be hashable. Caches of other keys than "any" need one.
            typed: whether arguments of different types differ although they are equal.
            name: stands for the function in its keys. Functions of one name share results; without
                one, nothing is shared, not even with what decorates the same function again.
            cache_exceptions: exceptions that are cached and raised again, as results are returned;
                others are not cached.

        Returns:
            A `Memoized` function, which raises what `fn` raises.

        Raises:
            ConfigurationError: naming the argument that does not fit.
        """
        decorate = functools.partial(
            memoized,
            self,
            ttl=ttl,
            key=key,
            typed=typed,
            name=name,
            cache_exceptions=cache_exceptions,
        )
        return decorate if fn is None else decorate(fn)

    def batch(
        self,
        fn: Callable[[Any], Any],
        *,
        key: Callable[[Any], Any] | None = None,
        ttl: str | float | timedelta | None = None,
        name: str | None = None,
        max_batch: int | None = None,
    ) -> Batched:
        """Return a function over a batch of items that computes only those that are not cached.

        Args:
            fn: gets the distinct missing items in order of first appearance (int64[m] where they
                are int64 keys themselves, else a list) and returns values aligned with them, or a
                mapping from item to value. It may be a coroutine function.
            key: gets an item and returns its key; by default the item itself, which has to be
                hashable.
            ttl: as for `memoize`; each call may give its own, also one per item.
            name: as for `memoize`: the model, say, that `fn` computes with.
            max_batch: how many items `fn` gets at a time at most; None: all in one call.

        Returns:
            A `Batched` function, which raises as `get_or_load_many` does, with items as ids.

        Raises:
            ConfigurationError: naming the argument that does not fit.
        """
        return batched(self, fn, key=key, ttl=ttl, name=name, max_batch=max_batch)

    # ------------------------------------------------------------------ what is held

    def __len__(self) -> int:
        """Return how many entries are held, expired ones that were not reclaimed yet included."""
        self._check()
        return self._table.size()

    def _keys(self) -> list[K]:
        self._check()
        return listed(self._codec.decode(self._table.export(self._clock.monotonic()).keys))

    def _pairs(self) -> list[tuple[K, V]]:
        self._check()
        entries = self._table.export(self._clock.monotonic())
        keys = listed(self._codec.decode(entries.keys))
        return list(zip(keys, self._store.present(entries.values), strict=True))

    def clear(self) -> None:
        """Remove every entry."""
        self._check()
        self._loads.overrule_all()
        self._table.clear()

    def ttl_left(self, key: K) -> float | None:
        """Return the seconds that an entry still has, or None if it does not expire.

        Raises:
            KeyError: if the key is absent or expired.
        """
        now = self._clock.monotonic()
        deadline = int(self._table.deadlines(self._one(key), now)[0])
        if deadline < 0:
            raise KeyError(key)
        return (deadline - now) / NANOSECONDS if deadline else None

    # ------------------------------------------------------------------ the whole

    @property
    def capacity(self) -> int:
        """Entries that fit."""
        return self._table.layout.slots

    def stats(self) -> Stats:
        """Return what the cache did since it was opened."""
        self._check()
        counters = self._table.counters()
        loads, failures, saved = self._loads.counts()
        return Stats(
            **{counter.name.lower(): count for counter, count in counters.items()},
            loads=loads,
            load_failures=failures,
            loads_saved=saved,
            capacity=self.capacity,
        )

    def check_invariants(self) -> None:
        """Verify every promise about the table's inside; only while no other thread uses it.

        Raises:
            InvariantError: listing what is broken.
        """
        self._check()
        if found := invariants.broken(self._table.dump(), self._table.layout, self._seed):
            raise InvariantError(f"cache {self.name!r}: " + "; ".join(found))

    def snapshot(self, path: AnyPath, *, codec: Codec | None = None) -> SnapshotReport:
        """Write every entry to a file, which appears under its name when all of it is on the disk.

        Other threads go on meanwhile: an entry is written as it is at some moment of the call.

        Args:
            path: the file, which is replaced in one step if it exists.
            codec: an object with `encode(value)`, which returns bytes, and `decode(data)`; for
                keys and values of types that snapshots do not know.

        Returns:
            How many entries and bytes were written.

        Raises:
            SnapshotError: naming the key and the type that cannot be written.
            OSError: if the file cannot be written. Either way, an old one is still there.
        """
        return snapshot.write(self._subject(), path, codec)

    def restore(self, path: AnyPath, *, codec: Codec | None = None) -> RestoreReport:
        """Store the entries of a snapshot in free places; what the cache holds stays as it is.

        Args:
            path: what `snapshot` wrote, of a cache with the same kind of keys and values.
            codec: the one that it was written with.

        Returns:
            How many entries were restored, and how many were not, and why.

        Raises:
            SnapshotError: if the file is not whole, or does not fit; the cache is unchanged.
            OSError: if the file cannot be read; the cache is unchanged.
        """
        return snapshot.restore(self._subject(), path, codec)

    def _subject(self) -> Subject:
        self._check()
        return Subject(self.name, self._table, self._store, self._codec, self._clock, self._check)

    def close(self) -> None:
        """Give up every entry; using the cache afterwards raises CacheClosed. Twice is harmless."""
        if self._unusable is None:
            self.clear()
            self._unusable = CacheClosed(
                f"cache {self.name!r} is closed; open another with Cache(...)"
            )

    def __enter__(self) -> Cache[K, V]:
        self._check()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "unusable" if self._unusable else f"{self._table.size()}/{self.capacity}"
        return (
            f"<Cache {self.name!r}: {state} entries, policy {self._table.policy.name}, "
            f"{self._codec.kind} keys, {self._store}>"
        )

    # A cache is a place, not a value: comparing contents would race and be slow.
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise NotPicklable(
            f"cache {self.name!r} cannot be pickled or copied; open one in each process, or send "
            "its entries: dict(cache.items())"
        )

    def _forked(self) -> None:
        self._unusable = ForkedCache(
            f"cache {self.name!r} was opened before this process forked; open one in each child, "
            "or start workers with multiprocessing's 'spawn' method"
        )

    # ------------------------------------------------------------------ what the faces share

    def _check(self) -> None:
        if self._unusable is not None:
            raise type(self._unusable)(*self._unusable.args)

    def _encode(self, keys: Any) -> Keys:
        self._check()
        return keys if type(keys) is Keys else self._codec.encode(keys)

    def _one(self, key: Any) -> Keys:
        self._check()
        return self._codec.encode_one(key)

    def _lifetimes(self, ttl: TTL, n: int) -> Any:
        return self._ttl if ttl is None else lifetimes_of(ttl, n)

    def _overrule(self, batch: Keys) -> None:
        if self._loads.under_way:
            self._loads.overrule(listed(self._codec.decode(batch)))


class _Target:
    """What loading sees of a cache; see `loading.LoadTarget`."""

    def __init__(self, table: CpuTable, store: Store, clock: Clock) -> None:
        self._table, self._store, self._clock = table, store, clock

    def find(self, keys: Keys, out: npt.NDArray[Any]) -> Bools:
        now = self._clock.monotonic()
        return self._table.fetch(keys, now, out, zero=out.dtype != object, count=False)

    def store(self, keys: Keys, values: npt.NDArray[Any], ttl: Any, veto: Bytes) -> None:
        now = self._clock.monotonic()
        deadlines = deadlines_of(ttl, now, len(keys.words))
        # What is resident by now was set during the load, and wins.
        self._table.insert(keys, values, now, deadlines=deadlines, absent_only=True, veto=veto)


def _checked_store(value: Any) -> Store:
    if isinstance(value, Store):
        return value
    raise ConfigurationError(f"value: expected Objects() or Rows(dtype, shape), got {value!r}")


def _checked_seed(seed: int | None) -> int:
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise ConfigurationError(f"seed: expected an int, got {seed!r}")
    return operator.index(seed)


def _subset(keys: Keys, where: Bools) -> Keys:
    return Keys(keys.words[where], None if keys.refs is None else keys.refs[where])
