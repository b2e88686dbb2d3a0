"""What is measured: a centre, and from there one thing at a time made different."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

FLOAT = 4
"""Bytes of a float32: rows are of these."""
WORK_PER_ENTRY = 64
"""Bytes beside its row that an entry takes: its part of a set, keys while a table is filled."""
WORK_PER_KEY = 96
"""The same for a key of a batch: its queries, and what the verbs and a sort need."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A table.

    Attributes:
        entries: its capacity.
        load: the share of it that is filled; at 1, keys for twice the capacity went in.
        dim: float32 numbers in a row.
    """

    entries: int
    load: float
    dim: int

    @property
    def filled_with(self) -> int:
        """How many distinct keys go in: with as many as slots, some sets would have free ways."""
        return 2 * self.entries if self.load >= 1 else round(self.load * self.entries)


@dataclass(frozen=True, slots=True)
class Point:
    """What a figure is of: a table and the batches that come to it."""

    shape: Shape
    batch: int
    draw: Literal["uniform", "zipf"] = "uniform"
    hit_ratio: float = 1.0

    @property
    def has_writes(self) -> bool:
        """Whether inserts and deletes are measured here: where tables are full."""
        return self.hit_ratio == 1 and self.draw == "uniform" and self.shape.load >= 1

    @property
    def memory(self) -> int:
        """Bytes of the device: the table, as many rows for what it is compared with, a batch."""
        shape, row = self.shape, FLOAT * self.shape.dim
        return shape.entries * (2 * row + WORK_PER_ENTRY) + self.batch * (4 * row + WORK_PER_KEY)

    def __str__(self) -> str:
        shape = self.shape
        return (
            f"{shape.entries:,} entries, load {shape.load:g}, dim {shape.dim}, "
            f"batches of {self.batch:,}, {self.draw}, hit ratio {self.hit_ratio:g}"
        )


CENTRE = Point(Shape(10_000_000, 1.0, 64), 1 << 20)


def star(centre: Point = CENTRE) -> tuple[Point, ...]:
    """Return the points, the centre first, then in the order of what the aims need."""
    shape = centre.shape
    shapes = [
        replace(shape, load=0.5),
        replace(shape, load=0.75),
        replace(shape, dim=8),
        replace(shape, dim=128),
        replace(shape, entries=1_000_000),
        replace(shape, entries=100_000_000),
    ]
    return (
        centre,
        *(replace(centre, hit_ratio=ratio) for ratio in (0.0, 0.9)),
        replace(centre, draw="zipf"),
        *(replace(centre, batch=1 << bits) for bits in (10, 14, 18, 22)),
        *(replace(centre, shape=each) for each in shapes),
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done.

    Attributes:
        points: the first is the centre, which the aims are about.
        repetitions: of what is timed, at most; `timing` says when it is fewer.
        cleared: least bytes that are written between two repetitions; see `timing`.
        copied: bytes of the copy that shows the bandwidth, and of the lines that are gathered.
        calls: keys per call where what a call costs is measured.
        each: calls of a size.
        on_the_cpu: entries of the cache that lies in host memory.
        for_the_cpu: seconds that have to be left for it, as its kernels may have to be compiled.
        fill: keys that are stored at a time before anything is measured.
        wait: bytes that are written many times over, so that the device is behind its host.
    """

    points: tuple[Point, ...] = field(default_factory=star)
    repetitions: int = 15
    cleared: int = 256 << 20
    copied: int = 1 << 30
    calls: tuple[int, ...] = (1, 10, 100, 1_000)
    each: int = 500
    on_the_cpu: int = 1_000_000
    for_the_cpu: float = 90.0
    fill: int = 1 << 22
    wait: int = 1 << 30
