"""What a slot holds: what stores take, where they put it, and what they say about the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from predis_core.errors import ConfigurationError, ValueShapeError
from predis_core.stores import Objects, Rows


@pytest.mark.parametrize(
    ("values", "dtype", "shape"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], "float32", (2,)),
        (np.array([[1, 2], [3, 4]]), "float64", (2,)),
        (np.array([[1, 2], [3, 4]], np.float64), "float16", (2,)),
        (np.asfortranarray(np.array([[1, 2], [3, 4]], np.int64)), "int64", (2,)),
        (np.array([[1, 2], [3, 4]], np.int64), "uint8", (2,)),
        ([np.array([1, 2]), np.array([3, 4])], "int64", 2),
        (memoryview(np.array([[1, 2], [3, 4]])), "int64", (2,)),
        (([1, 2], [3, 4]), "complex64", (2,)),
    ],
    ids=str,
)
def test_rows_come_in_many_forms(values: Any, dtype: str, shape: Any) -> None:
    rows = Rows(dtype, shape).coerce(values, 2)
    assert rows.dtype == dtype
    assert rows.flags.c_contiguous
    assert rows.tolist() == [[1, 2], [3, 4]]


def test_rows_that_fit_are_not_copied() -> None:
    values = np.zeros((4, 3), np.float32)
    rows = Rows("float32", (3,))
    assert np.shares_memory(rows.coerce(values, 4), values)
    assert rows.take_over(values) is values
    assert rows.present(values) is values


def test_structures_and_times_are_rows_too() -> None:
    pairs = Rows([("a", "i4"), ("b", "f8")])
    assert pairs.coerce([(1, 2.0)], 1)["b"].tolist() == [2.0]
    times = Rows("M8[s]").coerce(np.array(["2024-01-01"], "M8[s]"), 1)
    assert times.dtype == "M8[s]"


ROWS_REFUSED: list[tuple[Any, str, Any, int, str]] = [
    ([1.5], "int64", (), 1, r"values: float64 does not become int64 .*; convert it first"),
    ([1j], "float64", (), 1, r"values: complex128 does not become float64 .*; convert it first"),
    (["a"], "float32", (), 1, r"values: .* does not become float32 .*; convert it first"),
    ([1, 2], "int64", (), 3, r"values: expected shape \(3,\), one row per key, got \(2,\)"),
    ([[1], [2]], "int64", (2,), 2, r"values: expected shape \(2, 2\), .*, got \(2, 1\)"),
    ([1, 2], "int64", (2,), 2, r"values: expected shape \(2, 2\), one row per key, got \(2,\)"),
    ([[1], [2, 3]], "int64", (2,), 2, r"values: "),
    ([300], "uint8", (), 1, r"values: .*uint8"),
    (5, "int64", (), 1, r"values: "),
    (None, "int64", (), 1, r"values: "),
    ([None], "int64", (), 1, r"values: "),
]  # fmt: skip


@pytest.mark.parametrize(("values", "dtype", "shape", "n", "message"), ROWS_REFUSED, ids=repr)
def test_rows_that_do_not_fit_name_the_field_and_the_fix(
    values: Any, dtype: str, shape: Any, n: int, message: str
) -> None:
    with pytest.raises(ValueShapeError, match=message):
        Rows(dtype, shape).coerce(values, n)


@pytest.mark.parametrize(
    ("dtype", "shape", "message"),
    [
        ("no such", (), r"value: Rows: dtype 'no such': "),
        (object, (), r"value: Rows: dtype object holds references; use Objects\(\)"),
        ("O", (3,), r"value: Rows: dtype object holds references; use Objects\(\)"),
        ("U", (), r"value: Rows: dtype 'U' has no size .*; give the length"),
        ("f4", (0,), r"value: Rows: shape must be .* ints > 0, got \(0,\); \(\) for scalars"),
        ("f4", (2, -1), r"value: Rows: shape must be a tuple of ints > 0, got \(2, -1\)"),
        ("f4", (1.5,), r"value: Rows: shape must be a tuple of ints > 0, got \(1.5,\)"),
        ("f4", None, r"value: Rows: shape must be a tuple of ints > 0"),
    ],
    ids=repr,
)
def test_rows_that_cannot_be_name_the_field_and_the_fix(
    dtype: Any, shape: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Rows(dtype, shape)


def test_a_target_of_rows_is_fresh_or_the_callers_own() -> None:
    rows = Rows("float32", (2,))
    fresh = rows.target(3)
    assert fresh.zero
    assert fresh.array.shape == (3, 2)
    out = np.ones((3, 2), np.float32)
    own = rows.target(3, out)
    assert not own.zero
    assert np.shares_memory(own.array, out)


def read_only() -> Any:
    array = np.zeros((2, 3), np.float32)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((3, 3), np.float32), r"out: expected a C-contiguous array of float32 \(2, 3\)"),
        (np.zeros((2, 3), np.float64), r"out: expected .*float32 \(2, 3\), got float64 \(2, 3\)"),
        (np.zeros((3, 2), np.float32).T, r"out: expected a C-contiguous array"),
        ([[0.0] * 3] * 2, r"out: expected an array or tensor to write into, got list"),
        (read_only(), r"out: the array is read-only; pass one that can be written"),
    ],
    ids=["rows", "dtype", "order", "list", "read-only"],
)
def test_an_out_that_does_not_fit_names_the_field_and_the_fix(out: Any, message: str) -> None:
    with pytest.raises(ValueShapeError, match=message):
        Rows("float32", (3,)).target(2, out)


def test_objects_are_taken_one_by_one() -> None:
    store = Objects()
    values = [[1, 2], None, np.zeros(3), "abc"]
    held = store.coerce(values, 4)
    assert held.dtype == object
    assert all(a is b for a, b in zip(held, values, strict=True))
    assert store.coerce(iter(values), 4)[0] is values[0]
    assert store.coerce({1: 2}.values(), 1).tolist() == [2]
    assert store.present(held) == held.tolist()
    assert store.take_over(held) is not held
    assert store.target(3).array.tolist() == [None] * 3
    assert store.column(2).tolist() == [None] * 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("ab", r"values: expected a sequence of 2 values, got str; pass one value per key"),
        (b"ab", r"values: expected a sequence of 2 values, got bytes; pass one value per key"),
        ({1: 2, 3: 4}, r"values: expected a sequence of 2 values, got dict; pass one value per"),
        ({1, 2}, r"values: expected a sequence of 2 values, got set; pass one value per key"),
        (5, r"values: expected a sequence of 2 values, got int; pass one value per key"),
        (None, r"values: expected a sequence of 2 values, got NoneType; pass one value per key"),
        ([1], r"values: expected 2, one per key, got 1"),
        (iter([1, 2, 3]), r"values: expected 2, one per key, got 3"),
    ],
    ids=lambda part: type(part).__name__,
)
def test_objects_that_do_not_fit_name_the_field_and_the_fix(values: Any, message: str) -> None:
    with pytest.raises(ValueShapeError, match=message):
        Objects().coerce(values, 2)


def test_objects_know_no_out() -> None:
    with pytest.raises(
        ValueShapeError, match=r"out: a cache of Objects returns a list; leave out="
    ):
        Objects().target(2, [None, None])


@pytest.mark.parametrize(
    ("store", "text"),
    [
        (Objects(), "Objects()"),
        (Rows("f4", 3), "Rows('float32', (3,))"),
        (Rows(int), "Rows('int64', ())"),
    ],
)
def test_stores_show_how_they_were_built(store: Any, text: str) -> None:
    assert repr(store) == text
