"""Replays with prefetchers agree with a replay in plain Python, and are shown as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from predis_core.errors import ConfigurationError
from predis_core.replaying import PrefetchReplay, prefetching_plugins
from predis_lab import cli, replay
from predis_lab.ahead import HELP, Ahead, replay_ahead
from predis_lab.html.ahead_page import ahead_page
from predis_lab.workloads import Interleaved, Scan, Zipf
from tests.support.depth import search
from tests.support.shelf import Shelf, shelf_in

SCRIPTED = """
SCRIPT = []

class Scripted:
    def __init__(self, name, shift):
        self.name, self.shift, self.seen = name, shift, 0

    def observe(self, batch):
        assert len(batch.keys) == 1
        self.seen += 1

    def predict(self, limit):
        keys = SCRIPT[self.seen - 1] if self.seen <= len(SCRIPT) else []
        keys = [key + self.shift for key in keys]
        return keys, [0.9] * len(keys)

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_prefetchers(self, cache):
        return [Scripted("scripted", 0), Scripted("astray", 1 << 40)]
"""

IDLE = """
class Plugin:
    def __init__(self, options):
        raise AssertionError("it offers no prefetchers, so it is not started")
"""

MILLISECOND = 1_000_000
GAP = MILLISECOND
CAPACITY = 2_000


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """Where plugins are put for a test."""
    with shelf_in(tmp_path) as made:
        yield made


@pytest.fixture
def script(shelf: Shelf) -> list[list[int]]:
    """What `scripted` proposes after each request, and `astray` beyond all that is asked for."""
    shelf.put("idle", IDLE)
    found: list[list[int]] = shelf.module(shelf.put("scripts", SCRIPTED)).SCRIPT
    return found


# ---- the model -----------------------------------------------------------------------------------


class Counted(NamedTuple):
    misses: int
    late: int
    waited: int
    loads: int
    used: int


def model(keys: Sequence[int], script: Sequence[Sequence[int]], latency: int) -> Counted:
    """Replay into a cache that nothing leaves, which loads whatever is proposed."""
    held: set[int] = set()
    guesses: set[int] = set()
    coming: dict[int, int] = {}
    misses = late = waited = loads = used = 0
    for at, key in enumerate(keys):
        now = (at + 1) * GAP
        for word in [word for word, due in coming.items() if due <= now]:
            del coming[word]
            if word not in held:
                held.add(word)
                guesses.add(word)
        if key not in held:
            misses += 1
            late += key in coming
            waited += coming[key] - now if key in coming else latency
            held.add(key)
        elif key in guesses:
            used += 1
            guesses.remove(key)
        for word in dict.fromkeys(script[at]):
            if word in held or word in coming:
                continue
            loads += 1
            if latency:
                coming[word] = now + latency
            else:
                held.add(word)
                guesses.add(word)
    return Counted(misses, late, waited, loads, used)


@st.composite
def scripts(draw: st.DrawFn) -> tuple[list[int], list[list[int]]]:
    """Requests and proposals: among few keys, so that they meet, and no more than are loaded."""
    few = st.integers(0, 40)
    keys = draw(st.lists(few, max_size=80))
    proposals = [draw(st.lists(few, max_size=3)) for _ in keys]
    return keys, proposals


@settings(search(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scripts(), st.sampled_from([0, GAP // 2, GAP, 3 * GAP + 1, 20 * GAP]))
def test_a_replay_is_that_of_the_model(
    script: list[list[int]], drawn: tuple[list[int], list[list[int]]], latency: int
) -> None:
    keys, proposals = drawn
    script[:] = proposals
    document = {
        "cache": {"capacity": CAPACITY, "policy": "fifo", "seed": 1, "device": "cpu"},
        "plugins": {"scripts": {}},
    }
    with PrefetchReplay(document, prefetchers=["scripted"], latency=latency, gap=GAP) as ahead:
        half = len(keys) // 2
        ahead.feed(np.array(keys[:half], np.int64))
        ahead.feed(np.array(keys[half:], np.int64))
        (stats,) = ahead.stats()
    expected = model(keys, proposals, latency)
    assert Counted(ahead.misses, ahead.late, ahead.waited, stats.loads, stats.used) == expected
    assert stats.late == ahead.late
    assert ahead.requests == len(keys)


def test_a_cache_that_chooses_its_policy_does_so_as_in_a_replay_without() -> None:
    parts = (Zipf(requests=5_000, keys=900, seed=3), Scan(requests=5_000))
    keys = Interleaved(parts, disjoint=True).ids()
    plain = [replay(keys, 300, policy).misses for policy in ("auto", "s3fifo", "lru")]
    assert len(set(plain)) == 3  # what is chosen makes a difference
    document = {"cache": {"capacity": 300, "policy": "auto", "seed": 0, "device": "cpu"}}
    with PrefetchReplay(document) as ahead:
        for part in np.array_split(keys, 7):
            ahead.feed(part)
    assert ahead.misses == plain[0]


# ---- whose proposals -----------------------------------------------------------------------------


def test_prefetchers_are_chosen_by_name_from_all_that_are_installed(
    script: list[list[int]],
) -> None:
    script[:] = [[2], [3], [4]]
    keys = np.arange(1, 5)
    assert "scripts" in prefetching_plugins()
    assert "idle" not in prefetching_plugins()

    def loaded(names: Sequence[str] | None) -> dict[str, int]:
        sections: dict[str, dict[str, Any]] = {"scripts": {}}
        found = replay_ahead(keys, 100, "fifo", prefetchers=names, plugins=sections, latency=0.0)
        return {stats.prefetcher: stats.loads for stats in found.prefetchers}

    assert loaded(["scripted"]) == {"scripted": 3}
    assert loaded(["astray"]) == {"astray": 3}
    assert loaded(None) == {"scripted": 3, "astray": 3}
    with pytest.raises(ConfigurationError, match=r"'oracle'; there are: scripted, astray"):
        loaded(["scripted", "oracle"])


# ---- the command ---------------------------------------------------------------------------------


@pytest.fixture
def trace(tmp_path: Path, script: list[list[int]]) -> Path:
    """A scan, of which three keys in four are loaded ahead."""
    keys = np.arange(200)
    script[:] = [[at + 1] if (at + 1) % 4 else [] for at in keys.tolist()]
    np.save(tmp_path / "scan.npy", keys)
    return tmp_path / "scan.npy"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli.replay, [str(argument) for argument in arguments])


def test_the_command_takes_prefetchers_by_name_and_says_what_they_saved(trace: Path) -> None:
    asked = (trace, "--prefetch", "scripted", "--policies", "fifo", "--sizes", "100")
    instant = call(*asked, "--instantaneous", "--json")
    assert instant.exit_code == 0, instant.output
    (found,) = json.loads(instant.stdout)["replays"]
    shown = {name: found[name] for name in ("requests", "plain_misses", "misses", "loads", "late")}
    assert shown == {"requests": 200, "plain_misses": 200, "misses": 50, "loads": 150, "late": 0}
    shares = {name: found[name] for name in ("saved", "precision", "coverage", "fetches", "harm")}
    assert shares == {"saved": 0.75, "precision": 1, "coverage": 0.75, "fetches": 1, "harm": 0}
    assert (found["fetched"], found["waited"], found["saved_seconds"]) == (200, 0, 0)

    # A load takes 5 ms, the next request comes after 2: who asks waits for the other 3.
    slow = (*asked, "--loader-latency", "5ms", "--arrival-rate", 500)
    (found,) = json.loads(call(*slow, "--json").stdout)["replays"]
    assert (found["misses"], found["late"], found["fetched"]) == (200, 150, 200)
    assert (found["latency"], found["plain_waited"]) == (0.005, 1.0)
    assert found["waited"] == pytest.approx(50 * 0.005 + 150 * 0.003)
    assert found["saved_seconds"] == pytest.approx(150 * 0.002)
    assert found["lateness"] == 1
    table = call(*slow).stdout
    assert "0.3 s" in table
    assert "1.0000" in table


def test_the_command_takes_all_prefetchers_of_a_plugin(trace: Path) -> None:
    asked = (trace, "--prefetch", "scripts", "--policies", "fifo", "--sizes", 100, "--json")
    (found,) = json.loads(call(*asked).stdout)["replays"]
    assert {each["prefetcher"] for each in found["prefetchers"]} == {"scripted", "astray"}


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["oracle"], 1, "'oracle'; there are: "),
        (["scripts,oracle"], 1, "name plugins, or prefetchers"),
        (["scripted", "--loader-latency", "soon"], 2, "--loader-latency"),
        (["scripted", "--arrival-rate", "0"], 2, "--arrival-rate"),
        (["scripted", "--seeds", "2"], 2, "--prefetch goes with"),
        (["scripted", "--png", "curve.png"], 2, "--prefetch goes with"),
    ],
)
def test_mistakes_are_named(
    trace: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, what: str
) -> None:
    monkeypatch.chdir(trace.parent)
    result = call(trace, "--policies", "fifo", "--sizes", 100, "--prefetch", *arguments)
    assert result.exit_code == code, result.output
    assert what in re.sub(r"[\s│]+", " ", result.output)


# ---- the page ------------------------------------------------------------------------------------


def test_the_page_has_plots_and_all_results(trace: Path, tmp_path: Path) -> None:
    report = tmp_path / "ahead.html"
    asked = (trace, "--prefetch", "scripted", "--policies", "fifo,lru", "--sizes", "50,100")
    assert call(*asked, "--report", report).exit_code == 0
    html = report.read_text(encoding="utf-8")
    assert html.count("<svg") == 3  # misses, waiting, guesses
    assert "Bars: seconds waited. scan, fifo, 50: 0.2 s without" in html
    text = re.sub(r"<[^>]*>|\s+", " ", html)
    for told in (
        "fifo + prefetch",
        "lru + prefetch",
        "10,000 requests",
        "scripted",
        *HELP.values(),
    ):
        assert told in text
    assert call(*asked, "--report", report, "--instantaneous").exit_code == 0
    assert report.read_text(encoding="utf-8").count("<svg") == 2  # nobody waits


def test_the_page_of_prefetchers_that_loaded_nothing() -> None:
    empty = Ahead("<t>", "lru", 10, 5, 5, 5, 0, 0.001, 0.005, ())
    html = ahead_page([empty], ["<n>"], 10.0).render()
    assert "&lt;t&gt;: nothing was loaded ahead." in html
    assert "<t>" not in html
    assert "<n>" not in html
