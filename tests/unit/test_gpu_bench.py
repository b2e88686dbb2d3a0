"""The benchmark of the GPU table, CuPy and torch replaced by what does the same on the host."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import calls, filled, running, verbs
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.aims import aims_of
from benchmarks.gpu.limits import COPY, GATHER_LINES, LINES
from benchmarks.gpu.others import ON_THE_CPU, SELECT, SORTED, SORTED_TORCH, TAKE
from benchmarks.gpu.plan import Plan, Point, Shape, star
from benchmarks.gpu.report import BEGIN, END, tables_of
from benchmarks.gpu.session import Row, Session, Skipped, WrongResult
from benchmarks.gpu.timing import Deadline, Stopwatch, Timing
from predis_core.errors import DeviceError
from predis_core.table.cuda import launch
from predis_core.table.cuda.nvrtc import nvrtc
from predis_core.table.cuda.source import source
from tests.support.cupy import Array, Event, MemoryIsOut, RuntimeFailure, cupy
from tests.support.gpu import Compiler

CENTRE = Point(Shape(120, 1.0, 8), 32)
TINY = Plan(
    points=(
        CENTRE,
        replace(CENTRE, hit_ratio=0.5, draw="zipf"),
        replace(CENTRE, batch=8),
        replace(CENTRE, shape=replace(CENTRE.shape, load=0.5)),
    ),
    repetitions=3,
    cleared=1 << 12,
    copied=1 << 12,
    calls=(1, 4),
    each=2,
    on_the_cpu=200,
    for_the_cpu=0.0,
    fill=100,
    wait=1 << 12,
)
READS = ["get_many", "get_many, tensors of torch", "lookup", "fetch", "contains"]


class Tensor(np.ndarray[Any, np.dtype[Any]]):
    """A tensor of torch on the GPU: an array that knows what the benchmark calls."""

    def __dlpack_device__(self) -> tuple[int, int]:  # type: ignore[override]
        return 2, 0

    def __dlpack__(self, **_: Any) -> Any:
        return self.view(Array)

    def clamp_(self, max: int) -> Tensor:
        np.minimum(self, max, out=self)
        return self


Tensor.__module__ = "torch"
TORCH = SimpleNamespace(
    cuda=SimpleNamespace(current_stream=lambda number: SimpleNamespace(cuda_stream=7)),
    __version__="2.11",
    from_dlpack=lambda given: given.view(Tensor),
    index_select=lambda rows, axis, at, out: np.take(rows, at, axis=axis, out=out),
    searchsorted=lambda keys, asked: np.searchsorted(keys, asked).view(Tensor),
)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setattr(launch, "nvrtc", lambda majors: Compiler(tmp_path))
    monkeypatch.setattr(launch, "source", partial(source, host=True))
    module = cupy(tmp_path)
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setitem(sys.modules, "torch", TORCH)
    return module


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{BEGIN}\nold\n{END}\n\nafter\n", encoding="utf-8")
    return tmp_path / "figures.json", page


@pytest.fixture
def command(files: tuple[Path, Path]) -> Callable[..., int]:
    figures, page = files
    return lambda *more, plan=TINY: main(["--json", str(figures), "--page", str(page), *more], plan)


def _session(fake: Any, plan: Plan = TINY, seconds: float = 600, torch: Any = TORCH) -> Session:
    return Session(fake, torch, plan, Deadline(seconds), 0, "s3fifo")


def _names(rows: list[Row], point: Point | None) -> list[str]:
    return [row.what for row in rows if row.point == point]


def test_the_whole_command_measures_and_writes(
    fake: Any, command: Any, files: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_LEAST", 60.0)  # however slow this machine is at the moment
    figures, page = files
    assert command() == 0
    found = json.loads(figures.read_text())
    assert found["environment"]["device"] == "A GPU of the host"
    assert (found["environment"]["driver_cuda"], found["environment"]["cuda"]) == ("13.1", "13.2")
    too_fast = "the device was too fast to be behind its host"
    assert found["skipped"] == [{"what": "waits of a batch of hits", "why": too_fast}]
    assert [row["what"] for row in found["rows"]] == [
        COPY, LINES,
        *READS, TAKE, SELECT, SORTED, SORTED_TORCH,
        *2 * [how + what for what in (*READS[:2], "fetch") for how in (calls.QUEUED, calls.WAITED)],
        *READS,
        *READS, TAKE, SELECT, SORTED, SORTED_TORCH,
        verbs.INSERT, verbs.INSERT, verbs.DELETE, verbs.DELETE,
        *READS, TAKE, SELECT, SORTED, SORTED_TORCH,
        ON_THE_CPU,
    ]  # fmt: skip
    assert all(len(row["seconds"]) == 3 and row["rate"] > 0 for row in found["rows"])
    before, begin, rest = page.read_text().partition(BEGIN)
    tables, end, after = rest.partition(END)
    assert (before, begin, end, after) == ("# A page\n\n", BEGIN, END, "\n\nafter\n")
    assert "**A GPU of the host**" in tables
    assert "| lookup | 120 entries, load 1, dim 8, batches of 32, uniform, hit ratio 1 |" in tables
    assert "old" not in tables
    written = f"gpu-bench: {len(found['rows'])} figures in {figures} and {page}\n"
    assert capsys.readouterr().out.endswith(written)


def test_without_torch_the_rest_is_measured(
    fake: Any, command: Any, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert command(plan=replace(TINY, points=(CENTRE,), on_the_cpu=64)) == 0
    found = json.loads(files[0].read_text())
    names = {row["what"] for row in found["rows"]}
    assert {TAKE, SORTED} < names
    assert {verbs.GET, calls.GOT} < names
    assert not {SELECT, SORTED_TORCH, verbs.GET_TENSORS, calls.WAITED + verbs.GET_TENSORS} & names
    assert found["environment"]["torch"] is None
    standings = {aim["what"]: aim["standing"] for aim in found["aims"]}
    assert standings["get_many ≥ 80 % of torch.index_select"] == "not measured"


def test_what_there_is_no_time_for_is_left_out_and_listed(
    fake: Any, command: Any, files: Any
) -> None:
    assert command("--seconds", "1e-9") == 0
    found = json.loads(files[0].read_text())
    assert found["rows"] == []
    assert found["skipped"] == [
        {"what": what, "why": "no time left"}
        for what in (
            COPY, LINES, f"the table of {CENTRE}", f"the table of {TINY.points[3]}",
            f"{ON_THE_CPU} at {CENTRE}",
        )
    ]  # fmt: skip
    assert f"- {COPY}: no time left" in files[1].read_text()
    assert all(aim["standing"] == "not measured" for aim in found["aims"])


def test_time_that_is_over_within_a_table_ends_it(
    fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = _session(fake)
    monkeypatch.setattr(running, "measure_limits", lambda _: setattr(session, "deadline", left(2)))
    monkeypatch.setattr(running, "measure_cpu", _end)
    running.run(session)
    why = "no time left while it was filled"
    assert session.skipped[0] == Skipped(f"the table of {CENTRE}", why)
    assert session.skipped[-1] == Skipped(f"the cache on the CPU at {CENTRE}", why)


def left(looks: int) -> Any:
    """A deadline at which so many looks find time."""

    class Ending:
        def __init__(self) -> None:
            self._looks = looks

        @property
        def left(self) -> int:
            self._looks -= 1
            return self._looks

    return Ending()


def _end(*_: object) -> None:
    raise running.OutOfTime


def test_a_cache_on_the_cpu_that_cannot_be_filled_in_time_is_left_out(fake: Any) -> None:
    session = _session(fake, replace(TINY, for_the_cpu=1.0))
    session.deadline = left(1)
    running.measure_cpu(session, CENTRE)
    assert session.skipped == [Skipped(f"{ON_THE_CPU} at {CENTRE}", "less than 1 s left")]
    session.plan, session.deadline = TINY, left(2)
    with pytest.raises(running.OutOfTime), fake.cuda.Device(0):
        running.measure_cpu(session, CENTRE)


def test_what_does_not_fit_into_memory_is_left_out_and_listed(
    fake: Any, command: Any, files: Any
) -> None:
    fake.cuda.runtime.memGetInfo = lambda: (0, 0)
    assert command() == 0
    found = json.loads(files[0].read_text())
    assert [row["what"] for row in found["rows"]] == [COPY, LINES, ON_THE_CPU]
    why = "takes 0.0 GiB, and 0.0 GiB are free"
    assert found["skipped"] == [{"what": str(point), "why": why} for point in TINY.points]


def test_memory_that_runs_out_within_a_table_ends_it(
    fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, dtype: object) -> None:
        raise MemoryIsOut("full")

    session = _session(fake)
    monkeypatch.setattr(fake, "arange", full)
    monkeypatch.setattr(running, "measure_cpu", lambda *_: None)
    running.run(session)
    assert session.skipped[0] == Skipped(f"the rest of the table of {CENTRE}", "full")

    monkeypatch.setattr(running, "Filled", _lost)
    with pytest.raises(DeviceError, match="lost"):
        running.run(session)


def _lost(*_: object) -> None:
    raise DeviceError("lost")


def test_a_table_that_finds_something_else_is_not_measured(
    fake: Any, command: Any, files: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    numbers_of = filled.numbers_of
    monkeypatch.setattr(filled, "numbers_of", lambda keys: numbers_of(keys) + 1)
    assert command() == 1
    message = f"gpu-bench: fetch: {CENTRE}: 32 wrong rows, hit ratio 1.000\n"
    assert capsys.readouterr().err == message
    assert not files[0].exists()
    assert "old" in files[1].read_text()


@pytest.mark.parametrize("count", [lambda: 0, None], ids=["no GPU", "no CuPy"])
def test_without_a_gpu_one_line_says_so_and_nothing_is_written(
    command: Any, files: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path,
    count: Any,
) -> None:  # fmt: skip
    module = None if count is None else cupy(tmp_path, getDeviceCount=count)
    monkeypatch.setitem(sys.modules, "cupy", module)
    assert command() == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    begins = "a cache on a GPU needs CuPy" if count is None else "device: there is no cuda:0"
    assert error.startswith(f"gpu-bench: {begins}")
    assert not files[0].exists()
    assert "old" in files[1].read_text()


def test_a_page_without_a_place_for_tables_is_told_before_anything_is_measured(
    fake: Any, command: Any, files: Any, capsys: Any
) -> None:
    page = files[1]
    page.write_text("# A page\n", encoding="utf-8")
    assert command() == 1
    assert capsys.readouterr().err == (
        f"gpu-bench: {page} has no place for tables; write the lines {BEGIN} and {END} into it\n"
    )
    page.unlink()
    assert command() == 1
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "nan", "inf", "much"])
def test_seconds_that_are_none_are_a_mistake(command: Any, capsys: Any, seconds: str) -> None:
    with pytest.raises(SystemExit) as raised:
        command("--seconds", seconds)
    assert raised.value.code == 2
    assert f"{seconds!r}: write seconds above 0, such as 420" in capsys.readouterr().err


def test_the_help_says_what_it_is_and_how_it_ends(command: Any, capsys: Any) -> None:
    with pytest.raises(SystemExit) as raised:
        command("--help")
    assert raised.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Measure the table on a GPU" in text
    assert "Exit codes: 0 done; 1 the figures" in text


def test_waits_are_counted_or_left_open(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = _session(fake)
    with fake.cuda.Device(0):
        queries = verbs.Queries(filled.Filled(session, CENTRE.shape), CENTRE)
        monkeypatch.setattr(Event, "done", False)
        calls.count_waits(session, queries)
        assert session.waits == 0

        given, queries.given = queries.given, {"keys of the host": [_on_the_host(queries)]}
        calls.count_waits(session, queries)
        assert session.waits == 2  # for rows and for the mask

        queries.given = {**given, **queries.given}
        calls.count_waits(session, queries)
        assert session.waits == 2

        queries.given = given
        monkeypatch.setattr(Event, "done", True)
        monkeypatch.setattr(calls, "_LEAST", 0.0)
        calls.count_waits(session, queries)
        assert session.waits == 1

        session.waits, deadline, session.deadline = None, session.deadline, left(0)
        calls.count_waits(session, queries)
        assert session.skipped == [Skipped("waits of a batch of hits", "no time left")]

        session.deadline = deadline
        monkeypatch.setattr(calls, "_LEAST", 1e9)
        calls.count_waits(session, queries)
        assert session.waits is None
        assert session.skipped[-1].why == "the device was too fast to be behind its host"

        queries.given = {"keys of the host": [_on_the_host(queries)]}
        calls.count_waits(session, queries)
        assert session.waits == 2


def _on_the_host(queries: verbs.Queries) -> Any:
    return np.array(queries.batches[0].view(np.ndarray))


def test_a_wrong_row_of_the_cache_is_told(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake.cuda.Device(0):
        queries = verbs.Queries(filled.Filled(_session(fake), CENTRE.shape), CENTRE)
        verbs.check(queries)
        get_many = queries.filled.cache.get_many
        monkeypatch.setattr(
            queries.filled.cache,
            "get_many",
            lambda keys: (get_many(keys)[0] + 1, get_many(keys)[1]),
        )
        with pytest.raises(WrongResult, match=r"^get_many: .* 32 wrong rows, hit ratio 1"):
            verbs.check(queries)


def _rows(**seconds: float) -> list[Row]:
    """The rows of the aims, each with what its median is."""
    names = {"lookup": verbs.LOOKUP, "get": verbs.GET, "insert": verbs.INSERT, "select": SELECT}
    n = CENTRE.batch
    rows = [
        Row(names[name], CENTRE, Timing((taken,) * 3), n)
        for name, taken in seconds.items()
        if name in names
    ]
    half = replace(CENTRE, shape=replace(CENTRE.shape, load=0.5))
    rows += [
        Row(name, half, Timing((seconds["half"],) * 3), n) for name in (verbs.LOOKUP, verbs.GET)
    ]
    call = replace(CENTRE, batch=1_000)
    return [*rows, Row(calls.GOT, call, Timing((seconds["call"],) * 3), 1, "calls")]


def test_aims_are_met_or_missed_by_their_figures(fake: Any) -> None:
    session, one = _session(fake), CENTRE.batch / 5e9
    session.rows = _rows(lookup=one, get=one, insert=one, select=0.9 * one, half=one, call=2e-5)
    session.waits = 0
    assert [(aim.figure, aim.standing) for aim in aims_of(session)] == [
        ("5.00 G/s", "met"), ("90.0%", "met"), ("5.00 G/s", "met"), ("0.0%", "met"),
        ("20.0 µs", "met"), ("0 waits", "met"),
    ]  # fmt: skip
    session.rows = _rows(
        lookup=2 * one, get=one, insert=8 * one, select=0.5 * one, half=one, call=3e-5
    )
    session.waits = 1
    assert [(aim.figure, aim.standing) for aim in aims_of(session)] == [
        ("2.50 G/s", "missed"), ("50.0%", "missed"), ("0.62 G/s", "missed"), ("50.0%", "missed"),
        ("30.0 µs", "missed"), ("1 waits", "missed"),
    ]  # fmt: skip
    assert "| a batch of hits waits for nothing | 1 waits | missed |" in tables_of(session)


def test_a_timing_has_its_median_and_the_distance_of_its_quartiles() -> None:
    timing = Timing((4.0, 1.0, 2.0, 3.0, 10.0))
    assert (timing.median, timing.spread) == (3.0, 2.0 / 3.0)
    assert Timing((0.0, 0.0, 0.0)).spread == 0.0


def test_a_timing_ends_early_where_time_runs_out(fake: Any) -> None:
    with fake.cuda.Device(0):
        watch = Stopwatch(fake, Deadline(0), 10, 64, 256)
        seen: list[int] = []
        assert len(watch.on_the_device(lambda n: partial(seen.append, n)).seconds) == 3
        assert seen == [0, 1, 2, 3]
        assert len(watch.by_the_clock(lambda n: partial(seen.append, n), 2).seconds) == 3
        watch = Stopwatch(fake, Deadline(60), 5, 64, 256)
        assert len(watch.by_the_clock(lambda _: lambda: None).seconds) == 5


def test_keys_are_distinct_and_queries_as_the_point_has_them(fake: Any) -> None:
    session = _session(fake)
    with fake.cuda.Device(0):
        table = filled.Filled(session, Shape(120, 0.5, 8))
        assert len(table.resident) == len(np.unique(table.resident)) == 60
        point = Point(table.shape, 4_000, hit_ratio=0.9)
        hits = np.isin(table.queries(point), table.resident)
        assert 0.85 < hits.mean() < 0.95
        zipf = table.queries(replace(point, draw="zipf", hit_ratio=1.0))
        counts = np.unique(zipf, return_counts=True)[1]
        assert counts.max() > 5 * counts.mean()
        assert type(zipf) is Array
        full = filled.Filled(session, CENTRE.shape)
        assert len(full.resident) == 120


def test_the_star_changes_one_thing_at_a_time() -> None:
    centre, *others = star()
    assert len(set(others)) == len(others) == 13
    for point in others:
        changed = [
            getattr(point, name) != getattr(centre, name) for name in ("batch", "draw", "hit_ratio")
        ]
        of_shape = [
            getattr(point.shape, name) != getattr(centre.shape, name)
            for name in ("entries", "load", "dim")
        ]
        assert sum(changed) + sum(of_shape) == 1
    assert max(point.memory for point in star()) < 75 << 30


def test_the_kernel_that_reads_lines_compiles() -> None:
    for architecture in ("sm_80", "sm_90", "sm_100"):
        assert nvrtc().compile(GATHER_LINES, architecture)


def test_a_driver_that_is_too_old_is_told(
    command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    def fail() -> int:
        raise RuntimeFailure("driver version is insufficient")

    monkeypatch.setitem(
        sys.modules, "cupy", cupy(tmp_path, getDeviceCount=fail, driverGetVersion=lambda: 12000)
    )
    assert command() == 3
    assert re.match(
        r"gpu-bench: the driver is for CUDA 12\.0, older than CuPy's 13\.2 \(driver version is "
        r"insufficient\); install a newer driver",
        capsys.readouterr().err,
    )
