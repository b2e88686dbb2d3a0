"""The page about drift in a report."""

from __future__ import annotations

from datetime import datetime

from predis_core import pages
from predis_core.pages import ReportPage
from predis_drift.interface import Alarm
from predis_drift.watch import SAID, Watch

TITLE = "Drift of the workload"
LEAD = (
    "The plugin compares each window of sampled look-ups with a reference. A statistic says how "
    "far apart they are; 1 is the threshold, above which, if it lasts, there is an alarm."
)


def page_of(watch: Watch) -> ReportPage:
    """Return what a watch has to show."""
    blocks: list[pages.Block] = [pages.Text((LEAD,))]
    alarms = list(watch.alarms)
    if alarms:
        said = tuple(
            f"{_when(at)}: {alarm.feature} changed, {alarm.statistic} {alarm.value:.3g}, "
            f"threshold {alarm.threshold:.3g}."
            for at, alarm in alarms[-10:]
        )
        blocks.append(pages.Text(said, bad=True))
    else:
        blocks.append(pages.Text(("No alarm was given.",)))
    if watch.patterns:
        blocks.append(_emerged(watch))
    if watch.courses:
        blocks.append(_course(watch))
        blocks.append(_now(watch))
    for _, alarm in alarms[-3:]:
        if alarm.labels:
            blocks.append(_change(alarm))
    return ReportPage(TITLE, tuple(blocks))


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"


def _emerged(watch: Watch) -> pages.Grid:
    rows = tuple(
        (
            each.pattern.replace("_", " "),
            _when(at),
            SAID[each.pattern],
            f"{each.keys:,}",
            f"{each.growth:.3g}",
            f"{each.period:,}" if each.period else "",
        )
        for at, each in list(watch.patterns)[-10:]
    )
    columns = ("pattern", "when", "what it is", "sampled keys", "times as before", "period")
    return pages.Grid("What emerged", columns, rows, frozenset({3, 4, 5}))


def _course(watch: Watch) -> pages.Plot:
    courses = list(watch.courses)
    begin = courses[0].time
    lines: dict[str, tuple[list[float], list[float]]] = {}
    for course in courses:
        highest: dict[str, float] = {}
        for reading in course.readings:
            if reading.statistic == "psi":  # it gives no alarm
                continue
            ratio = reading.value / reading.threshold if reading.threshold else 0.0
            highest[reading.feature] = max(highest.get(reading.feature, 0.0), ratio)
        for feature, ratio in highest.items():
            xs, ys = lines.setdefault(feature, ([], []))
            xs.append((course.time - begin) / 60)
            ys.append(ratio)
    series = tuple(
        pages.Series(name.replace("_", " "), tuple(ys), tuple(xs))
        for name, (xs, ys) in lines.items()
    )
    marks = tuple(
        ((at - begin) / 60, alarm.feature.replace("_", " "))
        for at, alarm in watch.alarms
        if at >= begin
    )
    last = ", ".join(f"{each.name} {each.values[-1]:.2f}" for each in series)
    return pages.Plot(
        caption="How far each window is from the reference, as a multiple of the threshold. "
        "Dashed: alarms.",
        alt=f"Lines: distance by feature over time; at the end {last}.",
        kind="lines",
        series=series,
        x_label="minutes",
        y_label="distance / threshold",
        marks=marks,
    )


def _now(watch: Watch) -> pages.Grid:
    rows = tuple(
        (
            reading.feature.replace("_", " "),
            reading.statistic,
            f"{reading.value:.4g}",
            f"{reading.threshold:.4g}",
        )
        for reading in watch.courses[-1].readings
    )
    return pages.Grid(
        "The last window", ("feature", "statistic", "value", "threshold"), rows, frozenset({2, 3})
    )


def _change(alarm: Alarm) -> pages.Plot:
    feature = alarm.feature.replace("_", " ")
    most = alarm.labels[max(range(len(alarm.labels)), key=lambda at: alarm.after[at])]
    return pages.Plot(
        caption=f"What changed: {feature}, in the reference and at the alarm.",
        alt=f"Bars: shares of {feature} before and after; after it, most are at {most}.",
        kind="bars",
        series=(pages.Series("before", alarm.before), pages.Series("after", alarm.after)),
        x_label=feature,
        y_label="share of events",
        categories=alarm.labels,
    )
