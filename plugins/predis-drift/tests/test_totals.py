"""Sizes and namespaces from counters."""

from __future__ import annotations

import numpy as np

from predis_core.plugin import Metric, Sample, Snapshot
from predis_drift.totals import Totals


def snapshot(**namespaces: dict[str, int]) -> Snapshot:
    samples = [
        Sample(
            Metric(f"predis.cache.{name}", "counter", "1", "…"), (space.replace("_", "/"),), value
        )
        for space, counters in namespaces.items()
        for name, value in {**dict.fromkeys(COUNTERS, 0), **counters}.items()
    ]
    return Snapshot("shop", 1, tuple(samples))


COUNTERS = ("hits", "misses", "insertions", "hit_bytes", "inserted_bytes", "evictions")


def test_sizes_are_the_mean_since_the_snapshot_before() -> None:
    totals = Totals()
    first = {"hits": 10, "insertions": 5, "hit_bytes": 1_000, "inserted_bytes": 500}
    sizes, spaces = totals.since(snapshot(shop=first), 3)
    assert sizes.tolist() == [100.0] * 3
    assert spaces is None
    second = {"hits": 12, "insertions": 7, "hit_bytes": 1_200, "inserted_bytes": 1_300}
    assert totals.since(snapshot(shop=second), 1)[0].tolist() == [250.0]
    assert np.isnan(totals.since(snapshot(shop=second), 2)[0]).all()
    assert np.isnan(totals.since(snapshot(shop=first), 2)[0]).all()  # opened anew
    assert np.isnan(Totals().since(Snapshot("shop", 1, ()), 2)[0]).all()


def test_namespaces_come_in_proportion_and_keep_their_numbers() -> None:
    totals = Totals()
    shares = {"shop": {"misses": 100}, "shop_a": {"hits": 200}, "shop_b": {"misses": 100}}
    _, spaces = totals.since(snapshot(**shares), 1_000)
    assert spaces is not None
    assert np.abs(np.bincount(spaces) - [250, 500, 250]).max() <= 5
    for half in (spaces[:500], spaces[500:]):
        assert np.abs(np.bincount(half) - [125, 250, 125]).max() <= 5
    rest = {"shop": {"misses": 100}, "shop_b": {"misses": 140}}
    _, spaces = totals.since(snapshot(**rest), 10)
    assert spaces is not None
    assert set(spaces.tolist()) == {2}
    assert totals.since(snapshot(**rest), 10)[1] is None  # nobody asked for anything
