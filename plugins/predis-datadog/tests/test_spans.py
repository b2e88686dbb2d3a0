"""Loads as spans, by a stand-in for `ddtrace`, which the plugin never imports."""

from __future__ import annotations

import subprocess
import sys
import types
from typing import Any

import pytest

from predis_core.plugin import BatchStats
from predis_datadog.spans import LoadSpans, tracer_of_program
from tests.support.datadog import opened


class Span:
    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self.name = name
        self.options = options
        self.start_ns = 0
        self.said: dict[str, Any] = {}
        self.finished_at = 0.0

    def set_tag(self, key: str, value: str) -> None:
        self.said[key] = value

    def set_metric(self, key: str, value: float) -> None:
        self.said[key] = value

    def finish(self, finish_time: float) -> None:
        self.finished_at = finish_time


class Tracer:
    """What of ddtrace's tracer is used."""

    def __init__(self) -> None:
        self.current: Span | None = None
        self.spans: list[Span] = []

    def current_span(self) -> Span | None:
        return self.current

    def start_span(self, name: str, **options: Any) -> Span:
        self.spans.append(Span(name, options))
        return self.spans[-1]


@pytest.fixture
def tracer(monkeypatch: pytest.MonkeyPatch) -> Tracer:
    found = Tracer()
    module = types.ModuleType("ddtrace")
    module.tracer = found  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ddtrace", module)
    monkeypatch.delitem(sys.modules, "ddtrace.trace", raising=False)
    return found


def test_a_batch_that_loads_is_a_span_of_the_current_one(tracer: Tracer) -> None:
    request = Span("request", {})
    with opened(port=18125, interval="1h") as cache:
        cache.get_or_load_many([1], lambda ids: ids)
        tracer.current = request
        cache.get_or_load_many([1, 2, 3], lambda ids: ids)
        cache.get_or_load_many([1, 2, 3], lambda ids: ids)  # loads nothing
        cache.get_many([1, 9])
    (span,) = tracer.spans
    assert span.name == "predis.load"
    assert span.options == {"child_of": request, "resource": "main", "span_type": "cache"}
    assert span.said == {
        "component": "predis", "predis.cache": "main", "predis.keys": 3, "predis.hits": 1,
    }  # fmt: skip
    assert 0 < span.start_ns < span.finished_at * 1e9


def test_a_span_lasts_as_long_as_the_batch() -> None:
    tracer = Tracer()
    tracer.current = Span("request", {})
    LoadSpans(tracer).on_batch(BatchStats("main", "load", 3, 1, 2_000_000_000))
    (span,) = tracer.spans
    assert span.finished_at - span.start_ns / 1e9 == pytest.approx(2, abs=1e-3)


def test_it_may_be_off(tracer: Tracer) -> None:
    tracer.current = Span("request", {})
    with opened(port=18125, interval="1h", apm=False) as cache:
        cache.get_or_load_many([1], lambda ids: ids)
        assert not any(cache._session.observers.values())  # type: ignore[attr-defined]
    assert tracer.spans == []


def test_a_program_without_a_tracer_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ddtrace", "ddtrace.trace"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert tracer_of_program() is None


def test_ddtrace_is_never_imported() -> None:
    script = """
import sys, types, importlib.abc

class Spy(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        assert name.partition(".")[0] != "ddtrace", "ddtrace is imported"

sys.meta_path.insert(0, Spy())
import predis_core as predis

section = {"port": 18125, "interval": "1h"}
with predis.open({"cache": {"capacity": 10}, "plugins": {"datadog": section}}) as cache:
    cache.get_or_load_many(["a"], lambda ids: ids)
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
