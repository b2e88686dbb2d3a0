"""What snapshots hold: a table with a row for each metric and a column for each cache."""

from __future__ import annotations

from collections.abc import Sequence

from predis_core.plugin import Distribution, Metric, Sample, Snapshot
from predis_lab.html.page import Column, Facts, Table

_INFO = ".info"
"""How the names of metrics end whose labels say something, and whose value does not."""

_MIB = 1 << 20

# Seconds below the first number are written in the second unit, which has so many digits in one.
_TIME_UNITS = ((1e-6, "ns", 1e9), (1e-3, "µs", 1e6), (1.0, "ms", 1e3), (float("inf"), "s", 1.0))


def metrics_blocks(snapshots: Sequence[Snapshot]) -> tuple[Table, Facts]:
    """All that was measured, and what it is; but not what never happened or only labels tell."""
    cells: dict[tuple[Metric, str], dict[str, str]] = {}
    for snapshot in snapshots:
        for sample in snapshot.samples:
            if not sample.metric.name.endswith(_INFO) and not _is_empty(sample):
                row = cells.setdefault((sample.metric, _labels(sample)), {})
                row[snapshot.cache] = _written(sample)
    caches = [snapshot.cache for snapshot in snapshots]
    ordered = sorted(cells, key=lambda key: key[0].name)
    rows = tuple(
        (metric.name, labels, *(cells[metric, labels].get(cache, "–") for cache in caches))
        for metric, labels in ordered
    )
    columns = (
        Column("metric"),
        Column("of"),
        *(Column(cache, numeric=True) for cache in caches),
    )
    facts = tuple(dict.fromkeys((metric.name, metric.help) for metric, _ in ordered))
    return Table("Metrics", columns, rows), Facts(facts)


def build_facts(snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    """How a cache was built, as its metrics tell."""
    return tuple(
        (label, value)
        for sample in snapshot.samples
        if sample.metric.name.endswith(_INFO)
        for label, value in zip(sample.metric.labels, sample.labels, strict=True)
    )


def duration(seconds: float) -> str:
    """Three digits or more and a unit, as "1.25 ms"."""
    unit, factor = next((unit, factor) for below, unit, factor in _TIME_UNITS if seconds < below)
    number = seconds * factor
    return f"{number:.3g} {unit}" if number < 100 else f"{number:,.0f} {unit}"


def _is_empty(sample: Sample) -> bool:
    return isinstance(sample.value, Distribution) and not sample.value.count


def _labels(sample: Sample) -> str:
    """The labels that tell a cache's samples apart."""
    pairs = zip(sample.metric.labels, sample.labels, strict=True)
    return ", ".join(f"{name} {value}" for name, value in pairs if name != "cache")


def _written(sample: Sample) -> str:
    value, unit = sample.value, sample.metric.unit
    if isinstance(value, Distribution):
        mean = value.sum / value.count
        shown = duration(mean) if unit == "seconds" else f"{mean:.4g}"
        return f"{value.count:,} × {shown}"
    if unit == "seconds":
        return duration(value)
    if unit == "bytes":
        return f"{value / _MIB:,.1f} MiB"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
