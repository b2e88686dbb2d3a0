"""Plugins that misbehave: what DESIGN promises of each, and a cache that works throughout."""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import Any

import pytest

import predis_core as predis
from predis_core import host
from predis_core.errors import ConfigurationError, PluginError
from predis_core.host import attachment
from predis_core.host.guard import FAILURES_IN_A_ROW
from tests.support.crew import PATIENCE, wait_until
from tests.support.shelf import Shelf

SOON = PATIENCE / 10
"""Seconds within which what waits for nobody is done, on a machine that stalls; a deadline is
shorter by far, and what hangs does so until it is released."""

RAISING = """
class Noise:
    interval = 0.01
    metrics = ()

    rate = 1.0

    def on_batch(self, stats):
        raise RuntimeError("observer")

    def on_sample(self, sample):
        raise RuntimeError("sampler")

    def export(self, snapshot):
        raise RuntimeError("exporter")

    def collect(self):
        raise RuntimeError("source")


class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_observers(self, cache):
        {observers}

    @hookimpl
    def predis_samplers(self, cache):
        {samplers}

    @hookimpl
    def predis_exporters(self, cache):
        {exporters}

    @hookimpl
    def predis_metric_sources(self, cache):
        {sources}

    @hookimpl
    def predis_cache_opened(self, cache):
        raise RuntimeError("opened")

    @hookimpl
    def predis_cache_closing(self, cache, reason):
        raise RuntimeError("closing")

    @hookimpl
    def predis_event(self, cache, event):
        raise RuntimeError("event")

    @hookimpl
    def predis_health(self, cache):
        raise RuntimeError("health")
"""
RAISES_ALWAYS = RAISING.format(
    observers='raise RuntimeError("observers")',
    samplers='raise RuntimeError("samplers")',
    exporters='raise RuntimeError("exporters")',
    sources='raise RuntimeError("sources")',
)
RAISES_LATER = RAISING.format(
    observers="return [Noise()]",
    samplers="return [Noise()]",
    exporters="return [Noise()]",
    sources="return [Noise()]",
)


def configuration(*plugins: str, **host_section: Any) -> dict[str, Any]:
    return {
        "host": host_section,
        "cache": {"capacity": 100, "keys": "int64"},
        "plugins": {name: {} for name in plugins},
    }


def serves(cache: Any) -> None:
    """The cache answers as one without plugins does."""
    assert cache.set_many([1, 2], ["one", "two"]).all()
    for _ in range(2 * FAILURES_IN_A_ROW):
        values, hit = cache.get_many([2, 3])
        assert (values, hit.tolist()) == (["two", None], [True, False])
    assert cache.get_or_load_many([5], lambda ids: ["five"]) == ["five"]
    assert cache.pop(5) == "five"
    assert cache.delete_many([1]).tolist() == [True]


def status_of(name: str) -> Any:
    state = host.status()
    assert state is not None
    return next(plugin for plugin in state.plugins if plugin.name == name)


# ---------------------------------------------------------------------- raising


def test_hooks_that_raise_are_logged_counted_and_break_nothing(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.put("noise", RAISES_ALWAYS)
    with predis.open(configuration("noise")) as cache:
        serves(cache)
        status = status_of("noise")
        assert status.state == "failing"
        assert status.reason == "RuntimeError: health"
        failed = {each.what for each in status.functions if each.failures}
        assert failed == {
            "predis_observers",
            "predis_samplers",
            "predis_exporters",
            "predis_metric_sources",
            "predis_cache_opened",
            "predis_health",
        }
    told = [record for record in caplog.records if record.name == "predis"]
    assert "plugin 'noise': predis_observers raised" in [r.getMessage() for r in told]
    assert all(record.exc_info for record in told if record.getMessage().endswith("raised"))


def test_an_observer_is_disabled_after_three_failures_in_a_row_and_an_event_tells(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.put("noise", RAISES_LATER)
    listener = shelf.put(
        "ear",
        """
        HEARD = []

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_event(self, event):
                HEARD.append(event)
        """,
    )
    with predis.open(configuration("noise", "ear")) as cache:
        serves(cache)
        observer = next(
            each for each in status_of("noise").functions if each.what == "observer Noise"
        )
        assert observer.disabled
        assert observer.failures == FAILURES_IN_A_ROW == 3
        assert observer.calls == 3
        assert observer.last_error == "RuntimeError: observer"
        heard = shelf.module(listener).HEARD
        wait_until(lambda: any("observer" in event.message for event in heard))
        event = next(event for event in heard if "observer" in event.message)
        assert event.kind == "plugin.disabled"
        assert event.source == "core"
        assert event.cache == "default"
        assert event.message == (
            "observer Noise of plugin 'noise' is disabled: RuntimeError: observer"
        )
        wait_until(
            lambda: all(
                each.disabled
                for each in status_of("noise").functions
                if each.what.startswith(("exporter ", "sampler "))
            )
        )
        assert status_of("noise").state == "disabled"
        serves(cache)
    first = [r for r in caplog.records if r.getMessage() == "plugin 'noise': observer Noise raised"]
    assert len(first) == 1, "only the first traceback is logged"


@pytest.mark.parametrize(
    ("body", "deadline", "state", "reason"),
    [
        ("return None", PATIENCE, "healthy", ""),
        ("return Health('degraded', 'half of it')", PATIENCE, "degraded", "half of it"),
        ("return Health('failing', 'none of it')", PATIENCE, "failing", "none of it"),
        ("return 'fine'", PATIENCE, "failing", "predis_health has to return Health, got 'fine'"),
        ("raise OSError('gone')", PATIENCE, "failing", "OSError: gone"),
        ("RELEASE.wait()", 0.3, "failing", "does not answer"),
    ],
)
def test_health_is_what_the_plugin_says(
    shelf: Shelf, body: str, deadline: float, state: str, reason: str
) -> None:
    module = shelf.put(
        "patient",
        f"""
        RELEASE = threading.Event()

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_health(self):
                {body}
        """,
    )
    with predis.open(configuration("patient", deadline=deadline)):
        status = status_of("patient")
        assert (status.state, status.reason) == (state, reason)
        shelf.module(module).RELEASE.set()


@pytest.mark.parametrize(
    ("hook", "returned", "told"),
    [
        ("predis_observers", "[object()]", "TypeError: expected an object with on_batch()"),
        ("predis_observers", "7", "TypeError: predis_observers has to return a list"),
        ("predis_exporters", "[Odd(0)]", "ValueError: interval: expected seconds > 0 or None"),
        ("predis_exporters", "[Odd('x')]", "ValueError: could not convert string to float"),
        ("predis_metric_sources", "[Odd(1)]", "AttributeError: 'Odd' object has no attribute"),
    ],
)
def test_a_hook_that_returns_what_does_not_fit_is_a_failure_of_the_plugin(
    shelf: Shelf, hook: str, returned: str, told: str
) -> None:
    shelf.put(
        "odd",
        f"""
        class Odd:
            def __init__(self, interval):
                self.interval = interval

            def export(self, snapshot): ...

            def collect(self): ...

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def {hook}(self):
                return {returned}
        """,
    )
    with predis.open(configuration("odd")) as cache:
        (function,) = [each for each in status_of("odd").functions if each.what == hook]
        assert function.last_error.startswith(told)
        serves(cache)


@pytest.mark.parametrize(
    ("sample", "told"),
    [
        ("Sample(Metric('else', 'gauge', '1', 'E.'), ('c',), 1)", "metric 'else' is not among"),
        ("Sample(self.metrics[0], (), 1)", "metric 'own' has the labels ('cache',), got"),
    ],
)
def test_a_source_whose_samples_are_not_what_it_said_fails(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, sample: str, told: str
) -> None:
    monkeypatch.setattr(attachment, "_PATIENCE", PATIENCE)
    module = shelf.put(
        "source",
        f"""
        VIEWS = []

        class Source:
            metrics = (Metric("own", "gauge", "1", "Own."),)

            def collect(self):
                return [{sample}]

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_metric_sources(self, cache):
                VIEWS.append(cache)
                return [Source()]
        """,
    )
    with predis.open(configuration("source")):
        names = {s.metric.name for s in shelf.module(module).VIEWS[0].snapshot().samples}
        assert "predis.cache.hits" in names
        assert not names & {"own", "else"}
        (function,) = [f for f in status_of("source").functions if f.what.startswith("metric s")]
        assert told in function.last_error


def test_a_success_in_between_begins_the_count_anew(shelf: Shelf) -> None:
    shelf.put(
        "often",
        """
        class Observer:
            calls = 0

            def on_batch(self, stats):
                self.calls += 1
                if self.calls % 3:
                    raise RuntimeError

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_observers(self):
                return [Observer()]
        """,
    )
    with predis.open(configuration("often")) as cache:
        for _ in range(30):
            cache.get_many([1])
        (observer,) = [f for f in status_of("often").functions if f.what == "observer Observer"]
        assert (observer.calls, observer.failures, observer.disabled) == (30, 20, False)


def test_an_interrupt_is_not_swallowed(shelf: Shelf) -> None:
    shelf.put(
        "interrupt",
        """
        class Observer:
            def on_batch(self, stats):
                raise KeyboardInterrupt

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_observers(self):
                return [Observer()]
        """,
    )
    with predis.open(configuration("interrupt")) as cache:
        with pytest.raises(KeyboardInterrupt):
            cache.get_many([1])
        assert cache.stats().misses == 1


def test_strict_raises_what_an_observer_raises(shelf: Shelf) -> None:
    shelf.put("noise", RAISES_LATER.replace('raise RuntimeError("opened")', "pass"))
    cache = predis.open(configuration("noise", strict=True))
    with pytest.raises(RuntimeError, match="observer"):
        cache.get_many([1])
    with pytest.raises(RuntimeError):
        cache.close()
    with pytest.raises(predis.errors.CacheClosed):
        cache.get_many([1])


def test_strict_raises_what_opening_raises_and_leaves_nothing_open(shelf: Shelf) -> None:
    shelf.put("noise", RAISES_ALWAYS)
    with pytest.raises(RuntimeError, match="observers"):
        predis.open(configuration("noise", strict=True))
    assert host.status() is None


def test_strict_raises_at_close_what_an_exporter_raised_in_its_thread(shelf: Shelf) -> None:
    shelf.put(
        "exporter",
        """
        class Exporter:
            interval = 0.01
            def export(self, snapshot):
                raise RuntimeError("in the background")

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_exporters(self):
                return [Exporter()]
        """,
    )
    cache = predis.open(configuration("exporter", strict=True))
    with pytest.raises(RuntimeError, match="in the background"):
        cache.close()


# ---------------------------------------------------------------------- what is not swallowed


@pytest.mark.parametrize("hook", ["predis_register", "predis_eviction_policy"])
def test_what_the_data_path_is_made_of_is_never_swallowed(shelf: Shelf, hook: str) -> None:
    argument = "registry" if hook == "predis_register" else "cache"
    shelf.put(
        "broken",
        f"""
        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def {hook}(self, {argument}):
                raise RuntimeError("no policy today")
        """,
    )
    with pytest.raises((PluginError, RuntimeError), match="no policy today"):
        predis.open(configuration("broken"))
    assert host.status() is None


def test_a_register_that_raises_names_the_plugin(shelf: Shelf) -> None:
    module = shelf.put(
        "broken",
        """
        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_register(self, registry):
                raise RuntimeError("no")
        """,
    )
    with pytest.raises(PluginError) as raised:
        predis.open(configuration("broken"))
    assert str(raised.value) == (
        f"plugin 'broken' (distribution predis-broken 1.2.3, "
        f'entry point "broken = {module}:PLUGIN"): predis_register raised RuntimeError: no'
    )


def test_two_plugins_with_the_same_policy_name(shelf: Shelf) -> None:
    code = """
    from predis_core.policies import Policy

    def on_insert(tick, frequency, tag, state, total, parameters):
        return tick, state

    def rank(meta, tick, state, total, parameters):
        return -meta

    class Plugin:
        def __init__(self, options): ...

        @hookimpl
        def predis_register(self, registry):
            registry.add_policy(Policy("newest", slot_bits=39, on_insert=on_insert, rank=rank))
    """
    shelf.put("one", code)
    shelf.put("two", code)
    with pytest.raises(PluginError, match=r"plugins 'one' and 'two' both offer a policy 'newest'"):
        predis.open(configuration("one", "two"))
    assert host.status() is None
    given = configuration("one")
    given["cache"]["policy"] = "newest"
    with predis.open(given) as cache:
        assert "policy newest" in repr(cache)
        serves(cache)


def test_a_policy_with_the_name_of_a_built_in(shelf: Shelf) -> None:
    shelf.put(
        "other",
        """
        from predis_core import policies

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_register(self, registry):
                registry.add_policy(policies.get("lru"))
        """,
    )
    with pytest.raises(PluginError, match="there is a built-in policy 'lru' already"):
        predis.open(configuration("other"))


def test_two_plugins_that_choose_the_policy(shelf: Shelf) -> None:
    code = """
    from predis_core import policies

    class Plugin:
        def __init__(self, options): ...

        @hookimpl
        def predis_eviction_policy(self):
            return policies.get("fifo")
    """
    shelf.put("one", code)
    shelf.put("two", code)
    with predis.open(configuration("one")) as cache:
        assert "policy fifo" in repr(cache)
    with pytest.raises(PluginError, match="plugins 'one', 'two' each choose an eviction policy"):
        predis.open(configuration("one", "two"))


def test_two_plugins_with_the_same_metric(shelf: Shelf) -> None:
    code = """
    class Source:
        metrics = (Metric("my.metric", "gauge", "1", "Mine."),)
        def collect(self):
            return []

    class Plugin:
        def __init__(self, options): ...

        @hookimpl
        def predis_metric_sources(self):
            return [Source()]
    """
    shelf.put("one", code)
    shelf.put("two", code)
    with pytest.raises(
        PluginError, match=r"plugin 'two': metric 'my\.metric' is one of plugin 'one' already"
    ):
        predis.open(configuration("one", "two"))


# ---------------------------------------------------------------------- hanging


HANGING = """
RELEASE = threading.Event()
EXPORTS = []

class Exporter:
    interval = 0.02
    def export(self, snapshot):
        EXPORTS.append(snapshot)
        RELEASE.wait()

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_exporters(self):
        return [Exporter()]

    @hookimpl
    def predis_event(self, event):
        EXPORTS.append(event)
"""


def test_an_exporter_that_hangs_is_marked_and_left_alone_until_it_returns(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    module = shelf.put("stuck", HANGING)
    with predis.open(configuration("stuck", deadline=0.2)) as cache:
        exports = shelf.module(module).EXPORTS
        wait_until(lambda: len(exports) == 1)
        wait_until(lambda: status_of("stuck").state == "hung")
        assert "passed its deadline" in status_of("stuck").reason
        assert len(exports) == 1
        serves(cache)
        wait_until(lambda: "hangs: no answer within" in caplog.text)
        before = host.status()
        assert before is not None
        shelf.module(module).RELEASE.set()
        wait_until(lambda: status_of("stuck").state == "healthy")
        wait_until(lambda: len(exports) > 1)
        wait_until(lambda: "is back" in caplog.text)
        serves(cache)


def test_close_leaves_a_plugin_behind_that_hangs(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    module = shelf.put("stuck", HANGING)
    cache = predis.open(configuration("stuck", deadline=0.2))
    wait_until(lambda: len(shelf.module(module).EXPORTS) == 1)
    wait_until(lambda: status_of("stuck").state == "hung")
    begin = time.monotonic()
    cache.close()
    assert time.monotonic() - begin < SOON
    assert "predis-stuck" in {thread.name for thread in threading.enumerate()}
    assert "plugin 'stuck': hangs; cache 'default' closes without it" in caplog.text
    assert host.status() is None
    shelf.module(module).RELEASE.set()
    wait_until(lambda: "predis-stuck" not in {thread.name for thread in threading.enumerate()})


def test_a_hanging_metric_source_does_not_hold_up_a_snapshot(shelf: Shelf) -> None:
    module = shelf.put(
        "stuck",
        """
        RELEASE = threading.Event()
        VIEWS = []

        class Source:
            metrics = (Metric("slow.metric", "gauge", "1", "Slow."),)
            def collect(self):
                RELEASE.wait()
                return []

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_metric_sources(self, cache):
                VIEWS.append(cache)
                return [Source()]
        """,
    )
    with predis.open(configuration("stuck", deadline=0.2)) as cache:
        begin = time.monotonic()
        (view,) = shelf.module(module).VIEWS
        names = {sample.metric.name for sample in view.snapshot().samples}
        assert time.monotonic() - begin < SOON
        assert "predis.cache.hits" in names
        assert "slow.metric" not in names
        serves(cache)
        shelf.module(module).RELEASE.set()


def test_exporters_that_wait_for_each_others_sources_do_not_hang(shelf: Shelf) -> None:
    code = """
    EXPORTS = []

    class Both:
        interval = 0.02
        metrics = (Metric("NAME.metric", "gauge", "1", "Mine."),)

        def collect(self):
            return [Sample(self.metrics[0], ("default",), len(EXPORTS))]

        def export(self, snapshot):
            time.sleep(0.02)
            EXPORTS.append({s.metric.name for s in snapshot.samples})

    class Plugin:
        def __init__(self, options): ...

        @hookimpl
        def predis_exporters(self):
            return [Both()]

        @hookimpl
        def predis_metric_sources(self):
            return [Both()]
    """
    modules = [shelf.module(shelf.put(name, code.replace("NAME", name))) for name in ("one", "two")]
    both = {"one.metric", "two.metric"}
    with predis.open(configuration("one", "two", deadline=SOON)):
        for module in modules:
            wait_until(lambda module=module: len(module.EXPORTS) > 20)
        for module in modules:
            # One that had no time yet is told of as soon as it has had some.
            wait_until(lambda module=module: both <= module.EXPORTS[-1])
        assert [status_of(name).state for name in ("one", "two")] == ["healthy", "healthy"]


# ---------------------------------------------------------------------- what cannot be enabled


def message_of(shelf: Shelf, *plugins: str) -> str:
    with pytest.raises(PluginError) as raised:
        predis.open(configuration(*plugins))
    assert host.status() is None
    return str(raised.value)


def test_a_plugin_that_needs_a_missing_package(shelf: Shelf) -> None:
    shelf.put("needy", "import no_such_package\n")
    message = message_of(shelf, "needy")
    assert message.startswith("plugin 'needy' (distribution predis-needy 1.2.3, entry point ")
    assert message.endswith(
        "it needs the module 'no_such_package', which is not installed; "
        "run: pip install --force-reinstall predis-needy"
    )


def test_a_plugin_built_for_another_version_of_the_hooks(shelf: Shelf) -> None:
    shelf.put("later", group="predis.plugins.v2", code="raise AssertionError('imported')")
    assert message_of(shelf, "later").endswith(
        "it is built for version 2 of Predis' hooks, and this predis-core has version 1; "
        "update predis-core"
    )


def test_a_plugin_that_two_distributions_claim(shelf: Shelf) -> None:
    shelf.put("same", distribution="predis-first")
    shelf.put("same", distribution="predis-second")
    message = message_of(shelf, "same")
    assert message.startswith("plugin 'same' is claimed by distribution predis-")
    assert "predis-first 1.2.3" in message
    assert "predis-second 1.2.3" in message


def test_a_plugin_that_is_not_installed(shelf: Shelf) -> None:
    shelf.put("lookout")
    assert message_of(shelf, "lokout") == (
        "plugin 'lokout' is not installed; did you mean 'lookout'?"
    )


def test_a_plugin_of_the_project_that_is_not_installed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("predis_core.host.discovery.installed_plugins", dict)
    assert message_of(shelf, "prometheus") == (
        "plugin 'prometheus' is not installed; run: pip install \"predis-core[prometheus]\""
    )


@pytest.mark.parametrize(
    ("hooks", "told"),
    [
        (
            "@hookimpl\n    def predis_observrs(self, cache): ...",
            "there is no hook 'predis_observrs'; did you mean 'predis_observers'?",
        ),
        (
            "def predis_observers(self, cache): ...",
            "'predis_observers' is not marked; put @hookimpl above it",
        ),
        (
            "@hookimpl(wrapper=True)\n    def predis_observers(self, cache): yield",
            "'predis_observers' is a wrapper; hooks of Predis cannot be wrapped",
        ),
        (
            "@hookimpl\n    def predis_observers(self, cash): ...",
            "a hook has arguments that it does not get",
        ),
    ],
)
def test_a_misspelt_hook(shelf: Shelf, hooks: str, told: str) -> None:
    shelf.put("typo", f"class Plugin:\n    def __init__(self, options): ...\n    {hooks}\n")
    assert told in message_of(shelf, "typo")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("predis_odd_module:Plugin", "it names a type, not a PluginSpec"),
        ("predis_odd_module:MISSING", "cannot be imported: AttributeError"),
        ("no_such_module:PLUGIN", "cannot be imported: No module named 'no_such_module'"),
    ],
)
def test_an_entry_point_that_names_no_spec(shelf: Shelf, entry: str, told: str) -> None:
    shelf.put("odd", "class Plugin: ...", entry=entry)
    assert told in message_of(shelf, "odd")


def test_a_plugin_whose_construction_raises(shelf: Shelf) -> None:
    code = "class Plugin:\n    def __init__(self, options): raise ValueError('port: in use')\n"
    shelf.put("refuses", code)
    assert message_of(shelf, "refuses").endswith("could not be started: ValueError: port: in use")


SECTION = """
class Options(msgspec.Struct, frozen=True):
    port: int = 1

class Plugin:
    def __init__(self, options):
        self.options = options
"""


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"prot": 1}, "plugins.web.prot: unknown key; did you mean 'port'?"),
        ({"port": "http"}, "plugins.web.port: expected an integer, got 'http'"),
    ],
)
def test_a_bad_section(shelf: Shelf, section: dict[str, Any], told: str) -> None:
    shelf.put("web", SECTION, spec="config=Options")
    given = configuration() | {"plugins": {"web": section}}
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        predis.open(given)
    assert host.status() is None


NOT_TO_BE_ENABLED = {
    "absent": None,
    "needy": "import no_such_package\n",
    "typo": "class Plugin:\n    def predis_observrs(self): ...\n",
    "refuses": "class Plugin:\n    def __init__(self, options): raise ValueError('port: in use')\n",
    "clash": """
    from predis_core import policies

    class Plugin:
        def __init__(self, options): ...

        @hookimpl
        def predis_register(self, registry):
            registry.add_policy(policies.get("lru"))
    """,
}


@pytest.mark.parametrize("name", NOT_TO_BE_ENABLED)
def test_a_plugin_that_is_not_required_is_skipped_with_a_warning(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    code = NOT_TO_BE_ENABLED[name]
    if code is not None:
        shelf.put(name, code)
    given = configuration() | {"plugins": {name: {"required": False}}}
    with predis.open(given) as cache:
        serves(cache)
        status = status_of(name)
        assert status.state == "skipped"
        assert f"plugin {name!r}" in status.reason
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [f"skipped, as it is not required: {status.reason}"] == [r.getMessage() for r in warned]


@pytest.mark.parametrize("fault", ["another version", "a bad section", "two distributions"])
def test_and_so_is_one_that_is_there_but_does_not_fit(shelf: Shelf, fault: str) -> None:
    section: dict[str, Any] = {"required": False}
    if fault == "another version":
        shelf.put("odd", group="predis.plugins.v2")
    elif fault == "a bad section":
        shelf.put("odd", SECTION, spec="config=Options")
        section["prot"] = 1
    else:
        shelf.put("odd", distribution="predis-first")
        shelf.put("odd", distribution="predis-second")
    with predis.open(configuration() | {"plugins": {"odd": section}}) as cache:
        serves(cache)
        assert status_of("odd").state == "skipped"
