"""What a call costs, and whether a batch of hits waits for the device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.gpu.filled import Filled
from benchmarks.gpu.plan import Point
from benchmarks.gpu.session import Session
from benchmarks.gpu.verbs import Queries
from predis_core.table.interface import Keys

QUEUED = "a call of fetch, queued"
WAITED = "a call of fetch, and its rows"
_LEAST = 1e-3
"""Seconds that the device has to be behind its host, to see whether somebody waits for it."""


def measure_calls(session: Session, filled: Filled, point: Point) -> None:
    """Measure fetches of few keys, by the clock of the caller."""
    table, each = filled.table, session.plan.each
    for n in session.plan.calls:
        small = Queries(filled, replace(point, batch=n))
        keys, out = small.batches[0], small.out

        def prepare(_: int, keys: Any = keys, out: Any = out) -> Any:
            return lambda: table.fetch(Keys(keys), 0, out, zero=True)

        for what, each_waits in ((QUEUED, False), (WAITED, True)):
            session.measure_calls(
                what, small.point, prepare, each, each_waits=each_waits, unit="calls"
            )


def count_waits(session: Session, queries: Queries) -> None:
    """Count how often the host waits in a batch of hits, into `session.waits`.

    What the table asks its device to hand over is counted. And the batch is asked for while the
    device is at something long: where that has ended when the call returns, something waited that
    is not counted, in CuPy or in the driver. Then the count is at least 1; unless the call alone
    took longer than the work before it, which leaves the count unknown.
    """
    cupy, device, out = session.cupy, session.device, queries.out
    if not session.has_time("waits of a batch of hits"):
        return
    table, busy = queries.filled.table, cupy.empty(session.plan.wait // 4, np.float32)
    for keys in queries.batches:  # what is allocated and loaded once is there from now on
        table.fetch(Keys(keys), 0, out, zero=True)
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    cupy.cuda.get_current_stream().synchronize()
    begin.record()
    for number in range(50):
        busy.fill(number)
    end.record()
    before = device.given
    table.fetch(Keys(queries.batches[0]), 0, out, zero=True)
    ended = end.done
    end.synchronize()
    counted = device.given - before
    if ended and cupy.cuda.get_elapsed_time(begin, end) / 1e3 < _LEAST:
        session.skip("waits of a batch of hits", "the device was too fast to be behind its host")
        return
    session.waits = max(counted, int(ended))
