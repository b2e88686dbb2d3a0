"""A plugin's section by the plugin's own Struct: fields of many types, and secrets."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from predis_core.config import Duration, Secret, decode_section, load, redacted
from predis_core.errors import ConfigurationError
from tests.support.configurations import Listen, section, section_problem


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"port": "http"}, ".port: expected an integer, got 'http'"),
        ({"port": 0}, ".port: expected an integer >= 1 and <= 65535, got 0"),
        (
            {"prot": 1},
            ".prot: unknown key; did you mean 'port'? "
            "(known: buffer, interval, labels, port, required)",
        ),
        (
            {"requird": False},
            ".requird: unknown key; did you mean 'required'? "
            "(known: buffer, interval, labels, port, required)",
        ),
        ({"interval": "x"}, ".interval: expected a duration such as \"5m\", got 'x'"),
        ({"buffer": "2gb"}, ".buffer: expected a size such as \"2GiB\", got '2gb'"),
        ({"labels": {"a b": 1}}, ".labels.'a b': expected text, got 1"),
        ({"labels": [1]}, ".labels: expected a table, got [1]"),
    ],
    ids=str,
)
def test_what_is_wrong_in_a_plugins_section(values: dict[str, Any], message: str) -> None:
    assert section_problem(Listen, values) == f"<dict>: plugins.x{message}"


class Many(msgspec.Struct, rename="kebab"):
    a_pair: tuple[int, str] = (1, "")
    by_number: dict[int, Duration] = {}
    either: int | str = 0
    even: Annotated[int, Meta(multiple_of=2)] | None = None
    few: Annotated[list[float], Meta(max_length=1)] = []
    code: Annotated[str, Meta(pattern="^a+$")] = "a"
    inner: Listen | None = None

    def __post_init__(self) -> None:
        if self.even == 4:
            raise ValueError("even: 4 is\ntaken")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a-pair": [1]}, ".a-pair: expected a list of 2 items, got [1]"),
        ({"a-pair": ["x", "y"]}, ".a-pair[0]: expected an integer, got 'x'"),
        ({"by-number": {"x": 1}}, ".by-number: expected an integer as a key, got 'x'"),
        (
            {"by-number": {"1": "x"}},
            ".by-number.1: expected a duration such as \"5m\", got 'x'",
        ),
        ({"either": []}, ".either: expected an integer or text, got []"),
        ({"even": 3}, ".even: expected an integer divisible by 2, got 3"),
        ({"even": 4}, ": even: 4 is taken"),
        ({"few": [1, 2]}, ".few: expected a list of at most 1 item, got [1, 2]"),
        ({"code": "b"}, ".code: expected text that matches '^a+$', got 'b'"),
        ({"inner": {"port": 0}}, ".inner.port: expected an integer >= 1 and <= 65535, got 0"),
        ({"inner": {"x": 0}}, ".inner.x: unknown key (known: buffer, interval, labels, port)"),
    ],
    ids=str,
)
def test_fields_of_many_types(values: dict[str, Any], message: str) -> None:
    assert section_problem(Many, values) == f"<dict>: plugins.x{message}"


def test_fields_of_many_types_that_are_right() -> None:
    values = {"a-pair": [1, "x"], "by-number": {"1": "5m"}, "either": "x", "inner": {"port": 1}}
    decoded = decode_section(section(values), Many)
    assert decoded == Many(
        a_pair=(1, "x"), by_number={1: Duration(300)}, either="x", inner=Listen(port=1)
    )


def test_a_struct_that_msgspec_does_not_take() -> None:
    class Odd(msgspec.Struct):
        interval: Duration | int = 1

    assert section_problem(Odd, {}).startswith(
        "<dict>: plugins.x: Odd cannot be decoded to: Type unions containing a custom type may not"
    )


# ------------------------------------------------------------------ secrets


class Account(msgspec.Struct, frozen=True):
    token: Secret


class Sealed(msgspec.Struct, frozen=True):
    token: Secret | None = None
    several: list[Secret] = []
    named: dict[str, Secret] = {}
    pair: tuple[Secret, int] | None = None
    triple: tuple[Duration, Secret, list[int]] | None = None
    account: Account | None = None
    accounts: list[Account] = []


# What none of the texts around it contains.
SECRETS = st.text("ABCDEFXYZ019$§\n\"'\\", min_size=6).map(lambda text: f"§{text}")
WRONG = st.recursive(
    st.just("HERE") | st.integers() | st.booleans(),
    lambda inside: (
        st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(["token", "other"]), inside)
    ),
    max_leaves=6,
)


def _filled(tree: Any, secret: str) -> Any:
    if isinstance(tree, dict):
        return {key: _filled(value, secret) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, secret) for value in tree]
    return secret if tree == "HERE" else tree


def _traced(error: BaseException) -> str:
    """Return the local variables in the core's frames of an error's traceback."""
    texts, frame = [], error.__traceback__
    while frame:
        if "predis_core" in frame.tb_frame.f_code.co_filename:
            texts.append(repr(frame.tb_frame.f_locals))
        frame = frame.tb_next
    assert texts
    return "".join(texts)


@given(st.sampled_from(Sealed.__struct_fields__), WRONG, SECRETS, st.booleans())
def test_a_secret_is_never_shown(field: str, tree: Any, secret: str, in_variable: bool) -> None:
    values, environ = {field: _filled(tree, secret)}, {}
    if in_variable:
        name = f"PREDIS_PLUGINS__X__{field.upper()}"
        values, environ = {}, {name: secret}
    loaded = load({"cache": {"capacity": 1}, "plugins": {"x": values}}, environ)
    errors = []
    texts = [repr(loaded), repr(redacted(loaded)), repr(loaded.plugins["x"].overrides)]
    try:
        decoded = decode_section(loaded.plugins["x"], Sealed)
        texts += [repr(decoded), str(decoded), repr(redacted(decoded))]
    except ConfigurationError as error:
        errors.append(error)
    for error in errors:
        assert error.__context__ is error.__cause__ is None
        texts += [repr(error), str(error), _traced(error)]
    for text in texts:
        assert secret not in text
        assert repr(secret)[1:-1] not in text
        assert "§" not in text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"token": 5}, ".token: expected text, ${NAME} or file:/path, got an integer"),
        ({"token": ["hunter2"]}, ".token: expected text, ${NAME} or file:/path, got a list"),
        ({"token": "${NOPE}"}, ".token: the environment variable NOPE is not set"),
        (
            {"token": "file:/no/such"},
            ".token: the file '/no/such' cannot be read: No such file or directory",
        ),
        ({"several": "hunter2"}, ".several: expected a list, got text"),
        ({"named": {"a": 1.5}}, ".named.a: expected text, ${NAME} or file:/path, got a number"),
        ({"pair": ["hunter2"]}, ".pair: expected a list of 2 items, got a list"),
        (
            {"pair": [5, "hunter2"]},
            ".pair[0]: expected text, ${NAME} or file:/path, got an integer; "
            "<dict>: plugins.x.pair[1]: expected an integer, got text",
        ),
        (
            {"triple": ["hunter2", "x", ["hunter2"]]},
            '.triple[0]: expected a duration such as "5m", got text; '
            "<dict>: plugins.x.triple[2][0]: expected an integer, got text",
        ),
        ({"account": "hunter2"}, ".account: expected a table, got text"),
        ({"account": {}}, ".account.token: missing; expected text, ${NAME} or file:/path"),
        (
            {"accounts": [{"token": 1}, "x"]},
            ".accounts[0].token: expected text, ${NAME} or file:/path, got an integer; "
            "<dict>: plugins.x.accounts[1]: expected a table, got text",
        ),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_secret(values: dict[str, Any], message: str) -> None:
    assert section_problem(Sealed, values) == f"<dict>: plugins.x{message}"


def test_the_traceback_of_a_wrong_configuration_holds_no_secret() -> None:
    document = {"cache": {"capacity": 0}, "plugins": {"x": {"token": "hunter2"}}}
    with pytest.raises(ConfigurationError) as caught:
        load(document, {"TOKEN": "hunter2"})
    assert "hunter2" not in _traced(caught.value)


def test_a_file_with_a_secret_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("hunter2\n"), daemon=True)
    writer.start()
    decoded = decode_section(section({"accounts": [{"token": f"file:{pipe}"}]}), Sealed)
    writer.join()
    assert decoded.accounts[0].token == Secret("hunter2")


def test_a_configuration_is_not_encoded_with_its_secrets() -> None:
    loaded = load({"cache": {"capacity": 1}, "plugins": {"x": {"token": "hunter2"}}}, {})
    for encode in (msgspec.json.encode, msgspec.to_builtins):
        with pytest.raises(TypeError, match="unsupported"):
            encode(loaded)
