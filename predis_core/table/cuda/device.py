"""What a table asks of the memory that it lies in: room, copies, and kernels to launch."""

from __future__ import annotations

import ctypes
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy.typing as npt

from predis_core.arrays import address
from predis_core.policies.contract import Policy
from predis_core.table.cuda.exchange import Exchange
from predis_core.table.interface import Int64s
from predis_core.table.layout import Record

_Pointers = ctypes.c_void_p * 2


class Arguments:
    """What a kernel is launched with, made once for all launches of a batch.

    Args:
        table, batch: the words of its two structs, which may change between launches.

    Attributes:
        pointers: to the structs, as the driver wants them.
        address: of the pointers.
    """

    __slots__ = ("_structs", "address", "pointers")

    def __init__(self, table: Int64s, batch: Int64s) -> None:
        self._structs = table, batch
        self.pointers = _Pointers(address(table), address(batch))
        self.address = ctypes.addressof(self.pointers)


class Kernels(Protocol):
    """The compiled program of a table."""

    def launch(self, kernel: str, threads: int, arguments: Arguments) -> None:
        """Have at least so many threads run a kernel, or fewer that take turns.

        Args:
            kernel: its name in the source.
            arguments: its two structs; both are copied before this returns.
        """
        ...


class Device(Protocol):
    """A memory and its processor; everything happens in the order in which it is asked for.

    Attributes:
        number: which of the GPUs it is.
    """

    number: int

    @property
    def exchange(self) -> Exchange | None:
        """What takes and gives arrays of other libraries; None if there can be none."""
        ...

    def zeros(self, count: int, dtype: Any) -> Any:
        """Return an array of zeros, 16-byte aligned."""
        ...

    def empty(self, count: int, dtype: Any) -> Any:
        """Return an array of anything, 16-byte aligned."""
        ...

    def take(self, array: Any, dtype: Any) -> Any:
        """Return a one-dimensional, 16-byte aligned array of the device with an array's content.

        It is the array itself if that is one already.
        """
        ...

    def give(self, array: Any) -> npt.NDArray[Any]:
        """Return a copy of an array of the device in host memory; waits for what is under way."""
        ...

    def holds(self, array: Any) -> bool:
        """Return whether an array lies on the device, and so stays there."""
        ...

    def address(self, array: Any) -> int:
        """Return where an array of the device lies."""
        ...

    def sort(self, array: Any) -> None:
        """Sort an array of the device, uint64[n], in place."""
        ...

    def in_order(self) -> AbstractContextManager[None]:
        """Return a context whose work follows that of the one before, on whichever stream it is."""
        ...

    def load(
        self,
        policy: Policy,
        row_bytes: int,
        record: Record | None = None,
        *,
        has_idents: bool = False,
    ) -> Kernels:
        """Return the program of a table, compiled or from the cache on disk; see `source`."""
        ...
