"""From a plan to its figures, in the order of their weight: time may run out."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.gpu.calls import count_waits, measure_calls
from benchmarks.gpu.filled import Filled
from benchmarks.gpu.limits import measure_limits
from benchmarks.gpu.others import measure_ceilings, measure_cpu, measure_sorted
from benchmarks.gpu.plan import Point, Shape
from benchmarks.gpu.session import OutOfTime, Session
from benchmarks.gpu.verbs import Queries, check, measure_deletes, measure_inserts, measure_reads


def run(session: Session) -> None:
    """Measure all of a plan that time and memory are there for.

    Raises:
        WrongResult: if a table does not do what it is measured for.
    """
    centre = session.plan.points[0]
    with session.cupy.cuda.Device(session.number):
        measure_limits(session)
        for shape, points in _tables(session.plan.points):
            _measure_table(session, shape, points)
        try:
            measure_cpu(session, centre)
        except OutOfTime:
            session.skip(f"the cache on the CPU at {centre}", "no time left while it was filled")


def _tables(points: tuple[Point, ...]) -> Iterator[tuple[Shape, list[Point]]]:
    """Yield each table's points together, tables in the order of their first point."""
    for shape in dict.fromkeys(point.shape for point in points):
        yield shape, [point for point in points if point.shape == shape]


def _measure_table(session: Session, shape: Shape, points: list[Point]) -> None:
    fitting = [point for point in points if session.has_memory(point)]
    if not fitting or not session.has_time(f"the table of {fitting[0]}"):
        return
    try:
        filled = Filled(session, shape)
        # Inserts change what is resident and deletes leave free ways, so they come last.
        for point in fitting:
            _read(session, filled, point)
        for measure in (measure_inserts, measure_deletes):
            for point in fitting:
                if point.has_writes:
                    measure(session, filled, point)
    except OutOfTime:
        session.skip(f"the table of {fitting[0]}", "no time left while it was filled")
    except Exception as error:
        if not session.is_full(error):
            raise
        session.skip(f"the rest of the table of {fitting[0]}", str(error))


def _read(session: Session, filled: Filled, point: Point) -> None:
    queries = Queries(filled, point)
    check(queries)
    measure_reads(session, queries)
    if point.hit_ratio < 1:
        return
    measure_ceilings(session, queries)
    measure_sorted(session, queries)
    if point == session.plan.points[0]:
        measure_calls(session, filled, point)
        count_waits(session, queries)
