"""One set under each policy, in the data structures of its paper: queues, stacks and lists of keys.

Nothing here knows of metadata, ranks or states. A model and a table with one set must hold the same
keys after every request and let the same ones go; so a model also has what decides between
equals: the numbers of the ways, and the fingerprints by which ghosts are known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from predis_core.policies.s3fifo import _stamp as stamp_of
from predis_core.table.keys import mix
from predis_core.table.layout import WAYS, Layout, Region
from predis_core.table.sketch import ReferenceSketch


class Place(NamedTuple):
    """Where keys go: how many ways, in which order a key tries them, by what a ghost is known."""

    ways: int
    order: Callable[[int], Iterable[int]]
    fingerprint: Callable[[int], int]
    ghosts: int


def set_of(region: Region, index: int, seed: int) -> Place:
    """The set at an index of a region."""

    def order(key: int) -> Iterable[int]:
        return region.line_order(index, region.home(mix(key, seed)).line)

    def fingerprint(key: int) -> int:
        return region.home(mix(key, seed)).fingerprint

    return Place(region.ways(index), order, fingerprint, WAYS)


def one_set(ways: int, seed: int) -> Place:
    """The set of a table that has only one (1 to 28 ways)."""
    return set_of(Layout.build(ways).regions[0], 0, seed)


def fully_associative(entries: int) -> Place:
    """A cache without sets, which knows its ghosts by their keys."""
    return Place(entries, lambda key: range(entries), lambda key: key, entries)


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


class FifoModel(SetModel):
    """A queue."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.queue: deque[int] = deque()

    def hit(self, key: int, tick: int) -> None:
        pass

    def make_room(self, tick: int) -> int:
        return self.queue.popleft()

    def arrive(self, key: int, tick: int) -> None:
        self.queue.append(key)

    def drop(self, key: int) -> None:
        self.queue.remove(key)


class LruModel(FifoModel):
    """A queue, to whose end a hit moves a key."""

    def hit(self, key: int, tick: int) -> None:
        self.queue.remove(key)
        self.queue.append(key)


class SieveModel(SetModel):
    """A list in order of arrival; a hand goes from the oldest to the newest, and again."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.arrivals: list[int] = []
        self.visited: set[int] = set()
        self.hand = 0

    def hit(self, key: int, tick: int) -> None:
        self.visited.add(key)

    def make_room(self, tick: int) -> int:
        self.hand %= len(self.arrivals)
        while self.arrivals[self.hand] in self.visited:
            self.visited.remove(self.arrivals[self.hand])
            self.hand = (self.hand + 1) % len(self.arrivals)
        victim = self.arrivals.pop(self.hand)
        self.hand %= max(1, len(self.arrivals))
        return victim

    def arrive(self, key: int, tick: int) -> None:
        self.arrivals.append(key)

    def drop(self, key: int) -> None:
        at = self.arrivals.index(key)
        del self.arrivals[at]
        self.visited.discard(key)
        if at < self.hand:
            self.hand -= 1


@dataclass
class Queued:
    """An entry of S3-FIFO: when it was queued, hits since, a stamp of the last one's tick."""

    tick: int
    hits: int = 0
    stamp: int = 0


class S3FifoModel(SetModel):
    """A small queue, a main queue that gives an entry a further round for each hit, and ghosts.

    What one choice moves to the tail of the main queue is equally new there: the lowest way first.
    When one of such equals leaves, the hand has passed none of the others.
    """

    SHARE = 15

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.small: deque[int] = deque()
        self.main: list[int] = []
        self.entries: dict[int, Queued] = {}
        self.evicted = False

    def hit(self, key: int, tick: int) -> None:
        entry, stamp = self.entries[key], stamp_of(tick)
        if entry.hits < 3 and not (entry.hits and entry.stamp == stamp):
            entry.hits += 1
            entry.stamp = stamp

    def recall(self, key: int) -> None:
        known = self.ghosts.take(key) is not None
        share = (len(self.seats) * self.SHARE + 50) // 100
        self.lets_go = len(self.small) >= max(1, share)
        self.to_main = known or (self.lets_go and not self.evicted)

    def make_room(self, tick: int) -> int:
        self.evicted = True
        self.main.sort(key=lambda key: (self.entries[key].tick, self.seats[key]))
        promoted: list[int] = []
        while self.lets_go and self.small:
            key = self.small.popleft()
            if self.entries[key].hits < 2:
                self.ghosts.add(key)
                self._move_to_tail(promoted, tick)
                return self._remove(key)
            self.entries[key].hits = 0
            promoted.append(key)
        return self._make_room_in_main(promoted, tick)

    def _make_room_in_main(self, promoted: list[int], tick: int) -> int:
        while True:
            for at, key in enumerate(self.main):
                if not self.entries[key].hits:
                    self._pass_over(self.main[:at], key, promoted, tick)
                    return self._remove(key)
                self.entries[key].hits -= 1
            # A whole round: everyone is where he was, and those promoted come next.
            if promoted:
                passed, self.main = self.main, []
                self._move_to_tail(promoted[1:] + passed, tick)
                return self._remove(promoted[0])

    def _pass_over(self, before: list[int], victim: int, promoted: list[int], tick: int) -> None:
        equals = [k for k in before if self.entries[k].tick == self.entries[victim].tick]
        for key in equals:
            self.entries[key].hits += 1
        passed = [key for key in before if key not in equals]
        self.main = [key for key in self.main if key != victim and key not in passed]
        self._move_to_tail(passed + promoted, tick)

    def _move_to_tail(self, keys: list[int], tick: int) -> None:
        for key in keys:
            self.entries[key] = Queued(tick, self.entries[key].hits)
        self.main.extend(keys)

    def _remove(self, key: int) -> int:
        del self.entries[key]
        return key

    def arrive(self, key: int, tick: int) -> None:
        self.entries[key] = Queued(tick)
        if self.to_main:
            self.main.append(key)
        else:
            self.small.append(key)

    def drop(self, key: int) -> None:
        (self.small if key in self.small else self.main).remove(key)
        del self.entries[key]


class ArcModel(SetModel):
    """T1 and T2 by recency, B1 and B2 behind them, a target for the length of T1.

    B1 and B2 share the ghosts; what the paper would have dropped from them is not found in them.
    """

    UNIT, STEP = 64, 16
    """A way is so many units of the target, and a hit on a ghost moves it by so many or more."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.t1: OrderedDict[int, None] = OrderedDict()
        self.t2: OrderedDict[int, None] = OrderedDict()
        self.target = 0

    def hit(self, key: int, tick: int) -> None:
        self.drop(key)
        self.t2[key] = None

    def recall(self, key: int) -> None:
        present = len(self.seats)
        b1 = self.ghosts.tagged(1)[: present - len(self.t1)]
        b2 = self.ghosts.tagged(2)[: present - len(b1)]
        ghost = self.ghosts.take(key)
        self.in_b1, self.in_b2 = ghost in b1, ghost in b2
        if self.in_b1:
            step = max(self.STEP, self.STEP * len(b2) // len(b1))
            self.target = min(present * self.UNIT, self.target + step)
        elif self.in_b2:
            self.target = max(0, self.target - max(self.STEP, self.STEP * len(b1) // len(b2)))

    def make_room(self, tick: int) -> int:
        length = len(self.t1) * self.UNIT
        from_t1 = length > self.target or (length == self.target and self.in_b2)
        if self.t1 and (from_t1 or not self.t2):
            victim = self.t1.popitem(last=False)[0]
            if self.in_b1 or self.in_b2 or self.t2:
                self.ghosts.add(victim, 1)
        else:
            victim = self.t2.popitem(last=False)[0]
            self.ghosts.add(victim, 2)
        return victim

    def arrive(self, key: int, tick: int) -> None:
        (self.t2 if self.in_b1 or self.in_b2 else self.t1)[key] = None

    def drop(self, key: int) -> None:
        del (self.t1 if key in self.t1 else self.t2)[key]


class LirsModel(SetModel):
    """The stack of recency with LIR and HIR entries, and the queue of resident HIR entries.

    The bottom of the stack leaves when a key comes in and LIR entries are, or become, too many.
    """

    SHARE = 5

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.stack: OrderedDict[int, None] = OrderedDict()
        self.queue: OrderedDict[int, None] = OrderedDict()
        self.lir: set[int] = set()

    def hit(self, key: int, tick: int) -> None:
        if key in self.queue and key in self.stack:
            del self.queue[key]
            self.lir.add(key)
        elif key in self.queue:
            self.queue.move_to_end(key)
        self.stack[key] = None
        self.stack.move_to_end(key)

    def recall(self, key: int) -> None:
        present = len(self.seats)
        self.limit = present - max(1, (present * self.SHARE + 50) // 100)
        self.as_lir = self.ghosts.take(key) is not None or len(self.lir) < self.limit

    def make_room(self, tick: int) -> int:
        if self.lir and len(self.lir) + self.as_lir > self.limit:
            return self._prune()
        victim = self.queue.popitem(last=False)[0]
        if victim in self.stack:
            del self.stack[victim]
            self.ghosts.add(victim)
        return victim

    def _prune(self) -> int:
        while True:
            bottom = self.stack.popitem(last=False)[0]
            if bottom in self.lir:
                self.lir.remove(bottom)
                return bottom

    def arrive(self, key: int, tick: int) -> None:
        self.stack[key] = None
        if self.as_lir:
            self.lir.add(key)
        else:
            self.queue[key] = None

    def drop(self, key: int) -> None:
        self.stack.pop(key, None)
        self.queue.pop(key, None)
        self.lir.discard(key)


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


class WTinyLfuModel(SetModel):
    """A window, a probation segment and a protected one, each by recency, and a sketch."""

    SHARE = 80

    def __init__(self, place: Place, seed: int = 0) -> None:
        super().__init__(place)
        self.window, self.probation, self.protected = Recency(), Recency(), Recency()
        self._sketch = ReferenceSketch(place.ways)
        self._seed = seed

    def get(self, key: int, tick: int) -> bool:
        hit = super().get(key, tick)
        if hit:
            self._sketch.add([mix(key, self._seed)])
        return hit

    def hit(self, key: int, tick: int) -> None:
        if key in self.window.keys:
            self.window.use(key)
        else:
            self.probation.keys.pop(key, None)
            self.protected.use(key)

    def insert(self, key: int, tick: int) -> int | None:
        victim = super().insert(key, tick)
        self._sketch.add([mix(key, self._seed)])
        return victim

    def make_room(self, tick: int) -> int:
        victim = self._loser()
        self.drop(victim)
        for key in self.window.keys:
            self.probation.use(key)
        self.window.keys.clear()
        return victim

    def _loser(self) -> int:
        if not self.probation.keys and not self.protected.keys:
            return self.window.oldest
        too_many = len(self.protected.keys) * 100 > (self.place.ways - 1) * self.SHARE
        main = self.protected if too_many or not self.probation.keys else self.probation
        if not self.window.keys:
            return main.oldest
        wins = self._asked(self.window.oldest) > self._asked(main.oldest)
        return main.oldest if wins else self.window.oldest

    def _asked(self, key: int) -> int:
        return self._sketch.estimate(mix(key, self._seed))

    def arrive(self, key: int, tick: int) -> None:
        self.window.use(key)

    def drop(self, key: int) -> None:
        for segment in (self.window, self.probation, self.protected):
            segment.keys.pop(key, None)


class LinearModel(SetModel):
    """Uses and the time of the last one by key; the lowest weighted sum leaves."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.uses: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.weights = (1, 32)

    def hit(self, key: int, tick: int) -> None:
        self.uses[key] = min(127, self.uses[key] + 1)
        self.last[key] = tick

    def make_room(self, tick: int) -> int:
        def score(key: int) -> tuple[int, int]:
            recency, frequency = self.weights
            sum_ = (self.last[key] - tick) * recency + self.uses[key] * frequency
            return sum_, self.seats[key]

        victim = min(self.seats, key=score)
        self.drop(victim)
        return victim

    def arrive(self, key: int, tick: int) -> None:
        self.uses[key], self.last[key] = 1, tick

    def drop(self, key: int) -> None:
        del self.uses[key], self.last[key]


MODELS: dict[str, type[SetModel]] = {
    "arc": ArcModel,
    "fifo": FifoModel,
    "linear": LinearModel,
    "lirs": LirsModel,
    "lru": LruModel,
    "s3fifo": S3FifoModel,
    "sieve": SieveModel,
    "wtinylfu": WTinyLfuModel,
}
