"""What a slot holds: what stores take, where they put it, and what they say about the rest."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from predis_core.errors import ConfigurationError, ValueShapeError
from predis_core.packed import Packed
from predis_core.stores import Blobs, Objects, Rows


@pytest.mark.parametrize(
    ("values", "dtype", "shape"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], "float32", (2,)),
        (np.array([[1, 2], [3, 4]]), "float64", (2,)),
        (np.array([[1, 2], [3, 4]], np.float64), "float16", (2,)),
        (np.asfortranarray(np.array([[1, 2], [3, 4]], np.int64)), "int64", (2,)),
        (np.array([[1, 2], [3, 4]], np.int64), "uint8", (2,)),
        ([np.array([1, 2]), np.array([3, 4])], "int64", 2),
        pytest.param(memoryview(np.array([[1, 2], [3, 4]])), "int64", (2,), id="memory"),
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
    column = store.hold(2, None).column
    assert column is not None
    assert column.tolist() == [None] * 2


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


# ---------------------------------------------------------------------- blobs


class Point(msgspec.Struct, frozen=True):
    x: int
    y: int = 0


def test_blobs_take_whatever_has_a_buffer() -> None:
    some = [b"a", bytearray(b"bc"), memoryview(b"def"), np.arange(2, dtype=np.uint8), b""]
    coerced = Blobs().coerce(some, 5)
    assert coerced.tolist() == [b"a", b"bc", b"def", b"\x00\x01", b""]
    assert coerced[0] is some[0]
    assert Blobs().coerce(iter([b"a", b"b"]), 2).tolist() == [b"a", b"b"]
    assert Blobs().admit(some, 5).tolist() == coerced.tolist()


def test_packed_blobs_are_taken_as_they_are() -> None:
    packed = Packed.of([b"a", b"bc"])
    assert Blobs().admit(packed, 2) is packed
    # Kernels are compiled for memory that can be written.
    frozen = Packed(b"abc", [0, 1, 3])
    admitted = Blobs().admit(frozen, 2)
    assert admitted == frozen
    assert admitted.data.flags.writeable
    assert Blobs("msgpack").admit(Packed.of([b"a"]), 1).tolist() == [b"\xc4\x01a"]


FORMATS: list[tuple[Blobs, Any, bytes]] = [
    (Blobs("json"), {"a": [1, None]}, b'{"a":[1,null]}'),
    (Blobs("msgpack"), [1, "x", b"y"], b"\x93\x01\xa1x\xc4\x01y"),
    (Blobs("json", type=Point), Point(1, 2), b'{"x":1,"y":2}'),
    (Blobs("msgpack", type=tuple[int, str]), (1, "x"), b"\x92\x01\xa1x"),
    (Blobs("json", type=list[Point]), [Point(3)], b'[{"x":3,"y":0}]'),
]


@pytest.mark.parametrize(("store", "value", "data"), FORMATS, ids=str)
def test_formats_encode_and_decode(store: Blobs, value: Any, data: bytes) -> None:
    coerced = store.coerce([value], 1)
    assert coerced.tolist() == [data]
    # What was encoded once is not encoded again.
    assert store.coerce(coerced, 1).tolist() == [data]
    found = store.present(np.array([data, None], object))
    assert found == [value, None]
    assert type(found[0]) is type(value)


def test_bytes_that_a_user_stores_are_encoded_even_if_they_look_so() -> None:
    store = Blobs("msgpack")
    assert store.present(store.coerce([b"\x01"], 1)) == [b"\x01"]


BLOBS_REFUSED: list[tuple[Blobs, Any, int, str]] = [
    (
        Blobs(),
        ["a"],
        1,
        "values: expected bytes, got str; other types need a format, as in Blobs('msgpack')",
    ),
    (
        Blobs(),
        [None],
        1,
        "values: expected bytes, got NoneType; other types need a format, as in Blobs('msgpack')",
    ),
    (Blobs(), [b"a"], 2, "values: expected 2, one per key, got 1"),
    (Blobs(), Packed.of([b"a"]), 2, "values: expected 2, one per key, got 1"),
    (
        Blobs(),
        b"ab",
        2,
        "values: expected a sequence of 2 values, got bytes; pass one value per key",
    ),
    (
        Blobs("json"),
        {"a": 1},
        1,
        "values: expected a sequence of 1 values, got dict; pass one value per key",
    ),
    pytest.param(
        Blobs("json"),
        [object()],
        1,
        "values: json cannot encode object: Encoding objects of type object is unsupported",
        id="json-object",  # whose own text differs from one process to the next
    ),
    (
        Blobs("msgpack"),
        [1 << 70],
        1,
        "values: msgpack cannot encode int: can't serialize ints < -2**63 or > 2**64 - 1",
    ),
]


@pytest.mark.parametrize(("store", "values", "n", "message"), BLOBS_REFUSED, ids=str)
def test_blobs_that_do_not_fit_name_the_field_and_the_fix(
    store: Blobs, values: Any, n: int, message: str
) -> None:
    with pytest.raises(ValueShapeError) as caught:
        store.admit(values, n)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("yaml",), "value: Blobs: format: expected 'bytes', 'json' or 'msgpack', got 'yaml'"),
        (
            ("bytes", Point),
            "value: Blobs: type: bytes are not decoded; give a format, as in "
            "Blobs('msgpack', type=…)",
        ),
        (
            ("json", dict[bytes, int] | dict[str, int]),
            "value: Blobs: type: Type unions may not contain more than one dict type",
        ),
    ],
)
def test_formats_that_cannot_be(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Blobs(arguments[0], type=arguments[1] if len(arguments) > 1 else None)
    assert str(caught.value).startswith(message)


def test_what_is_not_of_the_type_is_an_error_when_it_is_read() -> None:
    store = Blobs("json", type=Point)
    stored = store.coerce([{"x": "text"}], 1)
    with pytest.raises(ValueShapeError) as caught:
        store.present(stored)
    assert str(caught.value) == (
        "values: Expected `int`, got `str` - at `$.x`; Blobs('json', type=Point) decodes what was "
        "stored, so store nothing else"
    )


def test_blobs_go_out_into_a_list_or_packed() -> None:
    target = Blobs().target(2)
    assert target.array.tolist() == [None, None]
    assert Blobs().present(np.array([b"a", None], object)) == [b"a", None]
    packed = Packed()
    assert Blobs().target(2, packed).buffer is packed
    for store, out in ((Blobs(), []), (Blobs("json"), Packed())):
        with pytest.raises(ValueShapeError) as caught:
            store.target(2, out)
        assert str(caught.value) == (
            f"out: expected Packed() and a cache of Blobs(), got {type(out).__name__} and {store}"
        )


def test_blobs_say_what_they_are() -> None:
    assert str(Blobs()) == "Blobs()"
    assert str(Blobs("json")) == "Blobs('json')"
    assert str(Blobs("msgpack", type=Point)) == "Blobs('msgpack', type=Point)"
    assert str(Blobs("msgpack", type=list[int])) == "Blobs('msgpack', type=list[int])"
