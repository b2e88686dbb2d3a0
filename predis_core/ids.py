"""Ids of loads: the distinct ones among many keys, and which load holds which.

One dict of 100,000 ids takes milliseconds at a time where it grows, and as long where it is given
up, and holds the GIL meanwhile. Where others should run in between, ids are therefore told apart
in groups, by their hash, and what stays of that are arrays, in which an id is found by its hash.
Claims are spread over several dicts.
"""

from __future__ import annotations

import itertools
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from predis_core.table.batches import part_of
from predis_core.table.interface import Int64s, Keys, Objects

Holder = TypeVar("Holder")
Hashes = npt.NDArray[np.uint64]

_GROUP = 2048
"""Keys in a group, more or less."""

_MOST_GROUPS = 16
"""Bits of the number of groups at most."""

_STRIDE = 8192
"""Keys that are handled in one go by an operation of NumPy."""

_DICTS = 6
"""Bits of the number of dicts that claims are spread over."""

_OF_DICT = np.uint64(64 - _DICTS)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def parts(n: int, size: int) -> Iterator[slice]:
    """Yield the parts of n positions, `size` each, one after the other."""
    for first in range(0, n, size):
        yield slice(first, min(first + size, n))


def listed(keys: Keys) -> list[Any]:
    """Return keys as Python objects."""
    found: list[Any] = (keys.words if keys.refs is None else keys.refs).tolist()
    return found


class Ids(ABC):
    """The distinct ids among n keys of a batch, in order of first appearance; see `distinct`.

    Args:
        words: int64[m], as a table takes them.
        refs: the references of all keys of the batch, or None.
        first: int64[m], where each id stands first in the batch.
        at: int64[n], the place among the ids of each of the n keys.
        dicts: the number of the dict that has each id if it is claimed; see `Claims`.
    """

    def __init__(
        self, words: Int64s, refs: Objects | None, first: Int64s, at: Int64s, dicts: list[int]
    ) -> None:
        self.words = words
        self.first = first
        self.at = at
        self.dicts = dicts
        self._refs = refs

    def __len__(self) -> int:
        return len(self.words)

    @property
    def has_refs(self) -> bool:
        """Whether the ids are other keys than int64."""
        return self._refs is not None

    def keys(self, part: slice | Int64s) -> Keys:
        """Return some of the ids as a table takes them."""
        refs = None if self._refs is None else self._refs[self.first[part]]
        return Keys(self.words[part], refs)

    def listed(self, part: slice | Int64s = slice(None)) -> list[Any]:
        """Return some of the ids as Python objects."""
        return listed(self.keys(part))

    @abstractmethod
    def places(self, keys: Keys) -> Int64s:
        """Return the place of each of k keys (int64[k]), -1 where it is none of the ids."""


class _InDict(Ids):
    """Ids that a dict finds: `index` has where each stands first among the n keys."""

    def __init__(self, index: dict[Any, int], *about: Any) -> None:
        super().__init__(*about)
        self._index = index

    def places(self, keys: Keys) -> Int64s:
        """See `Ids.places`."""
        found = np.array([self._index.get(key, -1) for key in listed(keys)], np.int64)
        return np.where(found < 0, -1, self.at[found])


class _InArrays(Ids):
    """Ids that are found by their hashes.

    Args:
        hashes: uint64[m], those of the words, ascending.
        order: int64[m], the places in the order of the hashes.
        about: what `Ids` takes.
    """

    def __init__(self, hashes: Hashes, order: Int64s, *about: Any) -> None:
        super().__init__(*about)
        self._hashes = hashes
        self._order = order

    def places(self, keys: Keys) -> Int64s:
        """See `Ids.places`."""
        hashes = _hashed(keys.words)
        ranks = np.searchsorted(self._hashes, hashes)
        places = self._order[np.minimum(ranks, len(self) - 1)]
        there = self.keys(places)
        same = there.words == keys.words
        if keys.refs is None or there.refs is None:
            return np.where(same, places, -1)
        found = zip(
            same.tolist(),
            keys.refs.tolist(),
            there.refs.tolist(),
            places.tolist(),
            ranks.tolist(),
            strict=True,
        )
        # As a dict compares: what is identical is equal.
        return np.array(
            [
                (place if key is held or key == held else self._among_equals(key, rank))
                if candidate
                else -1
                for candidate, key, held, place, rank in found
            ],
            np.int64,
        )

    def _among_equals(self, key: Any, rank: int) -> int:
        """Return the place of a key; the first of the ids with its hash, which has a rank, is not
        it.
        """
        equals = np.searchsorted(self._hashes, self._hashes[rank], side="right")
        places = self._order[rank + 1 : equals]
        for held, place in zip(self.listed(places), places.tolist(), strict=True):
            if key is held or key == held:
                return int(place)
        return -1


def distinct(keys: Keys, positions: Int64s, size: int) -> Generator[None, None, Ids]:
    """Return the distinct ids among the keys at some positions, step by step.

    Args:
        keys: a batch.
        positions: int64[n], ascending.
        size: how many keys may be handled between two steps.
    """
    if len(positions) <= max(size, _GROUP):
        return _at_once(keys, positions)
    return (yield from _in_steps(keys, positions, size))


def _at_once(keys: Keys, positions: Int64s) -> Ids:
    n = len(positions)
    asked = listed(part_of(keys, positions))
    index: dict[Any, int] = {}
    first_of = np.fromiter(map(index.setdefault, asked, itertools.count()), np.int64, n)
    first, at = positions, first_of
    if len(index) < n:
        firsts = np.flatnonzero(first_of == np.arange(n))
        place = np.empty(n, np.int64)
        place[firsts] = np.arange(len(firsts))
        first, at = positions[firsts], place[first_of]
    words = keys.words[first]
    return _InDict(index, words, keys.refs, first, at, dicts_of(words))


def _in_steps(keys: Keys, positions: Int64s, size: int) -> Generator[None, None, Ids]:
    n = len(positions)
    held = keys.words if keys.refs is None else keys.refs
    words = yield from _made(n, np.int64, lambda part: keys.words[positions[part]])
    first_of, ascending = np.empty(n, np.int64), []
    for pieces in zip(*(yield from _groups(words)), strict=True):
        group = np.concatenate(pieces)
        seen: dict[Any, int] = {}
        for part in parts(len(group), size):
            some = group[part]
            asked = held[positions[some]].tolist()
            first_of[some] = np.fromiter(map(seen.setdefault, asked, some.tolist()), np.int64)
            yield
        firsts = group[first_of[group] == group]
        ascending.append(firsts[np.argsort(_hashed(words[firsts]))])
    at, firsts = yield from _places(first_of)
    m, ranked = len(firsts), np.concatenate(ascending)
    yield
    hashes = yield from _made(m, np.uint64, lambda part: _hashed(words[ranked[part]]))
    order = yield from _made(m, np.int64, lambda part: at[ranked[part]])
    first = yield from _made(m, np.int64, lambda part: positions[firsts[part]])
    words = yield from _made(m, np.int64, lambda part: keys.words[first[part]])
    dicts: list[int] = []
    for part in parts(m, _STRIDE):
        dicts += dicts_of(words[part])
        yield
    return _InArrays(hashes, order, words, keys.refs, first, at, dicts)


def _made(
    n: int, dtype: npt.DTypeLike, of: Callable[[slice], npt.NDArray[Any]]
) -> Generator[None, None, Any]:
    """Return an array of n that is made in parts."""
    whole = np.empty(n, dtype)
    for part in parts(n, _STRIDE):
        whole[part] = of(part)
        yield
    return whole


def _groups(words: Int64s) -> Generator[None, None, list[list[Int64s]]]:
    """Return the positions of each group, ascending, in pieces: a list of those of all groups each.

    Groups ascend with the hashes.
    """
    n = len(words)
    bits = min((n // _GROUP).bit_length(), _MOST_GROUPS)
    pieces = []
    for part in parts(n, _STRIDE):
        numbers = (_hashed(words[part]) >> np.uint64(64 - bits)).astype(np.uint16)
        # Of 16 bits, this is a radix sort.
        positions = np.argsort(numbers, kind="stable") + part.start
        ends = np.cumsum(np.bincount(numbers, minlength=1 << bits))
        pieces.append(np.split(positions, ends[:-1]))
        yield
    return pieces


def _places(first_of: Int64s) -> Generator[None, None, tuple[Int64s, Int64s]]:
    """Return the place of the id of each key, and which keys are the first of theirs.

    Args:
        first_of: int64[n], where the id of each key stands first.
    """
    n = len(first_of)
    firsts: list[Int64s] = []
    at, m = np.empty(n, np.int64), 0
    for part in parts(n, _STRIDE):
        some = first_of[part]
        first = np.flatnonzero(some == np.arange(part.start, part.stop)) + part.start
        at[first] = np.arange(m, m + len(first))
        # What stands before a key has its place by now.
        at[part] = at[some]
        firsts.append(first)
        m += len(first)
        yield
    return at, np.concatenate(firsts)


class Claims(Generic[Holder]):
    """Who holds an id."""

    def __init__(self) -> None:
        self._dicts: list[dict[Any, Holder]] = [{} for _ in range(1 << _DICTS)]
        self._claims = [claimed.setdefault for claimed in self._dicts]

    def claim(self, dicts: list[int], keys: list[Any], holder: Holder) -> list[Holder]:
        """Claim the keys that nobody holds; return who holds each of them now.

        This is one C loop of atomic operations. Unless a key's `__eq__` is Python, no other thread
        comes in between: of two that want the same keys, one gets them all.

        Args:
            dicts: the `dicts_of` the keys.
            keys: n keys.
            holder: who claims them.
        """
        claims = map(self._claims.__getitem__, dicts)
        return list(map(operator.call, claims, keys, itertools.repeat(holder)))

    def each(self, dicts: list[int], keys: list[Any]) -> Iterator[tuple[dict[Any, Holder], Any]]:
        """Yield, for each key, the dict that has it if it is claimed, and the key itself."""
        return zip(map(self._dicts.__getitem__, dicts), keys, strict=True)


def dicts_of(words: Int64s) -> list[int]:
    """Return the number of the dict of `Claims` for the key of each word."""
    numbers: list[int] = (_hashed(words) >> _OF_DICT).tolist()
    return numbers


def _hashed(words: Int64s) -> Hashes:
    """Return words as hashes, of which the first bits differ; no two words have one."""
    hashes: Hashes = words.view(np.uint64) * _SPREAD
    return hashes


_NONE: Int64s = np.empty(0, np.int64)
NO_IDS: Ids = _InDict({}, _NONE, None, _NONE, _NONE, [])
