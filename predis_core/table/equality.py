"""Which of a table's keys equal a batch's, when keys are Python objects.

A kernel finds the equal ones among strings, byte strings and integers. For any other key, another
kernel hands out those held keys that share its word. They are compared here, where nothing is
locked and user code may run, and may use the cache. What is found out stays true,
because every compared key is kept alive until the batch is done: its address cannot become
another's. The kernel that then acts recognises an equal key by its address, and the rest by a
signature of all that share a word; if that changed meanwhile, it asks for another round, in which
only newcomers are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from predis_core.arrays import address
from predis_core.table import cpython
from predis_core.table.interface import Bools, Int64s, Keys, Objects

CHUNK = 4096
"""Keys that a kernel holding the GIL handles at a time: well under half a millisecond."""

_MOST_COMPARISONS = 512
_UNSIGNED: Int64s = np.empty(0, np.int64)


def chunks(start: int, stop: int) -> Iterator[slice]:
    """Yield the parts of a batch that kernels holding the GIL take, one after the other."""
    for first in range(start, stop, CHUNK):
        yield slice(first, min(first + CHUNK, stop))


class Resolver:
    """A batch of keys on its way to the references that a table holds for them.

    Attributes:
        refs: object[n], the table's own reference where it holds an equal key, else the batch's.
        signatures: int64[n], of the keys that share a word with each, as of the comparison.

    Args:
        kernels, header: the table's.
        region: where the batch goes.
        keys: the batch.
        signed: whether all signatures are wanted.
    """

    def __init__(
        self,
        kernels: SimpleNamespace,
        header: Int64s,
        region: int,
        keys: Keys,
        *,
        signed: bool = False,
    ) -> None:
        assert keys.refs is not None
        n = len(keys.words)
        self._kernels, self._header, self._region = kernels, header, region
        self._words = keys.words
        self._asked: Objects = keys.refs
        self.refs: Objects = np.empty(n, object)
        self.signatures = np.zeros(n, np.int64)
        self._signed = self.signatures if signed else _UNSIGNED
        self._undecided = np.ones(n, np.bool_)
        self._reached = 0
        # By position, then by id: keys that were found unequal.
        self._unequal: dict[int, dict[int, Any]] = {}

    def resolve(self, start: int, stop: int) -> None:
        """Compare the keys at positions start to stop with what the table holds now.

        Raises:
            RuntimeError: if comparing a key goes on bringing new ones to compare it with.
        """
        if start < self._reached:
            self.refs[start:stop] = None
        self._reached = stop
        if not cpython.is_known():
            self.refs[start:stop] = self._asked[start:stop]
        elif not self._match(start, stop):
            return
        positions = np.flatnonzero(self._undecided[start:stop]) + start
        if len(positions) == 1:
            self._resolve_one(int(positions[0]))
            return
        skip = np.zeros(len(positions), np.int64)
        seen: Int64s | None = None
        while len(positions):
            held, found, signatures = self._candidates(positions, skip)
            if seen is not None:
                # What shares the word changed between two looks: look from the beginning.
                changed = signatures != seen
                skip[changed] = -1
                found |= changed
            self.signatures[positions] = signatures
            equal = self._compare(positions, held, found & (skip >= 0))
            self.refs[positions[equal]] = held[equal]
            again = found & ~equal
            positions, skip, seen = positions[again], skip[again] + 1, signatures[again]

    def _match(self, start: int, stop: int) -> int:
        """Have the kernel find what is surely equal; return how many keys it leaves undecided."""
        left, asked, refs = 0, id(self._asked), id(self.refs)
        for part in chunks(start, stop):
            left += self._kernels.match(
                self._header,
                self._region,
                self._words,
                asked,
                refs,
                self._signed,
                self._undecided,
                part.start,
                part.stop,
            )
        return left

    def _compare(self, positions: Int64s, held: Objects, where: Bools) -> Bools:
        """Return where a held key equals the one asked for; look only where there is one."""
        if not self._unequal:
            asked = self._asked[positions].tolist()
            pairs = zip(where.tolist(), held.tolist(), asked, strict=True)
            equal = np.array([there and (a is b or bool(a == b)) for there, a, b in pairs], bool)
            for at in np.flatnonzero(where & ~equal).tolist():
                self._unequal.setdefault(int(positions[at]), {})[id(held[at])] = held[at]
            return equal
        equal = np.zeros(len(positions), bool)
        for at in np.flatnonzero(where).tolist():
            equal[at] = self._is_equal(int(positions[at]), held[at])
        return equal

    def _resolve_one(self, position: int) -> None:
        """The same for a single key, as the dict face has it, with less to set up."""
        here = slice(position, position + 1)
        held, found = np.empty(1, object), np.empty(1, np.bool_)
        skip, seen = np.zeros(1, np.int64), None
        while True:
            held[0] = None
            self._ask(self._words[here], skip, held, found, self.signatures[here])
            signature = self.signatures[position]
            if seen is not None and signature != seen:
                skip[0], seen = 0, None
                continue
            if not found[0]:
                return
            if self._is_equal(position, held[0]):
                self.refs[position] = held[0]
                return
            skip[0], seen = skip[0] + 1, signature

    def _candidates(self, positions: Int64s, skip: Int64s) -> tuple[Objects, Bools, Int64s]:
        n = len(positions)
        words = self._words[positions]
        held = np.empty(n, object)
        found = np.empty(n, np.bool_)
        signatures = np.empty(n, np.int64)
        for part in chunks(0, n):
            self._ask(words[part], skip[part], held[part], found[part], signatures[part])
        return held, found, signatures

    def _ask(
        self, words: Int64s, skip: Int64s, held: Objects, found: Bools, signatures: Int64s
    ) -> None:
        self._kernels.candidates(
            self._header, self._region, words, skip, address(held), found, signatures
        )

    def _is_equal(self, position: int, held: Any) -> bool:
        asked = self._asked[position]
        if held is asked:
            return True
        unequal = self._unequal.get(position)
        if unequal is not None and id(held) in unequal:
            return False
        if held == asked:
            return True
        unequal = self._unequal.setdefault(position, {})
        unequal[id(held)] = held
        if len(unequal) > _MOST_COMPARISONS:
            raise RuntimeError(
                f"keys: comparing {type(asked).__name__} keys changes the cache each time; "
                "__eq__ must not write to the cache"
            )
        return False
