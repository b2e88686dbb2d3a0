"""What a run is written as: JSON, and tables in a page between two marks."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.gpu.aims import aims_of
from benchmarks.gpu.session import Row, Session

BEGIN, END = "<!-- gpu: begin -->", "<!-- gpu: end -->"
_DRIVER = Path("/sys/module/nvidia/version")


class NoMarks(Exception):
    """A page has no place for the tables."""


def environment_of(session: Session) -> dict[str, Any]:
    """Return what the figures were taken on."""
    runtime = session.cupy.cuda.runtime
    properties = runtime.getDeviceProperties(session.number)
    return {
        "device": properties["name"].decode(),
        "memory": properties["totalGlobalMem"],
        "driver": _driver(),
        "driver_cuda": _dotted(runtime.driverGetVersion()),
        "cuda": _dotted(runtime.runtimeGetVersion()),
        "cupy": session.cupy.__version__,
        "torch": None if session.torch is None else session.torch.__version__,
        "numpy": version("numpy"),
        "numba": version("numba"),
        "predis-core": version("predis-core"),
        "python": platform.python_version(),
        "policy": session.policy,
    }


def _driver() -> str:
    return _DRIVER.read_text(encoding="ascii").strip() if _DRIVER.exists() else "unknown"


def _dotted(number: int) -> str:
    """CUDA's 13020 is 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"


def report_of(session: Session) -> dict[str, Any]:
    """Return a run as what JSON can say."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "environment": environment_of(session),
        "seconds": round(session.deadline.spent, 1),
        "aims": [{**asdict(aim), "standing": aim.standing} for aim in aims_of(session)],
        "rows": [_as_json(row) for row in session.rows],
        "skipped": [asdict(each) for each in session.skipped],
    }


def _as_json(row: Row) -> dict[str, Any]:
    return {
        "what": row.what,
        "point": None if row.point is None else asdict(row.point),
        "detail": row.detail,
        "unit": row.unit,
        "rate": row.rate,
        "amount": row.amount,
        "median": row.timing.median,
        "spread": row.timing.spread,
        "seconds": row.timing.seconds,
    }


def tables_of(session: Session) -> str:
    """Return a run in Markdown."""
    around = environment_of(session)
    names = ("cupy", "torch", "numpy", "numba", "predis-core")
    versions = ", ".join(f"{name} {around[name]}" for name in names if around[name])
    taken_on = (
        f"{datetime.now(UTC):%Y-%m-%d}: **{around['device']}**, "
        f"{around['memory'] / 2**30:.0f} GiB, driver {around['driver']} "
        f"(CUDA {around['driver_cuda']}), CUDA {around['cuda']}, Python {around['python']}, "
        f"{versions}; policy {around['policy']}; {session.deadline.spent:.0f} s."
    )
    parts = [
        taken_on,
        _table(
            ("aim", "measured", "standing"),
            ((aim.what, aim.figure, aim.standing) for aim in aims_of(session)),
        ),
        _table(
            ("what", "where", "rate", "median", "quartiles apart", "repetitions"),
            (_cells(row) for row in session.rows),
        ),
    ]
    if session.skipped:
        parts.append("Left out:\n\n" + "\n".join(f"- {s.what}: {s.why}" for s in session.skipped))
    return "\n\n".join(parts)


def _cells(row: Row) -> Iterator[str]:
    yield row.what
    yield "; ".join(str(each) for each in (row.point, row.detail) if each)
    yield {
        "keys": f"{row.rate / 1e9:.3f} G keys/s",
        "bytes": f"{row.rate / 1e9:.0f} GB/s",
        "calls": "",
    }[row.unit]
    yield f"{row.timing.median * 1e6:,.1f} µs"
    yield f"{row.timing.spread:.1%}"
    yield str(len(row.timing.seconds))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def marked(page: Path) -> tuple[str, str]:
    """Return what a page says up to where tables go, and from there on.

    Raises:
        NoMarks: if it has not the two marks.
        OSError: if it cannot be read.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoMarks(f"{page} has no place for tables; write the lines {BEGIN} and {END} into it")
    return before + begin, end + after


def write(session: Session, figures: Path, page: Path) -> None:
    """Write the JSON, and the tables into a page; see `marked`."""
    before, after = marked(page)
    text = json.dumps(report_of(session), indent=1, ensure_ascii=False)
    figures.write_text(text + "\n", encoding="utf-8")
    page.write_text(f"{before}\n\n{tables_of(session)}\n\n{after}", encoding="utf-8")
