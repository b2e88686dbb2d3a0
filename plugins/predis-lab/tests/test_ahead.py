"""Replays with prefetchers: what they count, and in what time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from predis_core.errors import PredisError
from predis_core.replaying import PrefetchReplay
from predis_lab import replay
from predis_lab.ahead import HEAD, Ahead, replay_ahead, rows
from predis_lab.cli import replay as command
from tests.support.depth import search

MILLISECOND = 1_000_000
SCANS = {"prefetch": {"prefetchers": ["readahead"]}}


def opened(plugins: object = None, latency: int = 0, gap: int = MILLISECOND) -> PrefetchReplay:
    cache = {"capacity": 1_000, "policy": "lru", "seed": 1, "device": "cpu"}
    return PrefetchReplay({"cache": cache, "plugins": plugins or {}}, latency=latency, gap=gap)


@search(30)
@given(st.lists(st.integers(0, 60), max_size=300), st.sampled_from(["lru", "s3fifo", "auto"]))
def test_without_prefetchers_it_misses_what_a_replay_misses(keys: list[int], policy: str) -> None:
    array = np.array(keys, np.int64)
    found = replay_ahead(array, 40, policy, plugins={}, latency=0.5, seed=3)
    assert found.misses == found.plain_misses == replay(array, 40, policy, seed=3).misses
    assert found.waited == found.plain_waited == found.misses / 2
    assert found.loads == found.late == found.saved == found.saved_seconds == 0


def test_a_scan_is_there_at_once_if_loads_take_no_time() -> None:
    with opened(SCANS) as cache:
        cache.feed(np.arange(500))
        assert (cache.requests, cache.late, cache.waited) == (500, 0, 0)
        assert 3 <= cache.misses < 50  # a set takes no more guesses than a quarter of its ways
        (stats,) = cache.stats()
        assert stats.used == 500 - cache.misses


def test_what_is_late_is_waited_for_only_as_long_as_it_takes() -> None:
    with opened(SCANS, latency=5 * MILLISECOND) as cache:
        cache.feed(np.arange(3))
        assert (cache.misses, cache.late, cache.waited) == (3, 0, 15 * MILLISECOND)
        # The next four are being loaded since the third was asked for.
        for number, left in zip(range(3, 7), (4, 3, 2, 1), strict=True):
            before = cache.waited
            cache.feed(np.array([number]))
            assert cache.waited - before == left * MILLISECOND
        assert cache.late == 4
        cache.feed(np.arange(7, 1_000))
        assert cache.waited < 1_000 * MILLISECOND  # of 5,000; by then it looks far enough ahead
        cache.feed(np.array([1 << 50]))
        assert cache.misses > cache.late


@pytest.mark.parametrize("latency", [0.0, 0.002])
def test_the_same_requests_give_the_same_figures(latency: float) -> None:
    random = np.random.default_rng(1)
    keys = np.concatenate([random.integers(0, 3_000, 2_000), np.arange(2_000)] * 2)
    seen: list[tuple[int, int]] = []

    def again(progress: bool) -> Ahead:
        return replay_ahead(
            keys,
            300,
            "lru",
            plugins={"prefetch": {}},
            latency=latency,
            rate=2_000,
            progress=(lambda done, total: seen.append((done, total))) if progress else None,
        )

    one, other = again(False), again(True)
    assert one == other
    assert seen[-1] == (len(keys), len(keys))
    assert one.loads > 0
    assert one.misses < one.plain_misses
    assert one.waited <= one.misses * latency
    assert one.saved_seconds >= 0
    assert one.fetches <= 1.3
    assert 0.5 <= one.precision <= 1
    assert one.coverage <= 1
    assert (one.lateness > 0) == (latency > 0)
    (row,) = rows([one])
    assert len(row) == len(HEAD)
    known = json.loads(json.dumps(one.as_dict()))
    assert known["saved"] == one.saved
    assert [each["prefetcher"] for each in known["prefetchers"]] == ["association", "readahead"]


def test_what_cannot_be_replayed_is_named() -> None:
    keys = np.arange(3)
    with pytest.raises(PredisError, match="crystal_ball"):
        replay_ahead(keys, 10, plugins={"crystal_ball": {}})
    with pytest.raises(ValueError, match="rate 0"):
        replay_ahead(keys, 10, plugins={}, rate=0)
    empty = replay_ahead(keys[:0], 10, plugins={"prefetch": {}})
    assert (empty.requests, empty.saved, empty.fetches, empty.precision) == (0, 0, 0, 0)


def test_the_command_shows_what_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "scan.npy"
    np.save(path, np.tile(np.arange(400), 3))
    arguments = [str(path), "--prefetch", "prefetch", "--policies", "lru", "--sizes", "25%,50"]
    shown = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "waiting saved" in shown.output.replace("\n", " ")
    told = CliRunner().invoke(command, [*arguments, "--json", "--loader-latency", "0"])
    first, second = json.loads(told.stdout)["replays"]
    assert (first["entries"], second["entries"]) == (100, 50)
    assert first["plain_misses"] == 1_200
    assert first["misses"] < 600
    assert first["waited"] == 0


@pytest.mark.parametrize("other", [["--curve"], ["--batch", "10"], ["--memory", "1MiB"]])
def test_prefetch_goes_with_no_other_way_to_replay(tmp_path: Path, other: list[str]) -> None:
    path = tmp_path / "scan.npy"
    np.save(path, np.arange(10))
    shown = CliRunner().invoke(command, [str(path), "--prefetch", "prefetch", *other])
    assert shown.exit_code == 2
    assert "--prefetch" in shown.output or "--memory" in shown.output


def test_a_plugin_that_is_not_there_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "scan.npy"
    np.save(path, np.arange(10))
    shown = CliRunner().invoke(command, [str(path), "--prefetch", "crystal_ball"])
    assert shown.exit_code == 1
    assert "crystal_ball" in shown.output
