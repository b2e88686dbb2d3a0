"""The dashboard asks for what there is."""

from __future__ import annotations

import json
import re

from click.testing import CliRunner

from predis_core.telemetry import CATALOGUE
from predis_newrelic.cli import newrelic
from predis_newrelic.dashboard import WIDGETS
from predis_newrelic.events import Events
from predis_newrelic.measures import QUANTILES


def test_every_query_asks_for_metrics_of_the_catalogue_by_labels_that_they_have() -> None:
    known = {metric.name: set(metric.labels) for metric in CATALOGUE}
    for metric in CATALOGUE:
        if metric.kind == "histogram":
            known |= {f"{metric.name}.{each}": set(metric.labels) for each in QUANTILES}
    for widget in WIDGETS:
        names = re.findall(r"predis(?:\.\w+)+", widget.query)
        assert names, widget.title
        for name in names:
            assert name in known, f"{widget.title}: {name}"
        for facet in re.findall(r"FACET ([\w, ]+?)(?= TIMESERIES| LIMIT|\)|$)", widget.query):
            for label in facet.split(", "):
                assert all(label in known[name] for name in names), widget.title


def test_the_command_prints_what_the_import_takes() -> None:
    done = CliRunner().invoke(newrelic, ["dashboard"])
    assert done.exit_code == 0
    (page,) = json.loads(done.output)["pages"]
    assert len(page["widgets"]) == len(WIDGETS)
    taken = set()
    for widget in page["widgets"]:
        place = widget["layout"]
        cells = {
            (row, column)
            for row in range(place["row"], place["row"] + place["height"])
            for column in range(place["column"], place["column"] + place["width"])
        }
        assert not cells & taken, widget["title"]
        assert max(column for _, column in cells) <= 12
        taken |= cells


def test_events_are_bounded() -> None:
    from predis_core.plugin import Event

    events = Events()
    for number in range(150):
        events.add(Event(kind="k", message=str(number)))
    assert (len(events.waiting), events.dropped) == (100, 50)
    assert events.waiting[0]["message"] == "50"
    events.done(100)
    assert events.waiting == []
