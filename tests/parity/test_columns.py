"""Columns of strings become the keys that lists of the same strings become."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import predis_core as predis
from predis_core.errors import KeyKindError
from predis_core.table import columns, cpython
from predis_core.table.keys import codec
from tests.support.depth import search

TEXTS = ["", "a", "user:12", "é" * 3, "水", "𝄞 and more", "nul\0inside", "x" * 300, "twelve bytes"]
ALL = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
ARROW = ["string", "large_string", "string_view", "binary", "large_binary", "binary_view"]


def assert_as_listed(kind: str, column: Any, listed: list[Any]) -> None:
    """The keys, of the right type and with the words of a list; machine code made them."""
    assert columns.columns(column) is not None
    made, expected = codec(kind, 9).encode(column), codec(kind, 9).encode(listed)
    assert made.refs is not None
    assert made.refs.tolist() == listed
    assert list(map(type, made.refs)) == list(map(type, listed))
    assert made.words.tolist() == expected.words.tolist()


def arrow_of(texts: list[Any], kind: str) -> Any:
    pa = pytest.importorskip("pyarrow")
    if "binary" in kind:
        texts = [text.encode() for text in texts]
    return pa.array(texts, getattr(pa, kind)()), texts


@given(texts=st.lists(ALL, min_size=1))
@search(examples=60)
def test_numpy_text(texts: list[str]) -> None:
    array = np.array(texts)
    for kind in ("str", "any"):
        assert_as_listed(kind, array, array.tolist())
        assert_as_listed(kind, array[::-2], array[::-2].tolist())


@given(items=st.lists(st.binary(max_size=40), min_size=1))
@search(examples=60)
def test_numpy_bytes(items: list[bytes]) -> None:
    array = np.array(items)
    for kind in ("bytes", "any"):
        assert_as_listed(kind, array, array.tolist())
        assert_as_listed(kind, array[1::3], array[1::3].tolist())


def test_numpy_arrays_of_many_and_of_none() -> None:
    assert_as_listed("str", np.array([f"key {i}" for i in range(9_000)]), [
        f"key {i}" for i in range(9_000)
    ])  # fmt: skip
    assert_as_listed("bytes", np.array([], "S5"), [])
    assert_as_listed("str", np.array(["a" * 600_000, "b" * 600_000, "c"]), [
        "a" * 600_000, "b" * 600_000, "c"
    ])  # fmt: skip


def test_numpy_text_with_a_lone_surrogate() -> None:
    assert_as_listed("str", np.array(["\ud800", "a"]), ["\ud800", "a"])


@pytest.mark.parametrize("array", [
    np.array(["a", "é"], ">U3"), np.array(["a", "é"], np.dtypes.StringDType()),
    np.array(["a", "é"], object),
], ids=["swapped", "StringDType", "object"])  # fmt: skip
def test_other_numpy_arrays_of_strings_are_listed_first(array: Any) -> None:
    assert columns.columns(array) is None
    assert codec("str", 1).encode(array).words.tolist() == (
        codec("str", 1).encode(["a", "é"]).words.tolist()
    )


def test_characters_that_there_are_not_are_left_to_numpy() -> None:
    array = np.array([0x110000, 97], np.uint32).view("U1")
    with pytest.raises((SystemError, ValueError), match="character"):
        array.tolist()
    with pytest.raises((SystemError, ValueError), match="character"):
        codec("str", 1).encode(array)


@pytest.mark.parametrize("kind", ARROW)
def test_arrow_arrays(kind: str) -> None:
    array, listed = arrow_of(TEXTS * 3, kind)
    for codec_kind in ("bytes" if "binary" in kind else "str", "any"):
        assert_as_listed(codec_kind, array, listed)
        assert_as_listed(codec_kind, array[5:20], listed[5:20])
        assert_as_listed(codec_kind, array[:0], [])


@pytest.mark.parametrize("kind", ARROW)
def test_chunked_arrow_arrays(kind: str) -> None:
    pa = pytest.importorskip("pyarrow")
    array, listed = arrow_of(TEXTS * 1_000, kind)
    parts = [array[:1], array[1:1], array[1:5_000], array[5_000:]]
    assert_as_listed("bytes" if "binary" in kind else "str", pa.chunked_array(parts), listed)
    none = pa.chunked_array([], array.type)
    assert_as_listed("bytes" if "binary" in kind else "str", none, [])


@pytest.mark.parametrize("chunked", [False, True])
def test_a_null_names_its_position(chunked: bool) -> None:
    pa = pytest.importorskip("pyarrow")
    keys = pa.array(["a", "b", None, "c"])
    if chunked:
        keys = pa.chunked_array([keys[:1], keys[1:]])
    with pytest.raises(KeyKindError) as caught:
        codec("str", 1).encode(keys)
    assert str(caught.value) == (
        "keys: this cache takes str keys, got None (NoneType) at position 2; "
        "build it with keys='any' for a mix"
    )
    assert codec("any", 1).encode(keys).refs.tolist() == ["a", "b", None, "c"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "array", "got"),
    [
        ("str", np.array([b"a"]), "b'a' (bytes)"),
        ("bytes", np.array(["a"]), "'a' (str)"),
        ("str", np.array([1]), "1 (int)"),
    ],
)
def test_a_column_of_another_kind(kind: str, array: Any, got: str) -> None:
    with pytest.raises(KeyKindError) as caught:
        codec(kind, 1).encode(array)
    assert str(caught.value) == (
        f"keys: this cache takes {kind} keys, got {got} at position 0; "
        "build it with keys='any' for a mix"
    )


def test_columns_are_listed_where_objects_are_not_read_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    array = np.array(TEXTS)
    made = codec("str", 1).encode(array)
    monkeypatch.setattr(cpython, "is_known", lambda: False)
    monkeypatch.setattr(columns, "columns", None)
    listed = codec("str", 1).encode(array)
    assert made.words.tolist() == listed.words.tolist()


def test_a_cache_takes_columns_as_keys() -> None:
    cache: predis.Cache[Any, Any] = predis.Cache(64, policy="lru", keys="any", seed=5)
    names = np.array(["ada", "grace", "alan"])
    cache.set_many(names, [1, 2, 3])
    assert cache.get_many(["alan", "ada"])[0] == [3, 1]
    assert cache.get_many(names[::-1])[0] == [3, 2, 1]
    arrow, _ = arrow_of(["grace", "nobody"], "string")
    values, hit = cache.get_many(arrow)
    assert values == [2, None]
    assert hit.tolist() == [True, False]
