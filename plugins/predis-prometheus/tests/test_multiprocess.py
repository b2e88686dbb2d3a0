"""Several processes of a service: each leaves its metrics, one of them serves the sum."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

import predis_core as predis
from predis_core import telemetry
from predis_core.plugin import Distribution, Sample, Snapshot
from predis_prometheus.multiprocess import ProcessFiles
from predis_prometheus.names import Names
from predis_prometheus.plugin import VARIABLE
from tests.support.crew import PATIENCE

Eventually = Callable[[Callable[[], Any]], Any]
HITS, SIZE, UP = telemetry.COUNTERS["hits"], telemetry.GAUGES["size"], telemetry.PLUGIN_UP
SECONDS = telemetry.BATCH_SECONDS

# A process of the service: opens a cache and does what it reads, a line of Python at a time.
SCRIPT = """
import sys
import predis_core as predis

configuration = {
    "cache": {"name": "shared", "capacity": 100, "value": {"kind": "rows", "dtype": "int64"}},
    "plugins": {"prometheus": eval(sys.argv[1])},
}
cache = predis.open(configuration)
print("ready", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
cache.close()
"""


class Process:
    """A process of the service."""

    def __init__(self, section: dict[str, Any], environment: dict[str, str] | None = None) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), repr(section)],
            env=os.environ | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready"

    def do(self, line: str) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()
        assert self._line() == "done"

    def end(self) -> None:
        """End in good order."""
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        assert self.popen.wait(PATIENCE) == 0

    def kill(self) -> None:
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait(PATIENCE)

    def _line(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def release(self) -> None:
        if self.popen.poll() is None:
            self.kill()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def process() -> Iterator[Callable[..., Process]]:
    """Starts processes, and kills those that a test leaves."""
    with ExitStack() as stack:

        def start(section: dict[str, Any], **environment: str) -> Process:
            made = Process(section, environment)
            stack.callback(made.release)
            return made

        yield start


def values(text: str) -> dict[str, float]:
    """Return the values of the cache "shared" by name, of series without further labels."""
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels == {"cache": "shared"}
    }


def collected(folder: Path) -> str:
    """Return what a MultiProcessCollector of the user's own makes of a folder."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return generate_latest(registry).decode()


# ---- real processes ------------------------------------------------------------------------------


def test_one_process_serves_the_sum_and_another_takes_over(
    process: Callable[..., Process],
    tmp_path: Path,
    free_port: int,
    fetch: Callable[..., Any],
    eventually: Eventually,
) -> None:
    section = {"multiprocess": str(tmp_path / "made"), "port": free_port, "interval": "100ms"}
    url = f"http://127.0.0.1:{free_port}/metrics"
    first, second = process(section), process(section)
    first.do("cache.set_many(range(10), range(10)); cache.get_many(range(15))")
    second.do("cache.set_many(range(20), range(20)); cache.get_many(range(27))")
    wanted = {
        "predis_cache_hits_total": 30.0,
        "predis_cache_misses_total": 12.0,
        "predis_cache_insertions_total": 30.0,
        "predis_cache_size": 30.0,
        "predis_cache_capacity": 200.0,
    }
    eventually(lambda: wanted.items() <= values(fetch(url).text).items())
    text = fetch(url).text
    get = 'cache="shared",operation="get"'
    assert f"predis_cache_batch_duration_seconds_count{{{get}}} 2.0" in text
    assert 'predis_plugin_up{cache="shared",plugin="prometheus"} 1.0' in text
    assert text.count("\npredis_cache_info{") == 1
    assert "pid=" not in text

    second.do("cache.get_many(range(20))")
    first.end()  # it served; what it counted stays, what it held is gone
    wanted |= {
        "predis_cache_hits_total": 50.0,
        "predis_cache_size": 20.0,
        "predis_cache_capacity": 100.0,
    }

    def taken_over() -> bool:
        try:
            return wanted.items() <= values(fetch(url).text).items()
        except OSError:
            return False

    eventually(taken_over)
    assert values(collected(tmp_path / "made")) == values(fetch(url).text)

    second.end()
    wanted = {"predis_cache_hits_total": 50.0, "predis_cache_misses_total": 12.0}
    left = values(collected(tmp_path / "made"))
    assert wanted.items() <= left.items()
    assert "predis_cache_size" not in left
    socket.create_server(("127.0.0.1", free_port)).close()


def test_the_gauges_of_a_killed_process_are_removed(
    process: Callable[..., Process], tmp_path: Path, eventually: Eventually
) -> None:
    section = {"port": "none", "interval": "100ms"}
    environment = {VARIABLE: str(tmp_path)}
    lives, dies = process(section, **environment), process(section, **environment)
    for each in (lives, dies):
        each.do("cache.set_many(range(10), range(10)); cache.get_many(range(10))")
    wanted = {"predis_cache_hits_total": 20.0, "predis_cache_size": 20.0}
    eventually(lambda: wanted.items() <= values(collected(tmp_path)).items())
    dies.kill()
    wanted = {"predis_cache_hits_total": 20.0, "predis_cache_size": 10.0}
    eventually(lambda: wanted.items() <= values(collected(tmp_path)).items())
    lives.end()


def test_what_the_service_itself_measures_is_beside_it(
    process: Callable[..., Process],
    tmp_path: Path,
    free_port: int,
    fetch: Callable[..., Any],
    eventually: Eventually,
) -> None:
    service = process({"port": free_port, "interval": "100ms"}, **{VARIABLE: str(tmp_path)})
    service.do("from prometheus_client import Counter, Gauge; asked = Counter('asked', 'Asked.')")
    service.do("held = Gauge('held', 'Held.', multiprocess_mode='livesum'); held.set(4)")
    service.do("asked.inc(3); cache.get_many(range(5))")
    url = f"http://127.0.0.1:{free_port}/metrics"
    eventually(lambda: values(fetch(url).text).get("predis_cache_misses_total") == 5.0)
    text = fetch(url).text
    assert "asked_total 3.0" in text
    assert "held 4.0" in text
    service.end()
    assert "held 4.0" in collected(tmp_path)  # theirs to mark as dead


# ---- one process, step by step -------------------------------------------------------------------


def snapshot(cache: str, hits: int, *more: Sample) -> Snapshot:
    return Snapshot(cache, 0, (Sample(HITS, (cache,), hits), *more))


def lines(folder: Path) -> list[str]:
    """Return the lines with values, in a fixed order: that of files in a folder is none."""
    return sorted(line for line in collected(folder).splitlines() if not line.startswith("#"))


def test_a_file_holds_the_last_values_and_not_their_sum(tmp_path: Path) -> None:
    files = ProcessFiles(tmp_path, Names())
    for hits in (5, 7):
        files.write(snapshot("a", hits, Sample(SIZE, ("a",), hits)))
    files.write(snapshot("b", 1))
    assert lines(tmp_path) == [
        'predis_cache_hits_total{cache="a"} 7.0',
        'predis_cache_hits_total{cache="b"} 1.0',
        'predis_cache_size{cache="a"} 7.0',
    ]


def test_counters_never_shrink(tmp_path: Path) -> None:
    files = ProcessFiles(tmp_path, Names())
    files.write(snapshot("a", 5))
    files.forget("a")  # closed, and opened again under the same name
    files.write(snapshot("a", 2))
    assert lines(tmp_path) == ['predis_cache_hits_total{cache="a"} 7.0']
    files.close()
    again = ProcessFiles(tmp_path, Names())  # a later process that has the same number
    again.write(snapshot("a", 1))
    assert lines(tmp_path) == ['predis_cache_hits_total{cache="a"} 8.0']


def test_gauges_go_with_their_cache(tmp_path: Path) -> None:
    files = ProcessFiles(tmp_path, Names())
    files.write(snapshot("a", 5, Sample(SIZE, ("a",), 3)))
    files.forget("a")
    assert lines(tmp_path) == ['predis_cache_hits_total{cache="a"} 5.0']


def test_histograms_are_cumulative_where_they_are_collected(tmp_path: Path) -> None:
    files = ProcessFiles(tmp_path, Names())
    durations = Distribution((0.1, 0.5), (3, 2, 1), 1.25)
    files.write(snapshot("a", 0, Sample(SECONDS, ("a", "get"), durations)))
    name, labels = "predis_cache_batch_duration_seconds", 'cache="a"'
    assert lines(tmp_path)[:-1] == [
        f'{name}_bucket{{{labels},le="+Inf",operation="get"}} 6.0',
        f'{name}_bucket{{{labels},le="0.1",operation="get"}} 3.0',
        f'{name}_bucket{{{labels},le="0.5",operation="get"}} 5.0',
        f'{name}_count{{{labels},operation="get"}} 6.0',
        f'{name}_sum{{{labels},operation="get"}} 1.25',
    ]


@pytest.mark.parametrize(
    ("metric", "labels", "given", "one"),
    [
        (SIZE, ("a",), (3, 4), 7.0),
        (UP, ("a", "p"), (1, 0), 0.0),
        (telemetry.OBSERVER_SECONDS, ("a", "p"), (0.1, 0.4), 0.4),
        (telemetry.INFO, ("a", "lru", "any", "Objects()", "1"), (1, 1), 1.0),
    ],
    ids=["size", "up", "seconds", "info"],
)
def test_how_the_gauges_of_processes_become_one(
    metric: Any,
    labels: tuple[str, ...],
    given: tuple[float, float],
    one: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for pid, value in zip((os.getpid(), os.getppid()), given, strict=True):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        files = ProcessFiles(tmp_path, Names())
        files.write(Snapshot("a", 0, (Sample(metric, labels, value),)))
    (line,) = lines(tmp_path)
    assert float(line.rpartition(" ")[2]) == one


@pytest.fixture
def _restless() -> Iterator[None]:
    """Threads take turns after microseconds."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_restless")
def test_a_reader_never_meets_half_of_a_snapshot(tmp_path: Path) -> None:
    files = ProcessFiles(tmp_path, Names())
    stop = threading.Event()

    def write(number: int) -> None:
        durations = Distribution((0.1, 0.5), (number, number, number), float(number))
        files.write(snapshot("a", number, Sample(SECONDS, ("a", "get"), durations)))

    def keep_writing() -> None:
        for number in itertools.count(1):
            if stop.is_set():
                return
            write(number)

    write(0)
    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        for _ in range(300):
            found = dict(line.rsplit(" ", 1) for line in lines(tmp_path))
            assert len(found) == 6
            name, labels = "predis_cache_batch_duration_seconds", '{cache="a",operation="get"}'
            assert float(found[f"{name}_count{labels}"]) == 3 * float(found[f"{name}_sum{labels}"])
    finally:
        stop.set()
        writer.join()


# ---- the section and the environment -------------------------------------------------------------


def opened(**section: Any) -> predis.Cache[Any, Any]:
    return predis.open({"cache": {"capacity": 10}, "plugins": {"prometheus": section}})


def test_the_environment_counts_as_the_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with opened(port="none"):
        assert {path.name.split("_")[0] for path in tmp_path.glob("*.db")} == {
            "counter",
            "histogram",
        }
    for section, field in (
        ({"registry": "default"}, "registry, multiprocess"),
        ({"port": 0}, "port"),
    ):
        with pytest.raises(predis.errors.PluginError) as error:
            opened(**section)
        assert f"ValueError: {field}: " in str(error.value)
        told = f"({VARIABLE} in the environment is `multiprocess`)"
        assert str(error.value).endswith(told)


def test_a_process_that_finds_the_port_taken_goes_on_and_takes_it_over(
    started: Callable[..., Any],
    tmp_path: Path,
    free_port: int,
    caplog: pytest.LogCaptureFixture,
    fetch: Callable[..., Any],
) -> None:
    first = started(multiprocess=tmp_path, port=free_port)
    with caplog.at_level(logging.INFO, "predis.prometheus"):
        second = started(multiprocess=tmp_path, port=free_port)
    assert caplog.messages == [
        f"port {free_port} of 127.0.0.1 is in use, so another process of the service serves; "
        "tried again every 1s"
    ]
    (exporter,) = second.predis_exporters(cache=None)
    assert exporter.interval == 1.0
    exporter.export(snapshot("shared", 3))
    assert second.url is None
    first.close()
    exporter.export(snapshot("shared", 4))
    assert values(fetch(second.url).text) == {"predis_cache_hits_total": 4.0}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "folder"
    with pytest.raises(predis.errors.PluginError) as error:
        opened(multiprocess=str(folder))
    assert str(error.value).endswith(
        f"multiprocess: cannot use the folder {str(folder)!r}: Not a directory; "
        "name one in which this process may write"
    )
