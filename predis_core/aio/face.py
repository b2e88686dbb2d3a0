"""The asyncio face: the batch face, awaited. It adds to a cache, and does nothing past it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Generic, Literal, overload

import numpy as np
import numpy.typing as npt

from predis_core.aio import driving
from predis_core.aio.driving import is_async, offload, paced
from predis_core.arrays import has_array_face, host_array
from predis_core.clock import Clock
from predis_core.deferred import Deferred
from predis_core.errors import KeyKindError
from predis_core.ids import parts
from predis_core.loading import Loader, Loads, coerced
from predis_core.mapping import TTL, K, V, listed
from predis_core.packed import Packed
from predis_core.stores import Blobs, Objects, Rows, Store
from predis_core.table.batches import part_of
from predis_core.table.interface import Bools, CacheTable, Counter, Keys
from predis_core.table.keys import KeyCodec
from predis_core.types import Evicted

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = Deferred("asyncio")

_KEYS = 1024
"""Keys that are handled in one go where the kernels do without the GIL."""

_KEYS_WITH_GIL = 128
"""Keys that are handled in one go where they hold it: well under a millisecond."""

_KEYS_OF_LOAD = 256
"""Keys that a load handles in one go, which does more with each of them than machine code."""

_BYTES = 1 << 19
"""Bytes of rows that are handled in one go."""


class AsyncFace(Generic[K, V]):
    """The batch face for programs on an event loop.

    Small batches run at once, in the calling task. Large ones of int64 keys and rows run in a
    thread. Where Python objects are keys or values, large ones run as several batches, one after
    the other, between which other tasks have their turn.
    """

    if TYPE_CHECKING:
        _codec: KeyCodec
        _store: Store
        _table: CacheTable
        _clock: Clock
        _fetch: Callable[..., Bools]
        _loads: Loads

        def get_many(self, keys: Any, *, out: Any = None) -> tuple[Any, Bools]: ...

        def set_many(
            self, keys: Any, values: Any, *, ttl: TTL = None, return_evicted: Any = False
        ) -> Any: ...

        def contains_many(self, keys: Any) -> Bools: ...

        def touch_many(self, keys: Any) -> Bools: ...

        def delete_many(self, keys: Any) -> Bools: ...

        def _encode(self, keys: Any) -> Keys: ...

        def _one(self, key: Any) -> Keys: ...

        def _lifetimes(self, ttl: TTL, n: int) -> Any: ...

        def _demanded(self, loader: Loader | None, missing: str) -> Loader: ...

        def _answer(self, batch: Keys, values: Any, found: Bools, missing: str) -> Any: ...

    async def aget_many(self, keys: Any, *, out: Any = None) -> tuple[Any, Bools]:
        """Look up a batch of keys; see `get_many`."""
        batch = await self._batch(keys)
        n = len(batch.words)
        if n <= self._size:
            return self.get_many(batch, out=out)
        if not self._holds_gil:
            return await offload(partial(self.get_many, batch, out=out))
        values, hit = self._store.target(n, out).array, np.empty(n, bool)
        items: list[Any] = []
        for part in parts(n, self._size):
            some = part_of(batch, part)
            if not isinstance(self._store, Rows):
                found, hit[part] = self.get_many(some, out=None if out is None else Packed())
                items += found
            elif out is None:
                values[part], hit[part] = self.get_many(some)
            else:
                hit[part] = self.get_many(some, out=values[part])[1]
            await asyncio.sleep(0)
        if isinstance(self._store, Rows):
            return (values if out is None else out), hit
        if out is None:
            return items, hit
        whole = Packed.of(items)
        out.fill(whole.data, whole.offsets)
        return out, hit

    @overload
    async def aset_many(
        self, keys: Any, values: Any, *, ttl: TTL = None, return_evicted: Literal[False] = False
    ) -> Bools: ...

    @overload
    async def aset_many(
        self, keys: Any, values: Any, *, ttl: TTL = None, return_evicted: Literal[True]
    ) -> tuple[Bools, Evicted]: ...

    async def aset_many(
        self, keys: Any, values: Any, *, ttl: TTL = None, return_evicted: bool = False
    ) -> Bools | tuple[Bools, Evicted]:
        """Store a batch of entries; see `set_many`.

        A call that is cancelled, or whose weigher raises, may have stored some of them.
        """
        batch = await self._batch(keys)
        n = len(batch.words)
        work: Callable[..., Any] = partial(self.set_many, return_evicted=return_evicted)
        if n <= self._size:
            few: Bools | tuple[Bools, Evicted] = work(batch, values, ttl=ttl)
            return few
        rows = values
        if not isinstance(values, Packed) or len(values) != n:
            rows = await paced(coerced(self._store, values, n, self._size))
        lives = await self._seconds(ttl, n)
        if not self._in_parts:
            return await offload(partial(work, batch, rows, ttl=lives))
        found = []
        for part in parts(n, self._size):
            life = lives[part] if isinstance(lives, np.ndarray) else lives
            found.append(work(part_of(batch, part), rows[part], ttl=life))
            await asyncio.sleep(0)
        if not return_evicted:
            return np.concatenate(found)
        stored, evicted = zip(*found, strict=True)
        gone = Evicted(_joined([e.keys for e in evicted]), _joined([e.values for e in evicted]))
        return np.concatenate(stored), gone

    async def acontains_many(self, keys: Any) -> Bools:
        """Return which of n keys are present; see `contains_many`."""
        return await self._masked(self.contains_many, keys, self._holds_gil)

    async def atouch_many(self, keys: Any) -> Bools:
        """Note the use of n keys; see `touch_many`."""
        return await self._masked(self.touch_many, keys, self._holds_gil)

    async def adelete_many(self, keys: Any) -> Bools:
        """Remove n keys; see `delete_many`. A call that is cancelled may have removed some."""
        return await self._masked(self.delete_many, keys, self._in_parts)

    async def aget_or_load_many(
        self,
        keys: Any,
        loader: Loader | Callable[[Any], Awaitable[Any]] | None = None,
        *,
        ttl: TTL = None,
        missing: Literal["raise", "mask"] = "raise",
    ) -> Any:
        """Look up a batch of keys and load what is missing; see `get_or_load_many`.

        Waiting for a load, whoever runs it, blocks neither the event loop nor a thread. A caller
        that is cancelled does not cancel the load: it goes on for those who wait for it, and what
        it brings is cached even if nobody does.

        Args:
            keys: n keys.
            loader: a coroutine function, which runs on this event loop, in a task of its own; or
                any other callable, which runs in a thread, and what it returns is awaited on this
                event loop if it can be. The cache's `loader=` by default.
            ttl: as for `set_many`, of what is loaded.
            missing: as for `get_or_load_many`.

        Returns:
            n values as `get_many` returns them; with missing="mask", (values, found bool[n]).

        Raises:
            MissingKeys: a KeyError with the ids that the loader does not know.
            LoaderError: if a loader raised, returned what does not fit or was cancelled.
            LoaderDeadlock: if a loader waits for an id that waits for it.
        """
        load = self._demanded(loader, missing)
        batch = await self._batch(keys)
        n = len(batch.words)
        lifetimes = self._lifetimes(await self._seconds(ttl, n), n)
        values, _, found = await self._afilled(batch, load, lifetimes)
        return self._answer(batch, await self._presented(values), found, missing)

    async def aget_or_load(
        self, key: K, loader: Callable[[K], V | Awaitable[V]] | None = None, *, ttl: TTL = None
    ) -> V:
        """Return the value of a key, loading it if it is missing; see `get_or_load`.

        Args:
            key: the key.
            loader: gets the key and returns its value; it may be a coroutine function. The cache's
                `loader=`, which takes a batch, by default.
            ttl: as for `set_many`, of what is loaded.

        Raises:
            LoaderError, LoaderDeadlock, MissingKeys: as `aget_or_load_many`.
        """
        batch_loader = None if loader is None else _of_batches(loader)
        loaded: V = (await self.aget_or_load_many(self._one(key), batch_loader, ttl=ttl))[0]
        return loaded

    # ------------------------------------------------------------------ what the verbs share

    @cached_property
    def _holds_gil(self) -> bool:
        """Whether kernels hold the GIL, so that a thread would block the loop as well."""
        return self._codec.has_refs or isinstance(self._store, Objects)

    @property
    def _size(self) -> int:
        """Keys that may be handled in one go on an event loop."""
        if not isinstance(self._store, Blobs):
            return self._size_by_number
        counters = self._table.counters()
        mean = counters[Counter.BYTES] // max(1, counters[Counter.SIZE])
        return max(1, min(self._size_by_number, _BYTES // max(1, mean)))

    @cached_property
    def _size_by_number(self) -> int:
        if self._holds_gil:
            return _KEYS_WITH_GIL
        return max(1, min(_KEYS, _BYTES // self._store.blank(1).nbytes))

    @property
    def _in_parts(self) -> bool:
        """Whether large writes are done in parts: if so, or if loads must be told of each key."""
        return self._holds_gil or self._loads.under_way

    async def _masked(self, verb: Callable[[Keys], Bools], keys: Any, in_parts: bool) -> Bools:
        batch = await self._batch(keys)
        n = len(batch.words)
        if n <= self._size:
            return verb(batch)
        if not in_parts:
            return await offload(partial(verb, batch))
        mask = np.empty(n, bool)
        for part in parts(n, self._size):
            mask[part] = verb(part_of(batch, part))
            await asyncio.sleep(0)
        return mask

    async def _afilled(
        self, batch: Keys, loader: Loader, lifetimes: Any
    ) -> tuple[npt.NDArray[Any], Bools, Bools]:
        """Return values of a batch, which were hits, and which are there after loading."""
        n = len(batch.words)
        size = self._size if n <= self._size else min(self._size, _KEYS_OF_LOAD)
        with contextlib.ExitStack() as stack:
            call = self._loads.begin()
            stack.callback(self._loads.end, call)
            target = self._store.target(n)
            values, hit = target.array, np.empty(n, bool)
            for part in parts(n, size):
                if n > size:
                    await asyncio.sleep(0)
                some = part_of(batch, part)
                now = self._clock.monotonic()
                hit[part] = self._fetch(some, now, values[part], zero=target.zero)
            if hit.all():
                return values, hit, hit
            stack.pop_all()  # from here on, the load ends the call
        found = await driving.fill(self._loads, call, batch, values, hit, loader, lifetimes, size)
        return values, hit, found

    async def _presented(self, values: npt.NDArray[Any]) -> Any:
        """Return values as a user gets them; large arrays of objects are given up bit by bit."""
        n = len(values)
        if n <= self._size or not isinstance(self._store, Objects):
            return self._store.present(values)
        objects: list[Any] = []
        for part in parts(n, self._size):
            objects += self._store.present(values[part])
            values[part] = None
            await asyncio.sleep(0)
        return objects

    async def _batch(self, keys: Any) -> Keys:
        """Return a batch of keys as a table takes them."""
        given = _divisible(keys)
        if given is None or len(given) <= self._size or self._is_plain(given):
            return self._encode(keys if given is None else given)
        n = len(given)
        words, refs = np.empty(n, np.int64), np.empty(n, object)
        try:
            for part in parts(n, self._size):
                words[part], some = self._encode(given[part])
                refs[part] = some
                await asyncio.sleep(0)
        except KeyKindError:
            return self._encode(given)  # whose message is about all of them
        return Keys(words, refs if self._codec.has_refs else None)

    def _is_plain(self, keys: Any) -> bool:
        """Whether keys become words in one short operation."""
        if self._codec.has_refs or not isinstance(keys, np.ndarray):
            return False
        return keys.ndim != 1 or keys.dtype.kind in "iu"

    async def _seconds(self, ttl: TTL, n: int) -> Any:
        """Return times to live that are checked: an array, or what it is if it is one for all."""
        if isinstance(ttl, list | tuple) and len(ttl) == n > self._size:
            seconds = np.empty(n)
            with contextlib.suppress(TypeError, ValueError):
                for part in parts(n, self._size):
                    seconds[part] = np.asarray(ttl[part], np.float64)
                    await asyncio.sleep(0)
                ttl = seconds
        return ttl if np.ndim(self._lifetimes(ttl, n)) == 0 else np.asarray(ttl)


def _divisible(keys: Any) -> Any:
    """Return keys that can be taken apart, None for what is no batch or already one of a table.

    Lists are copied: tasks that run in between may change them.
    """
    if type(keys) is Keys or isinstance(keys, str | bytes):
        return None
    if isinstance(keys, list | tuple | range):
        return keys[:]
    if has_array_face(keys):
        array = host_array(keys, "keys", KeyKindError)
        return array if array.ndim == 1 else None
    # Other sequences may take slices for something else; what is none is listed anyway.
    return list(keys) if isinstance(keys, Iterable) and not isinstance(keys, Sequence) else None


def _joined(some: list[Any]) -> Any:
    """Return keys or values of several batches as those of one."""
    if isinstance(some[0], np.ndarray):
        return np.concatenate(some)
    return [item for part in some for item in part]


def _of_batches(loader: Callable[[Any], Any]) -> Loader:
    """Return a loader of batches of one; a coroutine function makes a coroutine function."""
    if is_async(loader):

        async def awaited(ids: Any) -> list[Any]:
            return [await loader(listed(ids)[0])]

        return awaited

    def called(ids: Any) -> Any:
        value = loader(listed(ids)[0])
        return _alone(value) if inspect.isawaitable(value) else [value]

    return called


async def _alone(value: Awaitable[Any]) -> list[Any]:
    return [await value]
