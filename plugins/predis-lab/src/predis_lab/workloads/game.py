"""A game: players roam levels, and the assets around them are streamed in.

A level is a square grid of cells. A cell has assets of its own, and shares others (materials,
sounds) with the rest of the game. At each step a player needs the assets of all cells within a
radius, most of which the step before needed too; a new level replaces nearly all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from predis_lab.workloads.base import (
    Ids,
    Workload,
    generator,
    lognormal_bytes,
    need,
    need_positive,
)
from predis_lab.workloads.zipf import ranks, zipf_shares

MOVES = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)], dtype=np.int64)


class Step(NamedTuple):
    """What one player needs at one step.

    Attributes:
        player: who.
        level: on which level.
        cell: (x, y) where on it.
        ids: int64[n], the assets of the neighbourhood, each once, ascending.
    """

    player: int
    level: int
    cell: tuple[int, int]
    ids: Ids


@dataclass(frozen=True, slots=True)
class Game(Workload):
    """`players` take `steps` steps each through `levels` levels of side x side cells.

    radius: assets of cells at most so far away (in each direction) are needed
    level_steps: a player goes on to the next level after so many steps, and after the last level
        back to the first
    straight: the probability of going on in the same direction
    cell_assets: assets that only one cell has
    shared_assets, shared_per_cell, exponent: assets that cells have in common, how many of them a
        cell refers to, and the exponent of their Zipf popularity
    median_bytes, sigma: of the lognormal sizes of assets
    """

    steps: int = 1_000
    players: int = 4
    levels: int = 8
    side: int = 32
    radius: int = 2
    level_steps: int = 250
    straight: float = 0.8
    cell_assets: int = 6
    shared_assets: int = 500
    shared_per_cell: int = 4
    exponent: float = 0.8
    median_bytes: int = 40_000
    sigma: float = 1.5
    seed: int = 0

    def __post_init__(self) -> None:
        need_positive(
            steps=self.steps,
            players=self.players,
            levels=self.levels,
            side=self.side,
            level_steps=self.level_steps,
            cell_assets=self.cell_assets,
            shared_assets=self.shared_assets,
            median_bytes=self.median_bytes,
            sigma=self.sigma,
        )
        need(self.radius >= 0, "radius", self.radius, "0 is the player's own cell")
        need(self.shared_per_cell >= 0, "shared_per_cell", self.shared_per_cell, "0 is none")
        need(0 <= self.straight <= 1, "straight", self.straight, "a probability is from 0 to 1")

    @property
    def assets(self) -> int:
        """How many assets there are: ids 0 to assets - 1, the cells' own first, by level."""
        return self.levels * self.side**2 * self.cell_assets + self.shared_assets

    def sizes(self) -> Ids:
        """Bytes of each asset, int64[assets], by id."""
        return lognormal_bytes(generator(self.seed, 0), self.assets, self.median_bytes, self.sigma)

    def cells(self) -> Ids:
        """The assets of each cell, int64[levels, side, side, cell_assets + shared_per_cell]."""
        shape = (self.levels, self.side, self.side)
        own_total = self.assets - self.shared_assets
        own = np.arange(own_total, dtype=np.int64).reshape(*shape, self.cell_assets)
        cumulated = np.cumsum(zipf_shares(self.shared_assets, self.exponent))
        drawn = ranks(
            generator(self.seed, 1), cumulated, int(np.prod(shape)) * self.shared_per_cell
        )
        shared = own_total + drawn.reshape(*shape, self.shared_per_cell)
        return np.concatenate([own, shared], axis=-1)

    def walk(self) -> Iterator[Step]:
        """Yield the players' steps in turn."""
        cells = self.cells()
        random = generator(self.seed, 2)
        at = random.integers(0, self.side, (self.players, 2))
        heading = random.integers(0, len(MOVES), self.players)
        for step in range(self.steps):
            level = step // self.level_steps % self.levels
            if step and step % self.level_steps == 0:
                at = random.integers(0, self.side, (self.players, 2))
            elif step:
                turns = random.random(self.players) >= self.straight
                heading = np.where(turns, random.integers(0, len(MOVES), self.players), heading)
                at, heading = self._moved(at, heading)
            for player, (x, y) in enumerate(at.tolist()):
                yield Step(player, level, (x, y), self._around(cells[level], x, y))

    def batches(self) -> Iterator[Ids]:
        """Yield the ids of the assets that a step needs; their number differs."""
        return (step.ids for step in self.walk())

    def _moved(self, at: Ids, heading: Ids) -> tuple[Ids, Ids]:
        """One cell on; who would leave the level turns back."""
        inside = ((at + MOVES[heading]) % self.side == at + MOVES[heading]).all(axis=1)
        heading = np.where(inside, heading, (heading + 2) % len(MOVES))
        return np.clip(at + MOVES[heading], 0, self.side - 1), heading

    def _around(self, level: npt.NDArray[np.int64], x: int, y: int) -> Ids:
        reach = self.radius
        near = level[max(0, x - reach) : x + reach + 1, max(0, y - reach) : y + reach + 1]
        return np.unique(near)
