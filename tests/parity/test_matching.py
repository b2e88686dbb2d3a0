"""What machine code takes for equal is equal; what it leaves to Python is found all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

import predis_core as predis
from predis_core.table import equality
from tests.support.depth import search

INTS = st.integers() | st.sampled_from([0, 1, -1, -2, 2**30, -(2**30), 2**61 - 1, 2**63, -(2**63)])
TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
BUILT_IN = TEXT | st.binary(max_size=20) | INTS
OTHERS = st.booleans() | st.floats(-3, 3) | st.none() | st.tuples(INTS) | st.tuples(TEXT)

pytestmark = pytest.mark.usefixtures("way")


def cache_of(keys: Any = "any") -> predis.Cache[Any, Any]:
    return predis.Cache(2_000, policy="lru", keys=keys, seed=5)


surely_equal = cache_of()._table._kernels.surely_equal


@njit
def compiled(a: int, b: int) -> Any:
    return surely_equal(a, b)


def same(text: Any) -> Any:
    """Return an equal object of the same type, another one if it can be had."""
    if isinstance(text, str):
        return "".join(list(text))
    if isinstance(text, bytes):
        return bytes(bytearray(text))
    return int(str(text))


@given(a=BUILT_IN, b=BUILT_IN)
@search(examples=200)
def test_of_built_in_types_machine_code_is_right(a: Any, b: Any) -> None:
    assert compiled(id(a), id(b)) == (type(a) is type(b) and a == b)
    twin = same(a)
    assert compiled(id(a), id(twin))


@pytest.mark.parametrize("length", [*range(1, 26), 63, 64, 65, 300])
@pytest.mark.parametrize("letter", ["a", "é", "水", "𝄞", b"a", 9])
def test_every_byte_counts(letter: Any, length: int) -> None:
    whole = int(str(letter) * length) if letter == 9 else letter * length
    assert compiled(id(whole), id(same(whole)))
    for at in range(length):
        if letter == 9:
            other = whole ^ (1 << 3 * at)
        else:
            other = whole[:at] + (b"b" if isinstance(letter, bytes) else "b") + whole[at + 1 :]
        assert not compiled(id(whole), id(other))


class Text(str):
    """A subclass, which may compare as it likes."""


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, True),
        (1, 1.0),
        ("a", Text("a")),
        ((1, 2), tuple(range(1, 3))),
        (2.5, float("2.5")),
        ("a", b"a"),
        (-1, -2),
    ],
    ids=repr,
)
def test_what_machine_code_does_not_know_it_does_not_decide(a: Any, b: Any) -> None:
    assert not compiled(id(a), id(b))
    assert compiled(id(a), id(a))


@given(
    keys=st.lists(BUILT_IN | OTHERS, max_size=30), asked=st.lists(BUILT_IN | OTHERS, max_size=30)
)
@search(examples=60)
def test_keys_are_those_of_a_dict(keys: list[Any], asked: list[Any]) -> None:
    cache = cache_of()
    wanted = dict(zip(keys, range(len(keys)), strict=True))
    cache.set_many(keys, range(len(keys)))
    assert dict(cache.items()) == wanted
    twins = [same(key) if type(key) in (str, bytes, int) else key for key in asked + keys]
    values, hit = cache.get_many(twins)
    assert hit.tolist() == [key in wanted for key in twins]
    assert values == [wanted.get(key) for key in twins]
    assert cache.contains_many(twins).tolist() == hit.tolist()
    cache.set_many(twins, [-1] * len(twins))
    assert dict(cache.items()) == wanted | dict.fromkeys(twins, -1)
    # A key stays the object that came first, of several in one batch the last.
    assert set(map(id, cache)) >= set(map(id, {key: key for key in keys}.values()))
    deleted = cache.delete_many(twins)
    assert len(cache) == 0
    assert np.count_nonzero(deleted) == len(set(keys + asked))


def test_only_what_is_not_surely_equal_is_compared_in_python(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Any] = []
    compare = equality.Resolver._is_equal

    def noting(self: equality.Resolver, position: int, held: Any) -> bool:
        compared.append(held)
        return compare(self, position, held)

    cache = cache_of()
    cache.set_many(["a", b"b", 300, (1,)], range(4))
    monkeypatch.setattr(equality.Resolver, "_is_equal", noting)
    for key in ("".join(["", "a"]), bytes(bytearray(b"b")), int("300"), tuple(range(1, 2))):
        assert cache[key] == cache.get_many([key])[0][0]
    # Each was asked for three times: by `[]`, and by a batch of one.
    expected = [(1,)] * 2 if way == "in place" else ["a", "a", b"b", b"b", 300, 300, (1,), (1,)]
    assert compared == expected


@pytest.mark.parametrize("n", [4_095, 4_096, 4_097, 10_000])
def test_batches_of_several_chunks(n: int) -> None:
    # Sets have room for four times their share: none is ever full.
    cache: predis.Cache[str, int] = predis.Cache(4 * n, policy="lru", keys="any", seed=5)
    keys = [f"key {number}" for number in range(n)]
    cache.set_many(keys + keys[::-1], range(2 * n))
    values, hit = cache.get_many([same(key) for key in keys])
    assert hit.all()
    assert values == list(range(2 * n))[: n - 1 : -1]
