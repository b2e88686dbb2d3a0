"""The compiled hashes are the ones that `table/keys.py` defines."""

from __future__ import annotations

import gc
import sys
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from predis_core.errors import KeyKindError
from predis_core.table import codegen, intrinsics
from predis_core.table.keys import BytesKeys, KeyCodec, StrKeys, codec, hash_bytes, mix
from tests.support.depth import search

INT64S = st.integers(-(2**63), 2**63 - 1)
# Where the header of a MessagePack string, byte string or array grows.
LENGTHS = [*range(71), 127, 128, 255, 256, 257, 65_535, 65_536, 65_537]
COUNTS = [0, 1, 14, 15, 16, 17, 4_095, 4_096, 4_097, 65_535, 65_536]

pytestmark = pytest.mark.usefixtures("way")


@njit
def compiled_mix(words: Any, seed: int, mixed: Any) -> None:
    for i in range(words.size):
        mixed[i] = intrinsics.mix(words[i], seed)


def encoded(data: str) -> bytes:
    return data.encode("utf-8", "surrogatepass")


def words_of(kind: str, keys: list[Any], seed: int) -> list[int]:
    words: list[int] = codec(kind, seed).encode(keys).words.tolist()
    return words


@given(words=st.lists(INT64S, min_size=1), seed=INT64S)
@search(examples=60)
def test_mix(words: list[int], seed: int) -> None:
    mixed = np.empty(len(words), np.uint64)
    compiled_mix(np.array(words, np.int64), seed, mixed)
    assert mixed.tolist() == [mix(word, seed) for word in words]


@given(word=INT64S, other=INT64S, seed=INT64S)
@search(examples=60)
def test_mix_is_a_bijection_of_64_bits(word: int, other: int, seed: int) -> None:
    assert 0 <= mix(word, seed) < 2**64
    assert (mix(word, seed) == mix(other, seed)) == (word == other)


def test_every_bit_of_a_word_moves_about_half_of_its_hash() -> None:
    rng = np.random.default_rng(1)
    for bit in range(64):
        words = rng.integers(-(2**63), 2**63 - 1, 200).tolist()
        moved = [(mix(w, 7) ^ mix(w ^ (1 << bit), 7)).bit_count() for w in words]
        assert 28 < np.mean(moved) < 36


@pytest.mark.parametrize("seed", [0, -1, 2**63 - 1, -(2**63), 12345])
def test_bytes_of_every_length(seed: int) -> None:
    rng = np.random.default_rng(2)
    keys = [rng.bytes(length) for length in LENGTHS]
    assert words_of("bytes", keys, seed) == [hash_bytes(key, seed) for key in keys]


@pytest.mark.parametrize("letter", ["a", "é", "水", "𝄞", "\x00"])
def test_strings_of_every_length(letter: str) -> None:
    width = len(encoded(letter))
    keys = [letter * (length // width) + "z" * (length % width) for length in LENGTHS]
    assert [len(encoded(key)) for key in keys] == LENGTHS
    assert words_of("str", keys, 5) == [hash_bytes(encoded(key), 5) for key in keys]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", ["str", "bytes"])
def test_batches_of_every_length(kind: str, count: int) -> None:
    texts = [f"key {number}" for number in range(count)]
    keys = texts if kind == "str" else [encoded(text) for text in texts]
    words = words_of(kind, keys, 9)
    assert len(words) == count
    checked = range(count) if count < 100 else [0, 1, count // 2, count - 2, count - 1]
    assert [words[at] for at in checked] == [hash_bytes(encoded(texts[at]), 9) for at in checked]
    assert len(set(words)) == count


@given(keys=st.lists(st.binary(max_size=300)), seed=INT64S)
@search(examples=60)
def test_any_bytes(keys: list[bytes], seed: int) -> None:
    assert words_of("bytes", keys, seed) == [hash_bytes(key, seed) for key in keys]


# All of Unicode, with the halves of surrogate pairs, which have no UTF-8.
TEXT = st.text(st.characters(exclude_categories=()), max_size=100)


@given(keys=st.lists(TEXT), seed=INT64S)
@search(examples=60)
def test_any_strings(keys: list[str], seed: int) -> None:
    assert words_of("str", keys, seed) == [hash_bytes(encoded(key), seed) for key in keys]


def test_a_lone_surrogate_beside_it_does_not_change_a_hash() -> None:
    plain = ["", "a", "é" * 40, "b" * 300]
    with pytest.raises(UnicodeEncodeError):
        msgspec.msgpack.encode(["\ud800"])
    assert words_of("str", [*plain, "\ud800"], 3)[:-1] == words_of("str", plain, 3)


class Text(str):
    """A str that hashes, prints and compares as it likes."""

    def __hash__(self) -> int:
        return 1

    def __str__(self) -> str:
        return "something else"

    def __eq__(self, other: object) -> bool:
        return False


class Data(bytes):
    """A byte string that shows something else than it holds."""

    def __bytes__(self) -> bytes:
        return b"something else"

    def __getitem__(self, index: Any) -> Any:
        return b"something else"


@pytest.mark.parametrize(
    ("keys_of", "subclass", "plain"),
    [(StrKeys(3), Text("content"), "content"), (BytesKeys(3), Data(b"content"), b"content")],
    ids=["str", "bytes"],
)
def test_a_subclass_counts_by_its_content(keys_of: KeyCodec, subclass: Any, plain: Any) -> None:
    encoded = keys_of.encode([subclass, plain])
    assert encoded.words[0] == encoded.words[1]
    assert encoded.refs is not None
    assert [type(ref) for ref in encoded.refs] == [type(plain)] * 2
    assert encoded.refs.tolist() == [plain, plain]


def test_tuples_and_generators_are_batches_too() -> None:
    expected = words_of("str", ["a", "b"], 4)
    keys = StrKeys(4)
    assert keys.encode(("a", "b")).words.tolist() == expected
    assert keys.encode(key for key in "ab").words.tolist() == expected
    assert keys.encode(np.array(["a", "b"])).words.tolist() == expected
    assert keys.encode_one("b").words.tolist() == expected[1:]


hash_object = codegen.shared().hash_object


@njit
def compiled_hash(pointer: int, seed: int) -> Any:
    return hash_object(pointer, seed)


@given(text=TEXT, data=st.binary(max_size=40), seed=INT64S)
@search(examples=60)
def test_one_object(text: str, data: bytes, seed: int) -> None:
    assert compiled_hash(id(text), seed) == (hash_bytes(encoded(text), seed), True)
    assert compiled_hash(id(data), seed) == (hash_bytes(data, seed), True)


@pytest.mark.parametrize("other", [None, 5, ("a",), Text("a"), Data(b"a")], ids=repr)
def test_one_object_of_another_type(other: Any) -> None:
    assert compiled_hash(id(other), 1) == (0, False)


@pytest.mark.parametrize("kind", ["str", "bytes", "any"])
def test_each_key_is_referred_to_once(kind: str) -> None:
    texts = [f"key {number}" for number in range(5_000)]
    keys: list[Any] = [text.encode() for text in texts] if kind == "bytes" else texts
    before = list(map(sys.getrefcount, keys))
    batch = codec(kind, 1).encode(keys)
    assert list(map(sys.getrefcount, keys)) == [count + 1 for count in before]
    assert batch.refs is not None
    assert all(ref is key for ref, key in zip(batch.refs.tolist(), keys, strict=True))
    del batch
    assert list(map(sys.getrefcount, keys)) == before


@pytest.mark.parametrize("at", [0, 1, 15, 4_095, 4_096, 5_000])
@pytest.mark.parametrize("sequence", [list, tuple])
def test_a_key_that_does_not_fit_is_found_at_any_position(at: int, sequence: Any) -> None:
    keys = [f"key {number}" for number in range(5_000)]
    before = sys.getrefcount(keys[0])
    keys.insert(at, b"no text")  # type: ignore[arg-type]
    with pytest.raises(KeyKindError) as caught:
        codec("str", 1).encode(sequence(keys))
    assert str(caught.value) == (
        f"keys: this cache takes str keys, got b'no text' (bytes) at position {at}; "
        "build it with keys='any' for a mix"
    )
    del caught
    gc.collect()
    after = sys.getrefcount(keys[0 if at else 1])
    assert after == before


@pytest.mark.parametrize("at", [0, 1, 4_096, 5_000])
def test_a_key_without_a_hash_is_found_at_any_position(at: int) -> None:
    keys: list[Any] = list(range(5_000))
    keys.insert(at, {})
    with pytest.raises(KeyKindError) as caught:
        codec("any", 1).encode(keys)
    assert str(caught.value) == f"keys: unhashable type: 'dict' (at position {at})"


@pytest.mark.parametrize("at", [0, 1, 4_096])
def test_python_hashes_what_machine_code_does_not(at: int) -> None:
    some: list[Any] = ["é", b"b", 1, -1, True, 2**61 - 1, -(2**200), 1.0, None, (1, "a"), Text("t")]
    keys = [f"key {number}" for number in range(at)] + some
    batch = codec("any", 1).encode(keys)
    assert batch.words.tolist() == list(map(hash, keys))
    assert batch.refs is not None
    assert all(ref is key for ref, key in zip(batch.refs.tolist(), keys, strict=True))


class Clearing:
    """A key whose hash empties the list that it is in."""

    def __init__(self, keys: list[Any]) -> None:
        self._keys = keys

    def __hash__(self) -> int:
        self._keys.clear()
        return 5


def test_a_list_may_change_while_its_keys_are_hashed(way: str) -> None:
    keys: list[Any] = ["a"]
    keys += [Clearing(keys), "b", "c"]
    if way == "in Python":
        with pytest.raises(ValueError, match="iterator too short"):
            codec("any", 1).encode(keys)
        return
    expected = list(keys)
    batch = codec("any", 1).encode(keys)
    assert keys == []
    assert batch.refs is not None
    assert batch.refs.tolist() == expected
    assert batch.words[[0, 2, 3]].tolist() == [hash("a"), hash("b"), hash("c")]


def test_long_strings_are_hashed_a_few_at_a_time() -> None:
    keys = [str(number) * 300_000 for number in range(10)]
    assert words_of("str", keys, 3) == [hash_bytes(key.encode(), 3) for key in keys]
