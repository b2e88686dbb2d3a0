"""`predis plugins`, `predis check` and `predis warmup`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import predis_core as predis
from predis_core import cli
from predis_core.adapt.machine import kernels
from predis_core.prefetch import machine
from tests.support.crew import wait_until
from tests.support.shelf import Shelf

SECRETIVE = """
class Options(msgspec.Struct, frozen=True):
    port: int = 80
    key: Secret | None = None
    interval: Duration = Duration(10)

class Observer:
    def on_batch(self, stats): ...

class Plugin:
    def __init__(self, options):
        raise AssertionError("started")
"""
WORKING = """
class Both:
    def on_batch(self, stats): ...

    def on_sample(self, sample): ...

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_observers(self):
        return [Both()]

    @hookimpl
    def predis_samplers(self):
        return [Both()]
"""


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(cli.build(), [str(each) for each in arguments])


def configuration(folder: Path, text: str) -> Path:
    path = folder / "predis.toml"
    path.write_text(text, encoding="utf-8")
    return path


# ---------------------------------------------------------------------- plugins


def test_plugins_lists_what_is_installed_and_imports_nothing(shelf: Shelf) -> None:
    shelf.put("bomb", "raise AssertionError('imported')")
    result = run("plugins")
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("bomb ")]
    assert line.split() == ["bomb", "installed", "predis-bomb", "1.2.3"]


def test_plugins_says_what_a_configuration_enables_and_why_not(
    shelf: Shelf, tmp_path: Path
) -> None:
    shelf.put("secretive", SECRETIVE, spec="config=Options")
    shelf.put("needy", "import no_such_package")
    path = configuration(
        tmp_path,
        "[cache]\ncapacity = 10\n[plugins.secretive]\n[plugins.needy]\nrequired = false\n"
        "[plugins.absent]\n",
    )
    result = run("plugins", path)
    assert result.exit_code == 0, result.output
    states = {line.split()[0]: line.split()[1] for line in result.output.splitlines()[1:]}
    assert states["secretive"] == "enabled"
    assert states["needy"] == "skipped"
    assert states["absent"] == "failing"
    assert "absent: plugin 'absent' is not installed" in result.output
    assert "it needs the module 'no_such_package'" in result.output


def test_plugins_as_json(shelf: Shelf) -> None:
    shelf.put("lookout")
    rows = json.loads(run("plugins", "--json").output)["plugins"]
    assert {
        "name": "lookout",
        "distribution": "predis-lookout",
        "version": "1.2.3",
        "state": "installed",
        "reason": "",
    } in rows


def test_plugins_asks_running_processes(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put("working", WORKING)
    state = tmp_path / "state"
    path = configuration(
        tmp_path,
        f'[host]\nstate_dir = "{state}"\n[cache]\ncapacity = 1_000\nkeys = "int64"\n'
        "[plugins.working]\n",
    )
    assert f"No process with caches has a socket in {state}." in run("plugins", path).output
    with predis.open(path) as cache:
        cache.set_many([1, 2], ["a", "b"])
        result = run("plugins", "--state-dir", state)
        assert result.exit_code == 0, result.output
        assert "default (2 of 1,000 entries)" in result.output
        header, line = result.output.splitlines()[-2:]
        assert header.split()[:5] == ["PLUGIN", "STATE", "VERSION", "CACHES", "FAILURES"]
        assert line.split()[:5] == ["working", "healthy", "1.2.3", "default", "0"]
        assert line.split()[6:] == ["µs", "0", "(0)"]
        document = json.loads(run("plugins", path, "--json").output)
        assert document["silent"] == []
        (process,) = document["processes"]
        assert process["plugins"][0]["functions"][0]["what"] == "predis_observers"


# ---------------------------------------------------------------------- check


def test_check_shows_what_holds_without_starting_anything(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put("secretive", SECRETIVE, spec="config=Options")
    monkeypatch.setenv("KEY", "hunter2")
    monkeypatch.setenv("PREDIS_PLUGINS__SECRETIVE__PORT", "8080")
    path = configuration(
        tmp_path,
        '[cache]\ncapacity = 10\nttl = "90s"\nvalue = { kind = "rows", dtype = "float32" }\n'
        '[plugins.secretive]\nkey = "${KEY}"\n',
    )
    result = run("check", path)
    assert result.exit_code == 0, result.output
    assert "hunter2" not in result.output
    lines = result.output.splitlines()
    assert "[cache]" in lines
    assert "capacity = 10" in lines
    assert 'policy = "auto"' in lines
    assert "[plugins.secretive]" in lines
    assert "port = 8080" in lines
    assert 'key = "${KEY}"' in lines
    assert lines[-1] == f"{path}: a cache can be opened with it."


def test_check_lists_every_plugin_that_cannot_be_enabled(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put("needy", "import no_such_package")
    path = configuration(
        tmp_path,
        '[cache]\ncapacity = 10\npolicy = "lur"\n[plugins.needy]\n[plugins.absent]\n'
        "[plugins.gone]\nrequired = false\n",
    )
    result = run("check", path)
    assert result.exit_code == 1
    assert "plugin 'needy'" in result.output
    assert "plugin 'absent' is not installed" in result.output
    assert "cache.policy: no policy 'lur'" in result.output
    assert "skipped: plugin 'gone' is not installed" in result.output
    document = json.loads(run("check", path, "--json").output.partition("\nError")[0])
    assert len(document["problems"]) == 3
    assert len(document["warnings"]) == 1


def test_check_says_which_namespace_does_not_fit(tmp_path: Path) -> None:
    division = "[cache]\ncapacity = 10\n[cache.namespaces.a]\nshare = 0.5\n[cache.namespaces.b]\n"
    assert run("check", configuration(tmp_path, division)).exit_code == 0
    result = run("check", configuration(tmp_path, division + "capacity = 5\n"))
    assert result.exit_code == 1
    assert "cache.namespaces.b.capacity: namespace 'b' wants 5 entries and could have 4 of 10" in (
        result.output
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[cache]\ncapcity = 1\n", "cache.capcity: unknown key; did you mean 'capacity'?"),
        ("[cache\n", "predis.toml: "),
    ],
)
def test_check_of_a_bad_file(tmp_path: Path, text: str, told: str) -> None:
    result = run("check", configuration(tmp_path, text))
    assert result.exit_code == 1
    assert told in result.output


# ---------------------------------------------------------------------- warmup


def test_warmup_compiles_what_the_configuration_needs(tmp_path: Path) -> None:
    path = configuration(tmp_path, '[cache]\ncapacity = 1_000_000_000\npolicy = "lru"\n')
    result = run("warmup", path)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("policy lru, any keys, Objects(): ready after ")
    result = run("warmup", path, "--policy", "fifo")
    assert result.output.startswith("policy fifo, ")


def test_warmup_compiles_what_a_curve_needs(tmp_path: Path) -> None:
    path = configuration(tmp_path, '[cache]\ncapacity = 9\npolicy = "lru"\nsampling = 0.01\n')
    result = run("warmup", path)
    assert result.exit_code == 0, result.output
    names = {"follow", "carry_over", "sift", "count_misses"}
    assert all(kernels().dispatchers[name].overloads for name in names)


def test_warmup_compiles_what_prefetchers_need(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(
        "ahead",
        """
        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_prefetchers(self):
                return []
        """,
    )
    path = configuration(tmp_path, '[cache]\ncapacity = 9\npolicy = "lru"\n[plugins.ahead]\n')
    result = run("warmup", path)
    assert result.exit_code == 0, result.output
    verbs = machine.kernels().dispatchers
    assert len(verbs) == 8
    assert all(verb.overloads for verb in verbs.values())


def test_warmup_knows_the_policies_of_plugins_and_lets_these_go(
    shelf: Shelf, tmp_path: Path
) -> None:
    shelf.put(
        "own",
        """
        from predis_core import policies
        from dataclasses import replace

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_register(self, registry):
                registry.add_policy(replace(policies.get("fifo"), name="own"))
        """,
    )
    path = configuration(tmp_path, '[cache]\ncapacity = 10\npolicy = "own"\n[plugins.own]\n')
    result = run("warmup", path)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("policy own, ")
    assert predis.status() is None


def test_warmup_of_an_unknown_policy() -> None:
    result = run("warmup", "--policy", "lur")
    assert result.exit_code == 1
    assert "no policy 'lur'" in result.output


# ---------------------------------------------------------------------- prefetch status


def test_prefetch_status_asks_running_processes(tmp_path: Path, shelf: Shelf) -> None:
    shelf.put(
        "says",
        """
        class Says:
            name = "says"
            next = [1]

            def observe(self, batch): ...

            def predict(self, limit):
                keys, self.next = self.next, []
                return keys, [1.0] * len(keys)

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_prefetchers(self):
                return [Says()]
        """,
    )
    path = configuration(
        tmp_path,
        f'[host]\nstate_dir = "{tmp_path / "state"}"\n'
        '[cache]\nname = "shop"\ncapacity = 100\npolicy = "fifo"\nkeys = "int64"\n[plugins.says]\n',
    )
    with predis.open(path, loader=lambda ids: [str(each) for each in ids]) as cache:
        cache.get_many([7])
        wait_until(lambda: 1 in cache)
        shown = run("prefetch", "status", path)
        document = json.loads(run("prefetch", "status", "--json", path).output)
    assert shown.exit_code == 0
    assert "active, credit 63" in shown.output
    (row,) = document["prefetchers"]
    assert (row["cache"], row["prefetcher"], row["loads"]) == ("shop", "says", 1)
    assert "No cache" in run("prefetch", "status", path).output
    refused = run("prefetch", "status")
    assert refused.exit_code == 1
    assert "--state-dir" in refused.output
