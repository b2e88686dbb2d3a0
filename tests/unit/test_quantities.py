"""Durations, sizes and secrets."""

from __future__ import annotations

import copy
import json
import math
import pickle
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predis_core.config.quantities import ByteSize, Duration, Secret, kind_of, shown

SECONDS = st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("250ms", 0.25),
        ("5s", 5),
        ("5m", 300),
        ("2h", 7_200),
        ("1d", 86_400),
        ("1w", 604_800),
        ("1h30m", 5_400),
        (" 1h 30 m ", 5_400),
        ("1.5s", 1.5),
        ("7us", 7e-6),
        ("7ns", 7e-9),
        ("0.1s", 0.1),
        ("1.1ms", 0.0011),
        ("1e3s", 1_000),
        ("90", 90),
        (90, 90),
        (0.5, 0.5),
        (timedelta(minutes=5), 300),
        (Duration(3), 3),
    ],
)
def test_durations(given: Any, seconds: float) -> None:
    parsed = Duration.parse(given)
    assert parsed == seconds
    assert isinstance(parsed, Duration)
    assert type(parsed * 2) is float


@pytest.mark.parametrize(
    "given", ["x", "", "5M", "1m1m", "30m1h", "-5m", "5 5", "1e999s", "1e1000s"]
)
def test_text_that_is_no_duration(given: str) -> None:
    with pytest.raises(ValueError) as caught:
        Duration.parse(given)
    assert str(caught.value) == f'expected a duration such as "5m", got {given!r}'


@pytest.mark.parametrize("given", [True, None, [1], {}, b"5m"], ids=repr)
def test_other_types_are_no_duration(given: Any) -> None:
    with pytest.raises(ValueError) as caught:
        Duration.parse(given)
    assert str(caught.value) == f'expected a duration such as "5m", got {given!r}'


@pytest.mark.parametrize(
    "given", [0, -1, "0s", "1e-999s", math.nan, math.inf, timedelta(0)], ids=repr
)
def test_durations_are_finite_and_greater_than_zero(given: Any) -> None:
    with pytest.raises(ValueError) as caught:
        Duration.parse(given)
    assert str(caught.value) == f'expected a duration such as "5m", greater than 0, got {given!r}'


def test_a_duration_is_checked_when_it_is_built() -> None:
    for seconds in (0, -1.0, math.nan, math.inf, 10**400, True, "5m"):
        with pytest.raises(ValueError, match=r"^expected seconds > 0, got "):
            Duration(seconds)  # type: ignore[arg-type]


@given(SECONDS)
def test_a_duration_is_its_own_text(seconds: float) -> None:
    duration = Duration(seconds)
    assert Duration.parse(str(duration)) == duration
    assert eval(repr(duration)) == duration
    assert pickle.loads(pickle.dumps(duration)) == copy.deepcopy(duration) == seconds


@given(st.integers(1, 10**6), st.sampled_from(["ns", "us", "ms", "s", "m", "h", "d", "w"]))
def test_durations_as_people_write_them_are_short(number: int, unit: str) -> None:
    duration = Duration.parse(f"{number}{unit}")
    assert Duration.parse(str(duration)) == duration
    assert len(str(duration)) <= 16


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "250ms"),
        (90, "1m30s"),
        (5_400, "1h30m"),
        (604_800, "7d"),
        (1.5, "1.5s"),
        (7e-9, "7ns"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert str(Duration(seconds)) == f"{Duration(seconds)}" == text
    assert repr(Duration(seconds)) == f"Duration.parse({text!r})"


@pytest.mark.parametrize("text", ["1e1" * 33, "1e1" * 33 + "!", "9" * 10**6 + "s", "1h" * 10**6])
def test_texts_made_to_be_slow_are_not(text: str) -> None:
    start = time.thread_time()
    for parse in (Duration.parse, ByteSize.parse):
        with pytest.raises(ValueError, match=r"^expected a .* such as "):
            parse(text)
    assert time.thread_time() - start < 1


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ("512", 512),
        ("512B", 512),
        ("64KiB", 65_536),
        ("3MiB", 3 << 20),
        ("2 GiB", 2 << 30),
        ("1TiB", 1 << 40),
        ("1kB", 1_000),
        ("1KB", 1_000),
        ("5MB", 5_000_000),
        ("1.5GB", 1_500_000_000),
        ("1TB", 10**12),
        ("0.5KiB", 512),
        (0, 0),
        (7, 7),
        (ByteSize(7), 7),
    ],
)
def test_sizes(given: Any, size: int) -> None:
    parsed = ByteSize.parse(given)
    assert parsed == size
    assert isinstance(parsed, ByteSize)
    assert type(parsed // 2) is int


@pytest.mark.parametrize(
    "given",
    ["x", "", "2gb", "0.1KiB", "-1", "1.5", "1e18TB", -1, 1.5, True, None, 1 << 63],
    ids=repr,
)
def test_what_is_no_size(given: Any) -> None:
    with pytest.raises(ValueError) as caught:
        ByteSize.parse(given)
    assert str(caught.value) == f'expected a size such as "2GiB", got {given!r}'


def test_a_size_is_checked_when_it_is_built() -> None:
    for size in (-1, 1 << 63, True, 1.0, "1"):
        with pytest.raises(ValueError, match=r"^expected bytes from 0 to 2\*\*63 - 1, got "):
            ByteSize(size)  # type: ignore[arg-type]


@given(st.integers(0, (1 << 63) - 1) | st.integers(0, 60).map(lambda power: 1 << power))
def test_a_size_is_its_own_text(size: int) -> None:
    byte_size = ByteSize(size)
    assert ByteSize.parse(str(byte_size)) == byte_size
    assert eval(repr(byte_size)) == byte_size
    assert pickle.loads(pickle.dumps(byte_size)) == copy.deepcopy(byte_size) == size


def test_sizes_read_well() -> None:
    sizes = {0: "0B", 1: "1B", 512: "512B", 2 << 30: "2GiB", 1_000: "1kB", 1_500_000_000: "1500MB"}
    assert {size: str(ByteSize(size)) for size in sizes} == sizes


def test_a_secret_is_given_as_text() -> None:
    secret = Secret.resolve("hunter2")
    assert secret.reveal() == "hunter2"
    assert (str(secret), repr(secret), f"{secret}", f"{secret!r}") == (
        "***",
        "Secret(***)",
        "***",
        "Secret(***)",
    )
    assert Secret.resolve(secret) is secret


def test_a_secret_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Secret.resolve("${TOKEN}", {"TOKEN": "hunter2"}).reveal() == "hunter2"
    monkeypatch.setenv("PREDIS_SECRET", "hunter2")
    secret = Secret.resolve("${PREDIS_SECRET}")
    monkeypatch.delenv("PREDIS_SECRET")
    assert secret.reveal() == "hunter2"
    assert (str(secret), repr(secret)) == ("${PREDIS_SECRET}", "Secret(${PREDIS_SECRET})")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b"hunter2\n\n", "hunter2\n"),
        (b" a\nb ", " a\nb "),
        (b"", ""),
    ],
)
def test_a_secret_is_in_a_file(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    secret = Secret.resolve(f"file:{path}")
    path.unlink()
    assert secret.reveal() == text
    assert str(secret) == f"file:{path}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("${NOPE}", "the environment variable NOPE is not set"),
        ("${a b}", "expected ${NAME} with a name of letters, digits and '_'"),
        ("file:/no/such", "the file '/no/such' cannot be read: No such file or directory"),
        ("file:/", "the file '/' cannot be read: Is a directory"),
        ("file:a\0b", "the file 'a\\x00b' cannot be read: embedded null byte"),
        (5, "expected text, ${NAME} or file:/path, got an integer"),
        (["hunter2"], "expected text, ${NAME} or file:/path, got a list"),
        (b"hunter2", "expected text, ${NAME} or file:/path, got bytes"),
    ],
)
def test_a_secret_that_cannot_be_resolved(given: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Secret.resolve(given, {})
    assert str(caught.value) == message


def test_the_error_for_a_file_of_bytes_holds_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"hunter2\xff")
    with pytest.raises(ValueError) as caught:
        Secret.resolve(f"file:{path}")
    assert str(caught.value) == f"the file {str(path)!r} is not UTF-8 text"
    assert caught.value.__context__ is None


def test_secrets_are_equal_by_their_text() -> None:
    assert Secret("a") == Secret("a", "${A}") != Secret("b")
    assert len({Secret("a"), Secret("a", "${A}"), Secret("b")}) == 2
    assert Secret("a") != "a"


class Holder(msgspec.Struct, frozen=True):
    token: Secret


def test_a_secret_is_copied_but_not_pickled_or_encoded() -> None:
    holder = Holder(token=Secret("hunter2"))
    assert copy.copy(holder.token) is copy.deepcopy(holder.token) is holder.token
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match=r"^a Secret is not pickled; pass on its reference"):
            pickle.dumps(holder, protocol)
    with pytest.raises(TypeError, match="Secret"):
        json.dumps(holder.token)
    for encode in (msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins):
        with pytest.raises(TypeError, match="Secret"):
            encode(holder)


def test_nothing_that_lists_attributes_lists_a_secret() -> None:
    secret = Secret("hunter2")
    listed = [getattr(secret, name) for name in dir(secret) if name != "reveal"]
    assert "hunter2" not in repr(listed)
    assert "hunter2" not in repr(secret.__getstate__())


def test_values_are_shown_on_one_short_line() -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError

    class Long:
        def __repr__(self) -> str:
            return "a\nb"

    assert shown("x" * 100) == "'" + "x" * 59 + "…"
    assert shown("x" * 58) == repr("x" * 58)
    assert shown("a\nb") == r"'a\nb'"
    assert shown(Long()) == "a b"
    assert shown(Shy()) == "<Shy>"
    assert shown(10**5_000) == "<int>"
    assert [kind_of(one) for one in ("", True, 1.0, {}, (), None)] == [
        "text",
        "true or false",
        "a number",
        "a table",
        "a list",
        "NoneType",
    ]
