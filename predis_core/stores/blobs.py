"""Blobs: a slot holds a byte string of any length, all of them together in an arena."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from predis_core.errors import ConfigurationError, ValueShapeError
from predis_core.packed import Packed
from predis_core.stores.base import Holding, Store, Target, one_per_key
from predis_core.table import packing
from predis_core.table.arena import Arena

Format = Literal["bytes", "json", "msgpack"]


class Blobs(Store):
    """Byte strings, or values that become such, copied in and out; the cache needs `memory=`.

    Args:
        format: "bytes": values are bytes, bytearrays or whatever has a buffer, and come back as
            bytes. "json" or "msgpack": values are whatever msgspec encodes, and come back decoded.
        type: for "json" and "msgpack", the type to decode to: a Struct, a dataclass, a TypedDict,
            `list[int]`, …; by default what the format itself knows.

    `get_many` returns a list, with None for a miss. With "bytes", batches also go in and out as
    `Packed`: without an object per value.

    Raises:
        ConfigurationError: if the format is unknown, or cannot have that type.
    """

    default_keys = "int64"

    def __init__(self, format: Format = "bytes", *, type: Any = None) -> None:
        if format not in ("bytes", "json", "msgpack"):
            raise ConfigurationError(
                f"value: Blobs: format: expected 'bytes', 'json' or 'msgpack', got {format!r}"
            )
        if format == "bytes" and type is not None:
            raise ConfigurationError(
                "value: Blobs: type: bytes are not decoded; give a format, as in "
                "Blobs('msgpack', type=…)"
            )
        self.format, self.type = format, type
        self._encode: Any = None
        self._decode: Any = None
        if format != "bytes":
            module = msgspec.json if format == "json" else msgspec.msgpack
            try:
                self._decode = module.Decoder(Any if type is None else type).decode
            except TypeError as error:
                raise ConfigurationError(f"value: Blobs: type: {error}") from error
            self._encode = module.Encoder().encode

    def __repr__(self) -> str:
        if self.format == "bytes":
            return "Blobs()"
        if self.type is None:
            return f"Blobs({self.format!r})"
        return f"Blobs({self.format!r}, type={self._type_name})"

    @property
    def _type_name(self) -> str:
        named = isinstance(self.type, type)
        return self.type.__qualname__ if named else repr(self.type)

    def hold(self, slots: int, budget: int | None) -> Holding:
        """Return an arena of `budget` bytes; see `Store.hold`."""
        assert budget is not None, "planned without memory"
        return Holding(arena=Arena(budget))

    def bytes_per_slot(self, weighed: bool) -> int:
        """Where the value lies, and its length."""
        return 16

    def coerce(self, values: Any, n: int) -> npt.NDArray[Any]:
        """Return n encoded values as object[n] of bytes; see `Store.coerce`."""
        encode = self._bytes_of if self._encode is None else self._encoded
        return np.fromiter(map(encode, one_per_key(values, n)), object, n)

    def _bytes_of(self, value: Any) -> bytes:
        if type(value) is bytes:
            return value
        try:
            return memoryview(value).tobytes()
        except TypeError:
            raise ValueShapeError(
                f"values: expected bytes, got {type(value).__name__}; other types need a format, "
                "as in Blobs('msgpack')"
            ) from None

    def _encoded(self, value: Any) -> bytes:
        if type(value) is _Encoded:
            return value
        try:
            return _Encoded(self._encode(value))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueShapeError(
                f"values: {self.format} cannot encode {type(value).__name__}: {error}"
            ) from error

    def admit(self, values: Any, n: int) -> Any:
        """Return n values as an insert takes them; `Packed` bytes as they are."""
        if isinstance(values, Packed) and self.format == "bytes":
            if len(values) != n:
                raise ValueShapeError(f"values: expected {n}, one per key, got {len(values)}")
            values.check()  # its arrays may have been written to
            return values if values.data.flags.writeable else values.copy()
        listed = one_per_key(values, n)
        if self.format == "bytes":
            # What is bytes already needs no look at each.
            packed = packing.packed(listed)
            if packed is not None and len(packed) == n:
                return packed
        return self.take_over(self.coerce(listed, n))

    def take_over(self, values: npt.NDArray[Any]) -> Any:
        """Return encoded values packed; None, where nothing will be stored, as nothing."""
        return Packed.of(value or b"" for value in values)

    def target(self, n: int, out: Any = None) -> Target:
        """Return object[n], filled with None, or a caller's `Packed`."""
        if out is None:
            array = np.empty(n, object)
            return Target(array, array, False, None)
        if not isinstance(out, Packed) or self.format != "bytes":
            raise ValueShapeError(
                f"out: expected Packed() and a cache of Blobs(), got {type(out).__name__} and "
                f"{self}"
            )
        return Target(np.empty(0, object), out, False, out)

    def present(self, values: Any) -> list[Any]:
        """Return a list of bytes, or of what they decode to; None stays None.

        Raises:
            ValueShapeError: if a value that was stored is not of the `type`.
        """
        listed: list[Any] = values.tolist()
        if self._decode is None:
            return listed
        try:
            return [None if value is None else self._decode(value) for value in listed]
        except msgspec.DecodeError as error:
            raise ValueShapeError(
                f"values: {error}; {self} decodes what was stored, so store nothing else"
            ) from error


class _Encoded(bytes):
    """Bytes that a format made: they are not encoded again."""
