"""Conditions and sections: what they mean, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import pytest

import predis_core as predis
from predis_alerts.conditions import condition_of, number_of
from predis_core.config import load, redacted
from predis_core.errors import ConfigurationError, PluginError

RULE = {"name": "low", "metric": "hit_ratio", "condition": "< 0.8"}


@pytest.mark.parametrize(
    ("text", "holds", "not_"),
    [
        ("< 0.8", 0.79, 0.8),
        ("<=0.8", 0.8, 0.81),
        ("> 90%", 0.91, 0.9),
        (">= 50ms", 0.05, 0.049),
        ("  > 1GiB ", 2**30 + 1, 2**30),
        ("== 3", 3, 3.5),
        ("!= 3", 3.5, 3),
        ("> -1e3", 0, -1000),
        ("> 1h30m", 5401, 5400),
    ],
)
def test_a_condition_compares(text: str, holds: float, not_: float) -> None:
    condition = condition_of(text)
    assert condition.holds(holds)
    assert not condition.holds(not_)


@pytest.mark.parametrize("text", ["", "0.8", "< ", "=> 1", "< a", "< nan", "> inf", "< 1 2", "=1"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^condition: expected one of < <= > >= == != and a num"):
        condition_of(text)


def test_a_number_may_have_a_unit() -> None:
    texts = (0.5, "0.5", "50%", "5m", "1.5kB")
    assert [number_of(text) for text in texts] == [0.5, 0.5, 0.5, 300, 1500]


def refused(section: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        predis.open({"cache": {"capacity": 10}, "plugins": {"alerts": section}})
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"condition": "below 1"}, "rules[0]: condition: expected one of"),
        (
            {"clear": 0.7},
            "rules[0]: clear: an alert of '< 0.8' would go on and off at 0.7; give at",
        ),
        ({"clear": "x"}, "rules[0]: clear: expected a number"),
        ({"condition": "== 1", "clear": 2}, "rules[0]: clear: goes with < <= > >= only"),
        ({"measure": "p999"}, "rules[0].measure: expected 'value', 'rate', 'increase', 'mean' or"),
        ({"severity": "fatal"}, "rules[0].severity: expected 'error', 'info' or 'warning'"),
        ({"for": "soon"}, "rules[0].for: expected a duration"),
        ({"fro": "5m"}, "rules[0].fro: unknown key; did you mean 'for'?"),
        ({"name": "a b"}, "rules[0].name: expected a name of at most 100 letters"),
        ({"measure": "rate"}, "rules[0] (low): measure: 'hit_ratio' is a value as it is"),
        (
            {"metric": "predis.cache.size", "measure": "rate"},
            "rules[0] (low): measure: 'predis.cache.size' is a gauge, which has 'value'",
        ),
        (
            {"metric": "predis.cache.batch.duration", "measure": "value"},
            "is a histogram, which has 'p99', 'mean', 'rate', 'increase' or a quantile",
        ),
        (
            {"metric": "predis.cache.hits", "labels": {"operation": "get"}},
            "labels: 'predis.cache.hits' has no label 'operation' (it has: cache)",
        ),
    ],
)
def test_a_mistake_in_a_rule_names_the_field_and_the_fix(
    change: dict[str, Any], words: str
) -> None:
    assert words in refused({"rules": [RULE | change]})


def test_two_rules_of_one_name_are_refused() -> None:
    assert "rules: 'low' is the name of several" in refused({"rules": [RULE, RULE]})


@pytest.mark.parametrize(
    ("webhook", "words"),
    [
        ({"url": "ftp://example.org/"}, "webhook: url: expected one as"),
        ({"url": "https://exa mple.org/"}, "characters that a URL cannot have"),
        ({"url": "http://example.org:x/"}, "its host or its port is none"),
        ({"url": "https://me:hush@example.org/"}, "put them into `headers`"),
        ({"url": "https://example.org", "headers": {"a b": "c"}}, "no name of an HTTP header"),
        (
            {"url": "https://example.org", "headers": {"A": "b\nc"}},
            "the value of 'A' cannot be sent",
        ),
        ({"url": "https://example.org", "headers": {"Host": "b"}}, "'Host' is set by the plugin"),
        ({"url": "https://example.org", "secret": ""}, "secret: is empty"),
        ({"url": "https://example.org", "secret": "${NO_SUCH}"}, "NO_SUCH is not set"),
    ],
)
def test_a_mistake_in_the_webhook_is_refused_without_its_secrets(
    webhook: dict[str, Any], words: str
) -> None:
    message = refused({"webhook": webhook})
    assert words in message
    assert "hush" not in message


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from predis_core.host import discovery

    monkeypatch.setenv("HOOK", "https://example.org/hush")
    webhook = {"url": "${HOOK}", "secret": "hush", "headers": {"Authorization": "hush"}}
    configuration = load({"cache": {"capacity": 1}, "plugins": {"alerts": {"webhook": webhook}}})
    loaded = discovery.load(configuration.plugins["alerts"], discovery.installed_plugins())
    shown = redacted(loaded.options)
    assert shown["webhook"]["url"] == "${HOOK}"
    assert "hush" not in repr(shown)
    assert "hush" not in repr(loaded.options)


def test_a_rule_that_cannot_be_is_an_error_of_the_plugin() -> None:
    assert issubclass(PluginError, ConfigurationError)
