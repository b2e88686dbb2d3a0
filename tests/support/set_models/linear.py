"""The policy of `tests/support/contract`: linear."""

from __future__ import annotations

from tests.support.set_models.base import Place, SetModel


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
