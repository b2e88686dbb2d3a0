"""Stores and key codecs by themselves: what they refuse, and how they say so."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import errors
from predis_core.errors import ConfigurationError, KeyKindError, ValueShapeError
from predis_core.stores import Objects, Rows
from predis_core.table.keys import codec, spread_seed


@pytest.mark.parametrize(
    ("dtype", "shape", "said"),
    [
        ("nonsense", (), "dtype 'nonsense'"),
        (object, (), "use Objects"),
        ("U", (), "give the length"),
        ("float32", (0,), "shape must be"),
        ("float32", (2, -1), "shape must be"),
    ],
)
def test_rows_that_cannot_be_are_refused(dtype: Any, shape: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Rows(dtype, shape)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((3, 2)), r"expected shape \(2, 2\), one row per key, got \(3, 2\)"),
        (np.zeros((2, 3)), "expected shape"),
        ([[1.0, 2.0], [3.0]], "cannot be read as an array"),
        (np.zeros((2, 2), complex), "without changing kind"),
        (5, "expected an array or a sequence"),
    ],
)
def test_values_that_do_not_fit_rows_are_refused(values: Any, said: str) -> None:
    with pytest.raises(ValueShapeError, match=said):
        Rows("float32", (2,)).coerce(values, 2)


def test_rows_never_lose_digits_or_letters_silently() -> None:
    with pytest.raises(ValueShapeError, match="do not all fit int8"):
        Rows("int8").coerce([1, 300], 2)
    with pytest.raises(ValueShapeError, match="too long"):
        Rows("U2").coerce(["ab", "abc"], 2)
    assert Rows("U2").coerce(np.array(["ab"], "U9"), 1).tolist() == ["ab"]
    assert Rows("uint64").coerce([2**64 - 1, 0], 2).tolist() == [2**64 - 1, 0]


@pytest.mark.parametrize("values", [{1: 2}, {1, 2}, "ab", b"ab", 5])
def test_objects_want_a_sequence(values: Any) -> None:
    with pytest.raises(ValueShapeError, match="expected a sequence of 2 values"):
        Objects().coerce(values, 2)


def test_objects_never_look_into_a_value() -> None:
    values = [[1, 2], (3, 4), np.zeros(3)]
    held = Objects().coerce(values, 3)
    assert all(a is b for a, b in zip(held, values, strict=True))


@pytest.mark.parametrize(
    ("kind", "keys", "said"),
    [
        ("int64", [1.5], "int64 keys, got 1.5"),
        ("int64", [True], "got True"),
        ("int64", [2**63], "does not fit int64"),
        ("int64", np.array([2**63], np.uint64), "at position 0 does not fit"),
        ("int64", np.zeros((2, 2), int), "one dimension"),
        ("str", [1], "str keys, got 1"),
        ("bytes", ["a"], "bytes keys, got 'a'"),
        ("any", [[]], "unhashable type: 'list' .at position 0"),
        ("any", "abc", r"pass \[key\]"),
        ("any", 5, r"pass \[key\]"),
    ],
)
def test_keys_of_another_kind_are_refused(kind: str, keys: Any, said: str) -> None:
    with pytest.raises(KeyKindError, match=said):
        codec(kind, 1).encode(keys)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="keys: expected 'int64'"):
        codec("int32", 1)


def test_seeds_are_far_apart() -> None:
    spread = [spread_seed(seed) for seed in range(100)]
    assert len(set(spread)) == 100
    assert all(-(2**63) <= seed < 2**63 for seed in spread)
    assert bin((spread[0] ^ spread[1]) & (2**64 - 1)).count("1") > 10


def test_the_error_tree_is_drawn_as_it_is() -> None:
    drawn = inspect.getdoc(errors) or ""
    for name, found in vars(errors).items():
        if inspect.isclass(found) and issubclass(found, Exception):
            assert name in drawn, f"{name} is missing in the tree"
            assert issubclass(found, predis.errors.PredisError)
