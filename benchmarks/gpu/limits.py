"""What the device can do at best: bandwidth, and lines from random places."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.gpu.session import Session

COPY = "limit: copy"
LINES = "limit: random lines of 64 bytes"

GATHER_LINES = """
extern "C" __global__ void gather_lines(
    const uint4* lines, const long long* at, long long n, unsigned* out) {
    const long long thread = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (thread >= 4 * n) return;
    const uint4 part = lines[4 * at[thread >> 2] + (thread & 3)];
    const unsigned all = part.x ^ part.y ^ part.z ^ part.w;
    if (all) out[0] = all;
}
"""
"""Four lanes read a line. Lines are zeros, so nothing is written; the compiler cannot know that."""

_LINE, _THREADS = 64, 256


def measure_limits(session: Session) -> None:
    """Measure what every other figure is to be compared with."""
    _copy(session)
    _lines(session)


def _copy(session: Session) -> None:
    cupy, count = session.cupy, session.plan.copied // 4
    source, target = cupy.zeros(count, np.float32), cupy.empty(count, np.float32)
    moved = 2 * source.nbytes
    session.measure(
        COPY, None, moved, lambda _: lambda: cupy.copyto(target, source), unit="bytes",
        detail=f"{source.nbytes:,} bytes, read and written",
    )  # fmt: skip


def _lines(session: Session) -> None:
    cupy, plan = session.cupy, session.plan
    n, count = plan.points[0].batch, plan.copied // _LINE
    kernel = cupy.RawKernel(GATHER_LINES, "gather_lines")
    lines, out = cupy.zeros(plan.copied // 4, np.uint32), cupy.zeros(1, np.uint32)
    random = np.random.default_rng(1)
    places = [cupy.asarray(random.integers(0, count, n)) for _ in range(3)]
    blocks = -(-4 * n // _THREADS)

    def prepare(repetition: int) -> Any:
        arguments = lines, places[repetition % len(places)], np.int64(n), out
        return lambda: kernel((blocks,), (_THREADS,), arguments)

    session.measure(
        LINES, None, n * _LINE, prepare, unit="bytes", detail=f"{n:,} of {count:,} lines"
    )
