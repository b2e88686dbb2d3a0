"""The dashboard and the monitors: each query names what is measured, by tags that it has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from click.testing import CliRunner

from predis_core import telemetry
from predis_datadog import boards
from predis_datadog.cli import datadog
from predis_datadog.feed import CHECK, Feed
from predis_datadog.points import derived_names, label_of

EVERYWHERE = {"env", "service", "host"}
"""Tags that an agent, or the section, puts on everything."""

QUERY = re.compile(
    r"(sum|avg|min|max):([a-z_.0-9]+)\{([^}]*)\}(?: by \{([^}]*)\})?(\.as_count\(\))?"
)


def known() -> dict[str, tuple[str, set[str]]]:
    """Return the kind and the tags of every metric that is sent."""
    return {
        name: (kind, EVERYWHERE | {"cache"} | set(map(label_of, metric.labels)))
        for metric in (*telemetry.CATALOGUE, *Feed.metrics)
        for name, kind in derived_names(metric).items()
    }


def everything(document: Any, key: str) -> Iterator[Any]:
    """Yield all that stands under a key, however deep."""
    if isinstance(document, dict):
        if key in document:
            yield document[key]
        document = list(document.values())
    if isinstance(document, list):
        for each in document:
            yield from everything(each, key)


def assert_valid(query: str, prefix: str = "") -> None:
    """A query is one or more of Datadog's, of metrics that are sent."""
    parts = list(QUERY.finditer(query))
    assert parts, query
    for part in parts:
        how, name, scope, groups, count = part.groups()
        assert name.startswith(prefix), query
        kind, tags = known()[name.removeprefix(prefix)]
        used = {tag.strip("$").partition(":")[0] for tag in scope.split(",")} - {"*"}
        used |= set((groups or "").split(",")) - {""}
        assert used <= tags, (query, used - tags)
        assert (kind == "count") == bool(count), query
        assert how == "sum" or kind == "gauge", query
    # Nothing is left but arithmetic, a window and a threshold.
    rest = QUERY.sub("1", query)
    assert re.fullmatch(r"(?:(?:sum|min|max)\(last_\d+m\):)?[\d\s()+*/.]+(?:[<>] [\d.]+)?", rest)


def test_the_package_carries_what_the_generator_makes() -> None:
    data = resources.files("predis_datadog").joinpath("data")
    made = {"dashboard.json": boards.dashboard(), "monitors.json": boards.monitors()}
    for name, document in made.items():
        text = data.joinpath(name).read_text("utf-8")
        assert text == boards.as_text(document), "run: python -m predis_datadog.boards"


@pytest.mark.parametrize("prefix", ["", "shop."])
def test_every_query_of_the_dashboard_is_of_what_is_measured(prefix: str) -> None:
    document = boards.dashboard(prefix)
    queries = list(everything(document, "query"))
    assert len(queries) > 40
    for query in queries:
        assert_valid(query, prefix)
        for variable in boards.VARIABLES:
            assert f"${variable}" in query
    assert [each["name"] for each in document["template_variables"]] == list(boards.VARIABLES)


def test_every_formula_is_of_its_requests_queries() -> None:
    requests = [each for found in everything(boards.dashboard(), "requests") for each in found]
    assert len(requests) > 20
    for request in requests:
        names = {query["name"] for query in request["queries"]}
        used = set()
        for formula in request["formulas"]:
            used |= set(re.findall(r"[a-z]\w*", formula["formula"]))
        assert used == names, request


def test_every_counter_of_the_catalogue_is_on_the_dashboard() -> None:
    text = json.dumps(boards.dashboard())
    missing = [
        metric.name
        for metric in telemetry.CATALOGUE
        if f":{metric.name}" not in text
        and metric not in (telemetry.INFO, telemetry.SAMPLER_EVENTS, *telemetry.OF_TIERS.values())
    ]  # fmt: skip
    assert missing == []


@pytest.mark.parametrize("prefix", ["", "shop."])
def test_every_query_of_the_monitors_is_of_what_is_measured(prefix: str) -> None:
    for monitor in boards.monitors(prefix):
        query = monitor["query"]
        if monitor["type"] == "service check":
            assert re.fullmatch(
                rf'"{CHECK}"\.over\("\*"\)\.by\("cache","host"\)\.last\(\d\)\.count_by_status\(\)',
                query,
            )
            continue
        assert_valid(query, prefix)
        critical = monitor["options"]["thresholds"]["critical"]
        assert query.endswith(f" {critical}")
        groups = set(re.findall(r"by \{([^}]*)\}", query)[0].split(","))
        told = set(re.findall(r"\{\{(\w+)\.name\}\}", monitor["name"]))
        assert told <= groups


def test_monitors_tell_whom_they_are_told_to() -> None:
    assert all("@" not in each["message"] for each in boards.monitors())
    told = boards.monitors(notify="@slack-search")
    assert all(each["message"].endswith(" @slack-search") for each in told)


def test_the_command_prints_them() -> None:
    def printed(*arguments: str) -> Any:
        result = CliRunner().invoke(datadog, arguments)
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    assert printed("dashboard") == boards.dashboard()
    assert printed("dashboard", "--prefix", "shop") == boards.dashboard("shop.")
    told = printed("monitors", "--prefix", "shop", "--notify", "@a")
    assert told == boards.monitors("shop", "@a")
    assert CliRunner().invoke(datadog, ["other"]).exit_code == 2
