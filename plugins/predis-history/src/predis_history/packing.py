"""Snapshots as rows: what they measure, which rarely changes, apart from the values."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from predis_core.plugin import Distribution, Snapshot

Value = float | int | tuple[float, tuple[int, ...]]
"""A number; of a histogram its sum and the counts of its buckets."""


class Series(msgspec.Struct, frozen=True, array_like=True):
    """One set of labels of a metric.

    Attributes:
        metric: its name.
        kind: "counter", "gauge" or "histogram".
        unit: as in the catalogue.
        labels: by name, `cache` among them.
        bounds: of a histogram, the upper bounds of its buckets but the last one.
    """

    metric: str
    kind: str
    unit: str
    labels: dict[str, str]
    bounds: tuple[float, ...] = ()


class Packed(NamedTuple):
    """A snapshot, ready to be written.

    Attributes:
        cache: the cache's name.
        time: nanoseconds since the Unix epoch.
        digest: of `layout`.
        layout: the series, as JSON.
        data: the values in the same order, as MessagePack.
    """

    cache: str
    time: int
    digest: bytes
    layout: bytes
    data: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes at most, about."""
        return len(self.layout) + len(self.data) + 200


def pack(snapshot: Snapshot) -> Packed:
    """Return a snapshot as what is written of it.

    Raises:
        TypeError, OverflowError: if a value is no number that fits into 64 bits.
    """
    series: list[Series] = []
    values: list[Value] = []
    for sample in snapshot.samples:
        metric, value = sample.metric, sample.value
        labels = {"cache": snapshot.cache, **dict(zip(metric.labels, sample.labels, strict=True))}
        bounds: tuple[float, ...] = ()
        if isinstance(value, Distribution):
            bounds = value.bounds
            values.append((value.sum, value.counts))
        else:
            values.append(value + 0)  # True is 1
        series.append(Series(metric.name, metric.kind, metric.unit, labels, bounds))
    layout = msgspec.json.encode(series)
    # NumPy's scalars are no numbers to msgspec.
    data = msgspec.msgpack.encode(values, enc_hook=float)
    digest = hashlib.sha256(layout).digest()[:16]
    return Packed(snapshot.cache, snapshot.time, digest, layout, data)


def series_of(layout: bytes | str) -> tuple[Series, ...]:
    """Return the series of a layout.

    Raises:
        msgspec.DecodeError: if it is none.
    """
    return _SERIES.decode(layout)


def values_of(data: bytes) -> Sequence[Value]:
    """Return the values of a snapshot.

    Raises:
        msgspec.DecodeError: if it holds none.
    """
    return _VALUES.decode(data)


_SERIES = msgspec.json.Decoder(tuple[Series, ...])
_VALUES = msgspec.msgpack.Decoder(list[float | int | tuple[float, tuple[int, ...]]])
