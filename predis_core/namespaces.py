"""Namespaces: caches beside a cache that share its capacity, its settings, and nothing else.

Each has a table, loads and counters of its own, so that no key of one is another's, and to make,
resize or drop one moves nothing of another but what it gives up. What none of them has belongs to
the cache itself, the default namespace.
"""

from __future__ import annotations

import contextlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from predis_core import planning
from predis_core.building import TierWish
from predis_core.clock import nanoseconds
from predis_core.errors import CacheBusy, CacheClosed, CacheUnusable, ConfigurationError
from predis_core.resizing import Resizable, ResizeReport, Turn
from predis_core.stores import Rows
from predis_core.table.interface import CacheTable
from predis_core.table.layout import Layout
from predis_core.tiers.tiered import TieredTable

SHARE = 0.25
"""What a namespace gets of the whole if nothing else is asked for."""

_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class Wish(NamedTuple):
    """What a namespace is to be; None where nothing is said.

    Attributes:
        capacity: entries that fit.
        share: of the whole, instead of a capacity.
        lifetime: nanoseconds that entries live by default, 0 for ever.
    """

    capacity: int | None
    share: float | None
    lifetime: int | None

    def entries(self, whole: int) -> int:
        """Return how many entries of the whole that is, at least one."""
        if self.capacity is not None:
            return self.capacity
        return max(1, int(whole * (SHARE if self.share is None else self.share)))

    def difference(self, other: Wish) -> str:
        """Return in words where another wish says something else; "" if nowhere."""
        pairs = zip(self._fields, self, other, strict=True)
        return ", ".join(
            f"{'ttl' if field == 'lifetime' else field}"
            for field, mine, wanted in pairs
            if wanted is not None and wanted != mine
        )


def wish(capacity: Any = None, share: Any = None, ttl: Any = None) -> Wish:
    """Return what is wished for, checked.

    Raises:
        ConfigurationError: naming the argument that does not fit.
    """
    if capacity is not None and share is not None:
        raise ConfigurationError("share: expected a share or a capacity, got both; leave one out")
    if capacity is not None:
        capacity = Layout.build(capacity).slots
    if share is not None and (
        isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1
    ):
        raise ConfigurationError(f"share: expected a number between 0 and 1, got {share!r}")
    return Wish(capacity, share, None if ttl is None else nanoseconds(ttl))


def check_room(name: str, entries: int, left: int, whole: int) -> None:
    """Refuse what is more than the default namespace can give.

    Raises:
        ConfigurationError: naming what is left.
    """
    if entries > left:
        raise ConfigurationError(
            f"capacity: namespace {name!r} wants {entries} entries and could have {left} of "
            f"{whole}; ask for less, drop_namespace() another, or resize() the cache"
        )


class NamespaceFace(Resizable):
    """What a cache does with its capacity: all of it at once, or divided among namespaces."""

    if TYPE_CHECKING:
        name: str
        _wish: Wish
        _table: CacheTable
        _unusable: CacheUnusable | None

        @property
        def capacity(self) -> int: ...

        def _beside(self, **arguments: Any) -> Self: ...

        def _end(self, error: CacheUnusable) -> None: ...

    def _begin_dividing(self, tier: TierWish | None, memory: int | None) -> None:
        """Have all of the capacity, for the time being.

        Args:
            tier: what tier was asked for.
            memory: bytes for the table that is asked first, with its values; None: whatever it
                needs.
        """
        self._turn, self._capacities = Turn(self.name, 2), Turn(self.name, 1)
        self._root: Self | None = None
        self._namespaces: dict[str, Self] = {}
        self._whole = self._table.newest.layout.slots
        self._has_tier = tier is not None
        self._memory, self._memory_above = (memory if tier is None else tier.memory), memory
        self._copies = self._table.above if isinstance(self._table, TieredTable) else 0

    def namespace(
        self,
        name: str,
        *,
        capacity: int | None = None,
        share: float | None = None,
        ttl: float | timedelta | None = None,
    ) -> Self:
        """Return a namespace, which is made if there is none of that name.

        It is a cache called `cache/name` with all the faces, the same settings and a part of the
        capacity, which the cache gives up; other threads go on meanwhile. Neither sees the other's
        keys, loads or counts, and each has removal listeners of its own.

        Args:
            name: letters, digits, '_', '.' and '-'.
            capacity: entries that fit.
            share: of the capacity of the cache and its namespaces together, instead; by default a
                quarter.
            ttl: default time to live, as for `Cache`; None: forever.

        Raises:
            ConfigurationError: naming what does not fit, or what is left if that is too little; or
                if there is a namespace of that name that was made with other arguments.
            CacheBusy: from within a resize, a snapshot or a change of namespaces.
        """
        self._check_root()
        wanted = wish(capacity, share, ttl)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"name: expected letters, digits, '_', '.' and '-', got {name!r}"
            )
        there = self._namespaces.get(name)
        if there is None:
            with self._capacities:
                there = self._namespaces.get(name)
                if there is None:
                    if isinstance(self._table, TieredTable):
                        self._table.check_resizable(self.name)
                    there = self._make(name, wanted, ttl)
        if differs := there._wish.difference(wanted):
            raise ConfigurationError(
                f"{differs}: namespace {name!r} was made with another; resize() it, or "
                f"drop_namespace({name!r}) and make it anew"
            )
        return there

    def namespaces(self) -> dict[str, Self]:
        """Return the namespaces that there are, by name; the cache itself is not among them."""
        self._check()
        return dict(self._namespaces)

    def drop_namespace(self, name: str) -> None:
        """Close a namespace; what it holds is lost, and its capacity goes back to the cache.

        Using it afterwards raises CacheClosed. While entries of the cache are pinned, it cannot
        grow; then it does with the next change of namespaces, or its next resize.

        Raises:
            ConfigurationError: if there is none of that name.
            CacheBusy: as `namespace`.
        """
        self._check_root()
        there = self._namespaces.get(name)
        if there is None or not self._drop(name, there):
            known = ", ".join(map(repr, self._namespaces)) or "none"
            raise ConfigurationError(
                f"name: cache {self.name!r} has no namespace {name!r} (there are: {known})"
            )

    def resize(self, capacity: int, *, above: int | None = None) -> ResizeReport:
        """Make room for more entries, or for fewer; other threads go on meanwhile.

        What the policy would keep longest stays, with its time to live. Both tables are there until
        all entries have moved, and until then `len` may exceed the new capacity. Resizes, snapshots
        and restores of a cache wait for each other. A resize that is interrupted loses nothing; the
        next of these finishes it.

        A namespace takes what it grows by from the cache that it is of, and gives back what it
        shrinks by. The cache itself grows and shrinks without its namespaces. With a tier below it,
        that holds of the copies above as well.

        Args:
            capacity: entries that fit from now on; of a cache with a tier, what the tier holds.
            above: of a cache with a tier, of how many there are copies above; None: as many as were
                asked for so far, if the tier holds so many. On the CPU there is the tier only.

        Returns:
            How many entries were moved, and how many were evicted for it.

        Raises:
            ConfigurationError: if it is not an int from 1 to 2**40, does not fit the memory, or if
                the cache has too little to give to a namespace; all is as it was.
            DeviceError: if a tier that a plugin made cannot be resized, or the GPU has too little
                memory for both tables; all is as it was.
            CacheBusy: from within a resize, a snapshot or a change of namespaces, or while entries
                are pinned.
        """
        self._check()
        wanted = Layout.build(capacity).slots
        copies = self._checked_copies(above, wanted)
        with self._capacities:
            self._check()
            if self._root is not None:
                return self._root._exchange(self, wanted, copies)
            before = self._whole, self._copies
            self._whole = wanted + self._given()
            if copies is not None:
                self._copies = copies + self._given_copies()
            try:
                self._check_memory()
                return self._rebuild(wanted)
            except Exception:
                self._whole, self._copies = before
                raise

    # ------------------------------------------------------------------ with the turn taken

    def _make(self, name: str, wanted: Wish, ttl: Any) -> Self:
        whole, given = self._whole, self._given()
        entries = wanted.entries(whole)
        check_room(name, entries, whole - given - 1, whole)
        memory, room = self._part_of_memory(entries), self._room_for(entries)
        made = self._beside(memory=memory, name=f"{self.name}/{name}", ttl=ttl, **room)
        made._has_tier = self._has_tier
        made._root, made._capacities, made._wish = self, self._capacities, wanted
        self._namespaces[name] = made
        try:
            self._rebuild(whole - given - entries)
        except Exception:
            del self._namespaces[name]
            raise
        if self._unusable is not None:  # closed meanwhile, perhaps without knowing of this one
            made._end(self._unusable)
            self._check()
        return made

    def _exchange(self, namespace: Any, wanted: int, copies: int | None) -> ResizeReport:
        """Resize a namespace of this cache, and this cache by what that takes or leaves."""
        others = self._given() - namespace.capacity
        name = namespace.name.removeprefix(f"{self.name}/")
        check_room(name, wanted, self._whole - others - 1, self._whole)
        had = namespace._copies
        copies = had if copies is None else copies
        self._check_copies(name, copies, had)
        memory, namespace._memory = namespace._memory, self._part_of_memory(wanted)
        try:
            # Nowhere and never more than the whole: first this one gives.
            namespace._copies = max(had, copies)
            self._rebuild(min(self.capacity, self._whole - others - wanted))
            namespace._copies = copies
            report: ResizeReport = namespace._rebuild(wanted)
        except Exception:
            namespace._memory, namespace._copies = memory, had
            raise
        finally:
            self._take_back()
        return report

    def _drop(self, name: str, namespace: object) -> bool:
        """Close a namespace and take its capacity back; return whether it was still there."""
        with self._capacities:
            there = self._namespaces.get(name)
            if there is None or there is not namespace:
                return False
            del self._namespaces[name]
            there._end(
                CacheClosed(
                    f"namespace {name!r} of cache {self.name!r} was dropped; make it again with "
                    f"cache.namespace({name!r})"
                )
            )
            self._take_back()
            return True

    def _take_back(self) -> None:
        """Take whatever no namespace has; what pins forbid now, the next change does."""
        with contextlib.suppress(CacheBusy):
            self._rebuild(self._whole - self._given())

    def _part_of_memory(self, entries: int) -> int | None:
        """Return the bytes that go with some of the entries; None if the entries bound them."""
        if self._memory is None or isinstance(self._store, Rows):
            return None
        return self._memory * entries // self._whole

    def _memory_for(self, capacity: int) -> int | None:
        """Return the bytes that a table of this capacity may take; None if its entries bound it."""
        if self._memory is None or isinstance(self._store, Rows):
            return None
        return self._memory - sum(each._memory or 0 for each in self._namespaces.values())

    def _check_memory(self) -> None:
        """Refuse to hold more rows than the memory does."""
        if not isinstance(self._store, Rows):
            return
        bounds = [(self._whole, self._memory)]
        if self._copies:
            bounds.append((self._copies, self._memory_above))
        for capacity, memory in bounds:
            if memory is not None:
                planning.plan(
                    cast("Any", self._table).given,
                    self._store,
                    key_refs=self._codec.has_refs,
                    capacity=capacity,
                    memory=memory,
                    costs=self._intake.keeps_costs,
                )

    def _given(self) -> int:
        """Return the entries that the namespaces have."""
        return sum(each.capacity for each in self._namespaces.values())

    # ------------------------------------------------------------------ copies above a tier

    def _room_for(self, entries: int) -> dict[str, Any]:
        """Return what gives a namespace so many entries, and as large a share of the copies."""
        if not isinstance(self._table, TieredTable):
            return {"capacity": entries}
        copies = max(1, min(entries, self._copies * entries // self._whole))
        return {"capacity": copies, "host_capacity": entries, "tier": self._table.kind}

    def _given_copies(self) -> int:
        """Return of how many entries the namespaces have copies."""
        return sum(each._copies for each in self._namespaces.values())

    def _copies_for(self, capacity: int) -> int:
        """Return how many copies there are above a tier of this capacity."""
        return max(1, min(capacity, self._copies - self._given_copies()))

    def _checked_copies(self, above: Any, entries: int) -> int | None:
        """Return how many copies are asked for; None if nothing is said, or it means nothing."""
        if above is None:
            return None
        if not self._has_tier:
            raise ConfigurationError(
                f"above: cache {self.name!r} has no tier, and so no copies above it; leave it out"
            )
        try:
            copies = Layout.build(above).slots
        except ConfigurationError as error:
            raise ConfigurationError(str(error).replace("capacity", "above", 1)) from None
        if copies > entries:
            raise ConfigurationError(
                f"above: a tier holds all that is above it, but {entries} entries fit, and "
                f"{copies} above; ask for as many at most"
            )
        return copies if self._copies else None

    def _check_copies(self, name: str, copies: int, had: int) -> None:
        """Refuse to give a namespace more copies than this cache can do without."""
        left = self._copies - self._given_copies() + had - 1
        if copies > max(had, left):
            raise ConfigurationError(
                f"above: namespace {name!r} wants {copies} copies and could have {left} of "
                f"{self._copies}; ask for less, or resize() the cache"
            )

    def _check_root(self) -> None:
        self._check()
        if self._root is not None:
            raise ConfigurationError(
                f"namespace: {self.name!r} is a namespace itself; ask cache {self._root.name!r}"
            )
