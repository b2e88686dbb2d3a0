"""Blobs, memory and weighers in a configuration: opened, checked and warmed up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

import predis_core as predis
from predis_core import cli
from predis_core.config import BlobsValue, ByteSize, load
from predis_core.errors import ConfigurationError


class Page(msgspec.Struct):
    """A page of some site."""

    title: str


def weigh(key: Any, value: Any) -> int:
    """Weigh a text."""
    return len(value)


HERE = __name__
BLOBS = '[cache]\ncapacity = 500\nmemory = "1MiB"\npolicy = "lru"\nvalue = { kind = "blobs" }\n'


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(cli.build(), [str(each) for each in arguments])


def written(folder: Path, text: str) -> Path:
    path = folder / "predis.toml"
    path.write_text(text, encoding="utf-8")
    return path


def opened(**cache: Any) -> predis.Cache[Any, Any]:
    return predis.open({"cache": {"policy": "lru", "capacity": 500} | cache})


def test_fields_are_decoded() -> None:
    value = {"kind": "blobs", "format": "msgpack", "type": "package.module:Page"}
    loaded = load({"cache": {"memory": "2GiB", "weigher": "a:b", "value": value}}, {}).cache
    assert loaded.capacity is None
    assert loaded.memory == ByteSize(2 << 30)
    assert loaded.weigher == "a:b"
    assert loaded.value == BlobsValue(format="msgpack", type="package.module:Page")
    environ = {"PREDIS_CACHE__MEMORY": "64MiB", "PREDIS_CACHE__VALUE__FORMAT": "json"}
    loaded = load({"cache": {"memory": 5, "value": value}}, environ).cache
    assert loaded.memory == 64 << 20
    assert loaded.value == BlobsValue(format="json", type="package.module:Page")


def test_a_cache_of_blobs_is_opened(tmp_path: Path) -> None:
    with predis.open(written(tmp_path, BLOBS)) as cache:
        cache[1] = b"x"
        assert (cache.capacity, cache[1], str(cache._store)) == (500, b"x", "Blobs()")
        assert cache._table.memory <= 1 << 20


def test_values_come_back_as_the_type_that_was_named() -> None:
    value = {"kind": "blobs", "format": "json", "type": f"{HERE}:Page"}
    with opened(memory="1MiB", value=value) as cache:
        cache[1] = Page("a")
        assert cache[1] == Page("a")


def test_rows_need_no_capacity() -> None:
    value = {"kind": "rows", "dtype": "int64"}
    with predis.open({"cache": {"memory": "1MiB", "policy": "s3fifo", "value": value}}) as cache:
        assert cache.capacity > 20_000


def test_a_weigher_is_imported() -> None:
    with opened(memory="1MiB", weigher=f"{HERE}:weigh") as cache:
        cache["a"] = "xxxxx"
        assert cache.stats().bytes == 5


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        ({"memory": "2 GB of it"}, "expected a size such as \"2GiB\", got '2 GB of it'"),
        (
            {"memory": "1MiB", "weigher": "no colon"},
            "expected a module and a name in it such as \"package.module:name\", got 'no colon'",
        ),
        (
            {"memory": "1MiB", "weigher": "no_such_module:weigh"},
            "weigher: 'no_such_module:weigh' cannot be imported: No module named 'no_such_module'",
        ),
        (
            {"memory": "1MiB", "weigher": f"{HERE}:wiegh"},
            f"weigher: '{HERE}:wiegh' cannot be imported: module '{HERE}' has no attribute 'wiegh'",
        ),
        (
            {"memory": "1MiB", "weigher": f"{HERE}:HERE"},
            f"weigher: expected a callable, got {HERE!r}",
        ),
        (
            {"memory": "1MiB"},
            "weigher: a cache of Objects cannot tell what they take; give one with memory=",
        ),
        (
            {"memory": "1MiB", "value": {"kind": "blobs", "format": "json", "type": "os:Page"}},
            "value: type: 'os:Page' cannot be imported: module 'os' has no attribute 'Page'",
        ),
        (
            {"memory": "1MiB", "value": {"kind": "blobs", "format": "yaml"}},
            "expected 'bytes', 'json' or 'msgpack', got 'yaml'",
        ),
        (
            {"memory": "1KiB", "value": {"kind": "rows", "dtype": "int64"}},
            "memory: 500 entries take 17280 bytes; give as much, or leave capacity out",
        ),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_does_not_fit_names_the_field_and_the_fix(cache: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        opened(**cache)
    text = str(caught.value)
    assert text.startswith("<dict>: cache.")
    assert text.endswith(message)


# ---------------------------------------------------------------------- predis check


def test_check_shows_where_memory_goes(tmp_path: Path) -> None:
    result = run("check", written(tmp_path, BLOBS))
    assert result.exit_code == 0, result.output
    shown = result.output[result.output.index("MEMORY") :].splitlines()
    assert [line.split() for line in shown[:6]] == [
        ["MEMORY", "BYTES", "SHARE"],
        ["table", "7,280", "0.7%"],
        ["deadlines", "and", "pins", "6,000", "0.6%"],
        ["slots", "8,000", "0.8%"],
        ["values", "1,027,296", "98.0%"],
        ["all", "1,048,576"],
    ]
    assert shown[6] == "for 500 entries"


def test_check_shows_it_as_json(tmp_path: Path) -> None:
    text = '[cache]\nmemory = "1MiB"\nvalue = { kind = "rows", dtype = "int64" }\n'
    memory = json.loads(run("check", written(tmp_path, text), "--json").output)["memory"]
    assert memory["bytes"] == sum(part["bytes"] for part in memory["parts"]) <= 1 << 20
    assert [part["part"] for part in memory["parts"]] == ["table", "deadlines and pins", "slots"]
    assert sum(part["share"] for part in memory["parts"]) == pytest.approx(1, abs=1e-3)
    assert memory["parts"][2]["bytes"] == 8 * memory["entries"]


def test_check_tells_what_cannot_be_opened(tmp_path: Path) -> None:
    path = written(tmp_path, BLOBS.replace("1MiB", "1KiB"))
    result = run("check", path)
    assert result.exit_code == 1
    assert f"{path}: cache.memory: the table alone takes 21280 bytes for 500" in result.output
    document = json.loads(run("check", path, "--json").output.partition("\nError")[0])
    assert document["memory"] is None
    assert len(document["problems"]) == 1


# ---------------------------------------------------------------------- predis warmup


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            BLOBS.replace('"blobs"', f'"blobs", format = "json", type = "{HERE}:Page"'),
            "policy lru, int64 keys, Blobs('json', type=Page): ready after ",
        ),
        (
            f'[cache]\ncapacity = 9\nmemory = "1MiB"\npolicy = "lru"\nweigher = "{HERE}:weigh"\n',
            "policy lru, any keys, Objects(): ready after ",
        ),
    ],
)
def test_warmup_compiles_what_memory_needs(tmp_path: Path, text: str, told: str) -> None:
    result = run("warmup", written(tmp_path, text))
    assert result.exit_code == 0, result.output
    assert result.output.startswith(told)
