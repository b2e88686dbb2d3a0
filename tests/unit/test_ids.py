"""The distinct ids of a batch: as a dict would tell them apart, without a dict of them all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from predis_core.ids import NO_IDS, Claims, Ids, dicts_of, distinct, listed
from predis_core.table.batches import part_of
from predis_core.table.interface import Keys
from predis_core.table.keys import codec
from tests.support.steps import counted, whole

# Far apart or side by side, negative or not; and so few that a batch has each many times.
NUMBERS = [*range(-3, 9_000), *(n << 40 for n in range(1_000)), *(-7 * n for n in range(500))]
SAME_HASH = [0, 2**61 - 1, 2 * (2**61 - 1), -1, -2, 5, 2**61 + 4]


def batch(kind: str, numbers: Any) -> tuple[Keys, list[Any]]:
    keys = [n if kind in ("int64", "any") else f"key {n}" for n in numbers]
    return codec(kind, 3).encode(keys), keys


def ids_of(keys: Keys, positions: Any = None, size: int = 100) -> Ids:
    at = np.arange(len(keys.words)) if positions is None else np.array(positions)
    return whole(distinct(keys, at, size))


@pytest.mark.parametrize("kind", ["int64", "str", "any"])
@pytest.mark.parametrize(("n", "few"), [(1, 1), (7, 3), (9_000, 9_000), (30_000, 5_000)])
@pytest.mark.parametrize("size", [64, 100_000])
def test_ids_are_those_of_a_dict_in_its_order(kind: str, n: int, few: int, size: int) -> None:
    random = np.random.default_rng(n)
    keys, given = batch(kind, random.choice(NUMBERS[:few] + NUMBERS[-few:], n).tolist())
    positions = np.sort(random.permutation(n)[: max(1, n - n // 3)])
    some = [given[at] for at in positions]
    first: dict[Any, int] = {}
    for position, key in zip(positions.tolist(), some, strict=True):
        first.setdefault(key, position)
    index = {key: place for place, key in enumerate(first)}

    ids = ids_of(keys, positions, size)

    assert ids.listed() == list(index)
    assert len(ids) == len(index)
    assert ids.at.tolist() == [index[key] for key in some]
    assert ids.first.tolist() == list(first.values())
    assert ids.places(keys).tolist() == [index.get(key, -1) for key in given]
    assert ids.has_refs is (kind != "int64")


def test_an_id_that_stands_everywhere_is_one() -> None:
    ids = ids_of(batch("any", [4] * 20_000)[0])
    assert ids.listed() == [4]
    assert not ids.at.any()


@pytest.mark.parametrize("more", [0, 5_000])
def test_ids_of_one_hash_are_told_apart_by_their_equality(more: int) -> None:
    nan = float("nan")
    given = [*SAME_HASH, nan, True, 1.0, 1, -2.0]
    keys = codec("any", 3).encode([*given, *range(10, 10 + more), nan])
    ids = ids_of(keys)
    assert ids.listed()[:9] == [*SAME_HASH, nan, True]
    assert ids.places(keys)[:12].tolist() == [*range(9), 8, 8, 4]
    assert ids.places(keys)[-1] == 7
    others = codec("any", 3).encode([3 * (2**61 - 1), float("nan"), 6, -(2**61), 2 * (2**61) + 3])
    assert ids.places(others).tolist() == [-1] * 5


def test_a_batch_is_told_apart_in_many_steps() -> None:
    n = 100_000
    for keys in (batch("int64", range(n))[0], batch("any", range(n))[0]):
        assert counted(distinct(keys, np.arange(n), 256))[1] > n / 256


def test_a_load_that_has_not_begun_has_no_ids() -> None:
    assert len(NO_IDS) == 0
    assert NO_IDS.listed() == []


def claim(claims: Claims[str], keys: Keys, holder: str) -> list[str]:
    return claims.claim(dicts_of(keys.words), listed(keys), holder)


@pytest.mark.parametrize("kind", ["int64", "str", "any"])
def test_a_claim_stays_with_who_was_first(kind: str) -> None:
    keys, asked = batch(kind, range(1_000))
    claims = Claims[str]()
    assert claim(claims, part_of(keys, slice(0, 600)), "one") == ["one"] * 600
    assert claim(claims, part_of(keys, slice(500, 1_000)), "two") == ["one"] * 100 + ["two"] * 400
    found = list(claims.each(dicts_of(keys.words), listed(keys)))
    assert [key for _, key in found] == asked
    assert [held[key] for held, key in found] == ["one"] * 600 + ["two"] * 400


@pytest.mark.parametrize("stride", [1, 64, 1 << 20, -3])
def test_claims_are_spread_over_dicts(stride: int) -> None:
    """A dict of 100,000 takes milliseconds where it grows."""
    keys = Keys(np.arange(100_000) * stride)
    claims = Claims[str]()
    claim(claims, keys, "one")
    assert max(len(held) for held, _ in claims.each(dicts_of(keys.words), listed(keys))) < 5_000
