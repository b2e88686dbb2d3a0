"""Python objects as bytes and back, each of the very type that it had. Nothing here runs code that
a file names.

Plain values are MessagePack. What MessagePack would give back as something else is an extension:
its code stands for a type, its data is the MessagePack of what the type is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec.msgpack import Decoder, Encoder, Ext

_PLAIN = frozenset({type(None), bool, float, bytes})
_INTS = range(-(1 << 63), 1 << 64)
_FOREIGN = 0
_ARRAY_32 = b"\xdd"
_LEVELS = 100
"""Of nesting: what can be packed can be unpacked, however deep in Python's stack."""


class Codec(Protocol):
    """What a user passes for types that snapshots do not know."""

    def encode(self, value: Any, /) -> bytes:
        """Return a value as bytes."""
        ...

    def decode(self, data: bytes, /) -> Any:
        """Return the equal value of the same type."""
        ...


class Unpackable(Exception):
    """A value that cannot be packed; the message says why."""


class _Form(NamedTuple):
    code: int
    kind: type
    take_apart: Callable[[Any], Any]
    build: Callable[[Any], Any]


def _moment(made_of: list[Any], kind: Callable[..., Any]) -> Any:
    *fields, fold = made_of
    return kind(*fields, fold=fold)


def _zone_name(zone: ZoneInfo) -> str:
    if zone.key is None:
        raise Unpackable("a ZoneInfo without a name")
    return zone.key


# Codes are part of the file format: never change one, never use one again.
_FORMS = (
    _Form(1, tuple, list, tuple),
    _Form(2, set, list, set),
    _Form(3, frozenset, list, frozenset),
    _Form(
        4,
        dict,
        lambda d: [part for item in d.items() for part in item],
        lambda parts: dict(zip(parts[::2], parts[1::2], strict=True)),
    ),
    _Form(
        5,
        int,
        lambda n: n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True),
        lambda data: int.from_bytes(data, "little", signed=True),
    ),
    _Form(
        6,
        str,
        lambda text: text.encode("utf-8", "surrogatepass"),
        lambda data: data.decode("utf-8", "surrogatepass"),
    ),
    _Form(7, bytearray, bytes, bytearray),
    _Form(8, complex, lambda z: [z.real, z.imag], lambda parts: complex(*parts)),
    _Form(9, Decimal, str, Decimal),
    _Form(10, UUID, lambda u: u.bytes, lambda data: UUID(bytes=data)),
    _Form(11, date, lambda d: [d.year, d.month, d.day], lambda parts: date(*parts)),
    _Form(
        12,
        time,
        lambda t: [t.hour, t.minute, t.second, t.microsecond, t.tzinfo, t.fold],
        lambda parts: _moment(parts, time),
    ),
    _Form(
        13,
        datetime,
        lambda d: [
            *(d.year, d.month, d.day, d.hour, d.minute, d.second, d.microsecond),
            *(d.tzinfo, d.fold),
        ],
        lambda parts: _moment(parts, datetime),
    ),
    _Form(
        14,
        timedelta,
        lambda d: [d.days, d.seconds, d.microseconds],
        lambda parts: timedelta(*parts),
    ),
    _Form(
        15,
        timezone,
        lambda zone: list(zone.__getinitargs__()),
        lambda parts: timezone(*parts),
    ),
    _Form(16, ZoneInfo, _zone_name, ZoneInfo),
)
_BY_KIND = {form.kind: form for form in _FORMS}
_BY_CODE = {form.code: form for form in _FORMS}


class Packing:
    """Packs and unpacks, with a user's codec for what is not known here.

    Args:
        codec: for values of other types; None: they cannot be packed.
    """

    def __init__(self, codec: Codec | None = None) -> None:
        self._codec = codec
        self._encode = Encoder().encode
        self._decode = Decoder(ext_hook=self._extension).decode

    def pack(self, value: Any) -> bytes:
        """Return a value as bytes.

        Raises:
            Unpackable: if it is or holds something that is not known.
        """
        return self._encode(self._plain(value, _LEVELS))

    def unpack(self, data: Any) -> list[Any]:
        """Return the values whose packed bytes were joined.

        Raises:
            Exception: of any kind, if these bytes are nothing that was joined here.
        """
        values = self._decode(data)
        if type(values) is not list:
            raise ValueError(f"expected a list, got {type(values).__name__}")
        return values

    def _plain(self, value: Any, levels: int) -> Any:
        """Return a value in terms of what MessagePack gives back as it was."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is str and _has_utf8(value):
            return value
        if kind is int and value in _INTS:
            return value
        if levels == 0:
            raise Unpackable(f"more than {_LEVELS} levels of containers in each other")
        if kind is list:
            return [self._plain(item, levels - 1) for item in value]
        if kind is dict and all(type(key) is str and _has_utf8(key) for key in value):
            return {key: self._plain(item, levels - 1) for key, item in value.items()}
        form = _BY_KIND.get(kind)
        if form is None:
            return self._foreign(value)
        return Ext(form.code, self._encode(self._plain(form.take_apart(value), levels)))

    def _foreign(self, value: Any) -> Ext:
        name = type(value).__qualname__
        if self._codec is None:
            raise Unpackable(
                f"a {name}, which snapshots do not know; pass codec= with encode and decode for it"
            )
        try:
            data = self._codec.encode(value)
        except Exception as error:
            raise Unpackable(f"a {name}, for which codec.encode raised {error!r}") from error
        if not isinstance(data, bytes | bytearray):
            raise Unpackable(
                f"a {name}, of which codec.encode made {type(data).__name__}, no bytes"
            )
        return Ext(_FOREIGN, bytes(data))

    def _extension(self, code: int, data: memoryview) -> Any:
        if code != _FOREIGN:
            return _BY_CODE[code].build(self._decode(data))
        if self._codec is None:
            raise ValueError("it holds values of a codec; pass the codec= that it was written with")
        return self._codec.decode(bytes(data))


def joined(packed: Iterable[bytes], count: int) -> bytes:
    """Return packed values as `Packing.unpack` takes them."""
    return b"".join((_ARRAY_32, count.to_bytes(4, "big"), *packed))


def _has_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
