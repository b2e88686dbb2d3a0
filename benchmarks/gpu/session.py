"""A run: the device, what was measured on it, and what was left out."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.gpu.plan import Plan, Point
from benchmarks.gpu.timing import Deadline, Prepare, Stopwatch, Timing
from predis_core.table.cuda.launch import CupyDevice

Unit = Literal["keys", "bytes", "calls"]


class WrongResult(Exception):
    """What was measured did not do what it is measured for."""


class OutOfTime(Exception):
    """The time is over in the middle of what takes long."""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure.

    Attributes:
        what: is timed.
        point: where; None for what depends on no table.
        timing: of a repetition.
        amount: how much a repetition does, in `unit`.
        detail: what else is to be known.
    """

    what: str
    point: Point | None
    timing: Timing
    amount: float
    unit: Unit = "keys"
    detail: str = ""

    @property
    def rate(self) -> float:
        """How much is done per second."""
        return self.amount / self.timing.median if self.timing.median else float("inf")


@dataclass(frozen=True, slots=True)
class Skipped:
    """What was left out, and why."""

    what: str
    why: str


class Session:
    """A run.

    Args:
        cupy: the module.
        torch: the module, or None.
        plan: how much is done.
        deadline: until when.
        number: of the GPU.
        policy: of the tables, by its name.

    Raises:
        DeviceError: if the GPU cannot be used.
    """

    def __init__(
        self, cupy: Any, torch: Any, plan: Plan, deadline: Deadline, number: int, policy: str
    ) -> None:
        self.cupy = cupy
        self.torch = torch
        self.plan = plan
        self.deadline = deadline
        self.policy = policy
        self.number = number
        CupyDevice(number)  # which tells what is missing, before anything is done
        self.rows: list[Row] = []
        self.skipped: list[Skipped] = []
        self.waits: int | None = None
        """How often the host waited in a batch of hits; None while that is not known."""
        properties = cupy.cuda.runtime.getDeviceProperties(number)
        with cupy.cuda.Device(number):
            self.watch = Stopwatch(
                cupy, deadline, plan.repetitions, properties["l2CacheSize"], plan.cleared
            )

    def measure(
        self, what: str, point: Point | None, amount: float, prepare: Prepare, **how: Any
    ) -> None:
        """Time work on the device and note the figure, if there is time."""
        if self.has_time(_at(what, point)):
            timing = self.watch.on_the_device(prepare)
            self.rows.append(Row(what, point, timing, amount, **how))

    def measure_calls(
        self,
        what: str,
        point: Point,
        prepare: Prepare,
        calls: int = 1,
        *,
        each_waits: bool = True,
        amount: float = 1,
        **how: Any,
    ) -> None:
        """Time calls by the host's clock and note the figure, if there is time."""
        if self.has_time(_at(what, point)):
            timing = self.watch.by_the_clock(prepare, calls, each_waits=each_waits)
            self.rows.append(Row(what, point, timing, amount, **how))

    def has_time(self, what: str, needed: float = 0.0) -> bool:
        """Return whether more than `needed` seconds are left; note what is skipped if not."""
        left = self.deadline.left
        if left > needed:
            return True
        self.skip(what, "no time left" if not needed else f"less than {needed:g} s left")
        return False

    def skip(self, what: str, why: str) -> None:
        """Note what is left out."""
        self.skipped.append(Skipped(what, why))

    def has_memory(self, point: Point) -> bool:
        """Return whether a point fits into the device; note that it is skipped if not."""
        gc.collect()  # what the table before left
        self.cupy.get_default_memory_pool().free_all_blocks()
        free = self.cupy.cuda.runtime.memGetInfo()[0]
        if point.memory <= free:
            return True
        self.skip(str(point), f"takes {_gib(point.memory)}, and {_gib(free)} are free")
        return False

    def is_full(self, error: Exception) -> bool:
        """Return whether an error says that memory did not do after all."""
        full = self.cupy.cuda.memory.OutOfMemoryError
        return isinstance(error, full) or isinstance(error.__cause__, full)


def _at(what: str, point: Point | None) -> str:
    return what if point is None else f"{what} at {point}"


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
