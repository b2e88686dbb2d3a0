"""What a call costs, and whether a batch of hits waits for the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.gpu.filled import Filled
from benchmarks.gpu.plan import Point
from benchmarks.gpu.session import Session
from benchmarks.gpu.verbs import FETCH, GET, Queries
from predis_core.table.cuda.device import Device
from predis_core.table.interface import Keys

QUEUED, WAITED = "a call, queued: ", "a call, and its rows: "
GOT = WAITED + GET
_WAITS = "waits of a batch of hits"
_LEAST = 1e-3
"""Seconds that the device has to be behind its host, to see whether somebody waits for it."""


class Handovers:
    """Counts, within a with statement, how often a device hands something over to its host.

    Args:
        device: of a table.

    Attributes:
        count: how often; the host waits each time.
    """

    def __init__(self, device: Device) -> None:
        self._device: Any = device
        self.count = 0

    def __enter__(self) -> Handovers:
        give = self._device.give

        def counted(array: Any) -> Any:
            self.count += 1
            return give(array)

        self._device.give = counted
        return self

    def __exit__(self, *_: object) -> None:
        del self._device.give


def measure_calls(session: Session, filled: Filled, point: Point) -> None:
    """Measure what few keys cost, by the clock of the caller: the cache, and its table alone."""
    for n in session.plan.calls:
        small = Queries(filled, replace(point, batch=n))
        calls: dict[str, Callable[[], object]] = {
            what: partial(filled.cache.get_many, batches[0])
            for what, batches in small.given.items()
        }
        calls[FETCH] = partial(_fetch, filled, small.batches[0], small.out)
        for what, call in calls.items():
            for how, each_waits in ((QUEUED, False), (WAITED, True)):
                session.measure_calls(
                    how + what,
                    small.point,
                    lambda _, call=call: call,  # type: ignore[misc]
                    session.plan.each,
                    each_waits=each_waits,
                    unit="calls",
                )


def _fetch(filled: Filled, keys: Any, out: Any) -> object:
    return filled.table.fetch(Keys(keys), 0, out, zero=True)


def count_waits(session: Session, queries: Queries) -> None:
    """Count how often the host waits in `get_many` of a batch of hits, into `session.waits`.

    Of keys of CuPy and of torch, the more. What the cache asks its device to hand over is counted.
    And the batch is asked for while the device is at something long: where that has ended when the
    call returns, something waited that is not counted, in CuPy or in the driver. Then the count is
    at least 1; unless the call alone took longer than the work before it, which leaves the count
    unknown.
    """
    if not session.has_time(_WAITS):
        return
    found = [_waits(session, queries.filled, keys) for keys in queries.given.values()]
    most = max(waits or 0 for waits in found)
    if most == 0 and None in found:
        session.skip(_WAITS, "the device was too fast to be behind its host")
        return
    session.waits = most


def _waits(session: Session, filled: Filled, batches: list[Any]) -> int | None:
    """Return how often the host waits in a call; None where that cannot be told."""
    cupy, cache = session.cupy, filled.cache
    busy = cupy.empty(session.plan.wait // 4, np.float32)
    for keys in batches:  # what is allocated and loaded once is there from now on
        cache.get_many(keys)
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    cupy.cuda.get_current_stream().synchronize()
    begin.record()
    for number in range(50):
        busy.fill(number)
    end.record()
    with Handovers(filled.shared.device) as handovers:
        cache.get_many(batches[0])
    ended = end.done
    end.synchronize()
    if ended and cupy.cuda.get_elapsed_time(begin, end) / 1e3 < _LEAST:
        return handovers.count or None
    return max(handovers.count, int(ended))
