"""The statistics that each workload promises, measured on what it yields.

Every bound is wide enough for the sampling error of its own stream (seeds are fixed, so a test
passes or fails for good) and narrow enough that a changed distribution leaves it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from predis_lab.workloads import (
    Game,
    Interleaved,
    Loop,
    Market,
    Phases,
    Scan,
    Training,
    Workload,
    Zipf,
)
from predis_lab.workloads.game import Step
from predis_lab.workloads.market import OPENING_PRICE, PRICE_BITS, Ticks
from predis_lab.workloads.mix import RANGE
from predis_lab.workloads.zipf import zipf_shares

SMALL: dict[str, Workload] = {
    "zipf": Zipf(requests=5_500, keys=100, seed=3),
    "scan": Scan(requests=5_500, start=-7),
    "loop": Loop(keys=30, rounds=20, batch=7, seed=3),
    "phases": Phases((Zipf(requests=500, keys=50), Scan(requests=100)), rounds=2),
    "interleaved": Interleaved((Zipf(requests=500, keys=50), Scan(requests=900)), seed=3),
    "training": Training(samples=1_000, epochs=2, jobs=2, seed=3),
    "market": Market(ticks=5_000, symbols=100, seed=3),
    "game": Game(steps=30, side=8, seed=3),
}


@pytest.mark.parametrize("name", SMALL)
def test_equal_configurations_yield_equal_streams(name: str) -> None:
    workload = SMALL[name]
    ids = workload.ids()
    assert ids.dtype == np.int64
    assert len(ids) > 500
    assert np.array_equal(ids, workload.ids())
    assert np.array_equal(ids, replace(workload).ids())  # type: ignore[type-var]


@pytest.mark.parametrize("name", sorted(SMALL.keys() - {"scan", "phases"}))
def test_another_seed_yields_another_stream(name: str) -> None:
    ids = SMALL[name].ids()
    other = replace(SMALL[name], seed=4).ids()  # type: ignore[type-var]
    assert not np.array_equal(ids, other)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Zipf(requests=0), "requests"),
        (lambda: Zipf(exponent=-1), "exponent"),
        (lambda: Scan(batch=0), "batch"),
        (lambda: Loop(rounds=0), "rounds"),
        (lambda: Phases(()), "parts"),
        (lambda: Interleaved((Scan(),), weights=(1, 2)), "weights"),
        (lambda: Training(workers=0), "workers"),
        (lambda: Market(hot_share=1.5), "hot_share"),
        (lambda: Market(symbols=3), "hot_symbols"),
        (lambda: Game(radius=-1), "radius"),
        (lambda: Game(straight=2), "straight"),
    ],
)
def test_a_wrong_field_is_named(make: type[Workload], field: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field} is "):
        make()


# ---- zipf ----------------------------------------------------------------------------------------


def counts_by_rank(workload: Zipf) -> np.ndarray:
    return np.bincount(workload.ids(), minlength=workload.keys)[workload.by_popularity()]


@pytest.mark.parametrize("exponent", [0.6, 0.8, 1.0, 1.3])
def test_zipf_has_its_exponent(exponent: float) -> None:
    """The slope of log frequency over log rank, where every rank has hundreds of requests."""
    counts = counts_by_rank(Zipf(requests=1_000_000, keys=10_000, exponent=exponent, seed=1))
    rank = np.arange(1, 101)
    slope = np.polyfit(np.log(rank), np.log(counts[:100]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.02)


def test_zipf_has_the_share_of_every_rank() -> None:
    """Chi square per degree of freedom over 1,000 ranks: 1 +- 0.045 if the shares are right."""
    workload = Zipf(requests=1_000_000, keys=1_000, exponent=0.9, seed=1)
    expected = workload.requests * zipf_shares(1_000, 0.9)
    chi_square = ((counts_by_rank(workload) - expected) ** 2 / expected).sum()
    assert chi_square / 999 == pytest.approx(1.0, abs=0.15)


def test_zipf_draws_are_independent() -> None:
    ids = Zipf(requests=500_000, keys=1_000, exponent=0.9, seed=1).ids()
    repeats = np.mean(ids[1:] == ids[:-1])
    assert repeats == pytest.approx((zipf_shares(1_000, 0.9) ** 2).sum(), rel=0.05)


def test_zipf_exponent_zero_is_uniform() -> None:
    counts = np.bincount(Zipf(requests=100_000, keys=100, exponent=0.0).ids(), minlength=100)
    assert counts.min() > 850
    assert counts.max() < 1_150


def test_zipf_popularity_does_not_follow_the_ids() -> None:
    ranked = Zipf(keys=10_000, seed=2).by_popularity()
    assert abs(np.corrcoef(ranked, np.arange(10_000))[0, 1]) < 0.04


# ---- scan and loop -------------------------------------------------------------------------------


def lru_hits(ids: Iterable[int], capacity: int) -> int:
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in ids:
        if key in held:
            hits += 1
            held.move_to_end(key)
        else:
            held[key] = None
            if len(held) > capacity:
                held.popitem(last=False)
    return hits


def test_a_scan_never_returns() -> None:
    ids = Scan(requests=2_500, start=40).ids()
    assert ids.tolist() == list(range(40, 2_540))


def test_a_loop_defeats_an_lru_that_is_one_entry_too_small() -> None:
    workload = Loop(keys=300, rounds=4, seed=1)
    ids = workload.ids().tolist()
    assert lru_hits(ids, 299) == 0
    assert lru_hits(ids, 300) == 900
    assert ids[:300] != sorted(ids[:300])


# ---- mixes ---------------------------------------------------------------------------------------


def test_phases_follow_each_other() -> None:
    loop, scan = Loop(keys=5, rounds=2), Scan(requests=4)
    apart = Phases((loop, scan), rounds=2, disjoint=True).ids()
    once = [*loop.ids().tolist(), *(scan.ids() + RANGE).tolist()]
    assert apart.tolist() == once * 2
    shared = Phases((loop, scan)).ids()
    assert set(shared[-4:]) < set(shared[:5])


def test_interleaving_keeps_the_order_of_each_part() -> None:
    parts = (Scan(requests=3_000), Zipf(requests=1_000, keys=50), Loop(keys=7, rounds=10))
    mixed = Interleaved(parts, disjoint=True, seed=5, batch=64).ids()
    for index, part in enumerate(parts):
        mine = mixed[mixed // RANGE == index] - index * RANGE
        assert np.array_equal(mine, part.ids())
    assert len(mixed) == 4_070


def test_interleaving_has_its_weights() -> None:
    parts = (Scan(requests=30_000), Scan(requests=30_000))
    mixed = Interleaved(parts, weights=(3.0, 1.0), disjoint=True, seed=5).ids()
    while_both_last = mixed[:30_000] // RANGE
    assert while_both_last.mean() == pytest.approx(0.25, abs=0.01)
    changes = np.mean(np.diff(while_both_last) != 0)
    assert changes == pytest.approx(2 * 0.25 * 0.75, abs=0.015)


# ---- training ------------------------------------------------------------------------------------


def test_each_epoch_is_a_permutation() -> None:
    workload = Training(samples=1_000, epochs=3, batch=64, seed=2)
    epochs = workload.ids().reshape(3, 1_000)
    assert np.array_equal(np.sort(epochs, axis=1), np.tile(np.arange(1_000), (3, 1)))


def test_epochs_are_shuffled_anew() -> None:
    workload = Training(samples=10_000, epochs=4, seed=2)
    orders = np.stack([np.arange(10_000), *(workload.order(epoch) for epoch in range(4))])
    positions = np.argsort(orders, axis=1)
    correlation = np.corrcoef(positions) - np.eye(5)
    assert np.abs(correlation).max() < 0.04


def test_workers_share_an_epoch_evenly_and_without_overlap() -> None:
    workload = Training(samples=1_000, epochs=2, workers=3, batch=64)
    for epoch in range(2):
        steps = [step for step in workload.steps() if step.epoch == epoch]
        assert [step.worker for step in steps] == [number % 3 for number in range(16)]
        read = [np.concatenate([s.ids for s in steps if s.worker == w]) for w in range(3)]
        assert sorted(np.concatenate(read)) == list(range(1_000))
        assert max(map(len, read)) - min(map(len, read)) <= 64


@pytest.mark.parametrize("same", [True, False])
def test_jobs_advance_side_by_side(same: bool) -> None:
    workload = Training(samples=1_000, epochs=2, jobs=2, batch=100, same_order=same)
    steps = list(workload.steps())
    assert [step.job for step in steps] == [0, 1] * 20
    pairs = zip(steps[::2], steps[1::2], strict=True)
    equal = [np.array_equal(one.ids, two.ids) for one, two in pairs]
    assert all(equal) if same else not any(equal)
    for job in range(2):
        ids = np.concatenate([step.ids for step in steps if step.job == job])
        assert np.bincount(ids).tolist() == [2] * 1_000


def test_sample_sizes_are_lognormal() -> None:
    logs = np.log(Training(samples=50_000, median_bytes=100_000, sigma=0.5).sizes())
    assert np.exp(np.median(logs)) == pytest.approx(100_000, rel=0.02)
    assert logs.std() == pytest.approx(0.5, rel=0.02)
    skewness = ((logs - logs.mean()) ** 3).mean() / logs.std() ** 3
    assert abs(skewness) < 0.05


# ---- market --------------------------------------------------------------------------------------

SESSION = Market(ticks=400_000, symbols=500, seed=7)


@pytest.fixture(scope="module")
def ticks() -> Ticks:
    return Ticks(*map(np.concatenate, zip(*SESSION.session_ticks(), strict=True)))


def test_the_number_of_ticks_is_poisson(ticks: Ticks) -> None:
    assert abs(len(ticks.ids) - 400_000) < 4 * 400_000**0.5


def test_ticks_are_in_order_and_within_the_session(ticks: Ticks) -> None:
    assert (np.diff(ticks.seconds) >= 0).all()
    assert ticks.seconds[0] >= 0
    assert ticks.seconds[-1] < SESSION.session


def test_the_open_and_the_close_burst(ticks: Ticks) -> None:
    """Ticks of a minute at the open, at noon and at the close, over the quiet rate."""
    per_minute = np.histogram(ticks.seconds, bins=390, range=(0, SESSION.session))[0]
    noon = per_minute[180:240].mean()
    fade = (1 - np.exp(-0.1)) / 0.1
    assert per_minute[0] / noon == pytest.approx(1 + 15 * fade, rel=0.06)
    assert per_minute[-1] / noon == pytest.approx(1 + 5 * fade, rel=0.10)
    assert per_minute[10] / noon == pytest.approx(1 + 15 * fade / np.e, rel=0.10)


def test_arrivals_are_a_poisson_process_of_the_stated_rate(ticks: Ticks) -> None:
    """Counts per minute scatter around the integral of the rate as much as Poisson's do."""
    edges = np.linspace(0, SESSION.session, 391)
    counts = np.histogram(ticks.seconds, bins=edges)[0]
    middle = (edges[1:] + edges[:-1]) / 2
    expected = (
        60 * (SESSION.rate(edges[1:]) + 4 * SESSION.rate(middle) + SESSION.rate(edges[:-1])) / 6
    )
    chi_square = ((counts - expected) ** 2 / expected).sum() / 390
    assert chi_square == pytest.approx(1.0, abs=0.25)


def test_hot_symbols_get_their_share(ticks: Ticks) -> None:
    news = SESSION.news()
    period = (ticks.seconds // SESSION.hot_seconds).astype(int)
    in_news = (news[period] == ticks.symbols[:, None]).any(axis=1)
    by_chance = SESSION.hot_symbols / SESSION.symbols * (1 - SESSION.hot_share)
    assert in_news.mean() == pytest.approx(SESSION.hot_share + by_chance, abs=0.02)
    later = (news[(period + 7) % len(news)] == ticks.symbols[:, None]).any(axis=1)
    assert later.mean() < 0.05


def test_symbols_have_zipf_popularity() -> None:
    """Without news: the slope of log frequency over log rank of the 50 most active symbols."""
    quiet = replace(SESSION, hot_share=0.0)
    symbols = quiet.ids() >> PRICE_BITS
    counts = np.sort(np.bincount(symbols, minlength=500))[::-1]
    slope = np.polyfit(np.log(np.arange(1, 51)), np.log(counts[:50]), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.03)


def test_order_books_are_touched_near_the_middle(ticks: Ticks) -> None:
    """Distances are geometric: mean `depth`, each step away less likely by the same factor."""
    distance = np.abs(ticks.prices - ticks.mids)
    assert distance.mean() == pytest.approx(SESSION.depth, rel=0.01)
    counts = np.bincount(distance)[:20]
    assert counts[1:] / counts[:-1] == pytest.approx(5 / 6, rel=0.08)
    assert np.mean(ticks.prices > ticks.mids) == pytest.approx(5 / 12, abs=0.005)


def test_prices_walk_in_single_steps(ticks: Ticks) -> None:
    """Per symbol the middle moves by -1, 0 or 1 per tick, as often as `moves`, without drift."""
    order = np.argsort(ticks.symbols, kind="stable")
    same = np.diff(ticks.symbols[order]) == 0
    steps = np.diff(ticks.mids[order])[same]
    assert set(np.unique(steps)) == {-1, 0, 1}
    assert np.mean(steps != 0) == pytest.approx(SESSION.moves, rel=0.03)
    assert abs(steps.mean()) < 4 * (SESSION.moves / len(steps)) ** 0.5
    first = ticks.mids[order][np.flatnonzero(np.diff(ticks.symbols[order], prepend=-1))]
    assert np.abs(first - OPENING_PRICE).max() == 1


def test_ids_are_rows_of_order_books(ticks: Ticks) -> None:
    assert np.array_equal(ticks.ids >> PRICE_BITS, ticks.symbols)
    assert np.array_equal(ticks.ids & ((1 << PRICE_BITS) - 1), ticks.prices)
    assert np.array_equal(SESSION.ids(), ticks.ids)


# ---- game ----------------------------------------------------------------------------------------

ROAM = Game(steps=2_000, players=3, levels=4, level_steps=300, seed=7)


@pytest.fixture(scope="module")
def walk() -> list[Step]:
    return list(ROAM.walk())


def paths(walk: list[Step]) -> np.ndarray:
    """int64[players, steps, 2], the cells that each player was in."""
    return np.array([[s.cell for s in walk if s.player == p] for p in range(ROAM.players)])


def test_players_take_turns(walk: list[Step]) -> None:
    assert [step.player for step in walk] == [0, 1, 2] * ROAM.steps


def test_levels_change_when_they_should(walk: list[Step]) -> None:
    levels = np.array([step.level for step in walk[::3]])
    assert np.array_equal(levels, np.arange(2_000) // 300 % 4)


def test_players_move_to_neighbouring_cells_and_mostly_straight_on(walk: list[Step]) -> None:
    cells = paths(walk)
    moves = np.diff(cells, axis=1)
    within = np.diff(np.arange(2_000) // 300) == 0
    distance = np.abs(moves).sum(axis=2)
    assert (distance[:, within] == 1).all()
    inner = ((cells > 0) & (cells < ROAM.side - 1)).all(axis=2)[:, 1:-1]
    both = inner & within[1:] & within[:-1]
    straight = (moves[:, 1:] == moves[:, :-1]).all(axis=2)[both].mean()
    assert straight == pytest.approx(ROAM.straight + (1 - ROAM.straight) / 4, abs=0.02)


def test_a_step_needs_the_neighbourhood_and_nothing_else(walk: list[Step]) -> None:
    cells = ROAM.cells()
    for step in walk[::50]:
        x, y = step.cell
        wanted = {
            asset
            for i in range(ROAM.side)
            for j in range(ROAM.side)
            if max(abs(i - x), abs(j - y)) <= ROAM.radius
            for asset in cells[step.level, i, j].tolist()
        }
        assert step.ids.tolist() == sorted(wanted)


def test_neighbouring_steps_overlap_and_levels_do_not(walk: list[Step]) -> None:
    """Of a 5 x 5 neighbourhood, one step leaves 20 cells in place."""
    own = ROAM.assets - ROAM.shared_assets

    def overlap(one: Step, two: Step) -> float:
        here, there = one.ids[one.ids < own], two.ids[two.ids < own]
        return len(np.intersect1d(here, there)) / max(len(here), len(there))

    player = walk[::3]
    overlaps = np.array([overlap(*pair) for pair in zip(player[1:], player[:-1], strict=True)])
    borders = np.arange(1, 2_000) % 300 == 0
    assert overlaps[~borders].mean() == pytest.approx(0.8, abs=0.05)
    assert overlaps[borders].max() == 0.0


def test_cells_have_assets_of_their_own_and_shared_ones() -> None:
    cells = ROAM.cells()
    assert cells.shape == (4, 32, 32, 10)
    own, shared = cells[..., :6].ravel(), cells[..., 6:].ravel()
    assert np.array_equal(np.sort(own), np.arange(ROAM.assets - ROAM.shared_assets))
    assert shared.min() >= ROAM.assets - ROAM.shared_assets
    counts = np.sort(np.bincount(shared - (ROAM.assets - ROAM.shared_assets)))[::-1]
    slope = np.polyfit(np.log(np.arange(1, 51)), np.log(counts[:50]), 1)[0]
    assert slope == pytest.approx(-ROAM.exponent, abs=0.05)


def test_asset_sizes_are_heavy_tailed() -> None:
    """Lognormal with sigma 1.5: the 99th percentile is 33 times the median."""
    sizes = ROAM.sizes()
    assert len(sizes) == ROAM.assets == 4 * 32 * 32 * 6 + 500
    assert np.median(sizes) == pytest.approx(40_000, rel=0.03)
    assert np.quantile(sizes, 0.99) / np.median(sizes) == pytest.approx(32.8, rel=0.08)
    assert sizes.min() >= 1


def test_players_get_around_more_the_straighter_they_walk(walk: list[Step]) -> None:
    """Columns and rows that a player saw during a level: diffusion with and without persistence."""
    aimless = list(replace(ROAM, straight=0.0).walk())
    spread, slow = (np.ptp(paths(steps)[:, :300], axis=1).mean() for steps in (walk, aimless))
    assert spread > 20
    assert slow < 0.8 * spread
