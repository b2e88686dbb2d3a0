"""Environment variables overrule a configuration."""

from __future__ import annotations

import enum
import logging
from pathlib import Path
from typing import Any, Literal, NewType

import msgspec
import pytest

from predis_core.config import (
    ByteSize,
    CacheConfig,
    Duration,
    HostConfig,
    RowsValue,
    Secret,
    decode_section,
    load,
)
from tests.support.configurations import OF_CACHE, OF_TOP, Listen, problem, section, section_problem

CACHE: dict[str, Any] = {
    "cache": {"capacity": 5, "value": {"kind": "rows", "dtype": "int64", "shape": [2]}}
}


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "predis.toml"
    path.write_text(
        "[host]\nstrict = false\n"
        "[cache]\ncapacity = 5\nname = 'x'\nvalue = {kind = 'rows', dtype = 'int64', shape = [2]}"
    )
    environ = {
        "PREDIS_CACHE__CAPACITY": "5_000",
        "PREDIS_CACHE__NAME": "5",
        "PREDIS_CACHE__TTL": "90",
        "PREDIS_CACHE__SEED": "-1",
        "PREDIS_CACHE__VALUE__DTYPE": "float64",
        "PREDIS_HOST__STRICT": "True",
        "PREDIS_HOST__DEADLINE": "1m",
        "PREDIS_HOST__STATE_DIR": "/x",
    }
    loaded = load(path, environ)
    assert loaded.cache == CacheConfig(
        capacity=5_000,
        name="5",
        ttl=Duration(90),
        seed=-1,
        value=RowsValue(dtype="float64", shape=(2,)),
    )
    assert loaded.host == HostConfig(strict=True, deadline=Duration(60), state_dir=Path("/x"))


def test_a_table_is_set_before_what_is_in_it() -> None:
    environ = {
        "PREDIS_CACHE__VALUE__SHAPE": "[3, 4]",
        "PREDIS_CACHE__VALUE": '{ kind = "rows", dtype = "int8" }',
    }
    loaded = load({"cache": {"capacity": 5}}, environ)
    assert loaded.cache.value == RowsValue(dtype="int8", shape=(3, 4))


def test_variables_alone_make_a_configuration() -> None:
    environ = {"PREDIS_CACHE__CAPACITY": "5", "PREDIS_CACHE__VALUE__KIND": "objects"}
    assert load({}, environ).cache == CacheConfig(capacity=5)
    missing = problem({}, {"PREDIS_CACHE__NAME": "x"})
    assert (
        missing == "<dict>: cache.capacity: missing; expected an integer >= 1, or memory for rows"
    )


@pytest.mark.parametrize(
    ("text", "strict"), [("true", True), ("1", True), ("FALSE", False), ("0", False)]
)
def test_bools(text: str, strict: bool) -> None:
    assert load(CACHE, {"PREDIS_HOST__STRICT": text}).host.strict is strict


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


Port = NewType("Port", int)


class Wide(msgspec.Struct, rename="kebab"):
    max_size: ByteSize = ByteSize(0)
    rate: float | None = None
    either: int | str = 0
    choice: Literal["a", 1] = "a"
    color: Color = Color.RED
    level: Level = Level.LOW
    port: Port = Port(0)
    tokens: list[Secret] = []
    by_name: dict[str, Duration] = {}
    anything: Any = None
    text: Any = None
    inner: Listen | None = None
    label: str | None = None


def test_a_text_is_read_as_the_type_of_its_field() -> None:
    texts = {
        "MAX_SIZE": "2KiB",
        "RATE": "1e3",
        "EITHER": "7",
        "CHOICE": "1",
        "COLOR": "blue",
        "LEVEL": "2",
        "PORT": "80",
        "TOKENS": " ['${A}', 'b'] ",
        "BY_NAME__SLOW": "5m",
        "BY_NAME__Odd-One": "5s",
        "ANYTHING": "{ a = [1] }",
        "TEXT": "[neither",
        "INNER__PORT": "81",
        "LABEL": "[1]",
    }
    environ = {f"PREDIS_PLUGINS__X__{name}": text for name, text in texts.items()}
    values = {"by-name": {"Odd_One": 1, "fast": 1}, "inner": {"interval": 1}}
    decoded = decode_section(section(values, {**environ, "A": "a"}), Wide)
    assert decoded == Wide(
        max_size=ByteSize(2048),
        rate=1000.0,
        either=7,
        choice=1,
        color=Color.BLUE,
        level=Level.HIGH,
        port=Port(80),
        tokens=[Secret("a"), Secret("b")],
        by_name={"Odd_One": Duration(5), "fast": Duration(1), "slow": Duration(300)},
        anything={"a": [1]},
        text="[neither",
        inner=Listen(port=81, interval=Duration(1)),
        label="[1]",
    )


def test_a_variable_may_bring_a_plugin() -> None:
    document = {**CACHE, "plugins": {"my-plugin": {"port": 1}, "a": {}}}
    environ = {
        "PREDIS_PLUGINS__Z__PORT": "2",
        "PREDIS_PLUGINS__Z__REQUIRED": "0",
        "PREDIS_PLUGINS__MY_PLUGIN__INTERVAL": "2s",
        "PREDIS_PLUGINS__B": "{ port = 3, required = false }",
    }
    plugins = load(document, environ).plugins
    assert [(one.name, one.required) for one in plugins.values()] == [
        ("my-plugin", True),
        ("a", True),
        ("b", False),
        ("z", False),
    ]
    assert [decode_section(one, Listen) for one in plugins.values()] == [
        Listen(port=1, interval=Duration(2)),
        Listen(),
        Listen(port=3),
        Listen(port=2),
    ]
    assert document["plugins"] == {"my-plugin": {"port": 1}, "a": {}}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("CACHE__CAPACITY", "abc", "expected an integer, got 'abc'"),
        ("CACHE__CAPACITY", "-1", "expected an integer >= 1, got -1"),
        ("CACHE__CAPACITY", "5.0", "expected an integer, got '5.0'"),
        ("CACHE__TTL", "soon", "expected a duration such as \"5m\", got 'soon'"),
        ("HOST__STRICT", "yes", "expected true or false, got 'yes'"),
        ("CACHE__CAPCITY", "5", f"unknown key; did you mean 'capacity'? {OF_CACHE}"),
        ("CACHE__", "5", f"unknown key {OF_CACHE}"),
        ("CACHE__CAPACITY__X", "5", "cache.capacity is not a table"),
        ("CACHE__VALEU__DTYPE", "x", f"unknown key; did you mean 'value'? {OF_CACHE}"),
        ("CACHE__VALUE__SHAPE", "3", "expected a list, got '3'"),
        ("CACHE__VALUE__SHAPE", "[1, 0]", "cache.value.shape[1]: expected an integer >= 1, got 0"),
        ("CACHE__VALUE__SHAPE", "[1", "not valid TOML: Unclosed array"),
        ("CACHE__VALUE__SHAPE", "[1]\nother = 1", "not valid TOML: expected one value"),
        ("CACHE__VALUE__SHAPE", "[" * 5_000, "not valid TOML: expected one value"),
        (
            "CACHE__VALUE",
            '{ dtype = "x" }',
            "cache.value.kind: missing; expected 'objects', 'rows' or 'blobs'",
        ),
        (
            "CACH__CAPACITY",
            "5",
            f"unknown section 'cach'; did you mean PREDIS_CACHE__CAPACITY? {OF_TOP}",
        ),
        (
            "_CACHE__CAPACITY",
            "5",
            f"unknown section '_cache'; did you mean PREDIS_CACHE__CAPACITY? {OF_TOP}",
        ),
        (
            "HOST_STATE__DIR",
            "5",
            f"unknown section 'host_state'; did you mean PREDIS_HOST__STATE_DIR? {OF_TOP}",
        ),
        ("FOO__BAR", "5", f"unknown section 'foo' {OF_TOP}"),
        ("PLUGINS__X", "hunter2", "expected a table, got text"),
        ("PLUGINS__X__REQUIRED", "no", "expected true or false, got 'no'"),
        ("PLUGINS__X__REQUIRED__Y", "no", "plugins.x.required is not a table"),
    ],
)
def test_what_is_wrong_names_the_variable(name: str, text: str, message: str) -> None:
    assert problem(CACHE, {f"PREDIS_{name}": text}) == f"PREDIS_{name}: {message}"


def test_what_is_wrong_below_a_new_table_names_the_variable() -> None:
    assert problem({"cache": {"capacity": 5}}, {"PREDIS_CACHE__VALUE__DTYPE": "x"}) == (
        "PREDIS_CACHE__VALUE__DTYPE: cache.value.kind: missing; "
        "expected 'objects', 'rows' or 'blobs'"
    )


def test_two_variables_for_one_field() -> None:
    environ = {"PREDIS_CACHE__CAPACITY": "5", "PREDIS_CACHE__capacity": "6"}
    assert problem(CACHE, environ) == (
        "PREDIS_CACHE__capacity: PREDIS_CACHE__CAPACITY sets the same; keep one"
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("PORT", "http", "expected an integer, got 'http'"),
        (
            "PROT",
            "1",
            "unknown key; did you mean 'port'? (known: buffer, interval, labels, port, required)",
        ),
        ("PORT__X", "1", "plugins.x.port is not a table"),
        ("LABELS", "{ a = 1 }", "plugins.x.labels.a: expected text, got 1"),
    ],
)
def test_what_is_wrong_in_a_plugins_section_names_the_variable(
    name: str, text: str, message: str
) -> None:
    variable = f"PREDIS_PLUGINS__X__{name}"
    assert section_problem(Listen, {}, {variable: text}) == f"{variable}: {message}"


def test_what_is_wrong_in_a_section_that_a_variable_brought() -> None:
    assert section_problem(Listen, {}, {"PREDIS_PLUGINS__X": "{ port = 'http' }"}) == (
        "PREDIS_PLUGINS__X: plugins.x.port: expected an integer, got 'http'"
    )


def test_mistyped_variables_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    environ = {
        "PREDIS_CACHE_CAPACITY": "7",
        "PREDIS_CACHE_VALUE_DTYPE": "7",
        "PREDIS_HOST_STATE_DIR": "7",
        "PREDIS_PLUGINS_MY_PLUGIN_API_KEY": "hunter2",
        "PREDIS_CACHE_DIR": "7",
        "PREDIS_CACHE": "7",
        "PREDIS_PLUGINS_OTHER_PORT": "7",
        "CACHE__CAPACITY": "7",
    }
    document = {**CACHE, "plugins": {"my-plugin": {}, "my": {}}}
    with caplog.at_level(logging.WARNING, "predis"):
        assert load(document, environ) == load(document, {})
    assert [(one.name, one.levelname) for one in caplog.records] == [("predis", "WARNING")] * 4
    assert caplog.messages == [
        f"{name} sets nothing; to overrule the field, write {right}"
        for name, right in [
            ("PREDIS_CACHE_CAPACITY", "PREDIS_CACHE__CAPACITY"),
            ("PREDIS_CACHE_VALUE_DTYPE", "PREDIS_CACHE__VALUE__DTYPE"),
            ("PREDIS_HOST_STATE_DIR", "PREDIS_HOST__STATE_DIR"),
            ("PREDIS_PLUGINS_MY_PLUGIN_API_KEY", "PREDIS_PLUGINS__MY_PLUGIN__API_KEY"),
        ]
    ]


def test_the_processs_own_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDIS_CACHE__CAPACITY", "77")
    assert load(CACHE).cache.capacity == 77
