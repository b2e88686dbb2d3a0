"""The value that a curve is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from predis_core.adapt import MissRatioCurve
from predis_core.errors import CurveError


def curve(**other: Any) -> MissRatioCurve:
    given: dict[str, Any] = {
        "policy": "lru",
        "sizes": np.array([10, 100, 1_000]),
        "miss_ratios": np.array([0.8, 0.5, 0.1]),
        "error": np.array([0.01, 0.02, 0.01]),
        "requests": 5_000,
        "sampled": 50,
        "rate": 0.01,
    }
    return MissRatioCurve(**given | other)


def test_between_its_sizes_a_curve_is_a_straight_line_over_their_logarithms() -> None:
    assert curve().miss_ratio(100) == 0.5
    assert curve().miss_ratio(10 * 10**0.5) == pytest.approx(0.65)
    assert curve().miss_ratio(0) == 1.0
    assert curve().miss_ratio(5) == pytest.approx(0.9)
    assert curve().miss_ratio(10**9) == pytest.approx(0.1)
    assert curve().miss_ratio([10, 1_000]).tolist() == pytest.approx([0.8, 0.1])


@pytest.mark.parametrize(
    ("hit_ratio", "size"),
    [
        (0.0, 1),
        (0.1, 5),
        (0.2, 10),
        (0.35, 32),
        (0.5, 100),
        (0.7, 317),
        (0.9, 1_000),
        (1 - 0.1, 1_000),
    ],
)
def test_a_size_is_the_smallest_that_reaches_a_hit_ratio(hit_ratio: float, size: int) -> None:
    assert curve().size_for(hit_ratio) == size
    assert 1 - curve().miss_ratio(size) >= hit_ratio - 1e-12


def test_a_flat_curve_has_its_first_size_for_what_it_reaches() -> None:
    flat = curve(miss_ratios=np.array([0.4, 0.4, 0.4]))
    assert flat.size_for(0.6) == 10


def test_a_hit_ratio_out_of_reach_is_refused() -> None:
    with pytest.raises(CurveError) as raised:
        curve().size_for(0.95)
    assert str(raised.value) == (
        "hit_ratio: 0.95 is out of reach: lru has a hit ratio of 0.9000 with 1,000 entries, the "
        "largest size of its curve"
    )


@pytest.mark.parametrize("wrong", [1.5, -0.1, float("nan"), True, "0.9", None])
def test_what_is_no_hit_ratio_is_refused(wrong: Any) -> None:
    with pytest.raises(CurveError) as raised:
        curve().size_for(wrong)
    assert str(raised.value) == f"hit_ratio: expected a number from 0 to 1, got {wrong!r}"


def test_a_curve_goes_into_json() -> None:
    whole = curve(live=curve(policy="s3fifo"))
    document = json.loads(json.dumps(whole.as_dict()))
    assert document["sizes"] == [10, 100, 1_000]
    assert document["lost"] == 0
    assert document["live"]["policy"] == "s3fifo"
    assert document["live"]["live"] is None


def test_a_curve_says_in_short_what_it_is() -> None:
    assert repr(curve()) == (
        "<MissRatioCurve of lru: 80.0% misses with 10 entries, 10.0% with 1,000; 50 of 5,000 "
        "requests sampled>"
    )
