"""How it looks."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from predis_core.plugin import Distribution
from predis_core.telemetry import BOUNDS, COUNTERS
from predis_top.readings import Reading, Totals
from predis_top.screen import ORDERS, Screen, duration, number, size


def reading(
    cache: str = "shop", pid: int = 7, *, seconds: float | None = 2.0, **counts: int
) -> Reading:
    lately = dict.fromkeys(COUNTERS, 0) | counts
    gauges = {"size": 50, "capacity": 100}
    memory = None if "/" in cache else 25 << 20
    totals = Totals(cache, 0, lately | gauges, {}, memory, "lru")
    batches = Distribution(BOUNDS, (0,) * 5 + (99, 1) + (0,) * (len(BOUNDS) - 6), 0.1)
    return Reading(pid, totals, seconds, lately, {"get": batches})


def drawn(screen: Screen, *readings: Reading, silent: tuple[str, ...] = (), **options: Any) -> str:
    screen.note(readings)
    stream = io.StringIO()
    console = Console(file=stream, width=150, color_system=None)
    console.print(screen.draw(readings, silent, keys=options.get("keys", False)))
    return stream.getvalue()


def cells(text: str, name: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if name in line)
    return re.split(r"\s{2,}", line.strip())


def test_a_cache_is_a_line() -> None:
    text = drawn(Screen("here", 2.0), reading(hits=300, misses=100, evictions=40, loads=8))
    assert cells(text, "shop") == [
        "7", "shop", "lru", "75.0%", "▅", "200", "32.8 µs", "32.8 µs", "20", "4", "━━━━━━━━━━ 50%",
        "25 MiB",
    ]  # fmt: skip
    assert "1 cache in 1 process " in text


def test_what_is_not_known_is_a_dash() -> None:
    text = drawn(Screen("here", 2.0), reading("shop/acme", seconds=None))
    assert cells(text, "/acme")[:5] == ["7", "/acme", "lru", "–", "–"]
    assert cells(text, "/acme")[-1] == "–"


def test_a_namespace_is_below_its_cache_and_a_process_is_named_once() -> None:
    given = [reading("shop/b"), reading("shop"), reading("other", 8)]
    lines = drawn(Screen("here", 2.0), *given).splitlines()
    found = [line.split()[:2] for line in lines if "lru" in line]
    assert found == [["7", "shop"], ["/b", "lru"], ["8", "other"]]


def test_hit_ratios_are_remembered_as_a_line() -> None:
    screen = Screen("here", 2.0)
    for hits in (0, 50, 100):
        text = drawn(screen, reading(hits=hits, misses=100 - hits))
    assert "▁▅█" in text
    drawn(screen)
    assert "▁▅█" not in drawn(screen, reading(hits=1))  # it was gone meanwhile
    for hits in (50, 51, 52):  # a point more or less is no peak
        text = drawn(screen, reading("calm", hits=hits, misses=100 - hits))
    assert "▄▅▅" in text


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ("name", ["busy", "/inner", "idle"]),
        ("look-ups", ["busy", "/inner", "idle"]),
        ("hit ratio", ["idle", "busy", "/inner"]),
        ("memory", ["busy", "/inner", "idle"]),
    ],
)
def test_it_sorts_and_namespaces_stay_below_their_cache(order: str, wanted: list[str]) -> None:
    assert {"name", "look-ups", "hit ratio", "memory"} == set(ORDERS)
    screen = Screen("here", 2.0)
    idle = reading("idle", 9, hits=1)
    given = [reading("busy/inner", 8, hits=9_000), idle, reading("busy", 8, hits=800, misses=10)]
    while screen.order != order:
        screen.next_order()
    text = drawn(screen, *given)
    assert sorted(wanted, key=text.index) == wanted


def test_what_needs_a_look_stands_below() -> None:
    bad = reading(refusals=3, loads=4, load_failures=2)
    bad.now.down.append("otel")
    text = drawn(Screen("here", 2.0), bad, silent=("x.sock: no answer",))
    assert "shop (7): plugin otel does not work, 2 loads failed, 3 entries were refused" in text
    assert "x.sock: no answer" in text
    assert "does not work" not in drawn(Screen("here", 2.0), reading())


def test_without_processes_it_says_what_to_do() -> None:
    text = drawn(Screen("/run/x", 2.0))
    assert "No process has a control socket in /run/x" in text
    assert "state_dir" in text


def test_keys_are_named_where_there_are_some() -> None:
    assert "q quit" in drawn(Screen("here", 2.0), keys=True)
    assert "q quit" not in drawn(Screen("here", 2.0))


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (number(0), "0"),
        (number(999), "999"),
        (number(999.7), "1 k"),
        (number(12_345), "12.3 k"),
        (number(999_900), "1 M"),
        (number(2.5e9), "2.5 G"),
        (duration(5e-9), "5 ns"),
        (duration(32.768e-6), "32.8 µs"),
        (duration(0.25), "250 ms"),
        (duration(1.0), "1 s"),
        (duration(float("inf")), "> 8 s"),
        (size(12), "12 B"),
        (size(1 << 20), "1 MiB"),
        (size(3 << 40), "3 TiB"),
    ],
)
def test_units(shown: str, text: str) -> None:
    assert shown == text
