"""What a snapshot needs of a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from predis_core.clock import Clock
from predis_core.errors import SnapshotError
from predis_core.intake import Intake
from predis_core.snapshot.sections import Keeper
from predis_core.stores import Blobs, Objects, Rows, Store
from predis_core.table.arena import Ledger
from predis_core.table.interface import Bytes, CacheTable, Entries, Int64s, Keys
from predis_core.table.keys import KeyCodec


class Inspected(CacheTable, Protocol):
    """A table that can be written some sets at a time, and says what fits; of one region.

    `table.inspection.Inspection` tells what each of these returns.
    """

    def export(self, now: int, *, sets: range | None = None, region: int = 0) -> Entries: ...

    def levels(self, entries: Entries, *, region: int = 0) -> Int64s: ...

    def homes(self, keys: Keys, *, region: int = 0) -> Int64s: ...

    def room(self, *, region: int = 0) -> Bytes: ...

    def ledger(self) -> Ledger | None: ...

    @property
    def weight_left(self) -> int | None: ...


class Subject(NamedTuple):
    """The parts of a cache whose entries are written or restored.

    Attributes:
        table: the one that holds every entry: of a cache with a tier, the tier.
        check: raises if the cache was closed; what is left of one is no snapshot.
        keeper: has the plugins that keep something in snapshots; None: there are none.
    """

    name: str
    table: Inspected
    store: Store
    codec: KeyCodec
    clock: Clock
    intake: Intake
    check: Callable[[], None]
    keeper: Keeper | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of a value, or 0 if values are Python objects or blobs.

        Raises:
            SnapshotError: if the store holds neither rows nor objects nor blobs.
        """
        if isinstance(self.store, Rows):
            return self.store.bytes_per_slot(False)
        if isinstance(self.store, Objects | Blobs):
            return 0
        raise SnapshotError(
            f"value: there are no snapshots of caches of {self.store}, only of Rows, Objects and "
            "Blobs"
        )
