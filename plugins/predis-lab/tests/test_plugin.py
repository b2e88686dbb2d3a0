"""`[plugins.lab]`: what it remembers of a cache at work, and the page that it leaves behind."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import predis_core as predis
from predis_core import pages
from predis_core.errors import ConfigurationError, PluginError
from predis_core.host import Session
from predis_core.plugin import BatchStats, Health
from predis_lab import Recording, recording_of
from predis_lab.config import LabConfig
from predis_lab.html.live_page import live_page
from predis_lab.html.page import Table, Tiles
from predis_lab.plugin import Lab
from predis_lab.recording import Batch, by_operation, hit_ratio
from tests.support.crew import PATIENCE, wait_until

WHEN = datetime(2030, 1, 2, 3, 4, tzinfo=UTC)


def configuration(name: str = "default", **section: Any) -> dict[str, Any]:
    return {
        "host": {"strict": True},
        "cache": {"name": name, "capacity": 100, "keys": "int64"},
        "plugins": {"lab": section},
    }


def batch(operation: str, keys: int, found: int, nanoseconds: int, end: int = 0) -> Batch:
    return end, BatchStats("default", operation, keys, found, nanoseconds)


class View:
    """As much of a cache as a recording needs."""

    def __init__(self, name: str = "default") -> None:
        self.name = name

    def snapshot(self) -> Any:
        raise predis.errors.CacheClosed("closed")


# ---- what is remembered --------------------------------------------------------------------------


def test_the_last_batches_are_remembered_in_order() -> None:
    with predis.open(configuration(keep=3)) as cache:
        recording = recording_of()
        assert recording.cache == "default"
        assert recording.batches() == []
        cache.set_many([1, 2, 3], list("abc"))
        cache.get_many([1, 2, 3, 4])
        cache.get_or_load_many([4, 5], lambda ids: ids)
        cache.delete_many([1, 9])
        told = recording.batches()
        assert [(stats.operation, stats.keys, stats.found) for _, stats in told] == [
            ("get", 4, 3),
            ("load", 2, 0),
            ("delete", 2, 1),
        ]
        ends = [end for end, _ in told]
        assert ends == sorted(ends)
        assert all(stats.nanoseconds > 0 for _, stats in told)


def test_recordings_are_found_by_name_while_their_caches_are_open() -> None:
    with pytest.raises(LookupError, match=r"^\"?cache 'default' is not recorded; open it with "):
        recording_of()
    with predis.open(configuration("one")), predis.open(configuration("two")) as two:
        two.get_many([1])
        assert [len(recording_of(name).batches()) for name in ("one", "two")] == [0, 1]
    for name in ("one", "two"):
        with pytest.raises(LookupError):
            recording_of(name)


def test_a_cache_of_a_name_that_is_used_again_begins_anew() -> None:
    for _ in range(2):
        with predis.open(configuration()) as cache:
            cache.get_many([1])
            assert len(recording_of().batches()) == 1


def test_a_cache_that_could_not_be_opened_is_not_found() -> None:
    with predis.open(configuration("other")):
        with pytest.raises(ConfigurationError):
            predis.open(configuration() | {"cache": {"capacity": 1, "policy": "none-such"}})
        with pytest.raises(LookupError):
            recording_of()
        assert [plugin.state for plugin in predis.status().plugins] == ["healthy"]


def test_reading_while_threads_add() -> None:
    recording = Recording(View(), 1_000)
    stop = threading.Event()

    def add() -> None:
        while not stop.is_set():
            recording.on_batch(BatchStats("default", "get", 1, 1, 5))

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2_000):
            assert len(recording.batches()) <= 1_000
        wait_until(lambda: len(recording.batches()) == 1_000)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(recording.batches()) == 1_000


# ---- what is made of it --------------------------------------------------------------------------


def test_batches_are_summed_up_by_operation() -> None:
    gets = [batch("get", 10, 4, 1_000 * at) for at in range(1_000, 0, -1)]
    found = by_operation([batch("set", 5, 5, 7), *gets, batch("load", 90, 1, 2_000)])
    assert list(found) == ["set", "get", "load"]
    assert found["get"][:3] == (1_000, 10_000, 4_000)
    # Of the durations 1 to 1000 µs: those that 500, 990 and 999 of them do not exceed.
    assert found["get"].latencies == pytest.approx((500e-6, 990e-6, 999e-6))
    assert found["set"].latencies == (7e-9, 7e-9, 7e-9)
    assert hit_ratio(found) == 4_001 / 10_090
    assert hit_ratio({"set": found["set"]}) is None
    assert hit_ratio(by_operation([batch("get", 0, 0, 1)])) is None


def test_the_metrics_are_of_the_batches_that_are_remembered() -> None:
    with predis.open(configuration(keep=2)) as cache:
        cache.get_many([1, 2, 3])
        cache.set_many([1, 2, 3], list("abc"))
        cache.get_many([1, 2, 3, 4])
        samples = recording_of().snapshot().samples
    own = [s for s in samples if s.metric.name.startswith("predis.lab.")]
    values = {(s.metric.name, *s.labels[1:]): s.value for s in own}
    assert values.pop(("predis.lab.batches",)) == 2
    assert values.pop(("predis.lab.hit_ratio",)) == 0.75
    assert list(values) == [
        ("predis.lab.batch.duration", operation, quantile)
        for operation in ("set", "get")
        for quantile in ("0.5", "0.99", "0.999")
    ]
    assert all(0 < seconds < 10 for seconds in values.values())
    assert {s.labels[0] for s in own} == {"default"}


# ---- the section ---------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 1_000_001])
def test_keep_has_limits(keep: int) -> None:
    with pytest.raises(ConfigurationError, match=r"plugins\.lab\.keep: "):
        predis.open(configuration(keep=keep))


def test_a_report_has_a_folder(tmp_path: Path) -> None:
    with pytest.raises(
        PluginError, match=r"report: there is no folder '.*absent'; make it or name another$"
    ):
        predis.open(configuration(report=str(tmp_path / "absent" / "x.html")))
    with pytest.raises(
        ConfigurationError, match=r"report: \{cache\} stands for a name within one folder"
    ):
        predis.open(configuration(report="{cache}/x.html"))


def test_caches_that_would_overwrite_each_others_report_are_told_of(tmp_path: Path) -> None:
    for name, state in (("one.html", "degraded"), ("{cache}.html", "healthy")):
        section = {"report": str(tmp_path / name)}
        with predis.open(configuration("a", **section)):
            assert predis.status().plugins[0].state == "healthy"
            with predis.open(configuration("b", **section)):
                plugin = predis.status().plugins[0]
                assert plugin.state == state
    assert plugin.reason == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html", "one.html"]


def test_the_way_out_is_told() -> None:
    lab = Lab(LabConfig(report=Path("x.html")))
    for name in "ab":
        lab.predis_observers(View(name))
        lab.predis_cache_opened(View(name))
    assert lab.predis_health() == Health(
        "degraded", "report: caches a, b would write one file; put {cache} into its name"
    )


# ---- the page ------------------------------------------------------------------------------------


def test_a_page_is_written_when_the_cache_closes(tmp_path: Path) -> None:
    with predis.open(configuration("my", report=str(tmp_path / "live-{cache}.html"))) as cache:
        cache.set_many(range(50), range(50))
        cache.get_many(range(100))
        assert list(tmp_path.iterdir()) == []
    page = (tmp_path / "live-my.html").read_text(encoding="utf-8")
    assert "<title>Cache my at work</title>" in page
    assert "50.0%" in page
    assert page.count("<svg") == 2
    assert "predis.lab.hit_ratio" in page


@pytest.mark.parametrize("collected", [True, False])
def test_a_cache_that_nobody_closed_leaves_its_page_too(tmp_path: Path, collected: bool) -> None:
    script = f"""
        import gc, pathlib, time
        import predis_core as predis

        cache = predis.open({configuration(report=str(tmp_path / "x.html"))!r})
        cache.get_many([1, 2])
        if {collected}:
            page = pathlib.Path({str(tmp_path / "x.html")!r})
            del cache
            gc.collect()
            while not page.exists() or "</html>" not in page.read_text("utf-8"):
                time.sleep(0.01)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=PATIENCE)
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "<title>Cache default at work</title>" in page
    assert ("Metrics" in page) != collected


def test_what_the_page_says() -> None:
    batches = [
        batch("get", 100, 20, 1_000_000, end=1_000_000),
        batch("set", 80, 80, 2_000_000, end=500_000_000),
        batch("get", 100, 60, 3_000_000, end=1_000_000_000),
    ]
    page = live_page("my", batches, None, WHEN)
    assert [section.title for section in page.sections] == ["In short", "Hit ratio", "Latency"]
    tiles = page.sections[0].blocks[0]
    assert isinstance(tiles, Tiles)
    assert [tile[:] for tile in tiles.tiles] == [
        ("3", "batches recorded", "in the last 1 s"),
        ("40.0%", "of the keys looked up were in the cache", ""),
        ("280", "keys in these batches", "93.3 per batch on average"),
        ("1 ms", "median time of a batch, get", "p99 3 ms, p99.9 3 ms"),
        ("2 ms", "median time of a batch, set", "p99 2 ms, p99.9 2 ms"),
    ]
    table = page.sections[2].blocks[1]
    assert isinstance(table, Table)
    assert table.rows == (
        ("get", "2", "200", "40.0%", "1 ms", "3 ms", "3 ms"),
        ("set", "1", "80", "100.0%", "2 ms", "2 ms", "2 ms"),
    )
    html = page.render()
    assert "get from 20.0% to 60.0%" in html
    assert live_page("my", batches, None, WHEN).render() == html


def test_pages_about_little() -> None:
    def titles(*batches: Batch) -> list[str]:
        page = live_page("my", batches, None, WHEN)
        page.render()
        return [section.title for section in page.sections]

    assert titles() == ["In short"]
    assert "No batch was recorded." in live_page("my", (), None, WHEN).render()
    assert titles(batch("set", 5, 5, 10)) == ["In short", "Latency"]
    assert titles(batch("get", 0, 0, 10)) == ["In short", "Latency"]
    assert titles(batch("get", 1, 1, 10)) == ["In short", "Hit ratio", "Latency"]


def test_a_recording_can_be_written_at_any_time(tmp_path: Path) -> None:
    with predis.open(configuration()) as cache:
        cache.get_many([1])
        recording_of().write(tmp_path / "now.html")
    assert "predis.cache.misses" in (tmp_path / "now.html").read_text(encoding="utf-8")


# ---- what importing costs ------------------------------------------------------------------------


def test_naming_the_plugin_and_running_it_import_little() -> None:
    script = "import sys, {}; print([name for name in {!r} if name in sys.modules])"
    for module in ("predis_lab", "predis_lab.plugin"):
        code = script.format(module, ("numpy", "numba", "matplotlib", "jinja2", "rich"))
        told = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert told.stdout.strip() == "[]"


def test_what_the_package_offers_is_there_whatever_was_imported_before() -> None:
    script = (
        "import predis_lab.replaying, predis_lab.recording, predis_lab.traces, predis_lab as lab\n"
        "assert callable(lab.replay) and callable(lab.recording_of)\n"
        "assert all(getattr(lab, name) for name in lab.__all__)\n"
        "assert set(lab.__all__) <= set(dir(lab))\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    import predis_lab

    with pytest.raises(AttributeError, match=r"^module 'predis_lab' has no attribute 'repaly'$"):
        _ = predis_lab.repaly


# ---- what other plugins add to it ----------------------------------------------------------------


def test_pages_of_other_plugins_are_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = pages.ReportPage(
        "Weather",
        (
            pages.Text(("It <rains>.",), bad=True),
            pages.Numbers((pages.Number("7", "drops", "so far"),)),
            pages.Grid("Drops", ("where", "drops"), (("here", "7"),), frozenset({1})),
            pages.Plot(
                "Drops over time.",
                "Lines: more and more.",
                "lines",
                (pages.Series("here", (1.0, 2.0, 5.0), (0.0, 1.0, 2.0)),),
                "hours",
                "drops",
                marks=((1.0, "storm"),),
            ),
            pages.Plot(
                "Drops by size.",
                "Bars: most are small.",
                "bars",
                (pages.Series("before", (5.0, 2.0)), pages.Series("now", (3.0, 3.0))),
                "size",
                "drops",
                ("small", "large"),
            ),
        ),
    )
    monkeypatch.setattr(Session, "report_pages", lambda session: [page])
    with predis.open(configuration(report=str(tmp_path / "report.html"))) as cache:
        cache.get_many([1])
    text = (tmp_path / "report.html").read_text("utf-8")
    for shown in ("Weather</h2>", "It &lt;rains&gt;.", "drops", "storm", "large", "before"):
        assert shown in text
    assert 'aria-label="Lines: more and more."' in text
    assert 'aria-label="Bars: most are small."' in text
