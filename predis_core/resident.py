"""The batch face for arrays that lie on the GPU of a cache: they stay there.

Keys of CuPy, PyTorch, JAX, or whatever speaks DLPack, lead to rows and masks of the same library.
Nothing here waits for the GPU, unless somebody wants to be told of what leaves, or the host has to
know what is missing, to load it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from predis_core.arrays import has_array_face
from predis_core.clock import Clock
from predis_core.errors import KeyKindError, MissingKeys, ValueShapeError
from predis_core.intake import Intake
from predis_core.lifetimes import deadlines_of
from predis_core.listening import Listeners
from predis_core.loading import Loader, Loads
from predis_core.stores import Rows
from predis_core.table.cuda.device import Device
from predis_core.table.cuda.exchange import Exchange, is_on_gpu, on_host
from predis_core.table.cuda.shared import SharedGpuTable
from predis_core.table.interface import CacheTable, Keys, Reason
from predis_core.table.keys import KeyCodec
from predis_core.tiers.tiered import TieredTable
from predis_core.types import Evicted

_Verb = Callable[[SharedGpuTable, Keys, int], Any]


def with_resident_face(kind: Any, table: CacheTable) -> Any:
    """Return a kind of cache whose batch face takes arrays of the GPU that a table is on, too."""
    face: Any = ResidentFace
    if isinstance(table, TieredTable):
        face = CarriedFace
        if not isinstance(table.upper, SharedGpuTable):
            return kind
    return kind if issubclass(kind, face) else _kind(face, kind)


@functools.cache
def _kind(face: Any, kind: Any) -> type:
    return type(kind.__name__, (face, kind), {"__module__": kind.__module__})


class ResidentFace:
    """What a cache on a GPU does with arrays that lie there; the rest is as it was."""

    if TYPE_CHECKING:
        _table: SharedGpuTable
        _store: Rows
        _clock: Clock
        _codec: KeyCodec
        _intake: Intake
        _loads: Loads
        _listeners: Listeners

        def _check(self) -> None: ...

        def _demanded(self, loader: Loader | None, missing: str) -> Loader: ...

        def _lifetimes(self, ttl: Any, n: int) -> Any: ...

    @property
    def _lending(self) -> Exchange:
        exchange = self._table.device.exchange
        assert exchange is not None
        return exchange

    def get_many(self, keys: Any, *, out: Any = None) -> Any:
        is_resident = _is_resident(keys)
        if not is_resident and not _is_resident(out):
            return super().get_many(keys, out=out)  # type: ignore[misc]
        self._check()
        like = keys if is_resident else out
        with self._lending.beside(like):
            batch = self._batch_of(keys)
            n = len(batch.words)
            rows = self._blank(n) if out is None else self._written(out, n)
            hit = self._table.fetch(batch, self._clock.monotonic(), rows, zero=out is None)
            give = self._lending.give
            return (give(rows, like) if out is None else out), give(hit, like)

    def set_many(
        self, keys: Any, values: Any, *, ttl: Any = None, return_evicted: bool = False
    ) -> Any:
        is_resident = _is_resident(keys)
        if not is_resident and not _is_resident(values):
            return super().set_many(  # type: ignore[misc]
                keys, values, ttl=ttl, return_evicted=return_evicted
            )
        self._check()
        like = keys if is_resident else values
        with self._lending.beside(like):
            batch = self._batch_of(keys)
            n = len(batch.words)
            rows = self._rows(values, n)
            lifetimes = self._lifetimes(ttl, n)
            self._overrule(batch)
            now = self._clock.monotonic()
            inserted = self._intake.put(
                batch, rows, now, deadlines_of(lifetimes, now, n), want_removed=return_evicted
            )
            stored = self._lending.give(inserted.stored, like)
        if self._table.is_sealed:
            self._check()  # it was closed meanwhile
        if not return_evicted:
            return stored
        removed = inserted.removed
        assert removed is not None
        gone = self._listeners.shown(removed, removed.reasons == Reason.EVICTED)
        return stored, Evicted(gone.keys, gone.values)

    def contains_many(self, keys: Any) -> Any:
        if not _is_resident(keys):
            return super().contains_many(keys)  # type: ignore[misc]
        return self._asked(keys, SharedGpuTable.contains)

    def touch_many(self, keys: Any) -> Any:
        if not _is_resident(keys):
            return super().touch_many(keys)  # type: ignore[misc]
        return self._asked(keys, SharedGpuTable.touch)

    def delete_many(self, keys: Any) -> Any:
        if not _is_resident(keys):
            return super().delete_many(keys)  # type: ignore[misc]
        return self._asked(keys, self._deleted_there)

    def _deleted_there(self, table: SharedGpuTable, batch: Keys, now: int) -> Any:
        self._overrule(batch)
        gone = table.delete(batch, now, want_removed=bool(self._listeners))
        if self._listeners:
            self._listeners.tell(gone.removed)
        return gone.deleted

    def _asked(self, keys: Any, verb: _Verb) -> Any:
        self._check()
        with self._lending.beside(keys):
            mask = verb(self._table, self._batch_of(keys), self._clock.monotonic())
            return self._lending.give(mask, keys)

    def get_or_load_many(
        self, keys: Any, loader: Any = None, *, ttl: Any = None, missing: Any = "raise"
    ) -> Any:
        if not _is_resident(keys):
            return super().get_or_load_many(  # type: ignore[misc]
                keys, loader, ttl=ttl, missing=missing
            )
        self._check()
        load, give = self._demanded(loader, missing), self._lending.give
        device = self._table.device
        call = self._loads.begin()
        try:
            with self._lending.beside(keys):
                batch = self._batch_of(keys)
                lifetimes = self._lifetimes(ttl, len(batch.words))
                rows = self._blank(len(batch.words))
                found = self._table.fetch(batch, self._clock.monotonic(), rows, zero=True)
                places = self._missed(found)
                there = device.take(places, np.int64)
                asked = Keys(device.give(batch.words[there]))
            if len(places):
                lives = lifetimes if np.ndim(lifetimes) == 0 else lifetimes[places]
                values = np.zeros((len(places), *self._store.shape), self._store.dtype)
                none = np.zeros(len(places), bool)
                known = self._loads.fill(call, asked, values, none, load, lives)
                if missing == "raise" and not known.all():
                    raise MissingKeys(list(dict.fromkeys(asked.words[~known].tolist())))
                with self._lending.beside(keys):
                    loaded = device.take(values, values.dtype)
                    rows[there] = loaded.reshape(values.shape)
                    found[there] = device.take(known, bool)
            with self._lending.beside(keys):
                filled = give(rows, keys)
                return filled if missing == "raise" else (filled, give(found, keys))
        finally:
            self._loads.end(call)

    def _missed(self, found: Any) -> Any:
        """Return the positions of misses, compacted by the GPU, on the host: this waits."""
        positions, count = self._table.misses(found)
        give = self._table.device.give
        missed = int(give(count)[0])
        return give(positions[:missed])

    # ------------------------------------------------------------------ what goes in

    def _batch_of(self, keys: Any) -> Keys:
        """Return keys as the table takes them, on the GPU."""
        if not _is_resident(keys):
            host: Keys = self._encode(keys)  # type: ignore[attr-defined]
            return Keys(self._table.device.take(host.words, np.int64), host.refs)
        if self._codec.has_refs:
            raise KeyKindError(
                f"keys: this cache takes keys of kind {self._codec.kind!r}, got an array of the "
                "GPU; pass keys of the host"
            )
        array = self._lending.take(keys, "keys", KeyKindError)
        if array.ndim != 1:
            raise KeyKindError(
                f"keys: expected one dimension, got shape {array.shape}; pass keys.ravel()"
            )
        if array.dtype.kind not in "iu" or array.dtype == np.uint64:
            raise KeyKindError(
                f"keys: this cache takes int64 keys, got an array of {array.dtype} on the GPU; "
                "convert it there first"
            )
        return Keys(array.astype(np.int64, copy=False))

    def _rows(self, values: Any, n: int) -> Any:
        """Return values as the table takes them; those of the host are checked as ever."""
        if not _is_resident(values):
            return self._store.admit(values, n)
        array = self._lending.take(values, "values", ValueShapeError)
        wanted = (n, *self._store.shape)
        if array.shape != wanted:
            raise ValueShapeError(
                f"values: expected shape {wanted}, one row per key, got {array.shape}"
            )
        if array.dtype != self._store.dtype:
            raise ValueShapeError(
                f"values: the cache holds {self._store.dtype}, got an array of {array.dtype} on "
                "the GPU; convert it there first"
            )
        return array

    def _blank(self, n: int) -> Any:
        """Return room on the GPU for the rows of a batch."""
        store = self._store
        if store.dtype.kind not in "biufc":
            raise ValueShapeError(
                f"values: rows of {store.dtype} do not become arrays on the GPU; pass keys of the "
                "host"
            )
        bytes_of = self._table.device.empty(n * store.bytes_per_slot(False), np.uint8)
        return bytes_of.view(store.dtype).reshape((n, *store.shape))

    def _written(self, out: Any, n: int) -> Any:
        """Return a caller's `out`, which has to be such that rows can be copied to it."""
        if not _is_resident(out):
            raise ValueShapeError(
                "out: the keys lie on the GPU and this does not; pass an array of the GPU, or keys "
                "of the host"
            )
        array = self._lending.take(out, "out", ValueShapeError)
        wanted = (n, *self._store.shape)
        if array.shape != wanted or array.dtype != self._store.dtype:
            raise ValueShapeError(
                f"out: expected a C-contiguous array of {self._store.dtype} {wanted}, got "
                f"{array.dtype} {array.shape}"
            )
        return array

    def _overrule(self, batch: Keys) -> None:
        """Keep loads under way from storing these keys; only then the host has to know them."""
        if self._loads.under_way:
            self._loads.overrule(Keys(self._table.device.give(batch.words), batch.refs))


class CarriedFace:
    """What a cache with a tier under a GPU's table does with arrays that lie there.

    The tier has to see them, so they go through the host, and results come back as they came.
    """

    if TYPE_CHECKING:
        _table: TieredTable

    def get_many(self, keys: Any, *, out: Any = None) -> Any:
        if not _is_resident(out):
            return self._carried("get_many", keys, out=out)
        values, hit = super().get_many(_on_host(keys))  # type: ignore[misc]
        with self._lending.beside(out):
            array = self._lending.take(out, "out", ValueShapeError)
            if array.shape != values.shape or array.dtype != values.dtype:
                raise ValueShapeError(
                    f"out: expected an array of {values.dtype} {values.shape}, got {array.dtype} "
                    f"{array.shape}"
                )
            places = np.flatnonzero(hit)
            array[self._raised(places)] = self._raised(values[places])
            return out, self._lending.give(self._raised(hit), out)

    def set_many(self, keys: Any, values: Any, **options: Any) -> Any:
        return self._carried("set_many", keys, values, **options)

    def contains_many(self, keys: Any) -> Any:
        return self._carried("contains_many", keys)

    def touch_many(self, keys: Any) -> Any:
        return self._carried("touch_many", keys)

    def delete_many(self, keys: Any) -> Any:
        return self._carried("delete_many", keys)

    def get_or_load_many(self, keys: Any, loader: Any = None, **options: Any) -> Any:
        return self._carried("get_or_load_many", keys, loader, **options)

    def _carried(self, verb: str, keys: Any, *rest: Any, **options: Any) -> Any:
        """Do a verb with the host's copy of keys; values are the store's to read."""
        result = getattr(super(), verb)(_on_host(keys), *rest, **options)
        if not _is_resident(keys):
            return result
        several = result if isinstance(result, tuple) else (result,)
        with self._lending.beside(keys):
            shown = tuple(
                self._lending.give(self._raised(each), keys) if type(each) is np.ndarray else each
                for each in several
            )
        return shown if isinstance(result, tuple) else shown[0]

    @property
    def _lending(self) -> Exchange:
        exchange = self._gpu.exchange
        assert exchange is not None
        return exchange

    @property
    def _gpu(self) -> Device:
        assert isinstance(self._table.upper, SharedGpuTable)
        return self._table.upper.device

    def _raised(self, array: Any) -> Any:
        """Return an array of the host on the GPU."""
        return self._gpu.take(array, array.dtype).reshape(array.shape)


def _on_host(keys: Any) -> Any:
    if not _is_resident(keys):
        return keys
    try:
        return on_host(keys)
    except (TypeError, ValueError, RuntimeError, BufferError) as cause:
        raise KeyKindError(f"keys: cannot be read from the GPU: {cause}") from cause


def _is_resident(given: Any) -> bool:
    """Return whether something is an array of a GPU; what most callers pass is told apart fast."""
    if given is None or type(given) in (np.ndarray, list, tuple, Keys):
        return False
    has_face = has_array_face(given) or hasattr(given, "__cuda_array_interface__")
    return has_face and is_on_gpu(given)
