"""What a snapshot needs of a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from predis_core.clock import Clock
from predis_core.errors import SnapshotError
from predis_core.intake import Intake
from predis_core.snapshot.sections import Keeper
from predis_core.stores import Blobs, Objects, Rows, Store
from predis_core.table.cpu import CpuTable
from predis_core.table.keys import KeyCodec


class Subject(NamedTuple):
    """The parts of a cache whose entries are written or restored.

    Attributes:
        check: raises if the cache was closed; what is left of one is no snapshot.
        keeper: has the plugins that keep something in snapshots; None: there are none.
    """

    name: str
    table: CpuTable
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
