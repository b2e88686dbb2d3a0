"""The cache: the facade over table, store, keys and loading; nothing but wiring."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, Literal, NoReturn, Self, cast, overload

from predis_core import arguments, building, devices, planning, policies, runtime, snapshot
from predis_core.adapting import AdaptingFace
from predis_core.aio import AsyncFace
from predis_core.clock import NANOSECONDS, Clock, nanoseconds
from predis_core.curves import CurveFace
from predis_core.errors import (
    CacheClosed,
    CacheUnusable,
    ConfigurationError,
    ForkedCache,
    InvariantError,
    MissingKeys,
    NotPicklable,
)
from predis_core.intake import Intake, Weigher
from predis_core.lifetimes import deadlines_of, lifetimes_of
from predis_core.listening import Listener, Listeners, RemovalReason
from predis_core.loading import Loader, Loads
from predis_core.mapping import TTL, DictFace, K, V, listed
from predis_core.memoize import FunctionFace
from predis_core.namespaces import NamespaceFace
from predis_core.native import OFF, Scalars
from predis_core.pins import Pinned
from predis_core.policies import Policy
from predis_core.policies.choice import sees_values
from predis_core.snapshot import AnyPath, Codec, RestoreReport, SnapshotReport, Subject
from predis_core.stores import Rows, Store
from predis_core.table.batches import part_of
from predis_core.table.interface import Bools, CacheTable, Deleted, Keys, Reason
from predis_core.table.keys import KeyKind, codec, spread_seed
from predis_core.tiers.base import TierFactory
from predis_core.types import Evicted, Stats


class Cache(
    DictFace[K, V],
    AsyncFace[K, V],
    FunctionFace,
    AdaptingFace,
    CurveFace,
    NamespaceFace,
    Generic[K, V],
):
    """A bounded, set-associative, in-process cache with batch and dict faces.

    Every method may be called from any thread.

    Args:
        capacity: entries that fit; `len(cache)` never exceeds it, unless `resize` is under way.
            Rows need none with `memory=`.
        policy: the eviction policy: a built-in's name, "auto" for one that is chosen while the
            cache works, or an object that keeps the contract of `predis_core.policies.contract`.
        value: what is held per entry: `Objects()`, `Rows(dtype, shape)` or `Blobs()`.
        keys: "int64", "str", "bytes" or "any"; by default "any" for Objects, else "int64".
        ttl: default time to live, in seconds or as a timedelta; None or infinity: forever.
        memory: bytes for tables and values, as an int or as text like "2GiB". Objects need a
            weigher with it; keys that are Python objects come on top.
        weigher: for Objects, gets a key and its value and returns the bytes that they are to
            count for, an int.
        on_removal: told of entries that leave, as `add_removal_listener` says; with one, or with a
            policy that asks for it, the cache keeps what entries cost to load, in 8 bytes for each.
        loader: default for `get_or_load_many` and `get_or_load`: gets distinct ids (int64[m] for
            int64 keys, else a list) and returns values aligned with them, or a mapping.
        seed: fixes hashing, and with it where keys go; by default a new one per cache.
        clock: where the time comes from.
        sampling: share of the keys whose lookups are followed in the background, for
            `miss_ratio_curve` and `size_for`; None: of none.
        name: how the cache is called where several are shown.
        device: "cpu", or a GPU: "cuda:N", or "cuda" for the first. A cache on one has Rows.
            "auto": for such a cache the first GPU if it can be used, else the CPU, and the log
            says why.
        host_capacity, host_memory: for Rows under int64 keys: have a tier below hold so many
            entries, or as many as so many bytes hold; `capacity` or `memory` is then what of them
            has copies on the GPU. On the CPU there is the tier only.
        tier: what the tier is: "memory", the host's, by default, or a function that makes one.

    Raises:
        ConfigurationError: naming the argument and the fix.
    """

    def __init__(
        self,
        capacity: int | None = None,
        *,
        memory: int | str | None = None,
        policy: str | Policy | Any = policies.DEFAULT,
        value: Store | None = None,
        keys: KeyKind | None = None,
        ttl: float | timedelta | None = None,
        loader: Loader | None = None,
        weigher: Weigher | None = None,
        on_removal: Listener | None = None,
        seed: int | None = None,
        clock: Clock | None = None,
        sampling: float | None = None,
        name: str = "default",
        device: str = "auto",
        host_capacity: int | None = None,
        host_memory: int | str | None = None,
        tier: str | TierFactory | None = None,
    ) -> None:
        self._unusable: CacheUnusable | None = None
        self._native, self._scalars = OFF, Scalars(Cache)
        self._store: Store = arguments.checked_store(value)
        arguments.check_others(clock, loader)
        self._seed = arguments.checked_seed(seed)
        spread = spread_seed(self._seed)
        self._codec = codec(self._store.default_keys if keys is None else keys, spread)
        chosen = policies.get(policy)
        bound = planning.checked(self._store, memory, weigher)
        wish = building.tier_wish(self._store, self._codec.kind, host_capacity, host_memory, tier)
        self._table: CacheTable = building.table(
            name=name,
            device=device,
            store=self._store,
            codec=self._codec,
            policy=chosen,
            seed=spread,
            capacity=capacity,
            memory=bound,
            costs=on_removal is not None,
            tier=wish,
        )
        self._fetch = self._table.fetch
        self._clock = clock or Clock()
        self._ttl = 0 if ttl is None else nanoseconds(ttl)
        self._loader, self._weigher = loader, weigher
        self._listeners = Listeners(name, self._codec, self._store)
        if on_removal is not None:
            self._listeners.add(on_removal, name="on_removal")
        self._intake = Intake(
            self._table,
            self._store,
            self._codec,
            self._clock,
            self._listeners,
            weigher,
            on_removal is not None or sees_values(chosen),
        )
        self._loads = Loads(self._intake, self._store)
        self.name = name
        self._begin_dividing(wish, bound)
        self._begin_sampling(sampling)
        self._begin_choosing()
        self._take_device_arrays()
        runtime.watch_fork(self)

    # ------------------------------------------------------------------ the batch face

    def get_many(self, keys: Any, *, out: Any = None) -> tuple[Any, Bools]:
        """Look up a batch of keys; with those that lie on the GPU, this does not wait for it.

        Args:
            keys: n keys: an array, a tensor or a sequence; in every method of a batch, those that
                lie on the cache's GPU lead to arrays of their library there (over a tier by way
                of the host, which waits).
            out: for Rows, an array or tensor [n, *shape] of the cache's dtype to write into; for
                Blobs(), a `Packed` to fill.

        Returns:
            (values, hit): for Rows an array [n, *shape] whose missed rows are zero, or `out` with
            missed rows untouched; else a list with None for a miss, or `out` with empty ones. hit
            is bool[n]; only it decides.

        Raises:
            KeyKindError: if a key is not of the cache's kind.
            ValueShapeError: if `out` does not fit.
            CacheUnusable: after `close()` or in a forked child; so does every other method.
        """
        batch = self._encode(keys)
        target = self._store.target(len(batch.words), out)
        hit = self._fetch(batch, self._clock.monotonic(), target.buffer, zero=target.zero)
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

        With keys that lie on the GPU, this waits for it only for `return_evicted`, for removal
        listeners, and while ids are being loaded.

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
        n = len(batch.words)
        rows = self._store.admit(values, n)
        weights = self._intake.weights(batch, rows)
        lifetimes = self._lifetimes(ttl, n)
        self._loads.overrule(batch)
        now = self._clock.monotonic()
        inserted = self._intake.put(
            batch,
            rows,
            now,
            deadlines_of(lifetimes, now, n),
            weights=weights,
            want_removed=return_evicted,
        )
        stored = inserted.stored
        if self._table.is_sealed and not stored.any():
            self._check()  # it was closed meanwhile
        if not return_evicted:
            return stored
        removed = inserted.removed
        assert removed is not None
        gone = self._listeners.shown(removed, removed.reasons == Reason.EVICTED)
        return stored, Evicted(gone.keys, gone.values)

    def contains_many(self, keys: Any) -> Bools:
        """Return which of n keys are present (bool[n]); neither counts nor notes a use.

        With keys that lie on the GPU, this does not wait for it.
        """
        return self._table.contains(self._encode(keys), self._clock.monotonic())

    def touch_many(self, keys: Any) -> Bools:
        """Note the use of n keys as a lookup would; return which are present (bool[n]).

        Their time to live goes on as it was. Keys that lie on the GPU are not waited for.
        """
        return self._table.touch(self._encode(keys), self._clock.monotonic())

    def delete_many(self, keys: Any) -> Bools:
        """Remove n keys; return which were present (bool[n]).

        With keys that lie on the GPU, this waits for it only as `set_many` does.
        """
        return self._deleted(self._encode(keys)).deleted

    def _deleted(self, batch: Keys, want_removed: bool = False) -> Deleted:
        """Remove keys, and return what they had if it is wanted."""
        self._loads.overrule(batch)
        now, listeners = self._clock.monotonic(), self._listeners
        gone = self._table.delete(batch, now, want_removed=want_removed or bool(listeners))
        if listeners:
            listeners.tell(gone.removed)
        return gone

    def pinned(self, keys: Any) -> Pinned:
        """Return a context in which the entries of n keys do not leave to make room.

        `with cache.pinned(keys) as values:` has their values as `get_many` returns them, and the
        context's `hit` says which there were. They may still be deleted, replaced or expire. Pins
        are counted: an entry stays until the last context is left.
        """
        batch, now = self._encode(keys), self._clock.monotonic
        return Pinned(lambda: self._table, batch, now, self.get_many, self._check)

    def get_or_load_many(
        self,
        keys: Any,
        loader: Loader | None = None,
        *,
        ttl: TTL = None,
        missing: Literal["raise", "mask"] = "raise",
    ) -> Any:
        """Look up a batch of keys and load what is missing, each id once in the whole process.

        With keys that lie on the GPU, this waits for it to tell which are missing.

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
        return self._answer(batch, self._store.present(values), found, missing)

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

    def _answer(self, batch: Keys, values: Any, found: Bools, missing: str) -> Any:
        """Return what a call that loads does."""
        if missing == "mask":
            return values, found
        if not found.all():
            absent = self._codec.decode(part_of(batch, ~found))
            raise MissingKeys(list(dict.fromkeys(listed(absent))))
        return values

    def _filled(self, batch: Keys, loader: Loader, lifetimes: Any) -> tuple[Any, Bools, Bools]:
        """Return values of a batch, which were hits, and which are there after loading."""
        call = self._loads.begin()
        try:
            target = self._store.target(len(batch.words))
            now = self._clock.monotonic()
            found = hit = self._fetch(batch, now, target.buffer, zero=target.zero)
            if not hit.all():
                found = self._loads.fill(call, batch, target.array, hit, loader, lifetimes)
        finally:
            self._loads.end(call)
        return target.array, hit, found

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
        """Remove every entry, those of namespaces not included."""
        self._check()
        self._clear()

    def _clear(self) -> None:
        self._loads.overrule_all()
        # One table all the time, whatever listeners do: it hands on to what takes its place.
        table, now = self._table, self._clock.monotonic()
        if not self._listeners:
            table.clear(now)
            return
        for removed in table.clearing(now):
            self._listeners.tell(removed)

    def add_removal_listener(
        self, listener: Listener, *, reasons: Iterable[RemovalReason] | None = None
    ) -> None:
        """Have a listener called with the `Removals` of each batch of which entries leave.

        It is called in the thread whose call made them leave, after every lock, so that it may use
        the cache; what it raises is logged, and after 3 failures in a row it is not called any
        more. `close()` clears, and so tells of all that is left.

        Args:
            listener: gets a `Removals`; no coroutine function.
            reasons: those that it wants to be told; None: all.

        Raises:
            ConfigurationError: if the listener does not fit, or a reason is unknown.
        """
        self._check()
        self._listeners.add(listener, reasons)

    def remove_removal_listener(self, listener: Listener) -> bool:
        """Do not call a listener any more; return whether it was called so far."""
        return self._listeners.remove(listener)

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
        """Entries that fit, those of namespaces not included."""
        return self._table.newest.layout.slots

    def stats(self) -> Stats:
        """Return what the cache did since it was opened; each namespace has stats of its own."""
        self._check()
        counters = {c.name.lower(): count for c, count in self._table.counters().items()}
        if isinstance(self._store, Rows):
            weighed = {"size": "bytes", "hits": "hit_bytes", "insertions": "inserted_bytes"}
            row_bytes = self._store.bytes_per_slot(False)
            counters |= {of: row_bytes * counters[count] for count, of in weighed.items()}
        loads, failures, saved = self._loads.counts()
        return Stats(
            **counters,
            loads=loads,
            load_failures=failures,
            loads_saved=saved,
            capacity=self.capacity,
        )

    def check_invariants(self) -> None:
        """Verify every promise about the table's inside; only while no other thread uses it.

        Raises:
            InvariantError: listing what is broken.
            CacheBusy: from within a resize, a snapshot or a restore.
        """
        self._check()
        with self._turn:  # the policy may be about to change, in the background
            for table in dict.fromkeys((self._table, self._table.newest)):
                if found := table.broken():
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
            CacheBusy: from within a resize, another snapshot or a restore, as of `codec`.
            DeviceError: over a tier that a plugin made; so does `restore`.
            OSError: if the file cannot be written. Either way, an old one is still there.
        """
        with self._turn:
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
            CacheBusy: as `snapshot`.
            OSError: if the file cannot be read; the cache is unchanged.
        """
        with self._turn:
            return snapshot.restore(self._subject(), path, codec)

    def _subject(self) -> Subject:
        self._check()
        self._settle()
        return Subject(
            self.name,
            self._inspected(),
            self._store,
            self._codec,
            self._clock,
            self._intake,
            self._check,
        )

    def close(self) -> None:
        """Give up every entry and namespace; using them afterwards raises CacheClosed.

        Twice is harmless. To close a namespace is to drop it.
        """
        if self._unusable is not None:
            return
        if self._root is not None:
            self._root._drop(self.name.removeprefix(f"{self._root.name}/"), self)
            return
        said = "is closed; open another with Cache(...)"
        self._end(CacheClosed(f"cache {self.name!r} {said}"))
        for each in list(self._namespaces.values()):
            each._end(CacheClosed(f"cache {each.name!r} {said}"))

    def _end(self, error: CacheUnusable) -> None:
        self._unusable = error
        self._no_longer()
        self._chosen()
        self._scalars.drop(self)
        # What other threads are about to set would be told to nobody.
        self._table.seal()
        self._clear()

    def _beside(self, **arguments: Any) -> Self:
        """Return another cache with the same settings, but for some arguments."""
        same: dict[str, Any] = {
            "policy": cast("Any", self._table).given,
            "value": self._store,
            "keys": self._codec.kind,
            "loader": self._loader,
            "weigher": self._weigher,
            "seed": self._seed,
            "clock": self._clock,
            "device": devices.name_of(self._table),
        }
        return type(self)(**same | arguments)

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
        self._scalars.drop(self)

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
