"""Rules over snapshots made by hand: what is measured, when an alert begins, and when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from predis_alerts.config import AlertsConfig
from predis_alerts.measures import quantile
from predis_alerts.notices import Desk, Notice
from predis_alerts.plugin import Lookout
from predis_core.clock import NANOSECONDS
from predis_core.config import PluginSection, decode_section
from predis_core.plugin import Distribution, Event, Health, Metric, Sample, Snapshot
from predis_core.telemetry import BATCH_SECONDS, CATALOGUE

BEGAN = 1_800_000_000 * NANOSECONDS
METRICS = {metric.name: metric for metric in CATALOGUE}
FIRED, OVER = ["alert.firing"], ["alert.resolved"]


class View:
    """A cache, as far as a lookout sees it."""

    name = "shop"


class Bench:
    """A lookout for a section, that is shown snapshots made by hand."""

    def __init__(self, **section: Any) -> None:
        config = decode_section(PluginSection("alerts", section), AlertsConfig)
        self.notices: list[Notice] = []
        self.desk = Desk(config.per_minute, self.notices.append)
        self.lookout = Lookout(View(), config, self.desk, None, BEGAN)  # type: ignore[arg-type]

    def see(self, seconds: float, *samples: Sample, **values: float) -> list[str]:
        """Show a snapshot of so many seconds after opening; return the kinds of new notices.

        What a cache counts is given as hits=1.
        """
        told = len(self.notices)
        made = [
            Sample(METRICS[f"predis.cache.{name}"], ("shop",), value)
            for name, value in values.items()
        ]
        at = BEGAN + round(seconds * NANOSECONDS)
        self.lookout.export(Snapshot("shop", at, (*made, *samples)))
        return [notice.event.kind for notice in self.notices[told:]]

    @property
    def last(self) -> Event:
        return self.notices[-1].event


def rule(metric: str, condition: str, **more: Any) -> Bench:
    return Bench(rules=[{"name": "r", "metric": metric, "condition": condition, **more}])


def size(bench: Bench, seconds: float, value: float) -> list[str]:
    return bench.see(seconds, size=value, capacity=100)


# ---- the states ----------------------------------------------------------------------------------


def test_an_alert_begins_once_its_condition_has_held_for_long_enough() -> None:
    bench = rule("predis.cache.size", "> 10", **{"for": "20s"})
    assert size(bench, 10, 11) == []
    assert size(bench, 20, 11) == []
    assert size(bench, 30, 11) == FIRED
    assert size(bench, 40, 11) == []
    assert size(bench, 50, 10) == OVER
    assert size(bench, 60, 10) == []


def test_a_condition_that_ceases_to_hold_begins_anew() -> None:
    bench = rule("predis.cache.size", "> 10", **{"for": "20s"})
    assert [size(bench, at, value) for at, value in ((10, 11), (29, 10), (30, 11), (49, 11))] == [
        [], [], [], []
    ]  # fmt: skip
    assert size(bench, 50, 11) == FIRED


@pytest.mark.parametrize(
    ("condition", "clear", "values"),
    [("> 10", 5, (11, 8, 6, 5)), ("< 10", "12", (9, 10, 11, 12)), (">= 10", 10, (10, 10, 10, 9))],
)
def test_an_alert_ends_only_beyond_clear(
    condition: str, clear: float | str, values: tuple[float, ...]
) -> None:
    bench = rule("predis.cache.size", condition, clear=clear)
    told = [size(bench, 10 * number, value) for number, value in enumerate(values, 1)]
    assert told == [FIRED, [], [], OVER]


def test_what_flaps_is_told_once_per_cooldown_with_its_end() -> None:
    bench = rule("predis.cache.size", "> 10", cooldown="60s")
    told = [(at, size(bench, at, 11 if at % 20 else 9)) for at in range(10, 150, 10)]
    # It begins at 10, 30, 50, 70, … and ends at 20, 40, 60, 80, ….
    assert [(at, *kinds) for at, kinds in told if kinds] == [
        (10, "alert.firing"),
        (20, "alert.resolved"),
        (70, "alert.firing"),
        (80, "alert.resolved"),
        (130, "alert.firing"),
        (140, "alert.resolved"),
    ]
    assert bench.notices[2].event.data["missed"] == 2
    assert "2 more since the last notice" in bench.notices[2].event.message
    assert "missed" not in bench.notices[0].event.data


def test_an_alert_that_still_holds_after_the_cooldown_is_told_then() -> None:
    bench = rule("predis.cache.size", "> 10", cooldown="60s")
    assert size(bench, 10, 11) == FIRED
    assert size(bench, 20, 9) == OVER
    assert [size(bench, at, 11) for at in (30, 50, 69)] == [[], [], []]
    assert size(bench, 70, 11) == FIRED


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    bench = rule("predis.cache.size", "> 10", **{"for": "20s"}, cooldown="10s")
    assert size(bench, 5_000, 11) == []
    assert size(bench, 1_000, 11) == []
    assert size(bench, 1_020, 11) == FIRED
    assert size(bench, 1_030, 9) == OVER


def test_what_is_told_says_what_and_for_how_long() -> None:
    bench = rule("fill", ">= 90%", severity="error", **{"for": "1m"})
    size(bench, 60, 95)
    size(bench, 120, 95)
    event, notice = bench.last, bench.notices[-1]
    assert event.message == "r: fill of cache 'shop' is 0.95 (>= 90%) for 1m"
    assert event.severity == "error"
    assert event.data == {
        "rule": "r",
        "metric": "fill",
        "condition": ">= 90%",
        "value": 0.95,
        "labels": {"cache": "shop"},
        "since": "2027-01-15T08:01:00.000Z",
        "seconds": 60.0,
    }
    assert (notice.cache, notice.time) == ("shop", BEGAN + 120 * NANOSECONDS)
    size(bench, 180, 50)
    assert bench.last.message == "r: over after 2m; fill of cache 'shop' is 0.5"
    assert (bench.last.kind, bench.last.severity) == ("alert.resolved", "error")


def test_alerts_end_as_their_cache_closes() -> None:
    bench = rule("fill", "> 0.5")
    assert size(bench, 10, 90) == FIRED
    bench.lookout.end()
    assert bench.last.kind == "alert.resolved"
    assert bench.last.message.endswith("the cache closes")
    bench.lookout.end()
    assert len(bench.notices) == 2


# ---- what is measured ----------------------------------------------------------------------------


def test_ratios_are_over_the_time_looked_back() -> None:
    bench = rule("hit_ratio", "< 0.5", over="60s")
    assert bench.see(60, hits=1_000, misses=0) == []
    assert bench.see(90, hits=1_000, misses=900) == []  # 1,000 to 900 since the opening
    assert bench.see(120, hits=1_000, misses=1_000) == FIRED  # none to 1,000 since 60
    assert bench.last.data["value"] == 0.0
    assert bench.see(150, hits=1_300, misses=1_100) == OVER  # 300 to 200 since 90
    assert bench.last.data["value"] == 0.6


def test_without_a_request_there_is_no_ratio_and_no_alert() -> None:
    bench = rule("hit_ratio", "< 0.5", over="60s")
    assert bench.see(10, hits=0, misses=0) == []
    assert bench.see(20, hits=0, misses=9) == FIRED
    assert bench.see(90, hits=0, misses=9) == OVER
    assert bench.last.data["value"] is None
    assert bench.last.message.endswith("has no value")


@pytest.mark.parametrize(
    ("metric", "values", "wanted"),
    [
        ("hit_ratio", {"hits": 3, "misses": 1}, 0.75),
        ("miss_ratio", {"hits": 3, "misses": 1}, 0.25),
        ("byte_hit_ratio", {"hit_bytes": 30, "inserted_bytes": 10}, 0.75),
        ("load_failure_ratio", {"loads": 8, "load_failures": 2}, 0.25),
        ("fill", {"size": 30, "capacity": 120}, 0.25),
    ],
)
def test_derived_metrics(metric: str, values: dict[str, float], wanted: float) -> None:
    bench = rule(metric, ">= 0")
    assert bench.see(10, **values) == FIRED
    assert bench.last.data["value"] == wanted


def test_counters_have_a_rate_an_increase_and_a_value() -> None:
    found = {}
    for measure in ("rate", "increase", "value", None):
        more = {} if measure is None else {"measure": measure}
        bench = rule("predis.cache.evictions", "> 60", over="20s", cooldown="1s", **more)
        told = [bench.see(at, evictions=n) for at, n in ((10, 50), (20, 90), (30, 450), (40, 1350))]
        found[measure] = [
            (10 * number, notice) for number, kinds in enumerate(told, 1) for notice in kinds
        ]
        if measure == "rate":
            assert bench.last.data["value"] == (1350 - 90) / 20
    assert found["rate"] == found[None] == [(40, "alert.firing")]
    assert found["increase"] == [(20, "alert.firing")]  # 90, 400, 1260
    assert found["value"] == [(20, "alert.firing")]


def test_a_counter_that_begins_anew_has_no_negative_rate() -> None:
    bench = rule("predis.cache.evictions", "!= 0", measure="increase", over="15s", cooldown="1s")
    bench.see(10, evictions=500)
    bench.see(20, evictions=510)
    bench.see(30, evictions=7)
    size(bench, 40, 0)  # no counter: over
    assert [n.event.data["value"] for n in bench.notices] == [500, None]
    bench = rule("predis.cache.evictions", "== 7", measure="increase", over="15s")
    assert [bench.see(at, evictions=n) for at, n in ((10, 500), (20, 510), (30, 7))][-1] == FIRED


def test_a_counter_that_appears_later_began_with_nothing() -> None:
    failures = Metric("other.failures", "counter", "1", "Failures.", ("cache", "reason"))
    bench = rule("other.failures", "> 0", measure="increase", over="1m")
    assert bench.see(10, Sample(failures, ("shop", "slow"), 0)) == []
    told = bench.see(20, *(Sample(failures, ("shop", r), n) for r, n in (("slow", 0), ("down", 1))))
    assert told == FIRED
    assert bench.last.data["labels"] == {"cache": "shop", "reason": "down"}
    assert "cache 'shop' (reason=down) is 1" in bench.last.message


def distribution(*counts: int, total: float = 0.0) -> Distribution:
    return Distribution((0.1, 0.2, 0.4), counts, total)


def timed(value: Distribution, operation: str = "get") -> Sample:
    return Sample(BATCH_SECONDS, ("shop", operation), value)


def test_histograms_have_quantiles_a_mean_and_counts() -> None:
    first, second = distribution(1_000, 0, 0, 0, total=50.0), distribution(1_000, 8, 2, 0, total=52)
    wanted = {"p50": 0.1 + 0.1 * 5 / 8, "p90": 0.3, "p99": 0.39, "mean": 0.2, "increase": 10}
    wanted |= {"rate": 1.0, None: 0.39}  # type: ignore[dict-item]
    for measure, value in wanted.items():
        more = {} if measure is None else {"measure": measure}
        bench = rule("predis.cache.batch.duration", ">= 0", over="10s", cooldown="1s", **more)
        bench.see(10, timed(first))
        size(bench, 11, 0)
        assert bench.see(20, timed(second)) == FIRED
        assert bench.last.data["value"] == pytest.approx(value), measure


def test_quantiles_at_the_edges() -> None:
    assert quantile((1.0, 2.0), (0, 0, 0), 0.5) is None
    assert quantile((1.0, 2.0), (4, 0, 0), 1.0) == 1.0
    assert quantile((1.0, 2.0), (0, 0, 3), 0.5) == 2.0
    assert quantile((1.0, 2.0), (2, 2, 0), 0.5) == 1.0


def test_labels_choose_series_and_each_has_its_own_alert() -> None:
    slow, quick = distribution(0, 0, 9, 0), distribution(9, 0, 0, 0)
    bench = rule("predis.cache.batch.duration", "> 200ms", measure="p50", over="10s")
    shown = (timed(slow, "get"), timed(slow, "set"), timed(quick, "load"))
    assert bench.see(10, *shown) == FIRED * 2
    chosen = [notice.event.data["labels"]["operation"] for notice in bench.notices]
    assert chosen == ["get", "set"]
    bench = rule(
        "predis.cache.batch.duration", "> 200ms", measure="p50", labels={"operation": "[gl]*"}
    )
    assert bench.see(10, *shown) == FIRED
    assert bench.last.data["labels"]["operation"] == "get"


def test_namespaces_are_looked_at_if_labels_say_so() -> None:
    def misses(*numbers: int) -> list[Sample]:
        caches = ("shop", "shop/acme", "shop/other")
        return [
            Sample(METRICS[f"predis.cache.{name}"], (cache,), number if name == "misses" else 10)
            for cache, number in zip(caches, numbers, strict=True)
            for name in ("hits", "misses")
        ]

    whole = rule("hit_ratio", "< 0.5")
    assert whole.see(10, *misses(0, 90, 90)) == []
    parts = rule("hit_ratio", "< 0.5", labels={"cache": "*/a*"})
    assert parts.see(10, *misses(0, 90, 90)) == FIRED
    assert parts.last.data["labels"] == {"cache": "shop/acme"}


# ---- rules that cannot be looked at --------------------------------------------------------------


def test_a_metric_that_never_appears_is_told_with_the_nearest_name() -> None:
    bench = rule("predis.cache.eviction", "> 1")
    for at in (10, 20):
        bench.see(at, evictions=5, size=1)
        assert bench.lookout.health() == Health()
    bench.see(30, evictions=5, size=1)
    assert bench.lookout.health() == Health(
        "degraded",
        "rule 'r': metric: 'predis.cache.eviction' is not measured; the nearest name is "
        "'predis.cache.evictions'",
    )


def test_a_metric_that_appears_after_all_is_well() -> None:
    queue = Metric("other.queue", "gauge", "1", "Things that wait.")
    bench = rule("other.queue", "> 1")
    for at in (10, 20, 30):
        size(bench, at, 1)
    assert bench.lookout.health().status == "degraded"
    assert bench.see(40, Sample(queue, ("shop",), 2)) == FIRED
    assert bench.lookout.health() == Health()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"measure": "rate"}, "measure: 'other.queue' is a gauge, which has 'value'"),
        ({"labels": {"queue": "a"}}, "labels: 'other.queue' has no label 'queue' (it has: cache)"),
        ({"labels": {"cache": "x"}}, "labels: no 'other.queue' has labels like {'cache': 'x'}"),
    ],
)
def test_what_does_not_fit_another_plugins_metric_is_told(more: dict[str, Any], words: str) -> None:
    queue = Metric("other.queue", "gauge", "1", "Things that wait.")
    bench = rule("other.queue", "> 1", **more)
    for at in (10, 20, 30):
        assert bench.see(at, Sample(queue, ("shop",), 2)) == []
    assert words in bench.lookout.health().message


# ---- never a flood -------------------------------------------------------------------------------


def many(count: int, **section: Any) -> Bench:
    rules = [
        {"name": f"r{n}", "metric": "predis.cache.size", "condition": "> 10", "cooldown": "1s"}
        for n in range(count)
    ]
    return Bench(rules=rules, **section)


def test_of_too_many_notices_a_summary_tells() -> None:
    bench = many(9, per_minute=4)
    assert size(bench, 10, 11) == FIRED * 4
    assert size(bench, 20, 9) == []
    assert size(bench, 69, 9) == []
    assert size(bench, 70, 9) == ["alert.summary"]
    # 5 that fired and 9 that ended; of each rule the last one.
    data = bench.last.data
    assert bench.last.message.startswith("14 notices were held back, as there were too many: r")
    assert data["held_back"] == 14
    assert {(each["rule"], each["kind"]) for each in data["last"]} == {
        (f"r{n}", "alert.resolved") for n in range(9)
    }
    assert size(bench, 80, 11) == FIRED * 3  # the summary was one of four
    assert bench.desk.given["shop"] == 4 + 1 + 3
    assert bench.desk.held["shop"] == 14 + 6


def test_what_is_held_back_is_bounded_and_told_at_the_end() -> None:
    bench = many(400, per_minute=1)
    assert size(bench, 10, 11) == FIRED
    bench.desk.sum_up(BEGAN + 11 * NANOSECONDS, at_end=True)
    assert bench.last.data["held_back"] == 399
    assert [each["rule"] for each in bench.last.data["last"]] == [f"r{n}" for n in range(144, 400)]
    bench.desk.sum_up(BEGAN + 11 * NANOSECONDS, at_end=True)
    assert len(bench.notices) == 2


def test_memory_is_bounded_however_many_series_come_and_go() -> None:
    gauge = Metric("other.queue", "gauge", "1", "Things that wait.", ("cache", "queue"))
    count = Metric("other.count", "counter", "1", "Things that came.", ("cache", "queue"))
    bench = Bench(
        rules=[
            {"name": "g", "metric": "other.queue", "condition": "> 1"},
            {"name": "c", "metric": "other.count", "condition": "> 1", "over": "1d"},
        ]
    )
    for step in range(20):
        names = [f"q{step}-{number}" for number in range(400)]
        samples = [Sample(metric, ("shop", n), 5) for n in names for metric in (gauge, count)]
        bench.see(10 + step, *samples)
    for watch in bench.lookout._watches:
        assert len(watch._alerts) <= 4 * 256 + 256
        assert len(watch._measure._histories) <= 4 * 256
    assert len(bench.notices) == 20


def test_a_series_keeps_few_readings() -> None:
    bench = rule("predis.cache.evictions", "> 1e9", over="1d")
    for at in range(3_000):
        bench.see(at * 60, evictions=at)
    (history,) = bench.lookout._watches[0]._measure._histories.values()
    assert 100 < len(history._points) < 140
    # What it is compared with is at least a day old, and not much more.
    assert 86_400 <= (history.latest - history._points[0][0]) / NANOSECONDS < 1.02 * 86_400


def test_metrics_tell_what_holds_and_what_was_told() -> None:
    bench = many(3, per_minute=2)
    size(bench, 10, 11)
    found = {(s.metric.name, *s.labels): s.value for s in bench.lookout.collect()}
    assert found == {
        **{("predis.alerts.firing", "shop", f"r{n}", "warning"): 1 for n in range(3)},
        ("predis.alerts.notifications", "shop"): 2,
        ("predis.alerts.dropped", "shop", "held_back"): 1,
    }
