"""predis.toml, dicts and the environment to Structs; what is wrong is named in one line."""

from __future__ import annotations

import os
import pickle
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predis_core import policies
from predis_core.config import (
    ByteSize,
    CacheConfig,
    Configuration,
    Duration,
    HostConfig,
    ObjectsValue,
    PluginSection,
    RowsValue,
    Secret,
    decode_section,
    load,
    redacted,
)
from predis_core.errors import ConfigurationError
from tests.support.configurations import OF_CACHE, OF_TOP, Listen, problem, section

WHOLE = """
[host]
strict = true
state_dir = "/var/lib/x"
deadline = "2s"
[cache]
name = "sessions"
capacity = 1_000_000
device = "cpu"
policy = "lru"
value = { kind = "rows", dtype = "float32", shape = [128] }
keys = "int64"
ttl = "5m"
seed = 7
loader = "rows-of-parquet"
[plugins.prometheus]
port = 9464
required = false
[plugins.alerts]
[plugins.drift]
window = 2000
"""
SMALL = "[cache]\ncapacity = 5\n"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file `predis.toml`, in the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "predis.toml"


# ------------------------------------------------------------------ what is right


def test_a_whole_file(written: Path) -> None:
    written.write_text(WHOLE)
    loaded = load("predis.toml", {})
    assert loaded.source == "predis.toml"
    assert loaded.host == HostConfig(
        strict=True, state_dir=Path("/var/lib/x"), deadline=Duration(2)
    )
    assert loaded.cache == CacheConfig(
        name="sessions",
        capacity=1_000_000,
        device="cpu",
        policy="lru",
        value=RowsValue(dtype="float32", shape=(128,)),
        keys="int64",
        ttl=Duration(300),
        seed=7,
        loader="rows-of-parquet",
    )
    assert [(one.name, one.required, one.values) for one in loaded.plugins.values()] == [
        ("prometheus", False, {"port": 9464}),
        ("alerts", True, {}),
        ("drift", True, {"window": 2000}),
    ]
    assert load(written, {}).plugins == loaded.plugins
    assert load(str(written), {}).source == str(written)


def test_a_dict_may_hold_values_that_have_their_type() -> None:
    value = {"kind": "rows", "dtype": "int64", "shape": (2, 3)}
    loaded = load(
        MappingProxyType(
            {
                "host": {"state_dir": Path("/x"), "deadline": Duration(3)},
                "cache": {"capacity": 5, "ttl": timedelta(minutes=5), "value": value},
            }
        ),
        {},
    )
    assert loaded.source == "<dict>"
    assert loaded.host == HostConfig(state_dir=Path("/x"), deadline=Duration(3))
    assert loaded.cache.value == RowsValue(dtype="int64", shape=(2, 3))
    assert loaded.cache.ttl == 300
    given = CacheConfig(capacity=5, value=RowsValue(dtype="int64"))
    assert load({"cache": given}, {}).cache == given


def test_what_is_left_out() -> None:
    loaded = load({"cache": {"capacity": 5}}, {})
    assert loaded == Configuration(
        host=HostConfig(strict=False, state_dir=None, deadline=Duration(10)),
        cache=CacheConfig(
            capacity=5,
            name="default",
            device="auto",
            policy=policies.DEFAULT,
            value=ObjectsValue(),
            keys=None,
            ttl=None,
            seed=None,
            loader=None,
        ),
        plugins={},
        source="<dict>",
    )


def test_nothing_is_evaluated_later(written: Path) -> None:
    environ = {"TOKEN": "old", "PREDIS_PLUGINS__X__PORT": "1"}
    document: dict[str, Any] = {
        "cache": {"capacity": 5},
        "plugins": {"x": {"labels": {"a": "old"}, "tokens": ["${TOKEN}"]}},
    }

    class Struct(Listen, frozen=True):
        tokens: tuple[Secret, ...] = ()

    loaded = load(document, environ)
    environ.update(TOKEN="new", PREDIS_PLUGINS__X__PORT="2")
    document["plugins"]["x"]["labels"]["a"] = "new"
    document["plugins"]["x"]["tokens"].append("new")
    decoded = decode_section(loaded.plugins["x"], Struct)
    assert decoded == Struct(port=1, labels={"a": "old"}, tokens=(Secret("old"),))


def test_a_plugins_section_by_its_own_struct() -> None:
    values = {"port": 1, "interval": "1m", "buffer": "2KiB", "labels": {"a": "b"}}
    decoded = decode_section(section({**values, "required": False}), Listen)
    assert decoded == Listen(
        port=1, interval=Duration(60), buffer=ByteSize(2048), labels={"a": "b"}
    )
    assert decoded.interval * 2 == 120
    assert decode_section(PluginSection("x", {}), Listen) == Listen()


def test_what_may_be_shown() -> None:
    class Struct(Listen, frozen=True):
        token: Secret = Secret("")
        other: Secret = Secret("")
        path: Path = Path("/x")

    values = {"token": "hunter2", "other": "${TOKEN}", "buffer": "2GiB"}
    assert redacted(decode_section(section(values, {"TOKEN": "hunter2"}), Struct)) == {
        "port": 9464,
        "interval": "15s",
        "buffer": "2GiB",
        "labels": {},
        "token": "***",
        "other": "${TOKEN}",
        "path": "/x",
    }
    loaded = load({"cache": {"capacity": 1}, "plugins": {"x": {"token": "hunter2"}}}, {})
    assert redacted(loaded)["plugins"] == {"x": {"required": True, "token": "***"}}
    assert redacted(loaded)["host"] == {"strict": False, "state_dir": None, "deadline": "10s"}


def test_sections_are_compared_and_not_pickled() -> None:
    assert section({"port": 1}) == section({"port": 1}) != section({"port": 2})
    assert section({}, {"PREDIS_PLUGINS__X__PORT": "1"}) != section({})
    assert section({}) != "x"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match=r"^a PluginSection is not pickled, as it may hold"):
            pickle.dumps(section({}), protocol)


# ------------------------------------------------------------------ what is wrong in a file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[cache]\ncapacity = -5", "cache.capacity: expected an integer >= 1, got -5"),
        ("[cache]\ncapacity = 'x'", "cache.capacity: expected an integer, got 'x'"),
        ("[cache]\ncapacity = true", "cache.capacity: expected an integer, got True"),
        ("[cache]\ncapacity = 5.0", "cache.capacity: expected an integer, got 5.0"),
        (
            "[cache]\ncapcity = 5",
            f"cache.capcity: unknown key; did you mean 'capacity'? {OF_CACHE}",
        ),
        (
            "[cache]\nxyz = 5",
            f"cache.xyz: unknown key {OF_CACHE}",
        ),
        ("[cache]\n", "cache.capacity: missing; expected an integer >= 1, or memory for rows"),
        ("", "cache: missing; expected a table [cache] with a capacity or memory"),
        ("cache = 5", "cache: expected a table, got 5"),
        ("[cach]\ncapacity = 5", f"cach: unknown key; did you mean 'cache'? {OF_TOP}"),
        (SMALL + "'a b' = 1", f"cache.'a b': unknown key {OF_CACHE}"),
        (SMALL + "[server]", f"server: unknown key {OF_TOP}"),
        (
            SMALL + "name = 'a b'",
            "cache.name: expected a name of letters, digits, '_', '.' and '-', got 'a b'",
        ),
        (
            SMALL + 'name = "a\\n"',
            r"cache.name: expected a name of letters, digits, '_', '.' and '-', got 'a\n'",
        ),
        (
            SMALL + "device = 'gpu'",
            "cache.device: expected 'auto', 'cpu', 'cuda' or 'cuda:N', got 'gpu'",
        ),
        (
            SMALL + "keys = 5",
            "cache.keys: expected 'any', 'bytes', 'int64' or 'str', got 5",
        ),
        (SMALL + "ttl = 'soon'", "cache.ttl: expected a duration such as \"5m\", got 'soon'"),
        (
            SMALL + "ttl = -1",
            'cache.ttl: expected a duration such as "5m", greater than 0, got -1',
        ),
        (SMALL + "ttl = []", 'cache.ttl: expected a duration such as "5m", got []'),
        (SMALL + "policy = 5", "cache.policy: expected text, got 5"),
        (SMALL + "policy = ''", "cache.policy: expected text of at least 1 character, got ''"),
        (SMALL + "value = 'rows'", "cache.value: expected a table, got 'rows'"),
        (
            SMALL + "value = {kind = 'lists'}",
            "cache.value.kind: expected 'objects', 'rows' or 'blobs', got 'lists'",
        ),
        (
            SMALL + "value = {kind = ['rows']}",
            "cache.value.kind: expected 'objects', 'rows' or 'blobs', got ['rows']",
        ),
        (
            SMALL + "value = {dtype = 'int64'}",
            "cache.value.kind: missing; expected 'objects', 'rows' or 'blobs'",
        ),
        (
            SMALL + "value = {kind = 'rows'}",
            'cache.value.dtype: missing; expected a dtype such as "float32"',
        ),
        (
            SMALL + "value = {kind = 'objects', dtype = 'int64'}",
            "cache.value.dtype: unknown key (known: kind)",
        ),
        (
            SMALL + "value = {kind = 'rows', dtype = 'int64', shape = 3}",
            "cache.value.shape: expected a list, got 3",
        ),
        (
            SMALL + "value = {kind = 'rows', dtype = 'int64', shape = [3, 0]}",
            "cache.value.shape[1]: expected an integer >= 1, got 0",
        ),
        (
            SMALL + "value = {kind = 'rows', dtype = 'int64', shape = [1.5]}",
            "cache.value.shape[0]: expected an integer, got 1.5",
        ),
        (SMALL + "[host]\nstrict = 1", "host.strict: expected true or false, got 1"),
        (SMALL + "[host]\nstate_dir = ''", "host.state_dir: expected a path, got ''"),
        (
            SMALL + "[host]\ndeadlin = 1",
            "host.deadlin: unknown key; did you mean 'deadline'? "
            "(known: deadline, state_dir, strict)",
        ),
        ("plugins = 5\n" + SMALL, "plugins: expected a table, got an integer"),
        (SMALL + "[plugins]\nx = 'hunter2'", "plugins.x: expected a table, got text"),
        (
            SMALL + "[plugins.x]\nrequired = 'no'",
            "plugins.x.required: expected true or false, got 'no'",
        ),
        (
            SMALL + "seed = '" + "x" * 100 + "'",
            "cache.seed: expected an integer, got '" + "x" * 59 + "…",
        ),
        (
            SMALL + "seed = 'x'\nttl = 'y'",
            "cache.seed: expected an integer, got 'x'; "
            "predis.toml: cache.ttl: expected a duration such as \"5m\", got 'y'",
        ),
        (
            "[cache]\ncapacity = \n",
            "not valid TOML: Invalid value (at line 2, column 12)",
        ),
        ("a = " + "[" * 5_000, "nested too deeply"),
    ],
)
def test_what_is_wrong_in_a_file(written: Path, text: str, message: str) -> None:
    written.write_text(text)
    assert problem("predis.toml") == f"predis.toml: {message}"


def test_a_file_that_cannot_be_read(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem("predis.toml") == "predis.toml: no such file"
    assert problem(Path("predis.toml")) == "predis.toml: no such file"
    assert problem(os.curdir) == ".: is a directory; name the file in it"
    assert problem("[cache]\ncapacity = 5") == r"'[cache]\ncapacity = 5': no such file"
    assert problem("a\0") == r"'a\x00': cannot be read: embedded null byte"
    written.write_bytes(b"[cache]\n# \xff")
    assert problem("predis.toml") == "predis.toml: not UTF-8 text, from byte 10 on"

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert problem("predis.toml") == "predis.toml: cannot be read: Permission denied"


@pytest.mark.parametrize("source", [None, 5, ["x"]], ids=repr)
def test_what_is_no_source(source: Any) -> None:
    assert problem(source) == f"source: expected a path or a dict, got {source!r}"


def test_dicts_that_toml_could_not_give() -> None:
    endless: dict[str, Any] = {}
    endless["cache"] = endless
    assert problem(endless) == "<dict>: nested too deeply"
    unknown = problem({"cache": {"capacity": 1}, 5: 6})
    assert unknown == f"<dict>: [5]: unknown key {OF_TOP}"
    keys = problem({"cache": {"capacity": 1}, "plugins": {5: {}}})
    assert keys == "<dict>: plugins: expected text as a key, got 5"
    assert problem({"cache": {"capacity": -(10**5_000)}}).endswith("an integer >= 1, got <int>")


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text() | st.integers(), inside),
)
NAMES = [*CacheConfig.__struct_fields__, "kind", "dtype", "shape", "required"]
TABLES = st.dictionaries(
    st.sampled_from(NAMES), TREES | st.dictionaries(st.sampled_from(NAMES), TREES)
)


@given(
    TABLES
    | st.fixed_dictionaries({}, optional={"cache": TABLES, "host": TABLES, "plugins": TREES}),
    st.dictionaries(
        st.sampled_from(
            ["PREDIS_CACHE__", "PREDIS_HOST__", "PREDIS_PLUGINS__X__", "PREDIS_"]
        ).flatmap(lambda start: st.sampled_from(NAMES).map(lambda name: start + name.upper())),
        st.text() | st.sampled_from(["[", "{kind = 1}", "1", "[[", "${X}"]),
        max_size=2,
    ),
)
def test_whatever_is_wrong_is_a_configuration_error(
    document: dict[str, Any], environ: dict[str, str]
) -> None:
    text = ""
    try:
        for one in load(document, environ).plugins.values():
            decode_section(one, Listen)
    except ConfigurationError as error:
        text = str(error)
    assert all(map(str.isprintable, text))
