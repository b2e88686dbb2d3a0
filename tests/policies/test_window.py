"""W-TinyLFU finds the size of its window; LFU forgets what was popular."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from predis_core import policies
from predis_core.policies import wtinylfu
from predis_core.table import open_table
from predis_core.table.cpu import CpuTable
from tests.support import streams

ENTRIES = 1_000
ADAPTIVE = policies.get("wtinylfu").parameters
FIXED = (ADAPTIVE[0], 0, ADAPTIVE[2])  # no step: a window of one key


def drift(n: int, seed: int) -> npt.NDArray[np.int64]:
    """Keys that are asked for a few times within a short while, and never again."""
    return np.arange(n, dtype=np.int64) // 4 + streams.uniform(n, 600, seed)


def replayed(
    parameters: tuple[int, ...], requests: npt.NDArray[np.int64], table: CpuTable | None = None
) -> tuple[int, float, CpuTable]:
    """Return the misses, the mean size of the sets' windows afterwards, and the table."""
    table = table or open_table(ENTRIES, "wtinylfu", 1)
    table.set_parameters(parameters)
    misses = int((~table.replay(requests)).sum())
    windows = [wtinylfu._window(int(state)) for state in table.dump().states]
    return misses, float(np.mean(windows)), table


def test_the_window_grows_where_recent_keys_come_back() -> None:
    fixed, one, _ = replayed(FIXED, drift(60_000, 1))
    adaptive, size, _ = replayed(ADAPTIVE, drift(60_000, 1))
    assert one == 1
    assert size > 10
    assert adaptive < fixed / 2


def test_the_window_stays_small_where_popular_keys_come_back() -> None:
    fixed, _, _ = replayed(FIXED, streams.zipf(60_000, 9_000, 1))
    adaptive, size, _ = replayed(ADAPTIVE, streams.zipf(60_000, 9_000, 1))
    assert size < 5
    assert adaptive == pytest.approx(fixed, rel=0.01)


def test_the_window_follows_a_change() -> None:
    _, before, table = replayed(ADAPTIVE, drift(30_000, 1))
    _, small, table = replayed(ADAPTIVE, streams.zipf(60_000, 9_000, 1) + 10**6, table)
    _, large, _ = replayed(ADAPTIVE, drift(30_000, 2) + 2 * 10**6, table)
    assert small < 8
    assert min(before, large) > 10


@pytest.mark.parametrize("most", [0, 25, 50])
def test_the_window_keeps_below_its_longest(most: int) -> None:
    _, size, table = replayed((ADAPTIVE[0], ADAPTIVE[1], most), drift(30_000, 1))
    assert 1 <= size <= 1 + 28 * most / 100
    assert len(table.export(0).keys.words) == ENTRIES


def test_lfu_forgets_what_was_popular() -> None:
    """Keys with the most uses there can be leave once others are asked for a few times each."""
    table = open_table(28, "lfu", 1)
    table.replay(np.tile(np.arange(28), 100))
    table.replay(100 + drift(4_000, 3) % 28)
    assert table.export(0).keys.words.min() >= 100
