"""Keys: how each kind becomes the int64 words that a table compares, and how words are mixed.

Four kinds, fixed when a cache is built:

* ``int64``: the word is the key.
* ``str``, ``bytes``: the word is a hash of the content under the cache's seed, the same in every
  process; the keys themselves are kept and compared.
* ``any``: the word is Python's `hash()`; keys are kept and compared with dict equality, so that
  ``1``, ``True`` and ``1.0`` are one key. Python salts the hashes of str and bytes per process
  (`PYTHONHASHSEED`), so only the order of eviction differs between runs.

Every word is then mixed with the seed by a bijection of 64 bits (the finaliser of splitmix64,
Steele, Lea, Flood, OOPSLA 2014, with the constants of Stafford's variant 13), so that two int64
keys never collide in full.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from predis_core.arrays import has_array_face, host_array
from predis_core.errors import ConfigurationError, KeyKindError
from predis_core.table import codegen, columns, cpython
from predis_core.table.interface import Int64s, Keys, Objects

KeyKind = Literal["int64", "str", "bytes", "any"]
Hash = TypeVar("Hash", int, npt.NDArray[Any])

MIX_SHIFTS = (30, 27, 31)
MIX_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
FOLD_FACTOR = 0x9E3779B97F4A7C15
_CHUNK = 4096
"""Keys that a kernel takes while others wait for the GIL."""

_MASK = (1 << 64) - 1
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


def mix(word: Hash, seed: int) -> Hash:
    """Return the 64-bit hash (0 to 2**64 - 1) of a word under a seed; a bijection of the word.

    `word` is an int, or uint64[n] for as many hashes.
    """
    x = (word ^ (seed & _MASK)) & _MASK
    x = ((x ^ (x >> MIX_SHIFTS[0])) * MIX_FACTORS[0]) & _MASK
    x = ((x ^ (x >> MIX_SHIFTS[1])) * MIX_FACTORS[1]) & _MASK
    return x ^ (x >> MIX_SHIFTS[2])


SAMPLE_SHIFT, SAMPLE_SPACE = 24, 1 << 20
"""Bits 24 to 43 of a hash decide whether its key is sampled: below lie those of line and
fingerprint, and only a table of more than a million sets looks at any of these."""


def sample_bits(hashed: Hash) -> Hash:
    """Return the bits (0 to 2**20 - 1) of a hash, or of uint64[n], that decide on sampling.

    A key is sampled if they are below `sample_limit(rate)`, so the keys of a lower rate are among
    those of a higher one.
    """
    return (hashed >> SAMPLE_SHIFT) & (SAMPLE_SPACE - 1)


def sample_limit(rate: float) -> int:
    """Return how many of 2**20 values of `sample_bits` are sampled at a rate; at least one."""
    return max(1, round(rate * SAMPLE_SPACE))


def spread_seed(seed: int) -> int:
    """Return the int64 that tables use for a user's seed: seeds 0, 1, 2 … must not be alike."""
    spread = mix(seed + FOLD_FACTOR, 0)
    return spread - (1 << 64) if spread > _INT64_MAX else spread


def hash_bytes(data: bytes, seed: int) -> int:
    """Return the word (int64) of a byte string: the definition of `kernels.hashing`.

    Eight bytes at a time are folded in by a 128-bit product, little-endian, the last ones padded
    with zeros; the length goes in first.
    """
    hashed = (seed ^ len(data) * FOLD_FACTOR) & _MASK
    for start in range(0, len(data), 8):
        product = (hashed ^ int.from_bytes(data[start : start + 8], "little")) * FOLD_FACTOR
        hashed = (product >> 64) ^ (product & _MASK)
        hashed = (hashed + FOLD_FACTOR) & _MASK
    return hashed - (1 << 64) if hashed > _INT64_MAX else hashed


class KeyCodec(ABC):
    """Turns a user's keys into a table's and back."""

    kind: KeyKind
    has_refs: bool

    @abstractmethod
    def encode(self, keys: Any) -> Keys:
        """Return a batch of keys as a table takes them.

        Raises:
            KeyKindError: naming the first key that does not fit.
        """

    @abstractmethod
    def encode_one(self, key: Any) -> Keys:
        """Return a single key as a batch of one."""

    @abstractmethod
    def decode(self, keys: Keys) -> Any:
        """Return a table's keys as a user gets them: int64[n], or a list."""


class Int64Keys(KeyCodec):
    """Integers that fit int64: any one-dimensional array or sequence of them."""

    kind: KeyKind = "int64"
    has_refs = False

    def encode(self, keys: Any) -> Keys:
        if type(keys) is np.ndarray and keys.dtype == np.int64 and keys.ndim == 1:
            return Keys(_plain(keys))
        if not has_array_face(keys) and not isinstance(keys, Sequence):
            keys = _iterated(keys)
        array = host_array(keys, "keys", KeyKindError)
        if array.ndim != 1:
            raise KeyKindError(
                f"keys: expected one dimension, got shape {array.shape}; pass keys.ravel()"
            )
        if array.size == 0:
            return Keys(np.empty(0, np.int64))
        if array.dtype.kind == "u" and array.max() > _INT64_MAX:
            at = int(np.argmax(array > _INT64_MAX))
            raise KeyKindError(f"keys: {array[at]} at position {at} does not fit int64")
        if array.dtype.kind not in "iu":
            listed = array.tolist() if has_array_face(keys) else keys
            return Keys(np.array([self._checked(key) for key in listed], np.int64))
        return Keys(_plain(array.astype(np.int64, copy=False)))

    def encode_one(self, key: Any) -> Keys:
        return Keys(np.array((self._checked(key),), np.int64))

    def decode(self, keys: Keys) -> Any:
        return keys.words

    @staticmethod
    def _checked(key: Any) -> int:
        if isinstance(key, bool | np.bool_) or not hasattr(key, "__index__"):
            raise KeyKindError(
                f"keys: this cache takes int64 keys, got {key!r} ({type(key).__name__}); "
                "build it with keys='any', 'str' or 'bytes' for others"
            )
        value = operator.index(key)
        if not _INT64_MIN <= value <= _INT64_MAX:
            raise KeyKindError(f"keys: {value} does not fit int64; build with keys='any'")
        return value


class RefKeys(KeyCodec):
    """Keys that are kept as Python objects and compared."""

    has_refs = True
    _types: tuple[type, ...]
    _seed: int | None

    def encode(self, keys: Any) -> Keys:
        if not cpython.is_known():
            return self._encode(self._list(keys))
        if type(keys) in (list, tuple):
            listed = keys
        else:
            made = self._make(columns.columns(keys)) if has_array_face(keys) else None
            if made is not None:
                return made
            listed = self._list(keys)
            if type(listed) not in (list, tuple):
                return self._encode(listed)
        n, at = len(listed), 0
        words, refs = np.empty(n, np.int64), np.empty(n, object)
        while at < n:
            stop = min(at + _CHUNK, n)
            reached = self._take(id(listed), at, stop, id(words), id(refs))
            if reached == at:
                return self._complete(list(listed), at, words, refs)
            at = reached
        return Keys(words, refs)

    def encode_one(self, key: Any) -> Keys:
        return self.encode((key,))

    def decode(self, keys: Keys) -> Any:
        assert keys.refs is not None
        return keys.refs.tolist()

    def _list(self, keys: Any) -> Sequence[Any]:
        if isinstance(keys, str | bytes):
            raise KeyKindError(f"keys: expected several keys, got {keys!r}; pass [key]")
        if has_array_face(keys):
            array = host_array(keys, "keys", KeyKindError)
            if array.ndim != 1:
                raise KeyKindError(f"keys: expected one dimension, got shape {array.shape}")
            listed: list[Any] = array.tolist()
            return listed
        return keys if isinstance(keys, list | tuple) else _iterated(keys)

    def _make(self, found: list[columns.Column] | None) -> Keys | None:
        """Return the keys in columns of strings; None if they are not for this cache."""
        if found is None or not all(column.kind in self._types for column in found):
            return None
        n, at = sum(column.n for column in found), 0
        words, refs = np.empty(n, np.int64), np.empty(n, object)
        hashed = (self._seed is None, self._seed or 0, id(words), id(refs))
        for column in found:
            about, start = (*column[2:7], column.kind is str), 0
            while start < column.n:
                stop = min(start + _CHUNK, column.n)
                reached = codegen.shared().make_keys(*about, start, stop, *hashed, at + start)
                if reached == start:
                    return None  # Python says what is wrong with it.
                start = reached
            at += column.n
        return Keys(words, refs)

    @abstractmethod
    def _take(self, listed: int, start: int, stop: int, words: int, refs: int) -> int:
        """Have a kernel take items; return where it stopped: at `start` if one is not for it.

        Args: the addresses of a list or tuple, and of the arrays; which items.
        """

    @abstractmethod
    def _complete(self, listed: list[Any], taken: int, words: Int64s, refs: Objects) -> Keys:
        """Return keys that are not all for a kernel; the first `taken` are in the arrays.

        Args: a copy of the keys, which nobody changes; if the original did, it has another length.
        """

    @abstractmethod
    def _encode(self, listed: Sequence[Any]) -> Keys:
        """Return keys as a table takes them, without reading objects in place."""


class AnyKeys(RefKeys):
    """Any hashable objects, with the equality of a dict."""

    kind: KeyKind = "any"
    _types = (str, bytes)
    _seed = None

    def _take(self, listed: int, start: int, stop: int, words: int, refs: int) -> int:
        reached: int = codegen.shared().take_any(listed, start, stop, words, refs)
        return reached

    def _complete(self, listed: list[Any], taken: int, words: Int64s, refs: Objects) -> Keys:
        if len(listed) != len(words):
            return self._encode(listed)
        rest = listed[taken:]
        words[taken:], refs[taken:] = self._hashes(rest, taken), objects(rest)
        return Keys(words, refs)

    def _encode(self, listed: Sequence[Any]) -> Keys:
        return Keys(self._hashes(listed, 0), objects(listed))

    @staticmethod
    def _hashes(keys: Sequence[Any], first: int) -> Int64s:
        """Return `hash()` of keys, of which the first is at a position of the batch."""
        try:
            return np.fromiter(map(hash, keys), np.int64, len(keys))
        except TypeError:
            for position, key in enumerate(keys, first):
                try:
                    hash(key)
                except TypeError as error:
                    raise KeyKindError(f"keys: {error} (at position {position})") from error
            raise


class _ContentKeys(RefKeys):
    """Keys of one built-in type, hashed by content in one pass of machine code."""

    _type: type
    _seed: int

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._types = (self._type,)

    def _take(self, listed: int, start: int, stop: int, words: int, refs: int) -> int:
        kernel = codegen.shared().take_contents
        reached: int = kernel(listed, id(self._type), start, stop, self._seed, words, refs)
        return reached

    def _complete(self, listed: list[Any], taken: int, words: Int64s, refs: Objects) -> Keys:
        return self._encode(listed)

    def _encode(self, listed: Sequence[Any]) -> Keys:
        plain = listed
        if not set(map(type, listed)) <= {self._type}:
            plain = [self._plain(position, key) for position, key in enumerate(listed)]
        return Keys(self._words(plain), objects(plain))

    def _plain(self, position: int, key: Any) -> Any:
        """Return a subclass's content as the plain type; nothing else fits."""
        if isinstance(key, str) and self._type is str:
            return str.__str__(key)
        if isinstance(key, bytes) and self._type is bytes:
            return bytes.__getitem__(key, slice(None)) + b""
        raise KeyKindError(
            f"keys: this cache takes {self.kind} keys, got {key!r} ({type(key).__name__}) at "
            f"position {position}; build it with keys='any' for a mix"
        )

    def _words(self, keys: Sequence[Any]) -> Int64s:
        try:
            packed = msgspec.msgpack.encode(keys)
        except UnicodeEncodeError:
            # Lone surrogates have no UTF-8; their bytes in this form are as good to hash.
            packed = msgspec.msgpack.encode([k.encode("utf-8", "surrogatepass") for k in keys])
        words = np.empty(len(keys), np.int64)
        codegen.shared().hash_packed(np.frombuffer(packed, np.uint8), self._seed, words)
        return words


class StrKeys(_ContentKeys):
    """Python strings."""

    kind: KeyKind = "str"
    _type = str


class BytesKeys(_ContentKeys):
    """Python byte strings."""

    kind: KeyKind = "bytes"
    _type = bytes


def codec(kind: str, seed: int) -> KeyCodec:
    """Return the codec of a kind of keys.

    Raises:
        ConfigurationError: if there is no such kind.
    """
    if kind == "int64":
        return Int64Keys()
    if kind == "any":
        return AnyKeys()
    if kind == "str":
        return StrKeys(seed)
    if kind == "bytes":
        return BytesKeys(seed)
    raise ConfigurationError(
        f"keys: expected 'int64', 'str', 'bytes' or 'any', got {kind!r}; leave it out for the "
        "store's own default"
    )


def objects(items: Sequence[Any]) -> Objects:
    """Return items as object[n]; NumPy's own conversion would look into nested sequences."""
    return np.fromiter(items, object, len(items))


def _plain(words: Int64s) -> Int64s:
    """Return words as kernels know them: arrays that are read-only or not aligned are other types
    to Numba, and would have everything compiled anew.
    """
    return words if words.flags.carray else np.require(words, requirements=("C", "A", "W"))


def _iterated(keys: Any) -> list[Any]:
    if not isinstance(keys, Iterable):
        raise KeyKindError(f"keys: expected several keys, got {keys!r}; pass [key]")
    return list(keys)
