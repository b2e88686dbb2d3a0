"""The kit for plugins passes a good plugin, and finds what is wrong with others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.shelf import Shelf

GOOD = """
class Options(msgspec.Struct, frozen=True):
    '''Attributes:
        after: how many.
    '''

    after: int = 1

class Watch:
    interval = 0.01
    metrics = (Metric("good.metric", "gauge", "1", "Good."),)

    def on_batch(self, stats): ...

    def on_sample(self, sample): ...

    def export(self, snapshot): ...

    def collect(self):
        return [Sample(self.metrics[0], ("contract",), 1)]

    name = "watch"

    def save(self):
        return b"kept"

    def restore(self, data):
        assert data == b"kept"

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_observers(self):
        return [Watch()]

    @hookimpl
    def predis_samplers(self):
        return [Watch()]

    @hookimpl
    def predis_exporters(self):
        return [Watch()]

    @hookimpl
    def predis_metric_sources(self):
        return [Watch()]

    @hookimpl
    def predis_state(self):
        return [Watch()]

    @hookimpl
    def predis_health(self):
        return None
"""
MODEL = """
import numpy as np

class Model:
    name = "model"
    version = 1

    def __init__(self):
        self.weights = np.zeros(3)

    def export(self):
        return {"weights": self.weights}

    def load(self, parameters):
        self.weights = parameters["weights"]

    def scores(self, since):
        return Scores(np.zeros(0), since)

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_models(self):
        return [Model()]
"""
FAULTY = {
    "loud": (
        "class Plugin:\n    def __init__(self, options): ...\n",
        "",
        {"test_its_hooks_are_hooks"},
    ),
    "heavy": (
        GOOD.replace("class Options", "time.sleep(0.3)\nclass Options"),
        "import_seconds = 0.2",
        {"test_importing_it_is_quick", "test_its_entry_point_names_a_spec_and_imports_little"},
    ),
    "silent": (
        GOOD.replace("after: how many.", "nothing at all."),
        "",
        {"test_its_options_are_described"},
    ),
    "twice": (
        GOOD
        + """
    closed = False

    def close(self):
        assert not self.closed
        self.closed = True
""",
        "",
        {"test_closing_twice_is_harmless"},
    ),
    "leaky": (
        GOOD.replace(
            "def __init__(self, options): ...",
            "def __init__(self, options):\n"
            "        threading.Thread(\n"
            "            target=threading.Event().wait, daemon=True\n"
            "        ).start()",
        ),
        "",
        {"test_it_leaves_no_thread_and_no_socket_behind"},
    ),
    "forgetful": (
        GOOD.replace('data == b"kept"', 'data == b"something else"'),
        "",
        {"test_what_it_keeps_in_snapshots_comes_back"},
    ),
    "telling": (
        MODEL.replace("np.zeros(3)", "np.arange(7 << 40, (7 << 40) + 9, dtype=float)"),
        "",
        {"test_its_models_take_what_they_export_and_hold_no_key"},
    ),
    "rash": (
        GOOD
        + """
    @hookimpl
    def predis_advise(self, window):
        return {"auto.reset": True}
""",
        "",
        {"test_what_it_advises_is_a_proposal"},
    ),
    "meddling": (
        GOOD.replace("def on_batch(self, stats): ...", "def on_batch(self, stats): 1 / 0"),
        "",
        {"test_a_cache_with_it_works"},
    ),
}
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".")
ALWAYS = {"test_its_entry_point_names_a_spec_and_imports_little"}
"""What every plugin on the shelf fails: its spec and its class are in one module."""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, set[str]]]:
    """Which tests of the kit passed and failed, by plugin."""
    folder = tmp_path_factory.mktemp("shelf")
    shelf = Shelf(folder)
    tests = ["from predis_core.testing.plugin_contract import PluginContract"]
    for name, (code, more) in {
        "good": (GOOD, ""),
        "learner": (MODEL, ""),
        **{name: (code, more) for name, (code, more, _) in FAULTY.items()},
    }.items():
        spec = "config=Options" if "class Options" in code else None
        shelf.put(name, code, spec=spec)
        body = f'plugin = "{name}"\nimport_seconds = 5.0\n{more}\n'
        tests.append(f"class Test_{name}(PluginContract):\n" + textwrap.indent(body, "    "))
    (folder / "test_kit.py").write_text("\n\n".join(tests), encoding="utf-8")
    result = subprocess.run(
        [*PYTEST, "-rA", "-k", "not wheel", "test_kit.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, dict[str, set[str]]] = {}
    pattern = r"^(PASSED|FAILED|ERROR) test_kit\.py::Test_(\w+)::(\w+)"
    for state, plugin, test in re.findall(pattern, result.stdout, re.MULTILINE):
        found.setdefault(plugin, {}).setdefault(state, set()).add(test)
    assert found, result.stdout + result.stderr
    return found


@pytest.mark.parametrize("name", ["good", "learner"])
def test_a_good_plugin_passes(outcome: dict[str, dict[str, set[str]]], name: str) -> None:
    assert outcome[name].get("FAILED", set()) == ALWAYS
    assert "ERROR" not in outcome[name]
    assert len(outcome[name]["PASSED"]) >= 9


@pytest.mark.parametrize("name", FAULTY)
def test_what_is_wrong_with_a_plugin_is_found(
    outcome: dict[str, dict[str, set[str]]], name: str
) -> None:
    expected = FAULTY[name][2] | ALWAYS
    assert expected <= outcome[name]["FAILED"] | outcome[name].get("ERROR", set())
    assert outcome[name]["FAILED"] - expected <= {"test_a_raising_object_breaks_nothing"}


def test_the_fixtures_import_nothing_before_they_are_asked_for() -> None:
    script = (
        "import sys; import pytest; before = set(sys.modules)\n"
        "import predis_core.testing.pytest_plugin\n"
        "print(sorted(m for m in set(sys.modules) - before if m.startswith('predis_core.')))"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    imported = set(eval(told.stdout))
    assert imported <= {
        "predis_core.errors",
        "predis_core.runtime",
        "predis_core.testing",
        "predis_core.testing.pytest_plugin",
    }


FIXTURES = """
import pytest

pytest_plugins = ["predis_core.testing.pytest_plugin"]


def test_a_cache_on_the_manual_clock(open_cache, manual_clock):
    cache = open_cache({"cache": {"capacity": 10, "ttl": "5s"}})
    cache["a"] = 1
    manual_clock.advance(6)
    assert "a" not in cache


def test_it_was_closed():
    import predis_core

    assert predis_core.status() is None
"""


def test_the_fixtures_work(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(FIXTURES, encoding="utf-8")
    result = subprocess.run(
        [*PYTEST, "test_own.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in result.stdout, result.stdout + result.stderr
