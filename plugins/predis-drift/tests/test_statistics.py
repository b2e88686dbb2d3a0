"""Distances of histograms beside those of scipy, and thresholds from references."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from predis_drift.calibration import PER_WINDOW, calibrate, lasting, spreads, windows
from predis_drift.config import FEATURES
from predis_drift.describing import compact, label
from predis_drift.features import BINS
from predis_drift.statistics import ks, psi, shares, variation

SAMPLES = st.lists(st.integers(0, BINS - 1), min_size=1, max_size=300)


def histogram(values: list[int]) -> npt.NDArray[np.int64]:
    return np.bincount(values, minlength=BINS)


@given(SAMPLES, SAMPLES)
def test_ks_is_the_one_of_scipy(first: list[int], second: list[int]) -> None:
    ours = ks(shares(histogram(first)), shares(histogram(second)))
    assert ours == pytest.approx(stats.ks_2samp(first, second, method="asymp").statistic, abs=1e-12)


@given(SAMPLES, SAMPLES)
def test_psi_is_the_sum_of_both_relative_entropies(first: list[int], second: list[int]) -> None:
    p, q = shares(histogram(first)), shares(histogram(second))
    blurred = [(each + 1e-3) / (1 + 1e-3 * BINS) for each in (p, q)]
    expected = stats.entropy(*blurred) + stats.entropy(*blurred[::-1])
    assert psi(p, q) == pytest.approx(expected, abs=1e-12)


@given(SAMPLES, SAMPLES)
def test_variation_is_what_has_to_move(first: list[int], second: list[int]) -> None:
    p, q = shares(histogram(first)), shares(histogram(second))
    assert variation(p, q) == pytest.approx(np.maximum(q - p, 0).sum(), abs=1e-12)
    assert ks(p, q) <= variation(p, q) + 1e-12


def test_nothing_counted_has_no_shares() -> None:
    assert not shares(np.zeros((2, BINS), np.int64)).any()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(1, 6))
def test_what_lasts_is_the_least_of_windows_without_a_common_block(
    found: list[float], confirmation: int
) -> None:
    got = lasting(np.array(found), confirmation)
    first = PER_WINDOW * (confirmation - 1)
    expected = [min(found[at - first : at + 1 : PER_WINDOW]) for at in range(first, len(found))]
    assert got.tolist() == expected


def test_windows_are_sums_of_blocks_in_a_row() -> None:
    blocks = np.arange(12).reshape(4, 3)
    assert windows(blocks).tolist() == [[3, 5, 7], [9, 11, 13], [15, 17, 19]]


def test_fewer_false_alarms_take_higher_limits() -> None:
    heights = [spreads(rate) for rate in (1.0, 1e-4, 1e-6, 1e-9, 1e-300)]
    assert heights == sorted(heights)
    assert len(set(heights[1:-1])) == 3
    assert all(map(math.isfinite, heights))
    assert spreads(1e-7, features=1) < spreads(1e-7, features=4) < spreads(1e-7)


def test_a_reference_that_varies_has_higher_limits() -> None:
    random = np.random.default_rng(1)
    law = 0.7 ** np.arange(BINS)
    quiet = random.multinomial(1_000, law / law.sum(), (40, len(FEATURES)))
    restless = quiet.copy()
    for at in range(0, 40, 20):
        restless[at : at + 10] = np.roll(restless[at : at + 10], 2, axis=-1)
    cold = [0] * len(FEATURES)
    low, high = (calibrate(each, cold, 3, 5.0) for each in (quiet, restless))
    assert (high.limits > 3 * low.limits).all()
    assert (high.limits_of_psi > 3 * low.limits_of_psi).all()


def test_where_there_is_too_little_to_learn_from_there_is_no_limit() -> None:
    blocks = np.ones((40, len(FEATURES), BINS), np.int64)
    blocks[:, 0] = 0
    cold = [0, 33, *[0] * (len(FEATURES) - 2)]
    limits = calibrate(blocks, cold, 3, 5.0).limits
    assert np.isinf(limits[:2]).all()
    assert np.isfinite(limits[2:]).all()


@pytest.mark.parametrize("feature", FEATURES)
def test_every_bin_has_a_label_of_its_own(feature: str) -> None:
    labels, before, after = compact(feature, np.ones(BINS), np.ones(BINS))  # type: ignore[arg-type]
    assert len(labels) == len(before) == len(after) == BINS
    if feature != "reuse_distance":  # half octaves of small numbers fall together
        assert len(set(labels)) == BINS


def test_labels_say_what_they_stand_for() -> None:
    assert [label("hit_ratio", at) for at in (0, 1)] == ["miss", "hit"]
    assert label("inter_arrival", 20) == "1 s"
    assert label("inter_arrival", 0) == "0.95 µs"
    assert label("value_size", 10) == "1024 B"
    assert label("batch_size", 2) == "4-7"
    assert label("popularity", 3) == "7"
    none = np.zeros(BINS)
    assert compact("hit_ratio", none, none) == ((), (), ())
