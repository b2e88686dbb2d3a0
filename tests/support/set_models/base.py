"""What every model of a set has: ways, ghosts, and the order of a request's steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from predis_core.table.keys import mix
from predis_core.table.layout import WAYS, Layout, Region
from predis_core.table.sketch import ReferenceSketch


class Counts:
    """How often keys were asked for, by the sketch of a table with so many entries."""

    def __init__(self, entries: int, seed: int) -> None:
        self._sketch = ReferenceSketch(entries)
        self._seed = seed

    def add(self, key: int) -> None:
        self._sketch.add([mix(key, self._seed)])

    def of(self, key: int) -> int:
        return self._sketch.estimate(mix(key, self._seed))


class Place(NamedTuple):
    """Where keys go: how many ways, in which order a key tries them, by what a ghost is known."""

    ways: int
    order: Callable[[int], Iterable[int]]
    fingerprint: Callable[[int], int]
    ghosts: int
    counts: Counts


def sets_of(region: Region, seed: int) -> list[Place]:
    """The sets of a table with only this region."""
    counts = Counts(region.capacity, seed)
    return [_set_of(region, index, seed, counts) for index in range(region.sets)]


def _set_of(region: Region, index: int, seed: int, counts: Counts) -> Place:
    def order(key: int) -> Iterable[int]:
        return region.line_order(index, region.home(mix(key, seed)).line)

    def fingerprint(key: int) -> int:
        return region.home(mix(key, seed)).fingerprint

    return Place(region.ways(index), order, fingerprint, WAYS, counts)


def one_set(ways: int, seed: int) -> Place:
    """The set of a table that has only one (1 to 28 ways)."""
    (place,) = sets_of(Layout.build(ways).regions[0], seed)
    return place


def fully_associative(entries: int) -> Place:
    """A cache without sets, which knows its ghosts by their keys."""
    return Place(entries, lambda key: range(entries), lambda key: key, entries, Counts(entries, 0))


@dataclass(frozen=True, eq=False)
class Ghost:
    """What is left of a key: its fingerprint, and a note by the policy (1 to 3)."""

    fingerprint: int
    tag: int


class Ghosts:
    """Keys that left, newest first; the oldest drop out at the end."""

    def __init__(self, place: Place) -> None:
        self._fingerprint = place.fingerprint
        self._left: deque[Ghost] = deque(maxlen=place.ghosts)

    def add(self, key: int, tag: int = 1) -> None:
        self._left.appendleft(Ghost(self._fingerprint(key), tag))

    def tagged(self, tag: int) -> list[Ghost]:
        """Return the ghosts with a tag, newest first."""
        return [ghost for ghost in self._left if ghost.tag == tag]

    def take(self, key: int) -> Ghost | None:
        """Remove and return the newest ghost that looks like a key."""
        for ghost in self._left:
            if ghost.fingerprint == self._fingerprint(key):
                self._left.remove(ghost)
                return ghost
        return None


class SetModel(ABC):
    """A set that is asked for one key at a time; `seats` says in which way each key is."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.seats: dict[int, int] = {}
        self.ghosts = Ghosts(place)

    @property
    def full(self) -> bool:
        return len(self.seats) == self.place.ways

    def get(self, key: int, tick: int) -> bool:
        """Ask for a key; return whether it is there."""
        if key not in self.seats:
            return False
        self.hit(key, tick)
        return True

    def insert(self, key: int, tick: int) -> int | None:
        """Store a key that is not there; return the one that leaves for it, if any."""
        self.recall(key)
        victim = self.make_room(tick) if self.full else None
        if victim is not None:
            self.seats[key] = self.seats.pop(victim)
        else:
            taken = set(self.seats.values())
            self.seats[key] = next(way for way in self.place.order(key) if way not in taken)
        self.arrive(key, tick)
        return victim

    def delete(self, key: int) -> None:
        """Remove a key that is there."""
        self.drop(key)
        del self.seats[key]

    @abstractmethod
    def hit(self, key: int, tick: int) -> None:
        """Note the use of a key."""

    def recall(self, key: int) -> None:
        """Take a key's ghost, and note how things are before the key comes in."""
        self.ghosts.take(key)

    @abstractmethod
    def make_room(self, tick: int) -> int:
        """Let a key go and return it."""

    @abstractmethod
    def arrive(self, key: int, tick: int) -> None:
        """Queue a key."""

    @abstractmethod
    def drop(self, key: int) -> None:
        """Unqueue a key that was deleted."""


@dataclass
class Recency:
    """Keys in the order of their last use."""

    keys: OrderedDict[int, None] = field(default_factory=OrderedDict)

    def use(self, key: int) -> None:
        self.keys[key] = None
        self.keys.move_to_end(key)

    @property
    def oldest(self) -> int:
        return next(iter(self.keys))
