"""One rule at one cache: it measures, steps its alerts, and words what has to be told."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from predis_alerts.config import Rule
from predis_alerts.measures import DERIVED, SERIES_AT_MOST, Labels, Measure, Unfit
from predis_alerts.notices import Notice, iso
from predis_alerts.states import Alert, Change
from predis_core.clock import NANOSECONDS
from predis_core.plugin import Duration, Event, Sample

_ALERTS_AT_MOST = 4 * SERIES_AT_MOST
"""Alerts that are remembered, those of series that are gone included."""

PATIENCE = 3
"""Looks in a row without a metric after which a rule is said to have none."""


class Watch:
    """Watches what one rule is about, in one cache.

    Args:
        rule: the rule.
        began: nanoseconds at which the cache was opened.

    Attributes:
        trouble: why the rule cannot be looked at; "" if it can.
    """

    def __init__(self, rule: Rule, began: int) -> None:
        self.rule = rule
        self.trouble = ""
        self._measure = Measure(rule, began)
        self._alerts: dict[Labels, Alert] = {}
        self._without = 0

    @property
    def firing(self) -> int:
        """How many of its alerts hold."""
        return sum(alert.state == "firing" for alert in self._alerts.values())

    def look(
        self, samples: Mapping[str, list[Sample]], cache: str, now: int, time: int
    ) -> Iterator[Notice]:
        """Look at a snapshot; yield what has to be told.

        Args:
            samples: the snapshot's, by metric.
            cache: its cache.
            now: nanoseconds that never go back.
            time: nanoseconds since the Unix epoch.
        """
        values = self._values(samples, cache, now)
        gone = [labels for labels in self._alerts if labels not in values]
        for labels in (*values, *gone):
            alert = self._alerts.setdefault(labels, Alert(self.rule))
            since, value = alert.since, values.get(labels)
            change = alert.step(value, now)
            if change is not None:
                began = alert.since if change == "firing" else since
                yield self._notice(cache, labels, alert, change, value, now - began, time)
            if labels not in values and (alert.is_over(now) or len(self._alerts) > _ALERTS_AT_MOST):
                del self._alerts[labels]

    def end(self, cache: str, now: int, time: int) -> Iterator[Notice]:
        """The cache closes: yield the end of every alert that was told."""
        for labels, alert in self._alerts.items():
            since = alert.since
            if alert.step(None, now) == "resolved":
                notice = self._notice(cache, labels, alert, "resolved", None, now - since, time)
                message = f"{notice.event.message}: the cache closes"
                yield _with_message(notice, message)

    def _values(
        self, samples: Mapping[str, list[Sample]], cache: str, now: int
    ) -> dict[Labels, float | None]:
        """Return what is measured, and take note of why nothing is."""
        trouble = ""
        values: dict[Labels, float | None] = {}
        try:
            values = self._measure.values(samples, cache, now)
        except KeyError:
            trouble = f"metric: {self.rule.metric!r} is not measured{_nearest(self.rule, samples)}"
        except Unfit as error:
            trouble = str(error)
        else:
            if not values:
                trouble = f"labels: no {self.rule.metric!r} has labels like {self.rule.labels}"
        self._without = self._without + 1 if trouble else 0
        self.trouble = trouble if self._without >= PATIENCE else ""
        return values

    def _notice(
        self,
        cache: str,
        labels: Labels,
        alert: Alert,
        change: Change,
        value: float | None,
        lasted: int,
        time: int,
    ) -> Notice:
        rule = self.rule
        what = rule.metric if rule.measure is None else f"{rule.measure} of {rule.metric}"
        others = [f"{name}={text}" for name, text in labels if (name, text) != ("cache", cache)]
        where = f"cache {cache!r}" + (f" ({', '.join(others)})" if others else "")
        data: dict[str, Any] = {
            "rule": rule.name,
            "metric": rule.metric,
            "condition": rule.condition,
            "value": value,
            "labels": dict(labels),
            "since": iso(time - lasted),
            "seconds": lasted / NANOSECONDS,
        }
        shown = "has no value" if value is None else f"is {value:.4g}"
        if change == "firing":
            for_ = f" for {_span(lasted)}" if lasted >= NANOSECONDS else ""
            message = f"{rule.name}: {what} of {where} {shown} ({rule.condition}){for_}"
            if missed := alert.told():
                data["missed"] = missed
                message += f"; {missed} more since the last notice"
        else:
            message = f"{rule.name}: over after {_span(lasted)}; {what} of {where} {shown}"
        event = Event(kind=f"alert.{change}", message=message, severity=rule.severity, data=data)
        return Notice(cache=cache, event=event, time=time, key=(cache, rule.name, labels))


def _with_message(notice: Notice, message: str) -> Notice:
    return replace(notice, event=replace(notice.event, message=message))


def _span(nanoseconds: int) -> str:
    """Return a time as people write it, in whole seconds from one on, else in milliseconds."""
    seconds = nanoseconds / NANOSECONDS
    return str(Duration(round(seconds) if seconds >= 1 else max(round(seconds, 3), 0.001)))


def _nearest(rule: Rule, samples: Mapping[str, list[Sample]]) -> str:
    known = [*samples, *DERIVED]
    near = difflib.get_close_matches(rule.metric, known, n=1, cutoff=0.0)
    return f"; the nearest name is {near[0]!r}" if near else ""
