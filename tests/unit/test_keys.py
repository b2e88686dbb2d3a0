"""Codecs of keys: what they take, what they give back, and what they say about the rest."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from predis_core.errors import ConfigurationError, KeyKindError
from predis_core.table.interface import Keys
from predis_core.table.keys import codec, mix, sample_bits, sample_limit, spread_seed

KINDS = ("int64", "str", "bytes", "any")


class Index:
    """Not an int, but as good as one."""

    def __index__(self) -> int:
        return 7


@pytest.mark.parametrize(
    "keys",
    [
        [1, 2, 7],
        (1, 2, 7),
        {1: "a", 2: "b", 7: "c"},
        iter([1, 2, 7]),
        np.array([1, 2, 7], np.uint8),
        np.array([1, 2, 7], np.uint64),
        np.array([1, 2, 7], ">i4"),
        np.array([1, 0, 2, 0, 7])[::2],
        [np.int16(1), 2, Index()],
        memoryview(np.array([1, 2, 7], np.int64)),
    ],
    ids=lambda keys: type(keys).__name__,
)
def test_int64_keys_come_in_many_forms(keys: Any) -> None:
    encoded = codec("int64", 0).encode(keys)
    assert encoded.refs is None
    assert encoded.words.dtype == np.int64
    assert encoded.words.flags.c_contiguous
    assert encoded.words.tolist() == [1, 2, 7]


def test_int64_arrays_are_taken_as_they_are() -> None:
    keys = np.array([3, -(2**63), 2**63 - 1], np.int64)
    assert np.shares_memory(codec("int64", 0).encode(keys).words, keys)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "keys", [[], (), np.array([]), iter(())], ids=lambda keys: type(keys).__name__
)
def test_no_keys_are_a_batch_of_none(kind: str, keys: Any) -> None:
    encoded = codec(kind, 0).encode(keys)
    assert encoded.words.tolist() == []
    assert encoded.words.dtype == np.int64
    assert encoded.refs is None or encoded.refs.tolist() == []


REFUSED: list[tuple[str, Any, str]] = [
    ("int64", ["a"], r"takes int64 keys, got 'a' \(str\); build it with keys='any'"),
    ("int64", [1.0], r"takes int64 keys, got 1.0 \(float\); build it with"),
    ("int64", [None], r"takes int64 keys, got None \(NoneType\); build it with"),
    ("int64", np.array([True]), r"takes int64 keys, got True \(bool\); build it with"),
    ("int64", [2**63], r"9223372036854775808 .*does not fit int64"),
    ("int64", [-(2**63) - 1], r"does not fit int64; build with keys='any'"),
    ("int64", np.array([1, 2**63], np.uint64), r"9223372036854775808 at position 1"),
    ("int64", np.zeros((2, 2), np.int64), r"got shape \(2, 2\); pass keys.ravel"),
    ("int64", 5, r"got 5"),
    ("int64", [[1], [2, 3]], r"cannot be read as an array"),
    ("str", "abc", r"expected several keys, got 'abc'; pass \[key\]"),
    ("str", ["a", b"b"], r"takes str keys, got b'b' \(bytes\) at position 1; build it"),
    ("str", ["a", 5], r"takes str keys, got 5 \(int\) at position 1; build it with"),
    ("str", np.array([["a"]]), r"expected one dimension, got shape \(1, 1\)"),
    ("bytes", b"abc", r"expected several keys, got b'abc'; pass \[key\]"),
    ("bytes", [bytearray(b"a")], r"takes bytes keys, got bytearray\(b'a'\)"),
    ("bytes", ["a"], r"takes bytes keys, got 'a' \(str\) at position 0; build it with"),
    ("any", [1, []], r"unhashable.*list.* \(at position 1\)"),
    ("any", "abc", r"expected several keys, got 'abc'; pass \[key\]"),
    ("any", None, r"got None"),
    ("any", 5, r"got 5"),
]


@pytest.mark.parametrize(("kind", "keys", "message"), REFUSED, ids=lambda part: repr(part)[:30])
def test_keys_that_do_not_fit_name_the_field_and_the_fix(
    kind: str, keys: Any, message: str
) -> None:
    with pytest.raises(KeyKindError, match=rf"^keys: .*{message}"):
        codec(kind, 0).encode(keys)


@pytest.mark.parametrize(
    ("kind", "key"), [("int64", "a"), ("int64", True), ("str", 1), ("bytes", "a"), ("any", {})]
)
def test_a_single_key_that_does_not_fit(kind: str, key: Any) -> None:
    with pytest.raises(KeyKindError, match=r"keys: "):
        codec(kind, 0).encode_one(key)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [("int64", [3, -1]), ("str", ["a", ""]), ("bytes", [b"a", b""]), ("any", [None, (1,), "a"])],
)
def test_keys_come_back_as_they_went_in(kind: str, keys: list[Any]) -> None:
    encoder = codec(kind, 3)
    assert list(encoder.decode(encoder.encode(keys))) == keys
    assert [encoder.decode(encoder.encode_one(key))[0] for key in keys] == keys
    for at, key in enumerate(keys):
        assert encoder.encode_one(key).words[0] == encoder.encode(keys).words[at]


def test_any_keys_share_a_word_if_they_are_equal() -> None:
    equal = codec("any", 0).encode([1, True, 1.0, np.int64(1)])
    assert len(set(equal.words.tolist())) == 1
    assert equal.refs is not None
    assert list(map(type, equal.refs)) == [int, bool, float, np.int64]


def test_nested_sequences_are_single_keys() -> None:
    encoded: Keys = codec("any", 0).encode([(1, 2), (3, 4)])
    assert encoded.refs is not None
    assert encoded.refs.tolist() == [(1, 2), (3, 4)]


@pytest.mark.parametrize("kind", ["int", "", "Str", "object"])
def test_an_unknown_kind_names_the_field_and_the_known_ones(kind: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"keys: expected 'int64', 'str', .*; leave it out"
    ):
        codec(kind, 0)


def test_seeds_beside_each_other_are_spread() -> None:
    seeds = [spread_seed(seed) for seed in (0, 1, 2, 3, -1, 2**64 - 1, 2**70)]
    assert all(-(2**63) <= seed < 2**63 for seed in seeds)
    assert len(set(seeds[:5])) == 5
    assert all((a ^ b).bit_count() > 10 for a, b in itertools.pairwise(seeds[:5]))
    assert seeds[4] == seeds[5]


@pytest.mark.parametrize("seed", [0, 1, -1, -(2**63), 2**63 - 1])
def test_hashes_and_their_sample_bits_are_the_same_of_arrays(seed: int) -> None:
    words = np.array([0, 1, -1, 42, -(2**63), 2**63 - 1], np.int64)
    hashes = mix(words.view(np.uint64), seed)
    assert hashes.tolist() == [mix(word, seed) for word in words.tolist()]
    assert sample_bits(hashes).tolist() == [(h >> 24) & 0xFFFFF for h in hashes.tolist()]
    assert [sample_bits(h) for h in hashes.tolist()] == sample_bits(hashes).tolist()


def test_a_rate_of_keys_is_a_share_of_a_million() -> None:
    assert [sample_limit(rate) for rate in (1e-9, 2**-20, 1 / 1024, 0.5, 1.0)] == [
        *(1, 1, 1_024, 1 << 19, 1 << 20),
    ]
    bits = sample_bits(mix(np.arange(100_000).view(np.uint64), 7))
    for rate in (0.01, 0.25, 1.0):
        assert abs(np.mean(bits < sample_limit(rate)) - rate) < 0.005
