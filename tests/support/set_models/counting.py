"""The policies that ask how often a key was used: lfu, gdsf, slru, wtinylfu."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from predis_core.policies.gdsf import _stamp as small_stamp_of
from predis_core.policies.lfu import _stamp as stamp_of
from tests.support.set_models.base import Place, Recency, SetModel


@dataclass
class Aged:
    """An entry of LFU with ageing."""

    priority: int
    uses: int
    stamp: int


class LfuModel(SetModel):
    """Uses, on top of the set's age at the last of them; the lowest sum leaves and is the new age.

    Of equals, that in the lowest way.
    """

    MOST = 31

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.age = 0
        self.entries: dict[int, Aged] = {}

    def hit(self, key: int, tick: int) -> None:
        entry, stamp = self.entries[key], stamp_of(tick)
        if entry.stamp != stamp:
            uses = min(self.MOST, entry.uses + 1)
            self.entries[key] = Aged(self.age + uses, uses, stamp)

    def make_room(self, tick: int) -> int:
        victim = min(self.entries, key=lambda key: (self.entries[key].priority, self.seats[key]))
        self.age = self.entries.pop(victim).priority
        return victim

    def arrive(self, key: int, tick: int) -> None:
        self.entries[key] = Aged(self.age + 1, 1, stamp_of(tick))

    def drop(self, key: int) -> None:
        del self.entries[key]


class GdsfModel(LfuModel):
    """As `LfuModel`, but a use counts as often as the cost of a key's value has its size.

    In what follows a worth of 1 is 2**22, both cost and size are steps of a scale with four steps
    per octave, and `size_counts` is the share of the size's steps that is deducted.
    """

    MOST = 15
    HIGHEST = 38 * 4 + 3

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.values: dict[int, tuple[int, int]] = {}  # by key: bytes, nanoseconds
        self.size_counts = Fraction(1)

    def worth(self, key: int) -> int:
        """What a use of a key is worth."""
        size, cost = self.values.get(key, (0, 0))
        deducted = math.floor(self._steps(size) * self.size_counts)
        steps = 22 * 4 + self._steps(cost // 1000) - deducted
        octave, quarter = divmod(max(0, min(self.HIGHEST, steps)), 4)
        return math.floor(Fraction(4 + quarter, 4) * 2**octave)

    @staticmethod
    def _steps(number: int) -> int:
        number = max(1, number)
        octave = math.frexp(number)[1] - 1
        return 4 * octave + math.floor(Fraction(4 * (number - 2**octave), 2**octave))

    def hit(self, key: int, tick: int) -> None:
        entry, stamp = self.entries[key], small_stamp_of(tick)
        uses = entry.uses if entry.stamp == stamp else min(self.MOST, entry.uses + 1)
        self.entries[key] = Aged(self.age + uses * self.worth(key), uses, stamp)

    def arrive(self, key: int, tick: int) -> None:
        self.entries[key] = Aged(self.age + self.worth(key), 1, small_stamp_of(tick))

    def overwrite(self, key: int, tick: int) -> None:
        """Note the use of a key that gets another value."""
        self.hit(key, tick)


class SlruModel(SetModel):
    """A probation segment and a protected one, each by recency."""

    SHARE = 80

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.probation, self.protected = Recency(), Recency()

    def hit(self, key: int, tick: int) -> None:
        self.probation.keys.pop(key, None)
        self.protected.use(key)

    def make_room(self, tick: int) -> int:
        victim = self.main_victim(len(self.seats))
        self.drop(victim)
        return victim

    def main_victim(self, present: int) -> int:
        """Return who would leave a main part of so many entries."""
        too_many = len(self.protected.keys) * 100 > present * self.SHARE
        return (self.protected if too_many or not self.probation.keys else self.probation).oldest

    def arrive(self, key: int, tick: int) -> None:
        self.probation.use(key)

    def drop(self, key: int) -> None:
        for segment in (self.probation, self.protected):
            segment.keys.pop(key, None)


class WTinyLfuModel(SlruModel):
    """A segmented LRU behind a window of what was used since the last `size` keys came in.

    Who is next out of the window is told when a key has come in, and forgotten by a hit. The size
    is a number of keys, and ghosts move it: `longer` is what it has beyond one, in parts of a key.
    """

    UNIT, STEP, LONGEST = 64, 16, 50
    ALL, WEIGHT = 1024, 32

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.window = Recency()
        self.used_at: dict[int, int] = {}  # how many keys had come in
        self.next_out: set[int] = set()
        self.came = 0
        self.longer = 0
        self.from_window = 0  # the share of the latest victims, of ALL

    @property
    def size(self) -> int:
        return 1 + self.longer // self.UNIT

    def get(self, key: int, tick: int) -> bool:
        hit = super().get(key, tick)
        if hit:
            self.place.counts.add(key)
        return hit

    def hit(self, key: int, tick: int) -> None:
        if key in self.window.keys:
            self._use_in_window(key)
        else:
            super().hit(key, tick)

    def insert(self, key: int, tick: int) -> int | None:
        victim = super().insert(key, tick)
        self.place.counts.add(key)
        return victim

    def recall(self, key: int) -> None:
        self.came += 1
        ghost = self.ghosts.take(key)
        if ghost is None:
            return
        rest = self.ALL - self.from_window
        if ghost.tag == 1:
            self.longer += max(self.STEP, self.STEP * rest // max(self.WEIGHT, self.from_window))
        else:
            self.longer -= max(self.STEP, self.STEP * self.from_window // max(self.WEIGHT, rest))
        longest = len(self.seats) * self.LONGEST * self.UNIT // 100
        self.longer = max(0, min(longest, self.longer))

    def make_room(self, tick: int) -> int:
        victim = self._loser()
        left_window = victim in self.window.keys
        self.ghosts.add(victim, 1 if left_window else 2)
        fading = self.from_window // self.WEIGHT
        self.from_window += (self.WEIGHT if left_window else 0) - fading
        self.drop(victim)
        self._shift()
        return victim

    def _loser(self) -> int:
        falls = next((key for key in self.window.keys if key in self.next_out), None)
        stays = next((key for key in self.window.keys if key not in self.next_out), None)
        main = len(self.seats) - len(self.window.keys)
        own = self.main_victim(main) if main else stays
        if own is None or falls is None:
            return next(key for key in (own, falls) if key is not None)
        counts = self.place.counts
        return own if counts.of(falls) > counts.of(own) else falls

    def _shift(self) -> None:
        """Move on what has left the window, and tell what will leave it next."""
        self.next_out.clear()
        for key in list(self.window.keys):
            since = self.came - self.used_at[key]
            if since >= self.size:
                del self.window.keys[key]
                self.probation.use(key)
            elif since == self.size - 1:
                self.next_out.add(key)

    def _use_in_window(self, key: int) -> None:
        self.window.use(key)
        self.used_at[key] = self.came
        self.next_out.discard(key)
        if self.size == 1:
            self.next_out.add(key)

    def arrive(self, key: int, tick: int) -> None:
        self._use_in_window(key)

    def drop(self, key: int) -> None:
        super().drop(key)
        self.window.keys.pop(key, None)
        self.used_at.pop(key, None)
        self.next_out.discard(key)
