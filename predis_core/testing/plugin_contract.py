"""What every plugin owes the core and its users, as tests that a plugin inherits.

    from predis_core.testing.plugin_contract import PluginContract

    class TestLookout(PluginContract):
        plugin = "lookout"
        options = {"after": 3}

pytest collects the tests of the class; the plugin has to be installed (editable is enough) and
`predis-core[testing]` too.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
import subprocess
import sys
import textwrap
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from predis_core import host
from predis_core.cache import Cache
from predis_core.clock import stopwatch
from predis_core.config import load as load_configuration
from predis_core.errors import ConfigurationError
from predis_core.host import advising, discovery
from predis_core.host.guard import FAILURES_IN_A_ROW
from predis_core.opening import open
from predis_core.plugin import HOOK_API, PluginSpec, Proposal, hookimpl

_GUARDED = (
    "predis_observers",
    "predis_prefetchers",
    "predis_samplers",
    "predis_exporters",
    "predis_metric_sources",
    "predis_models",
    "predis_state",
    "predis_advise",
    "predis_cache_opened",
    "predis_cache_closing",
    "predis_event",
    "predis_health",
)
"""The hooks whose failures are counted and swallowed."""

_PATIENCE = 60.0


class PluginContract:
    """Tests of a plugin; subclass it and name the plugin.

    Attributes:
        plugin: the name of its section, and of its entry point.
        options: its section in these tests; see also `section`.
        import_seconds: how long importing its class may take, in a process of its own, beyond what
            `import predis_core.plugin` takes.
        works: Python statements that are run with the wheel installed and a `cache` opened with the
            plugin, if opening and using a cache is not enough of a proof.
    """

    plugin: ClassVar[str] = ""
    options: ClassVar[dict[str, Any]] = {}
    import_seconds: ClassVar[float] = 1.0
    works: ClassVar[str] = ""

    def section(self) -> dict[str, Any]:
        """Return the plugin's section; override it if it cannot be a constant."""
        return dict(self.options)

    # ------------------------------------------------------------------ what tests share

    @pytest.fixture(autouse=True)
    def _nothing_is_left_open(self) -> Iterator[None]:
        assert self.plugin, "set the class attribute `plugin` to the name of the plugin's section"
        yield
        assert host.status() is None, "a cache of this test is still open"

    def configuration(self, **section: Any) -> dict[str, Any]:
        """Return a configuration with this plugin, with further options in its section."""
        return {
            "cache": {"name": "contract", "capacity": 256, "keys": "int64"},
            "plugins": {self.plugin: self.section() | section},
        }

    def open(self, **section: Any) -> Cache[Any, Any]:
        """Open a cache with this plugin, and with a default loader, as prefetching needs one."""
        return open(self.configuration(**section), loader=_load)

    def loaded(self) -> discovery.Loaded:
        """Return the plugin, imported and with its section decoded."""
        section = load_configuration(self.configuration()).plugins[self.plugin]
        return discovery.load(section, discovery.installed_plugins())

    def use(self, cache: Cache[Any, Any]) -> None:
        """Use a cache, and look at what it answers."""
        before = cache.stats()
        assert cache.set_many([1, 2, 3], ["one", "two", "three"]).all()
        for _ in range(2 * FAILURES_IN_A_ROW):
            values, hit = cache.get_many([3, 4, 1])
            assert (values, hit.tolist()) == (["three", None, "one"], [True, False, True])
        assert cache.get_or_load_many([2], lambda ids: ["other"]) == ["two"]
        assert cache.get_or_load_many([5], lambda ids: ["five"]) == ["five"]
        assert cache.delete_many([1, 2, 3, 5]).all()
        after = cache.stats()
        assert after.hits - before.hits == 4 * FAILURES_IN_A_ROW + 1
        assert after.misses - before.misses == 2 * FAILURES_IN_A_ROW + 1

    # ------------------------------------------------------------------ what it is

    def test_one_distribution_provides_it(self) -> None:
        found = discovery.installed_plugins().get(self.plugin, [])
        assert len(found) == 1, f"expected one entry point {self.plugin!r}, found {found}"
        assert found[0].api == HOOK_API

    def test_its_entry_point_names_a_spec_and_imports_little(self) -> None:
        entry = discovery.installed_plugins()[self.plugin][0].entry
        spec = entry.load()
        assert isinstance(spec, PluginSpec)
        script = f"import sys; import {entry.module}; print({_module(spec)!r} in sys.modules)"
        told = _python(script).stdout.strip()
        assert told == "False", f"importing {entry.module} imports {_module(spec)} as well"

    def test_its_hooks_are_hooks(self) -> None:
        kind = self.loaded().kind
        implemented = [name for name in discovery.HOOKS if hasattr(kind, name)]
        assert implemented, "it implements no hook"

    def test_importing_it_is_quick(self) -> None:
        module = _module(discovery.installed_plugins()[self.plugin][0].entry.load())
        script = (
            "import predis_core.plugin; from predis_core.clock import stopwatch\n"
            f"begin = stopwatch(); import {module}; print((stopwatch() - begin) / 1e9)"
        )
        seconds = min(float(_python(script).stdout) for _ in range(3))
        assert seconds < self.import_seconds

    # ------------------------------------------------------------------ its section

    def test_its_section_refuses_unknown_keys(self) -> None:
        configuration = self.configuration(no_such_option=1)
        with pytest.raises(ConfigurationError, match=r"no_such_option: unknown key"):
            open(configuration)

    def test_its_options_are_described(self) -> None:
        config = type(self.loaded().options)
        described = inspect.getdoc(config) or ""
        fields = [field.name for field in msgspec.structs.fields(config)]
        assert [name for name in fields if name not in described] == []

    # ------------------------------------------------------------------ what it does to a cache

    def test_a_cache_with_it_works(self) -> None:
        with self.open() as cache:
            self.use(cache)
            state = host.status()
            assert state is not None
            assert [plugin.state for plugin in state.plugins] == ["healthy"]

    @pytest.mark.parametrize("hook", _GUARDED)
    def test_a_raising_hook_breaks_nothing(
        self, hook: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kind = self.loaded().kind
        if not hasattr(kind, hook):
            pytest.skip(f"the plugin has no {hook}")
        raised = threading.Event()

        def raising(*_: Any) -> Any:
            raised.set()
            raise RuntimeError("raised by the contract's test")

        monkeypatch.setattr(kind, hook, hookimpl(raising))
        monkeypatch.setattr(advising, "WINDOW", 0.01)
        with self.open() as cache:
            if hook == "predis_advise":
                assert raised.wait(_PATIENCE)
            self.use(cache)

    @pytest.mark.parametrize(
        ("hook", "method"),
        [
            ("predis_observers", "on_batch"),
            ("predis_observers", "on_load"),
            ("predis_prefetchers", "observe"),
            ("predis_prefetchers", "predict"),
            ("predis_samplers", "on_sample"),
            ("predis_exporters", "export"),
            ("predis_metric_sources", "collect"),
            ("predis_state", "save"),
            ("predis_state", "restore"),
        ],
    )
    def test_a_raising_object_breaks_nothing(
        self, hook: str, method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        kind = self.loaded().kind
        implementation = getattr(kind, hook, None)
        if implementation is None:
            pytest.skip(f"the plugin has no {hook}")

        @functools.wraps(implementation)
        def spoilt(*args: Any, **kwargs: Any) -> Any:
            objects = list(implementation(*args, **kwargs) or ())
            return [_Spoilt(each, method) for each in objects]

        monkeypatch.setattr(kind, hook, spoilt)
        with self.open() as cache:
            self.use(cache)
            if hook == "predis_state":
                cache.snapshot(tmp_path / "cache.predis")
                cache.restore(tmp_path / "cache.predis")

    def test_its_models_take_what_they_export_and_hold_no_key(self) -> None:
        if not hasattr(self.loaded().kind, "predis_models"):
            pytest.skip("the plugin has no models")
        keys = [(7 << 40) + 1_000_003 * number for number in range(200)]
        with self.open() as cache:
            for _ in range(5):
                cache.get_or_load_many(keys, lambda ids: ids)
            (session,) = host.open_sessions()
            models = session.models()
            assert models, "predis_models returned none"
            for model in models:
                assert model.plugin == self.plugin
                exported = model.export()
                for name, array in exported.items():
                    assert not set(array.ravel().tolist()) & set(keys), f"{name} holds keys"
                model.load(exported)
                again = model.export()
                assert list(again) == list(exported)
                for name, array in exported.items():
                    np.testing.assert_array_equal(again[name], array)
                first = model.scores()
                assert model.scores(first.until).until >= first.until

    def test_what_it_advises_is_a_proposal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        implementation = getattr(self.loaded().kind, "predis_advise", None)
        if implementation is None:
            pytest.skip("the plugin has no predis_advise")
        told: list[Any] = []

        @functools.wraps(implementation)
        def watched(*args: Any, **kwargs: Any) -> Any:
            told.append(implementation(*args, **kwargs))
            return told[-1]

        monkeypatch.setattr(self.loaded().kind, "predis_advise", watched)
        monkeypatch.setattr(advising, "WINDOW", 0.01)
        with self.open() as cache:
            self.use(cache)
            assert _eventually(True, lambda: len(told) >= 3), "it raises, or is not asked"
        assert [each for each in told if each is not None and not isinstance(each, Proposal)] == []

    def test_what_it_keeps_in_snapshots_comes_back(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        if not hasattr(self.loaded().kind, "predis_state"):
            pytest.skip("the plugin keeps nothing in snapshots")
        path = tmp_path / "cache.predis"
        with caplog.at_level("WARNING", "predis"):
            for number in range(3):  # the last one restores what was kept by one that restored
                with self.open() as cache:
                    if number:
                        cache.restore(path)
                    self.use(cache)
                    cache.snapshot(path)
        assert [each for each in caplog.messages if "section" in each] == []

    def test_closing_twice_is_harmless(self) -> None:
        cache = self.open()
        cache.close()
        cache.close()
        plugin = self.loaded().construct()
        if callable(getattr(plugin, "close", None)):
            plugin.close()
            plugin.close()

    def test_it_can_be_opened_again(self) -> None:
        for _ in range(2):
            with self.open() as cache:
                self.use(cache)

    def test_it_leaves_no_thread_and_no_socket_behind(self) -> None:
        with self.open():
            pass  # what is made once per process, by a library it uses, is made here
        threads, sockets = _threads(), _sockets()
        with self.open() as cache:
            self.use(cache)
        nothing = (set[str](), 0)
        left = _eventually(nothing, lambda: (_threads() - threads, max(0, _sockets() - sockets)))
        assert left == nothing

    # ------------------------------------------------------------------ its distribution

    def project(self) -> Path:
        """Return the folder with the plugin's pyproject.toml: the nearest above this test."""
        here = Path(inspect.getfile(type(self))).resolve()
        for folder in here.parents:
            if (folder / "pyproject.toml").is_file():
                return folder
        raise AssertionError(f"no pyproject.toml above {here}; override project()")

    def test_it_works_from_its_wheel(self, tmp_path: Path) -> None:
        wheel = _built_wheel(self.project(), tmp_path / "wheels")
        site = tmp_path / "site"
        _run("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, wheel)
        script = textwrap.dedent(
            f"""
            import predis_core as predis
            from predis_core.host import discovery

            (found,) = discovery.installed_plugins()[{self.plugin!r}]
            module = __import__(found.entry.module.partition(".")[0])
            assert module.__file__.startswith({str(site)!r}), module.__file__
            def load(ids):
                return [str(key) for key in ids]

            with predis.open({self.configuration()!r}, loader=load) as cache:
                cache.set_many([1], ["one"])
                assert cache.get_many([1, 2])[0] == ["one", None]
            """
        ) + textwrap.indent(textwrap.dedent(self.works), "    ")
        _python(script, PYTHONPATH=os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))


class _Spoilt:
    """An object of a plugin one of whose methods raises; if it samples, it gets everything."""

    rate = 1.0

    def __init__(self, whole: Any, method: str) -> None:
        self._whole = whole
        self._method = method

    def __getattr__(self, name: str) -> Any:
        return _raising if name == self._method else getattr(self._whole, name)


def _load(ids: Any) -> list[str]:
    return [str(key) for key in ids]


def _raising(*_: Any) -> Any:
    raise RuntimeError("raised by the contract's test")


def _module(spec: PluginSpec) -> str:
    return spec.plugin.partition(":")[0]


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.is_alive()}


def _sockets() -> int:
    """Return how many sockets this process has open; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    found = 0
    for entry in os.scandir(folder) if folder.is_dir() else ():
        try:
            found += os.readlink(entry.path).startswith("socket:")
        except FileNotFoundError:
            continue
    return found


def _eventually(wanted: Any, look: Callable[[], Any]) -> Any:
    """Return what a look finds, once it is what is wanted or patience ends."""
    end = stopwatch() + round(_PATIENCE * 1e9)
    while (found := look()) != wanted and stopwatch() < end:
        time.sleep(0.02)
    return found


def _run(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def _python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return _run("-c", script, **environment)


def _built_wheel(project: Path, folder: Path) -> Path:
    """Build a project's wheel; without isolation, if its build backend is at hand."""
    build = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["build-system"]
    backend = str(build.get("build-backend", "setuptools")).partition(".")[0]
    at_hand = ["--no-build-isolation"] if importlib.util.find_spec(backend) else []
    _run("-m", "pip", "wheel", "-q", "--no-deps", *at_hand, "-w", folder, project)
    (wheel,) = folder.glob("*.whl")
    return wheel
