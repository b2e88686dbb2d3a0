"""The file: what is written is there, it keeps to its bounds, and no fault of it is the cache's."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predis_core.clock import NANOSECONDS
from predis_core.plugin import Metric, Sample, Snapshot
from predis_history import database
from predis_history import writing as writing_module
from predis_history.packing import pack, series_of, values_of
from predis_history.writing import Origin, Writer

BEGAN = 1_800_000_000 * NANOSECONDS
MIB = 1 << 20
Held = Callable[..., list[Any]]
Make = Callable[..., Snapshot]


def integrity(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def count(path: Path, table: str = "snapshots") -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


# ---- what is written -----------------------------------------------------------------------------


def test_a_snapshot_is_packed_and_unpacked_to_the_unit(snapshot: Make, latency: Any) -> None:
    gauge = Metric("other.gauge", "gauge", "1", "Somebody else's.", ())
    values = [2**63 - 1, -(2**62), 0.1, True, np.float64(0.25), np.int64(7), float("inf")]
    made = snapshot(1, 5, latency(1, 2, 3), *(Sample(gauge, (), value) for value in values))
    packed = pack(made)
    series = series_of(packed.layout)
    assert (packed.cache, packed.time) == ("shop", BEGAN + NANOSECONDS)
    assert list(values_of(packed.data)) == [5, 7, (pytest.approx(0.3), (1, 2, 3)), *values]
    assert [each.metric for each in series[:3]] == [
        "predis.cache.hits",
        "predis.cache.size",
        "predis.cache.batch.duration",
    ]
    assert series[2].labels == {"cache": "shop", "operation": "get"}
    assert series[2].bounds == (0.1, 0.2)
    assert series[3].labels == {"cache": "shop"}
    again = pack(snapshot(9, 6, latency(9, 2, 3)))
    assert again.digest == pack(snapshot(1, 5, latency(1, 2, 3))).digest


@pytest.mark.parametrize("value", [2**70, "text", None, object()])
def test_what_is_no_number_is_dropped_and_told(
    value: Any, writing: Any, origin: Origin, snapshot: Make, held: Held
) -> None:
    gauge = Metric("other.gauge", "gauge", "1", "Somebody else's.", ())
    writer = writing()
    writer.add(origin, snapshot(1, 5, Sample(gauge, (), value)))
    assert writer.dropped("shop") == {"waiting": 0, "size": 0, "values": 1}
    assert writer.trouble
    writer.add(origin, snapshot(2, 6))
    assert [row.value for row in held()] == [6]
    assert writer.trouble == ""


def test_what_was_written_is_there(
    writing: Any, origin: Origin, snapshot: Make, held: Held, path: Path
) -> None:
    writer = writing()
    for second in range(5):
        writer.add(origin, snapshot(second, 10 * second))
    rows = held()
    assert [(row.time - BEGAN, row.value) for row in rows] == [
        (second * NANOSECONDS, 10 * second) for second in range(5)
    ]
    row = rows[0]
    assert (row.cache, row.host, row.pid, row.kind, row.unit) == (
        *("shop", "machine", 42),
        *("counter", "keys"),
    )
    assert (writer.written("shop"), count(path, "layouts"), count(path, "writers")) == (5, 1, 1)
    writer.close()
    writer.close()
    assert sorted(each.name for each in path.parent.iterdir()) == ["history.db"]


def test_a_folder_that_is_not_there_is_made(tmp_path: Path, writing: Any) -> None:
    writing(path=str(tmp_path / "a" / "b" / "history.db"))
    assert (tmp_path / "a" / "b" / "history.db").exists()


# ---- its bounds ----------------------------------------------------------------------------------


def test_what_is_too_old_leaves(writing: Any, origin: Origin, snapshot: Make, held: Held) -> None:
    writer = writing(keep="60s")
    for second in range(0, 200, 10):
        writer.add(origin, snapshot(second, second))
    assert [row.value for row in held()] == list(range(130, 200, 10))


def test_the_file_never_exceeds_its_size_and_the_oldest_leave(
    writing: Any, origin: Origin, snapshot: Make, held: Held, path: Path
) -> None:
    writer: Writer = writing(max_size="1MiB")
    gauge = Metric("other.gauge", "gauge", "1", "Somebody else's.", ("cache", "name"))
    many = [Sample(gauge, ("shop", f"name {number}"), number / 7) for number in range(800)]
    sizes = []
    for second in range(300):
        writer.add(origin, snapshot(second, second, *many))
        sizes.append(writer.size())
    assert writer.trouble == ""
    assert max(sizes) <= MIB
    assert sizes[-1] > MIB // 3  # the room is used
    values = [row.value for row in held()]
    assert values == list(range(300 - len(values), 300))
    assert 40 < len(values) < 200
    assert writer.written("shop") == 300
    assert integrity(path) == "ok"


def test_a_smaller_size_shrinks_the_file(
    writing: Any, origin: Origin, snapshot: Make, held: Held
) -> None:
    gauge = Metric("other.gauge", "gauge", "1", "Somebody else's.", ("cache", "name"))
    many = [Sample(gauge, ("shop", f"name {number}"), number / 7) for number in range(900)]
    writer = writing(max_size="64MiB")
    for second in range(250):
        writer.add(origin, snapshot(second, second, *many))
    assert writer.size() > 2 * MIB
    writer.close()
    writer = writing(max_size="1MiB")
    writer.add(origin, snapshot(1_000, 1_000, *many))
    assert writer.trouble == ""
    assert writer.size() <= MIB
    values = [row.value for row in held()]
    assert values == [*range(251 - len(values), 250), 1_000]


def test_who_and_what_is_gone_is_forgotten(
    writing: Any, origin: Origin, snapshot: Make, path: Path
) -> None:
    writer = writing(keep="60s")
    gauge = Metric("other.gauge", "gauge", "1", "Somebody else's.", ("cache", "name"))
    for number in range(50):
        one = origin._replace(token=b"%d" % number)
        writer.add(one, snapshot(10 * number, 1, Sample(gauge, ("shop", str(number)), 1)))
    assert count(path) == count(path, "layouts") == count(path, "writers") == 7


def test_a_snapshot_that_is_too_large_is_dropped_and_told(
    writing: Any, origin: Origin, snapshot: Make
) -> None:
    gauge = Metric("other.gauge", "gauge", "1", "Somebody else's.", ("cache", "name"))
    many = [Sample(gauge, ("shop", f"{number:0100}"), 1) for number in range(5_000)]
    writer = writing(max_size="1MiB")
    writer.add(origin, snapshot(1, 1, *many))
    assert writer.dropped("shop")["size"] == 1
    assert "raise `max_size`" in writer.trouble


def test_one_cache_whose_snapshots_are_refused_is_logged_once(
    writing: Any, origin: Origin, snapshot: Make, caplog: pytest.LogCaptureFixture
) -> None:
    gauge = Metric("other.gauge", "gauge", "1", "Somebody else's.", ())
    writer = writing()
    for second in range(3):
        writer.add(origin, snapshot(second, 1, Sample(gauge, (), "text")))  # type: ignore[arg-type]
        writer.add(origin._replace(cache="other"), snapshot(second, 1, cache="other"))
        assert writer.trouble.startswith("cache 'shop': a value is no number: ")
    assert len(caplog.records) == 1
    assert (writer.written("other"), writer.dropped("shop")["values"]) == (3, 3)


def test_a_reader_that_stays_holds_up_no_bound(
    writing: Any, origin: Origin, snapshot: Make, other: sqlite3.Connection, held: Held
) -> None:
    writer = writing(max_size="1MiB")
    writer.add(origin, snapshot(0))
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM snapshots").fetchone()
    seconds = 0
    while not writer.trouble:
        seconds += 1
        assert seconds < 10_000
        writer.add(origin, snapshot(seconds, seconds))
        assert writer.size() <= MIB
    assert "somebody reads the file for long" in writer.trouble
    other.execute("COMMIT")
    writer.add(origin, snapshot(seconds + 1, seconds + 1))
    assert writer.trouble == ""
    assert [row.value for row in held()][-3:] == [seconds - 1, seconds, seconds + 1]
    assert writer.written("shop") == seconds + 2


# ---- a file that cannot be written ---------------------------------------------------------------


def test_what_waits_for_a_lock_is_written_once_it_is_free(
    writing: Any,
    origin: Origin,
    snapshot: Make,
    held: Held,
    other: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(database, "BUSY", 0.01)
    writer = writing()
    writer.add(origin, snapshot(1, 1))
    other.execute("BEGIN IMMEDIATE")
    for second in (2, 3):
        writer.add(origin, snapshot(second, second))
    assert "locked" in writer.trouble
    assert writer.written("shop") == 1
    other.execute("COMMIT")
    writer.add(origin, snapshot(4, 4))
    assert [row.value for row in held()] == [1, 2, 3, 4]
    assert (writer.written("shop"), writer.trouble) == (4, "")
    assert sum(writer.dropped("shop").values()) == 0
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == [
        "database is locked",
        "snapshots are written again",
    ]


def test_a_lock_as_it_opens_is_no_error(
    path: Path,
    writing: Any,
    origin: Origin,
    snapshot: Make,
    held: Held,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "BUSY", 0.01)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as locking:
        locking.execute("BEGIN EXCLUSIVE")
        writer = writing()
        assert "locked" in writer.trouble
        writer.add(origin, snapshot(1, 1))
        locking.execute("ROLLBACK")
    writer.add(origin, snapshot(2, 2))
    assert [row.value for row in held()] == [1, 2]


def test_what_waits_is_bounded_and_the_newest_wins(
    writing: Any,
    origin: Origin,
    snapshot: Make,
    held: Held,
    other: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "BUSY", 0.01)
    writer = writing()
    monkeypatch.setattr("predis_history.writing.WAITING_AT_MOST", 5 * pack(snapshot(1)).size)
    other.execute("BEGIN IMMEDIATE")
    for second in range(20):
        writer.add(origin, snapshot(second, second))
    assert writer.dropped("shop") == {"waiting": 15, "size": 0, "values": 0}
    other.execute("COMMIT")
    writer.close()
    assert [row.value for row in held()] == [15, 16, 17, 18, 19]


def test_what_cannot_be_written_as_it_closes_is_counted(
    writing: Any,
    origin: Origin,
    snapshot: Make,
    other: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(database, "BUSY", 0.01)
    writer = writing()
    other.execute("BEGIN IMMEDIATE")
    writer.add(origin, snapshot(1))
    writer.close()
    assert writer.dropped("shop")["waiting"] == 1
    assert "1 snapshots could not be written" in caplog.text


@pytest.mark.parametrize("place", ["folder", "under a file"])
def test_a_path_that_cannot_be_is_an_error(place: str, tmp_path: Path, writing: Any) -> None:
    path = tmp_path
    if place == "under a file":
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / "history.db"
    with pytest.raises(ValueError, match=r"^path: cannot write .*; name a file in a folder"):
        writing(path=str(path))


def test_a_file_that_is_taken_away_is_begun_anew(
    writing: Any, origin: Origin, snapshot: Make, held: Held, path: Path
) -> None:
    writer = writing()
    writer.add(origin, snapshot(1, 1))
    for file in path.parent.iterdir():
        file.unlink()
    writer.add(origin, snapshot(2, 2))
    assert [row.value for row in held()] == [2]


# ---- a file that is damaged, or somebody else's --------------------------------------------------


def damage(path: Path) -> bytes:
    """Spoil a file, as a bad disk would; return what it is now."""
    whole = path.read_bytes()
    path.write_bytes(b"\xff" * 200 + whole[200:])
    return path.read_bytes()


def test_a_damaged_file_is_set_aside_as_it_is_opened(
    writing: Any,
    origin: Origin,
    snapshot: Make,
    held: Held,
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number in range(2):
        with contextlib.closing(writing()) as writer:
            writer.add(origin, snapshot(number, number))
        spoilt = damage(path)
        writer = writing()
        writer.add(origin, snapshot(10, 10))
        assert (writer.trouble, [row.value for row in held()]) == ("", [10])
        assert path.with_name("history.db.damaged").read_bytes() == spoilt
        writer.close()
    assert f"{path} is damaged; it is now {path}.damaged, and a new one is begun" in caplog.messages
    assert len(list(path.parent.iterdir())) == 2


def test_a_file_that_is_damaged_meanwhile_is_set_aside(
    writing: Any, origin: Origin, snapshot: Make, held: Held, path: Path
) -> None:
    writer = writing()
    gauge = Metric("other.gauge", "gauge", "1", "Somebody else's.", ("cache", "name"))
    for second in range(50):
        one = Sample(gauge, ("shop", str(second)), second)
        writer.add(origin, snapshot(second, second, one))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:  # in place: the same file
        file.seek(4_096)
        file.write(b"\xff" * (path.stat().st_size - 4_096))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        # So that the writer reads again.
        connection.execute("PRAGMA user_version = 1")
    writer.add(origin, snapshot(100, 100))
    assert "Damaged" in writer.trouble
    writer.add(origin, snapshot(101, 101))
    assert writer.trouble == ""
    assert [row.value for row in held()] == [100, 101]  # nothing of now is lost
    assert path.with_name("history.db.damaged").exists()


def test_only_who_is_first_sets_a_damaged_file_aside(path: Path) -> None:
    path.write_text("damaged")
    mine = database.identity(path)
    assert database.set_aside(path, mine)
    path.write_text("new")
    assert not database.set_aside(path, mine)
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE TABLE mine (a)", "is a database of another program; name another file"),
        ("PRAGMA application_id = 7", "is a database of another program; name another file"),
        ("PRAGMA user_version = 99", "was written by a newer predis-history"),
    ],
)
def test_what_is_somebody_elses_is_left_alone(
    statement: str, words: str, path: Path, writing: Any
) -> None:
    if "version" in statement:
        writing().close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"^path: .*{words}"):
        writing()
    assert path.read_bytes() == before


# ---- processes -----------------------------------------------------------------------------------

PROGRAM = """
import os, sys, time
from predis_core.config import PluginSection, decode_section
from predis_core.plugin import Sample, Snapshot
from predis_core.telemetry import COUNTERS
from predis_history.config import HistoryConfig
from predis_history.writing import Origin, Writer

path, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
section = PluginSection("history", {"path": path, "max_size": sys.argv[4]})
writer = Writer(decode_section(section, HistoryConfig))
origin = Origin(os.urandom(16), name, "machine", os.getpid(), time.time_ns())
for number in range(rounds):
    sample = Sample(COUNTERS["hits"], (name,), number)
    writer.add(origin, Snapshot(name, time.time_ns(), (sample,)))
    print(writer.written(name), flush=True)
for _ in range(100):
    if writer.written(name) < rounds:
        writer._try()
print(writer.written(name))
"""


def started(
    path: Path, name: str, rounds: int, size: str, out: Any = subprocess.PIPE
) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(path), name, str(rounds), size]
    return subprocess.Popen(command, stdout=out, text=True)


def test_processes_share_a_file(path: Path, held: Held) -> None:
    names = ("a", "b", "c")
    processes = [started(path, name, 60, "1MiB") for name in names]
    assert [process.communicate(timeout=120)[0].split()[-1] for process in processes] == ["60"] * 3
    assert integrity(path) == "ok"
    for name in names:
        assert [row.value for row in held(caches=(name,))] == list(range(60))


def test_a_process_that_is_killed_leaves_a_whole_file(
    path: Path, tmp_path: Path, held: Held, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    told = tmp_path / "told"
    before = 0
    for enough in (5, 40, 90):  # in other moments of the log's life

        def lines() -> list[str]:
            return told.read_text().splitlines()

        with told.open("w") as out:
            process = started(path, "shop", 1_000_000, "64MiB", out)
        eventually(lambda: len(lines()) >= enough)  # noqa: B023 - within its round
        process.kill()
        process.wait(60)
        assert integrity(path) == "ok"
        # What was told is there; one more may have been written just then.
        now = len(held())
        assert before + len(lines()) <= now <= before + len(lines()) + 1
        before = now


FULL = """
import resource, sys, time
import predis_core as predis
from predis_core import host

resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
section = {"path": sys.argv[1], "interval": "5ms"}
value = {"kind": "rows", "dtype": "int64"}
cache = {"name": "shop", "capacity": 100, "policy": "fifo", "value": value}
with predis.open({"cache": cache, "plugins": {"history": section}}) as cache:
    def until(state):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            cache.get_or_load_many([1, 2, 3], lambda ids: ids)
            (plugin,) = host.status().plugins
            if plugin.state == state:
                return plugin.reason
            time.sleep(0.01)
        raise SystemExit(f"never {state}: {plugin}")

    print(until("degraded"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    print(until("healthy"))
    print(cache.stats().hits)
"""


def test_a_full_disk_holds_up_nothing_but_the_history(path: Path, held: Held) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    trouble, healthy, hits = result.stdout.splitlines()
    assert "disk" in trouble
    assert healthy == ""
    assert integrity(path) == "ok"
    values = [row.value for row in held()]
    assert values == sorted(values)
    assert values[-1] == int(hits)


def test_a_file_that_may_not_grow_keeps_what_comes_until_it_may(
    writing: Any, origin: Origin, snapshot: Make, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer: Writer = writing()
    writer.add(origin, snapshot(0, 0))
    assert writer._connection is not None
    (pages,) = writer._connection.execute("PRAGMA page_count").fetchone()

    def make_no_room(connection: sqlite3.Connection, packed: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + 1}").fetchall()

    seconds = 0
    with monkeypatch.context() as patch:
        patch.setattr(writer, "_make_room", make_no_room)
        while not writer.trouble:
            seconds += 1
            assert seconds < 10_000
            writer.add(origin, snapshot(seconds, seconds))
    assert "full" in writer.trouble
    writer.add(origin, snapshot(seconds + 1, seconds + 1))
    assert writer.trouble == ""
    assert [row.value for row in held()] == list(range(seconds + 2))


def test_a_child_process_leaves_the_parents_file_alone(
    writing: Any, origin: Origin, snapshot: Make, held: Held
) -> None:
    writer = writing()
    writer.add(origin, snapshot(1, 1))
    child = os.fork()
    if child == 0:
        os._exit(0 if writing_module._inherited else 1)
    assert os.waitpid(child, 0)[1] == 0
    writer.add(origin, snapshot(2, 2))
    assert [row.value for row in held()] == [1, 2]


def test_failures_are_logged_once(
    writing: Any, origin: Origin, snapshot: Make, caplog: pytest.LogCaptureFixture
) -> None:
    writer = writing()
    with caplog.at_level(logging.WARNING, "predis.history"):
        for _ in range(3):
            writer._say("trouble")
        writer._say("")
        writer._say("")
    assert len(caplog.records) == 2
