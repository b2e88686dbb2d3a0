"""The catalogue of metrics, and the histogram of latencies."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predis_core import telemetry
from predis_core.telemetry import BOUNDS, CATALOGUE, Latencies
from predis_core.types import Stats
from tests.support.crew import Crew


def test_every_metric_is_named_once_and_says_what_it_is() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(names) == len(set(names))
    for metric in CATALOGUE:
        assert re.fullmatch(r"predis(\.[a-z_]+)+", metric.name)
        assert re.fullmatch(r"[A-Z].*\.", metric.help)
        assert metric.labels[0] == "cache"


def test_every_field_of_stats_is_a_metric() -> None:
    assert {*telemetry.COUNTERS, *telemetry.GAUGES} == set(Stats.__struct_fields__)


def test_samples_have_the_values_of_stats() -> None:
    fields = Stats.__struct_fields__
    stats = Stats(**{name: number for number, name in enumerate(fields, 10)})
    samples = {sample.metric.name: sample for sample in telemetry.samples_of("c", stats)}
    assert samples["predis.cache.hits"].value == stats.hits
    assert samples["predis.cache.loads_saved"].value == stats.loads_saved
    assert sorted(sample.value for sample in samples.values()) == list(range(10, 10 + len(fields)))
    assert {sample.labels for sample in samples.values()} == {("c",)}


@given(st.lists(st.integers(0, 2**40)))
def test_each_duration_is_in_the_bucket_of_its_bound(durations: list[int]) -> None:
    latencies = Latencies()
    for nanoseconds in durations:
        latencies.add(nanoseconds)
    read = latencies.read()
    assert read.bounds == BOUNDS
    assert read.count == len(durations)
    assert read.sum == pytest.approx(sum(durations) / 1e9)
    running = 0
    for bound, count in zip(read.bounds, read.counts, strict=False):
        running += count
        assert running == sum(nanoseconds <= round(bound * 1e9) for nanoseconds in durations)


def test_bounds_go_from_a_microsecond_to_seconds() -> None:
    assert BOUNDS[0] == 1.024e-6
    assert 8 < BOUNDS[-1] < 9


def test_threads_lose_nothing(crew: Crew) -> None:
    latencies = Latencies()

    def adding() -> None:
        for nanoseconds in range(20_000):
            latencies.add(nanoseconds)

    def reading() -> None:
        for _ in range(50):
            assert latencies.read().count <= 80_000

    crew.run(adding, adding, adding, adding, reading)
    assert latencies.read().count == 80_000
    assert latencies.read().sum == pytest.approx(4 * sum(range(20_000)) / 1e9)


def test_signals_that_add_come_in_anywhere_and_nothing_is_lost() -> None:
    latencies, handled = Latencies(), 0

    def handle(number: int, frame: Any) -> None:
        nonlocal handled
        handled += 1
        latencies.add(7)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
    try:
        for _ in range(200_000):
            latencies.add(7)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert handled
    assert latencies.read().count == 200_000 + handled
    assert latencies.read().sum == pytest.approx(7e-9 * (200_000 + handled))
