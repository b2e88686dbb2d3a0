"""How an arena for blobs is cut: into pages, and pages into pieces of one class each.

`kernels.blobs` fills an arena, `Ledger` counts what is in it: whether a value fits depends on that
alone. That pages go from one size to another by moving values together (Rumble, Kejriwal,
Ousterhout, "Log-structured Memory for DRAM-based Storage", FAST 2014, do so by segments) is why
filling with one size and then with another uses the memory as well as before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from predis_core.errors import ConfigurationError
from predis_core.table.interface import Bytes, Int64s

PIECE_HEAD = 8
BLOCK_HEAD = 16
GRAIN = 16
PIECES_AT_LEAST = 16
"""Blocks, the largest pieces, per page."""

_PIECE_BYTES_AT_LEAST = 32
_PAGE_BYTES = (1 << 10, 1 << 16)
_PAGES_AT_LEAST = 256
_STEPS = 16
"""Classes per doubling of a piece's size: what is lost by rounding stays under a sixteenth."""

ARENA_BYTES_AT_LEAST = 4 * _PAGE_BYTES[0]


@dataclass(frozen=True)
class Arena:
    """The shape of an arena.

    Args:
        bytes: what it may take, its own books included.

    Raises:
        ConfigurationError: if that is less than ARENA_BYTES_AT_LEAST.
    """

    bytes: int

    def __post_init__(self) -> None:
        if self.bytes < ARENA_BYTES_AT_LEAST:
            raise ConfigurationError(
                f"memory: {self.bytes} bytes are left for blobs; give at least "
                f"{ARENA_BYTES_AT_LEAST} more than the table takes"
            )

    @cached_property
    def page_bytes(self) -> int:
        """Bytes of a page, a power of two: small ones waste less of a small arena."""
        least, most = _PAGE_BYTES
        return min(max(1 << (self.bytes // _PAGES_AT_LEAST).bit_length() - 1, least), most)

    @cached_property
    def pages(self) -> int:
        """How many pages."""
        books = self.classes.nbytes + self.class_of.nbytes
        return (self.bytes - books) // (self.page_bytes + 16)

    @property
    def nbytes(self) -> int:
        """Bytes of the pages."""
        return self.pages * self.page_bytes

    @cached_property
    def classes(self) -> Int64s:
        """Per class, the largest first: bytes of a piece, pieces per page, 0 free, -1 the first."""
        found: dict[int, int] = {}
        count = PIECES_AT_LEAST
        while (size := self.page_bytes // count // GRAIN * GRAIN) >= _PIECE_BYTES_AT_LEAST:
            found[size] = self.page_bytes // size
            count += max(1, (1 << count.bit_length() - 1) // _STEPS)
        return np.array([(size, per_page, 0, -1) for size, per_page in found.items()], np.int64)

    @cached_property
    def class_of(self) -> Bytes:
        """By size in grains, uint8: the class of the smallest piece that is as large."""
        sizes = self.classes[:, 0]
        grains = np.arange(self.block_bytes // GRAIN + 1) * GRAIN
        return (len(sizes) - 1 - np.searchsorted(sizes[::-1], grains)).astype(np.uint8)

    @property
    def block_bytes(self) -> int:
        """Bytes of a block, the largest piece."""
        return int(self.classes[0, 0])

    def pieces(self, length: int) -> tuple[int, int]:
        """Return how many blocks a value of this length takes, and the class of its last piece."""
        payload = self.block_bytes - BLOCK_HEAD
        blocks = max(0, -(-(length + PIECE_HEAD - self.block_bytes) // payload))
        rest = length - blocks * payload + PIECE_HEAD
        return blocks, int(self.class_of[-(-rest // GRAIN)])


class Ledger:
    """How many pieces of an arena are in use, by class: all that decides whether a value fits.

    Because values move, a class needs no more pages than hold its pieces, and a value fits if all
    classes together need no more pages than there are, in whichever order values came and went.

    Args:
        arena: its shape.
        used: pieces in use by class; None: none are.
    """

    def __init__(self, arena: Arena, used: Iterable[int] | None = None) -> None:
        self._arena = arena
        self._per_page: list[int] = arena.classes[:, 1].tolist()
        self._used = [0] * len(self._per_page) if used is None else list(used)
        self._pages = sum(map(_pages_of, self._used, self._per_page))

    def can_ever_fit(self, length: int) -> bool:
        """Return whether a value of this length fits into an arena that holds nothing else."""
        return Ledger(self._arena).fits(length)

    def fits(self, length: int, instead: int | None = None) -> bool:
        """Return whether a value fits, once one of the length `instead` is gone."""
        if instead is not None:
            self.release(instead)
        self.store(length)
        found = self._pages <= self._arena.pages
        self.release(length)
        if instead is not None:
            self.store(instead)
        return found

    def store(self, length: int) -> None:
        """Take the pieces of a value that fits."""
        self._count(length, 1)

    def release(self, length: int) -> None:
        """Give the pieces of a value back."""
        self._count(length, -1)

    def _count(self, length: int, sign: int) -> None:
        blocks, last = self._arena.pieces(length)
        for number, count in ((0, sign * blocks), (last, sign)):
            before = _pages_of(self._used[number], self._per_page[number])
            self._used[number] += count
            self._pages += _pages_of(self._used[number], self._per_page[number]) - before


def _pages_of(used: int, per_page: int) -> int:
    return -(-used // per_page)
