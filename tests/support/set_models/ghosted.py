"""The policies that place a key by its ghost: arc, density, lirs."""

from __future__ import annotations

from collections import OrderedDict

from tests.support.set_models.base import Place, SetModel


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


class DensityModel(SetModel):
    """Further uses and the time of the last one by key; who has aged most leaves.

    A use counts if another key has come in since the one before. What was not used again ages
    faster by the haste.
    """

    SPEEDS = (64, 48, 36, 27, 20, 15, 11, 8)
    STEP, MOST_MOVED, MOST = 8, 64, 80
    OCTAVE = 16
    ALL, WEIGHT = 1024, 32

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.uses: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.counting: set[int] = set()
        self.haste = 40
        self.used_once = self.ALL // 2  # the share of the latest victims, of ALL

    def hit(self, key: int, tick: int) -> None:
        if key in self.counting:
            self.uses[key] = min(len(self.SPEEDS) - 1, self.uses[key] + 1)
            self.counting.remove(key)
        self.last[key] = tick

    def recall(self, key: int) -> None:
        ghost = self.ghosts.take(key)
        self.known_uses = ghost.tag + 1 if ghost else 0
        if ghost is None:
            return
        once = max(self.WEIGHT, self.used_once)
        more = max(self.WEIGHT, self.ALL - self.used_once)
        if ghost.tag == 1:
            self.haste -= min(self.MOST_MOVED, self.STEP * more // once)
        else:
            self.haste += min(self.MOST_MOVED, self.STEP * once // more)
        self.haste = max(0, min(self.MOST, self.haste))

    def make_room(self, tick: int) -> int:
        def aged(key: int) -> tuple[int, int]:
            octaves, rest = divmod(self.haste, self.OCTAVE)
            faster = self.OCTAVE if self.uses[key] else (self.OCTAVE + rest) * 2**octaves
            age = 1 + tick - self.last[key]
            return age * self.SPEEDS[self.uses[key]] * faster, -self.seats[key]

        victim = max(self.seats, key=aged)
        used_again = self.uses[victim] > 0
        self.ghosts.add(victim, 1 + min(2, self.uses[victim]))
        fading = self.used_once // self.WEIGHT
        self.used_once += (0 if used_again else self.WEIGHT) - fading
        self.drop(victim)
        return victim

    def arrive(self, key: int, tick: int) -> None:
        self.counting = set(self.uses)
        self.uses[key], self.last[key] = self.known_uses, tick

    def drop(self, key: int) -> None:
        del self.uses[key], self.last[key]
        self.counting.discard(key)


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
