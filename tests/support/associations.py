"""What `association` has to do, in plain Python, with room for any number of keys."""

from __future__ import annotations

from collections import defaultdict

from predis_prefetch.mining import SUCCESSORS, WINDOW


def often_class(seen: int) -> int:
    """Return the class of how often a key was seen."""
    return seen if seen <= 4 else 5 if seen <= 8 else 6 if seen <= 16 else 7


class Model:
    """Learns from batches of keys, and says what follows the last one."""

    def __init__(self) -> None:
        self.log: list[tuple[int, int]] = []  # key, and how many look-ups later successors begin
        self.mined = 0
        self.seen: dict[int, int] = defaultdict(int)
        self.successors: dict[int, list[tuple[int, int] | None]] = defaultdict(
            lambda: [None] * SUCCESSORS
        )  # (key, steadiness), in places that stay
        self.came: dict[tuple[int, int], float] = {}
        self.asked: dict[tuple[int, int], float] = {}

    def trust(self, seen: int, steady: int) -> float:
        at = often_class(seen), steady
        first = 0.5 if steady < 2 else 1.0
        return self.came.get(at, first) / self.asked.get(at, 2.0)

    def learn(self, batch: list[int]) -> None:
        for key in batch:
            self.log.append((key, len(batch)))
            while self.mined + self.log[self.mined][1] + WINDOW <= len(self.log):
                key_then, lead = self.log[self.mined]
                begin = self.mined + lead
                self._mine(key_then, [key for key, _ in self.log[begin : begin + WINDOW]])
                self.mined += 1
                if self.mined == len(self.log):
                    break

    def _mine(self, key: int, window: list[int]) -> None:
        places = self.successors[key]
        known = {place[0] for place in places if place is not None}
        for number, place in enumerate(places):
            if place is None:
                continue
            successor, steady = place
            at = often_class(self.seen[key]), steady
            came = self.came.get(at, 0.5 if steady < 2 else 1.0)
            asked = self.asked.get(at, 2.0) + 1
            if asked > 256:
                asked, came = asked / 2, came / 2
            self.came[at], self.asked[at] = came + (successor in window), asked
            steady = min(steady + 1, 15) if successor in window else steady - 1
            places[number] = (successor, steady) if steady else None
        self.seen[key] = min(self.seen[key] + 1, 255)
        for successor in dict.fromkeys(window):
            if successor != key and successor not in known and None in places:
                places[places.index(None)] = (successor, 1)

    def expect(self, batch: list[int], depth: int, least: float) -> list[tuple[int, float]]:
        found: list[tuple[int, float]] = []
        last = {key for key, _ in self.log[-WINDOW:]}
        for key in batch:
            mine: dict[int, float] = {}
            step = [(key, 1.0)]
            for _ in range(depth):
                following: list[tuple[int, float]] = []
                for one, confidence in step:
                    for place in self.successors[one]:
                        if place is None:
                            continue
                        probable = confidence * self.trust(self.seen[one], place[1])
                        if probable >= least and place[0] not in last | mine.keys():
                            mine[place[0]] = probable
                            following.append((place[0], probable))
                step = following
            found += mine.items()
        return sorted(found, key=lambda each: -each[1])
