"""Density finds out how fast what was used once should age, and remembers uses in ghosts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from predis_core import policies
from predis_core.policies import density
from predis_core.table import open_table
from predis_core.table.cpu import CpuTable
from tests.support import streams

ENTRIES = 1_000
SPEEDS, STEP, MOST = policies.get("density").parameters


def replayed(
    requests: npt.NDArray[np.int64],
    table: CpuTable | None = None,
    parameters: tuple[int, ...] = (SPEEDS, STEP, MOST),
) -> tuple[int, float, CpuTable]:
    """Return the misses, the mean haste of the sets afterwards, and the table."""
    table = table or open_table(ENTRIES, "density", 1)
    table.set_parameters(parameters)
    misses = int((~table.replay(requests)).sum())
    hastes = [density._haste(int(state)) for state in table.dump().states]
    return misses, float(np.mean(hastes)), table


def scanned(n: int, seed: int) -> npt.NDArray[np.int64]:
    """Popular keys between keys that never come back."""
    requests = streams.uniform(n, 1_200, seed)
    requests[::2] = np.arange(n // 2) + 10_000
    return requests


def short_lived(n: int, seed: int) -> npt.NDArray[np.int64]:
    """Keys that are asked for four times while some 1,500 others are, and never again."""
    return np.arange(n, dtype=np.int64) // 4 + streams.uniform(n, 1_500, seed)


def with_haste(haste: int) -> int:
    """The state of a set that has this haste."""
    return density._state(0, haste, density._FIRST_SHARE)


def test_a_new_set_is_between_both_ends() -> None:
    _, haste, _ = replayed(np.arange(ENTRIES))
    assert haste == MOST / 2


def test_the_haste_grows_where_popular_keys_have_to_be_kept() -> None:
    misses, haste, _ = replayed(scanned(60_000, 1))
    still, fixed, _ = replayed(scanned(60_000, 1), parameters=(SPEEDS, 0, MOST))
    assert fixed == MOST / 2
    assert haste > fixed
    assert misses < still


def test_the_haste_shrinks_where_recent_keys_come_back() -> None:
    misses, haste, _ = replayed(short_lived(60_000, 1))
    still, fixed, _ = replayed(short_lived(60_000, 1), parameters=(SPEEDS, 0, MOST))
    assert haste < fixed / 2
    assert misses < still


def test_the_haste_follows_a_change() -> None:
    _, before, table = replayed(short_lived(40_000, 1))
    _, large, table = replayed(scanned(60_000, 1) + 10**6, table)
    _, after, _ = replayed(short_lived(40_000, 2) + 2 * 10**6, table)
    assert max(before, after) < large


@pytest.mark.parametrize("most", [0, 16, 127])
def test_the_haste_keeps_below_its_highest(most: int) -> None:
    _, haste, _ = replayed(scanned(60_000, 1), parameters=(SPEEDS, 64, most))
    assert 0 <= haste <= most


@pytest.mark.parametrize(("further", "known"), [(0, 2), (1, 3), (2, 4), (7, 4)])
def test_a_key_that_comes_back_has_the_uses_that_its_ghost_tells_of(
    further: int, known: int
) -> None:
    """Used once, twice or more often; coming back counts twice."""
    state, left = density.on_evict(further, 100, 0)
    meta, _ = density.on_insert(200, 0, left, state, 0, (SPEEDS, STEP, MOST))
    assert meta & density._USES == known


def test_a_use_counts_if_another_key_came_in_since_the_last_one() -> None:
    meta, state = density.on_insert(200, 0, 0, 0, 0, ())
    for tick in (210, 220):
        meta = density.on_hit(meta, tick, state, ())
        assert (meta & density._USES, density._used(meta)) == (0, tick)
    _, state = density.on_insert(230, 0, 0, state, 0, ())
    for tick in (240, 250):
        meta = density.on_hit(meta, tick, state, ())
        assert (meta & density._USES, density._used(meta)) == (1, tick)


def test_with_a_further_use_an_entry_ages_at_three_quarters_of_the_speed() -> None:
    """What was not used again ages faster by the haste, which doubles every sixteenth step."""

    def rank(age: int, uses: int, haste: int) -> int:
        meta, _ = density.on_insert(10_000 - age, 0, 0, 0, 0, ())
        return density.rank(meta + uses, 10_000, with_haste(haste), 0, (SPEEDS, STEP, MOST))

    assert rank(299, 0, 0) == rank(399, 1, 0)
    for haste in (0, 48, 80):
        assert rank(299, 1, haste) == rank(399, 2, haste) == rank(399, 2, 0)
        assert rank(299, 0, haste) == rank(299, 0, 0) << haste // 16


def test_a_tick_that_lies_ahead_is_no_age() -> None:
    """Calls overlap: an entry may have been used at a tick after that of the choice."""
    ahead, _ = density.on_insert(10_050, 0, 0, 0, 0, ())
    now, _ = density.on_insert(10_000, 0, 0, 0, 0, ())
    ranks = [density.rank(meta, 10_000, 0, 0, (SPEEDS, STEP, MOST)) for meta in (ahead, now)]
    assert ranks[0] == ranks[1]
