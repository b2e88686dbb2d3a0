"""Values of snapshots come back equal and of the same type, down to what they hold."""

from __future__ import annotations

import contextlib
import enum
import io
import math
import struct
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predis_core.snapshot.packing import Packing, Unpackable, joined


def round_trip(value: Any, packing: Packing | None = None) -> Any:
    packing = packing or Packing()
    data = joined([packing.pack(value), packing.pack(None)], 2)
    found, none = packing.unpack(data)
    assert none is None
    return found


def shape(value: Any) -> Any:
    """Return a value with the types of all that it is made of, so that 1, True and 1.0 differ."""
    kind = type(value)
    if kind is float:
        return kind, struct.pack("<d", value)
    if kind in (list, tuple):
        return kind, [shape(item) for item in value]
    if kind in (set, frozenset):
        return kind, sorted(repr(shape(item)) for item in value)
    if kind is dict:
        return kind, [(shape(key), shape(item)) for key, item in value.items()]
    if kind in (datetime, time):
        return kind, repr(value), value.fold, shape(value.tzinfo)
    return kind, value if kind in (str, bytes, bytearray) else repr(value)


VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -(2**63),
    2**63,
    2**64 - 1,
    2**64,
    -(2**63) - 1,
    10**300,
    -(10**300),
    0.0,
    -0.0,
    math.inf,
    math.nan,
    "",
    "äöü \U0001f600",
    "lone \ud800 surrogate",
    b"",
    b"\xff\x00",
    bytearray(b"abc"),
    [],
    [[], [1, [2.0, None]]],
    (),
    (1,),
    ((), [(), []]),
    set(),
    {1, "a", (2, 3)},
    frozenset({frozenset({1}), 2}),
    {},
    {"a": {"b": (1, [2])}},
    {1: 2, None: 3, (1, "x"): [4], b"b": {}, 1.5: (), True + 1: 6},
    {"\ud800": 1},
    {2**80: -(2**80)},
    1 + 2j,
    complex(-0.0, math.inf),
    Decimal("1.10"),
    Decimal("-0E+7"),
    Decimal("NaN"),
    Decimal(1) / Decimal(3),
    UUID(int=12345),
    date(1, 1, 1),
    date(9999, 12, 31),
    time(1, 2, 3, 4),
    time(1, 2, tzinfo=UTC, fold=1),
    datetime(2026, 11, 22, 1, 2, 3, 4),
    datetime(2026, 11, 22, tzinfo=UTC),
    datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(minutes=-90), "odd")),
    timedelta(days=-3, microseconds=7),
    timezone(timedelta(hours=5, minutes=30)),
    ZoneInfo("UTC"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    assert shape(round_trip(value)) == shape(value)
    # In a container, too, and as a key where it can be one.
    assert shape(round_trip([{"a": (value,)}])) == shape([{"a": (value,)}])
    try:
        held = {value: value}
    except TypeError:
        return
    assert shape(round_trip(held)) == shape(held)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.timedeltas()
)
hashables = st.recursive(
    scalars, lambda inner: st.lists(inner).map(tuple) | st.frozensets(inner), max_leaves=5
)
anything = st.recursive(
    hashables,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(hashables, inner),
    max_leaves=10,
)


@given(anything)
def test_whatever_is_built_of_these_comes_back(value: Any) -> None:
    assert shape(round_trip(value)) == shape(value)


Pair = namedtuple("Pair", "x y")


class Color(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


class Record(msgspec.Struct):
    x: int


@pytest.mark.parametrize(
    "value",
    [
        Pair(1, 2),
        Color.RED,
        Text("a"),
        Record(1),
        OrderedDict(a=1),
        np.int64(1),
        np.zeros(2),
        object(),
        int,
        range(3),
        memoryview(b"a"),
        ...,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_come_back_as_something_else_is_refused(value: Any) -> None:
    for held in (value, [value], {"a": (value,)}):
        with pytest.raises(Unpackable) as caught:
            Packing().pack(held)
        assert str(caught.value) == (
            f"a {type(value).__qualname__}, which snapshots do not know; pass codec= with encode "
            "and decode for it"
        )


def test_nesting_has_a_limit_below_which_everything_comes_back() -> None:
    for kind in (lambda held: [held], lambda held: (held,), lambda held: {1: held}):
        value: Any = 1
        for _ in range(100):
            value = kind(value)
        assert round_trip(value) == value
        with pytest.raises(Unpackable, match=r"^more than 100 levels of containers in each other$"):
            Packing().pack(kind(value))
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Unpackable, match=r"^more than 100 levels"):
        Packing().pack(endless)


def test_a_zone_without_a_name_is_refused() -> None:
    utc = struct.pack(">4s16x6I6x4s", b"TZif", 0, 0, 0, 0, 1, 4, b"UTC\0")
    zone = ZoneInfo.from_file(io.BytesIO(utc))
    with pytest.raises(Unpackable, match=r"^a ZoneInfo without a name$"):
        Packing().pack(zone)


def test_a_users_codec_is_asked_only_for_what_is_not_known() -> None:
    asked: list[Any] = []

    class Records:
        def encode(self, value: Any) -> bytes:
            asked.append(value)
            return msgspec.msgpack.encode(value)

        def decode(self, data: bytes) -> Any:
            return msgspec.msgpack.decode(data, type=Record)

    value = {"known": (1, "a"), "records": [Record(1), (Record(2),)]}
    assert round_trip(value, Packing(Records())) == value
    assert asked == [Record(1), Record(2)]


@given(st.binary(max_size=60))
def test_bytes_that_nobody_packed_raise_or_give_values_but_do_no_harm(data: bytes) -> None:
    for start in (b"", b"\xdd\x00\x00\x00\x01", b"\x91\xc7\x10\x01", b"\x91\xd6\x0d"):
        with contextlib.suppress(ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
            assert type(Packing().unpack(start + data)) is list
