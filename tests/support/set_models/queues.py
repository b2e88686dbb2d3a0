"""The policies that keep queues: fifo, lru, sieve, clock, s3fifo."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from predis_core.policies.s3fifo import _stamp as stamp_of
from tests.support.set_models.base import Place, SetModel


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


class ClockModel(SetModel):
    """A queue; a choice goes through it from the oldest, and what was used joins its tail.

    What one choice passes over is equally new there, before the key that comes in: the lowest way
    first. When one of such equals leaves, the hand has passed none of the others.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.queued: dict[int, int] = {}
        self.used: set[int] = set()

    def hit(self, key: int, tick: int) -> None:
        self.used.add(key)

    def make_room(self, tick: int) -> int:
        queue = sorted(self.queued, key=lambda key: (self.queued[key], self.seats[key]))
        victim = next((key for key in queue if key not in self.used), None)
        if victim is None:
            self.used.clear()
            victim = queue[0]
        for key in queue:
            if self.queued[key] < self.queued[victim] and key in self.used:
                self.used.remove(key)
                self.queued[key] = tick
        self.drop(victim)
        return victim

    def arrive(self, key: int, tick: int) -> None:
        self.queued[key] = tick + 1

    def drop(self, key: int) -> None:
        del self.queued[key]
        self.used.discard(key)


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
