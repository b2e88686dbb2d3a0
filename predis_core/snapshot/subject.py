"""What a snapshot needs of a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from predis_core.clock import Clock
from predis_core.errors import SnapshotError
from predis_core.stores import Objects, Rows, Store
from predis_core.table.cpu import CpuTable
from predis_core.table.keys import KeyCodec


class Subject(NamedTuple):
    """The parts of a cache whose entries are written or restored.

    Attributes:
        check: raises if the cache was closed; what is left of one is no snapshot.
    """

    name: str
    table: CpuTable
    store: Store
    codec: KeyCodec
    clock: Clock
    check: Callable[[], None]

    @property
    def row_bytes(self) -> int:
        """Bytes of a value, or 0 if values are Python objects.

        Raises:
            SnapshotError: if the store holds neither rows nor objects.
        """
        if isinstance(self.store, Rows):
            return self.store.column(1).nbytes
        if isinstance(self.store, Objects):
            return 0
        raise SnapshotError(
            f"value: there are no snapshots of caches of {self.store}, only of Rows and Objects"
        )
