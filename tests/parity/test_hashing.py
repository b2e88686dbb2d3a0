"""The compiled hashes are the ones that `table/keys.py` defines."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from predis_core.table import intrinsics
from predis_core.table.keys import BytesKeys, KeyCodec, StrKeys, codec, hash_bytes, mix
from tests.support.depth import search

INT64S = st.integers(-(2**63), 2**63 - 1)
# Where the header of a MessagePack string, byte string or array grows.
LENGTHS = [*range(71), 127, 128, 255, 256, 257, 65_535, 65_536, 65_537]
COUNTS = [0, 1, 14, 15, 16, 17, 65_535, 65_536]


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
