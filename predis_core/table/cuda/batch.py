"""A batch on its way through the kernels: its words, and the arrays that they lead to."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.errors import ValueShapeError
from predis_core.table.cuda.device import Arguments, Device, Kernels
from predis_core.table.cuda.source import BATCH, place_of, words_of
from predis_core.table.interface import Bools, Int64s, Keys, Objects

_AT = place_of(BATCH)
_BLANK = words_of(BATCH)
ABSENT = -1
"""What stands for the ident of a key that is not there."""


class Known(Keys):
    """Keys of which it is known which ones a table holds, whatever others have their words.

    Attributes:
        idents: int64[n], by which the table tells keys apart that share a word; `ABSENT` for those
            that it does not hold.
        slots: int64[n], where they are, expired or not; -1 for an absent one; None if nobody knows.
        is_late: bool[n], whether what is there has expired.
    """

    idents: Int64s
    slots: Int64s | None
    is_late: Bools

    @classmethod
    def of(
        cls,
        words: Any,
        refs: Objects | None,
        idents: Int64s,
        slots: Int64s | None = None,
        is_late: Bools | None = None,
    ) -> Known:
        """Return such keys; of none that is there it is known that it has expired by default."""
        known = Known(words, refs)
        known.idents, known.slots = idents, slots
        known.is_late = np.zeros(len(idents), bool) if is_late is None else is_late
        return known

    def part(self, where: slice) -> Known:
        """Return some of them."""
        slots = None if self.slots is None else self.slots[where]
        refs = None if self.refs is None else self.refs[where]
        return Known.of(self.words[where], refs, self.idents[where], slots, self.is_late[where])


class Batch:
    """The words of a batch.

    Args:
        device: where it is.
        kernels: what goes over it.
        table: the words of the table, and of the region at hand.
        row_bytes: of a value.
        keys, now, region: as a verb has them.

    Attributes:
        refs: the keys, for kinds other than int64.
        known: where the keys are; None if nobody knows.
        left: keys of what left, object[2 * n] by places of the log, if somebody knows them.
        is_logged: whether what leaves is written down.
    """

    def __init__(
        self,
        device: Device,
        kernels: Kernels,
        table: Int64s,
        row_bytes: int,
        keys: Keys,
        now: int,
        region: int = 0,
    ) -> None:
        self.n = len(keys.words)
        self.now, self.region, self.refs = now, region, keys.refs
        self.known = keys if isinstance(keys, Known) else None
        self.left: Objects | None = None
        self.is_logged = False
        self._device = device
        self._kernels = kernels
        self._row_bytes = row_bytes
        self._is_resident = device.holds(keys.words)
        self._words = _BLANK.copy()
        self._arguments = Arguments(table, self._words)
        self.set(n=self.n, now=now)
        self._arrays: dict[str, Any] = {}
        self.take("words", keys.words, np.int64)
        if self.known is not None:
            self.take("idents", self.known.idents, np.int64)

    def set(self, **words: int) -> None:
        """Say what some words are."""
        for name, value in words.items():
            self._words[_AT[name]] = value

    def room(self, name: str, dtype: Any, count: int | None = None) -> Any:
        """Return room for what the kernels write: one item per position, or `count`."""
        return self._point(name, self._device.empty(self.n if count is None else count, dtype))

    def zeros(self, name: str, dtype: Any, count: int) -> Any:
        """Return zeros for the kernels."""
        return self._point(name, self._device.zeros(count, dtype))

    def take(self, name: str, given: Any, dtype: Any) -> None:
        """Have what came with the batch on the device, if something came."""
        if given is not None:
            self._point(name, self._device.take(given, dtype))

    def rows_for(self, out: Any) -> Any:
        """Have the rows of a lookup go to `out`; return where they go if that is of the host."""
        if not self._device.holds(out):
            return self.room("values", np.uint8, self.n * self._row_bytes)
        rows = self._device.take(out, np.uint8)
        if self._device.address(rows) != self._device.address(out):
            raise ValueShapeError(
                "out: rows cannot be copied to this array of the device; pass one in C order that "
                "begins at a multiple of 16 bytes"
            )
        self._point("values", rows)
        return None

    def answer(self, array: Any) -> npt.NDArray[Any]:
        """Return a result where the batch's keys are."""
        found: npt.NDArray[Any] = array if self._is_resident else self._device.give(array)
        return found

    def _point(self, name: str, array: Any) -> Any:
        self._arrays[name] = array  # until the kernels are launched, and beyond: see `array`
        self._words[_AT[name]] = self._device.address(array)
        return array

    def array(self, name: str) -> Any:
        """Return an array by its name."""
        return self._arrays[name]

    @property
    def words(self) -> Int64s:
        """The words, as kernels get them."""
        return self._words

    def launch(self, kernel: str, threads_each: int = 1) -> None:
        """Have a kernel go over the batch, with so many threads for each position."""
        if self.n:
            self._kernels.launch(kernel, self.n * threads_each, self._arguments)

    def unite(self) -> None:
        """Find the position that counts of each key."""
        places = 1 << (2 * self.n).bit_length()
        self.zeros("places", np.uint32, places)
        self.set(places_mask=places - 1)
        self.launch("unite")

    def make_log(self) -> None:
        """Have room for what leaves: for one position two entries may."""
        self.is_logged = True
        self.zeros("reasons", np.uint8, 2 * self.n)
        self.room("held", np.int64, 2 * self.n)
        if self.known is not None:
            self.room("whose", np.int64, 2 * self.n)
        self.room("spent", np.int64, 2 * self.n)
        self.room("rows", np.uint8, 2 * self.n * self._row_bytes)
