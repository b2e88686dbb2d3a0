"""The table on the CPU: columns in memory, and the verbs as generated Numba kernels.

With int64 keys and rows or blobs, kernels run without the GIL under a lock of their own. With
references (Python objects as keys or values), they hold the GIL, in chunks, and no lock is ever
held while Python code runs: equality of keys is decided between two kernels, on references that are
owned, and the second one notices if the keys that share a hash have changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.arrays import address
from predis_core.packed import Packed
from predis_core.policies.choice import candidates_of, check_candidate
from predis_core.policies.contract import Policy
from predis_core.table import codegen, constants, header, invariants, value_invariants
from predis_core.table.arena import Arena
from predis_core.table.equality import chunks
from predis_core.table.inserting import Inserting
from predis_core.table.interface import (
    Bools,
    Bytes,
    Counter,
    Deleted,
    Inserted,
    Int64s,
    Keys,
    Objects,
    Removed,
    Sealed,
)
from predis_core.table.keys import sample_limit
from predis_core.table.layout import LINE_BYTES, LINES, WAYS, Layout, record_of
from predis_core.table.moving import Move, Past
from predis_core.table.reading import Reading
from predis_core.table.removals import NO_LOG, Log, joined
from predis_core.table.sketch import ROWS, halve_after, width_bits
from predis_core.table.switching import Switch

_NO_INT64 = np.empty(0, np.int64)
_NO_BYTES = np.empty(0, np.uint8)
_NO_REFS: Objects = np.empty(0, object)
_MODULES = ("lookups", "inserts", "matching", "upkeep", "moving", "sketch", "switching")
_SETS_CLEARED = 128
"""Sets that are cleared in one go where what they hold is noted: well under half a millisecond."""


def _zeros(count: int, dtype: Any, alignment: int = LINE_BYTES) -> npt.NDArray[Any]:
    """Return zeros that begin at a multiple of `alignment` bytes, untouched until used."""
    size = count * np.dtype(dtype).itemsize
    raw = np.zeros(size + alignment, np.uint8)
    offset = -address(raw) % alignment
    aligned: npt.NDArray[Any] = raw[offset : offset + size].view(dtype)
    return aligned


class CpuTable(Reading):
    """A table in host memory. See `interface.Table` for what the verbs promise.

    Args:
        layout: regions and their capacities.
        policy: the eviction policy, or a choice among several; see `switch`.
        seed: int64, fixes where keys go.
        values: the column of values, [layout.slots, …] of any dtype; object for references; None
            for a table without values, or of blobs.
        key_refs: whether keys are Python objects beside their words.
        limit: what the values of a table of references may weigh together; None if they do not.
        arena: where blobs lie; None if values are none. A table that weighs has one region.
        live: of a policy that is a choice, which one to begin with; the first by default.
    """

    def __init__(
        self,
        layout: Layout,
        policy: Policy,
        seed: int,
        values: npt.NDArray[Any] | None = None,
        *,
        key_refs: bool = False,
        limit: int | None = None,
        arena: Arena | None = None,
        live: Policy | None = None,
    ) -> None:
        self.layout = layout
        self.seed = seed
        self.given = policy
        self.candidates = candidates_of(policy)
        self.policy = live or self.candidates[0]
        self.limit = limit
        self._record = record_of(policy)
        self._lines = _zeros(layout.sets * LINES * 8, np.int64)
        self._records = _zeros(layout.sets * self._record.stride, np.uint8)
        self._values = values
        self._refs: Objects | None = np.empty(layout.slots, object) if key_refs else None
        self._move: Move | None = None
        self._past: Past | None = None
        self._switch: Switch | None = None
        self._columns: dict[int, npt.NDArray[Any]] = {}
        self._arena = arena
        self._spares: list[Packed] = []
        self._sketch: npt.NDArray[np.uint8] | None = None
        self._parameters = self._vector(self.policy.parameters)
        self._value_refs = values is not None and values.dtype == object
        self._row_bytes = 0
        if values is not None and not self._value_refs:
            self._row_bytes = values.nbytes // max(1, len(values))
        self._holds_gil = key_refs or self._value_refs
        self._header = self._make_header(seed)
        self._kernels = self.kernels()
        # Of all that it may have, so that what breaks the contract is refused now.
        self._header[header.POLICY] = {
            candidate.name: codegen.identity(candidate) for candidate in self.candidates
        }[self.policy.name]
        self._open_sketch()
        if limit is not None:
            self._header[header.LIMIT] = limit
            self._columns[header.SIZES] = _zeros(layout.slots, np.int64)
        if arena is not None:
            self._open_arena(arena)
        for word, column in self._columns.items():
            self._header[word] = address(column)

    # ------------------------------------------------------------------ building

    def _open_sketch(self) -> None:
        if self._sketch is None and self.policy.sketch:
            self._sketch = _zeros(ROWS << width_bits(self.layout.slots), np.uint8)
            self._header[header.SKETCH_BITS] = width_bits(self.layout.slots)
            self._header[header.SKETCH_LIMIT] = halve_after(self.layout.slots)
            self._header[header.SKETCH] = address(self._sketch)

    def _make_header(self, seed: int) -> Int64s:
        words = _zeros(header.REGIONS + len(self.layout.regions) * header.REGION_WORDS, np.int64)
        words[header.LINES] = address(self._lines)
        words[header.RECORDS] = address(self._records)
        words[header.VALUES] = 0 if self._values is None else address(self._values)
        words[header.REFS] = 0 if self._refs is None else address(self._refs)
        words[header.SEED] = seed
        words[header.PARAMETERS] = address(self._parameters)
        for number, region in enumerate(self.layout.regions):
            block = words[header.REGIONS + number * header.REGION_WORDS :]
            block[header.BASE], block[header.SETS] = region.base, region.sets
            block[header.QUOTIENT], block[header.REMAINDER] = divmod(region.capacity, region.sets)
            block[header.FIRST_SLOT], block[header.CAPACITY] = region.first_slot, region.capacity
        return words

    def _open_arena(self, arena: Arena) -> None:
        self._columns[header.SIZES] = _zeros(2 * self.layout.slots, np.int64)
        self._columns[header.ARENA] = _zeros(arena.nbytes, np.uint8)
        pages = _zeros(2 * arena.pages, np.int64)
        pages[::2], pages[1::2] = -1, np.arange(1, arena.pages + 1)
        pages[-1] = -1
        self._columns[header.PAGES] = pages
        self._columns[header.CLASSES] = arena.classes.reshape(-1).copy()
        self._columns[header.CLASS_OF] = arena.class_of
        self._header[header.PAGE_BYTES] = arena.page_bytes
        self._header[header.PAGE_COUNT] = self._header[header.FREE_PAGES] = arena.pages
        self._header[header.CLASS_COUNT] = len(arena.classes)

    def kernels(self, *modules: str) -> codegen.Kernels:
        """Return functions of some modules of this table's kernels; raises as `codegen.load`."""
        return self.kernels_for(self.policy, *modules)

    def kernels_for(self, policy: Policy, *modules: str) -> codegen.Kernels:
        """Return what the table's kernels, or those of some modules, are under a policy."""
        functions = codegen.functions_of(policy)
        return codegen.load(self._constants(policy), functions, *(modules or _MODULES))

    def _constants(self, policy: Policy) -> dict[str, int | bool]:
        return {
            "HOLDS_GIL": self._holds_gil,
            "KEY_REFS": self._refs is not None,
            "VALUE_REFS": self._value_refs,
            "ROW_BYTES": self._row_bytes,
            "BLOBS": self._arena is not None,
            "WEIGHED": self.limit is not None,
            "POLICY": codegen.identity(policy),
            "PARAMETERS": len(policy.parameters),
            **constants.of_policy(policy, self._record),
        }

    def _keep(self, word: int, dtype: Any) -> None:
        """Have a column per slot from now on, whose address is a word of the header."""
        if self._header[word] == 0:
            column = _zeros(self.layout.slots, dtype)
            if self._kernels.publish(self._header, word, address(column)):
                self._columns[word] = column

    # ------------------------------------------------------------------ writing verbs

    def insert(
        self,
        keys: Keys,
        values: Any,
        now: int,
        *,
        deadlines: Int64s | None = None,
        costs: Int64s | None = None,
        sizes: Int64s | None = None,
        absent_only: bool = False,
        guess: bool = False,
        veto: Bytes | None = None,
        want_removed: bool = False,
        region: int = 0,
    ) -> Inserted:
        """See `interface.Table`.

        With references, `values` (object[n]) is taken over: afterwards what was stored is gone from
        it.
        """
        if deadlines is not None:
            self._keep(header.DEADLINES, np.int64)
        if costs is not None:
            self._keep(header.COSTS, np.int64)
        n = len(keys.words)
        log = self._log(n, want_removed)
        given, weights = values, sizes
        if isinstance(values, Packed):
            given, weights = values.data, values.offsets
        arguments = (
            now,
            _NO_INT64 if deadlines is None else deadlines,
            _NO_INT64 if costs is None else costs,
            _NO_INT64 if weights is None else weights,
            _NO_BYTES if veto is None else veto,
            (1 if absent_only or guess else 0) | (2 if guess else 0),
            self._value_bytes(given),
        )
        inserting = Inserting(self, keys, region, arguments, log)
        inserting.run()
        if self.policy.sketch:
            self._kernels.count_in_sketch(self._header, keys.words, inserting.counted())
        removed = log.removed(keys) if log is not None and want_removed else None
        if inserting.stored < n and self._move is not None:
            rest = self._move.insert(
                keys,
                values,
                inserting.stored,
                now,
                deadlines=deadlines,
                costs=costs,
                sizes=sizes,
                absent_only=absent_only,
                guess=guess,
                veto=veto,
                want_removed=want_removed,
            )
            removed = inserting.join(rest, removed)
        return Inserted(inserting.status, inserting.slots, removed)

    def _log(self, entries: int, wanted: bool) -> Log | None:
        if not wanted and not self._holds_gil:
            return None
        if self._arena is None:
            return Log(entries, self._refs is not None, self._values)
        first = header.REGIONS + header.COUNTERS
        held = int(self._header[first + Counter.BYTES])
        # Blobs differ: half as much again as so many take on average.
        probably = min(held, 3 * entries * held // (2 * max(1, self.size())))
        return Log(entries, self._refs is not None, self._columns[header.SIZES], True, probably)

    def delete(
        self, keys: Keys, now: int, *, want_removed: bool = False, region: int = 0
    ) -> Deleted:
        """See `interface.Table`."""
        n = len(keys.words)
        deleted = np.empty(n, np.bool_)
        log = self._log(n, want_removed)
        resolved = self._resolved(keys, region)
        for part in chunks(0, n) if self._holds_gil else (slice(0, n),):
            words = resolved.words[: part.stop]
            refs = 0 if resolved.refs is None else address(resolved.refs)
            start = part.start
            while start < part.stop:
                start = self._kernels.delete(
                    self._header,
                    region,
                    words,
                    refs,
                    now,
                    start,
                    NO_LOG if log is None else log.words,
                    deleted,
                )
                if start < part.stop and log is not None:
                    log.extend()
        removed = log.removed(keys) if log is not None and want_removed else None
        if self._move is not None:
            removed = joined(removed, self._move.delete(keys, now, deleted, want_removed))
        return Deleted(deleted, removed)

    def clear(
        self,
        now: int,
        *,
        sets: range | None = None,
        want_removed: bool = False,
        region: int = 0,
    ) -> Removed | None:
        """See `interface.Table`; with `sets` (numbered in the region, step 1), only those."""
        here = range(self.layout.regions[region].sets) if sets is None else sets
        start, last = here.start, here.stop
        log = self._log(_SETS_CLEARED * WAYS, want_removed)
        while start < last:
            stop = last if log is None else min(start + _SETS_CLEARED, last)
            words = NO_LOG if log is None else log.words
            start = self._kernels.clear(self._header, region, start, stop, now, words)
            if log is not None and start < last:
                if want_removed or not len(log):
                    log.extend()
                else:
                    # What left is dropped here: no lock is held.
                    log = self._log(_SETS_CLEARED * WAYS, want_removed)
        removed = None
        if log is not None and want_removed:
            removed = log.removed(Keys(_NO_INT64, _NO_REFS if self._refs is not None else None))
        if self._move is not None and here.stop == self.layout.regions[region].sets:
            newer = self._move.successor.clear(now, want_removed=want_removed)
            removed = joined(removed, newer)
        return removed

    def clearing(self, now: int) -> Iterator[Removed | None]:
        """See `interface.CacheTable`."""
        sets = self.layout.sets
        for start in range(0, sets, _SETS_CLEARED):
            some = range(start, min(start + _SETS_CLEARED, sets))
            yield self.clear(now, sets=some, want_removed=True)

    def pin(self, keys: Keys, now: int, *, slots: Int64s | None = None, region: int = 0) -> Int64s:
        """See `interface.CacheTable`."""
        self._keep(header.PINS, np.int32)
        found = np.full(len(keys.words), -1, np.int64) if slots is None else slots
        resolved = self._resolved(keys, region)
        for part, words, refs in self._parts(resolved, locks_whole=True):
            if not self._kernels.pin(self._header, region, words, refs, now, found[part]):
                raise Sealed
        return found

    def like(self, layout: Layout) -> CpuTable:
        """Return an empty table of rows of another size, in other respects the same."""
        rows = self._values
        if rows is not None:
            rows = np.zeros((layout.slots, *rows.shape[1:]), rows.dtype)
        return CpuTable(layout, self.given, self.seed, rows, live=self.policy)

    def move_to(self, successor: CpuTable, tell: Callable[[Removed], None] | None) -> Move:
        """Return the way of all entries to another table, which is to take this one's place.

        Args: as for `moving.Move`.
        """
        return Move(self, successor, tell)

    def succeeding(self, keys: Keys, now: int) -> CpuTable:
        """See `interface.CacheTable`."""
        return self if self._move is None else self._move.pulled(keys, now)

    def unpin(self, keys: Keys, slots: Int64s, *, region: int = 0) -> None:
        """See `interface.Table`."""
        for part, words, _ in self._parts(keys, locks_whole=True):
            self._kernels.unpin(self._header, region, words, slots[part])

    def seal(self) -> None:
        """See `interface.CacheTable`."""
        self._kernels.seal(self._header, False)
        if self._move is not None:
            self._move.successor.seal()

    def sample_keys(self, rate: float, capacity: int) -> None:
        """Note the counted lookups of some keys in a ring; see `drain_sampled`.

        Args:
            rate: the share of keys whose accesses are noted, all of them; 0 for none.
            capacity: events that the ring holds at least.
        """
        if rate and header.SAMPLES not in self._columns:
            places = 1 << max(capacity - 1, 1).bit_length()
            ring = _zeros(2 * places, np.int64)
            self._header[header.SAMPLES_MASK] = places - 1
            self._columns[header.SAMPLES] = ring
            self._header[header.SAMPLES] = address(ring)
        self._header[header.SAMPLE_BELOW] = sample_limit(rate) if rate else 0

    def set_parameters(self, parameters: tuple[int, ...]) -> None:
        """See `interface.Table`."""
        self._take_parameters(self._vector(parameters))
        if self._move is not None:
            self._move.successor.set_parameters(parameters)

    def _take_parameters(self, parameters: Int64s) -> None:
        self._header[header.PARAMETERS] = address(parameters)  # while the old ones are there
        self._parameters = parameters

    def _vector(self, parameters: tuple[int, ...]) -> Int64s:
        """Parameters as kernels take them, those of any policy that the table may have."""
        vector = np.zeros(max(len(policy.parameters) for policy in self.candidates), np.int64)
        vector[: len(parameters)] = parameters
        return vector

    def prepare(self, policy: Policy) -> None:
        """Have compiled, or loaded, what was called so far and will be called under a policy."""
        self.kernels_for(policy).compile_like(self._kernels)

    def switch(self, policy: Policy) -> Iterator[None]:
        """Return the steps that give the table another policy; between them, others may go on.

        One change at a time, and none while entries move. Lookups between the steps find what is
        there, but note no use of it.

        Args:
            policy: one of the `candidates`.

        Raises:
            PolicyError: if it is another one.
        """
        check_candidate(policy, self.candidates)
        if self._switch is not None:
            yield from self._switch.steps()
        if policy != self.policy:
            yield from Switch(self, policy).steps()

    def replay(
        self,
        keys: Int64s,
        *,
        sizes: Int64s | None = None,
        costs: Int64s | None = None,
        region: int = 0,
    ) -> Bools:
        """Send a trace through: get, then insert if absent, one request at a time.

        Only for a table of int64 keys without values. Does the same as `lookup` and `insert` with
        batches of one.

        Args:
            keys: int64[n] in C order, and so are the others.
            sizes: what the value of each request weighs; needed by a table that has a `limit`.
            costs: what each costs to load, in nanoseconds.
            region: where the requests go.

        Returns:
            The hits, bool[n].
        """
        if costs is not None:
            self._keep(header.COSTS, np.int64)
        hits = np.empty(len(keys), np.bool_)
        self._kernels.replay_trace(
            self._header,
            self._parameters,
            region,
            keys,
            _NO_INT64 if sizes is None else sizes,
            _NO_INT64 if costs is None else costs,
            hits,
        )
        return hits

    # ------------------------------------------------------------------ what the verbs share

    @property
    def newest(self) -> CpuTable:
        """See `interface.CacheTable`."""
        return self if self._move is None else self._move.successor.newest

    def broken(self) -> list[str]:
        """See `interface.CacheTable`."""
        found = invariants.broken(self.dump(), self.layout, self.seed)
        return found + value_invariants.broken(self.dump_weights(), self.dump_pieces())

    def _blank(self, n: int) -> Any:
        """Return room for n values to pass through: object[n], or bytes."""
        return np.empty(n, object) if self._value_refs else np.empty(n * self._row_bytes, np.uint8)

    def _blank_out(self, n: int) -> Any:
        """Return room for n values to be looked up into."""
        return np.empty(n, object) if self._arena is not None else self._blank(n)
