"""How metrics are spelled: Predis' names as they are, units of UCUM, labels as attributes."""

from __future__ import annotations

from predis_core.plugin import Metric

CACHE = "predis.cache.name"
"""The attribute that every metric and span has."""

_UNITS = {
    "": "1",
    "1": "1",
    "ratio": "1",
    "percent": "%",
    "bytes": "By",
    "nanoseconds": "ns",
    "microseconds": "us",
    "milliseconds": "ms",
    "seconds": "s",
    "minutes": "min",
    "hours": "h",
    "days": "d",
}

_ATTRIBUTES = {
    "cache": CACHE,
    "namespace": "predis.namespace",
    "operation": "predis.operation",
    "plugin": "predis.plugin.name",
    "policy": "predis.policy",
    "prefetcher": "predis.prefetcher.name",
    "keys": "predis.key.kind",
    "value": "predis.value.kind",
    "version": "predis.version",
    "tier": "predis.tier",
    "device": "predis.device",
    "reason": "predis.reason",
}
"""Labels of the catalogue; those of other plugins keep their names."""


def unit_of(metric: Metric) -> str:
    """Return a metric's unit as UCUM has it; what is counted is an annotation, as {entry}."""
    unit = metric.unit
    if unit in _UNITS:
        return _UNITS[unit]
    if not (unit.isascii() and unit.isalpha() and unit.islower() and unit.endswith("s")):
        return unit  # UCUM already, or nothing that we know better than its plugin
    return f"{{{unit[:-3]}y}}" if unit.endswith("ies") else f"{{{unit[:-1]}}}"


def attributes_of(metric: Metric, labels: tuple[str, ...], cache: str) -> dict[str, str]:
    """Return the attributes of a sample of a cache."""
    found = {CACHE: cache}
    for label, value in zip(metric.labels, labels, strict=True):
        # What cannot be encoded would fail the whole export.
        text = str(value).encode("utf-8", "replace").decode()
        found[_ATTRIBUTES.get(label, label)] = text
    return found
