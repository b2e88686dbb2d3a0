"""One cache's metrics, sent every so often."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from opentelemetry.sdk.metrics import export as sdk

from predis_core.plugin import Health, Metric, Sample, Snapshot
from predis_otel.series import CacheSeries

logger = logging.getLogger("predis.otel")

EXPORTS = Metric("predis.otel.exports", "counter", "1", "Exports of metrics that arrived.")
FAILURES = Metric(
    "predis.otel.failures",
    "counter",
    "1",
    "Exports of metrics that failed; what they held goes with the next one.",
)


class Delivery:
    """Exports a cache's snapshots, and is the source of the metrics that count that.

    Args:
        cache: the cache's name.
        series: which has been told nothing yet.
        send: sends metrics; returns "", or why that failed.
        interval: seconds.
    """

    metrics = (EXPORTS, FAILURES)

    def __init__(
        self,
        cache: str,
        series: CacheSeries,
        send: Callable[[list[sdk.Metric]], str],
        interval: float,
    ) -> None:
        self.interval = interval
        self._cache = cache
        self._series = series
        self._send = send
        self._exports = self._failures = 0
        self._reason = ""

    def export(self, snapshot: Snapshot) -> None:
        """Send a snapshot. A failure is counted and made up for by the next export."""
        reason = self._send(self._series.metrics_of(snapshot))
        if reason:
            self._failures += 1
            if not self._reason:
                logger.warning(
                    "cache %r: exports of metrics fail, tried every %g s: %s",
                    self._cache,
                    self.interval,
                    reason,
                )
        else:
            self._exports += 1
            self._series.delivered()
            if self._reason:
                logger.warning("cache %r: exports of metrics arrive again", self._cache)
        self._reason = reason

    def collect(self) -> Iterable[Sample]:
        """Return how many exports there were."""
        yield Sample(EXPORTS, (self._cache,), self._exports)
        yield Sample(FAILURES, (self._cache,), self._failures)

    def health(self) -> Health:
        """Degraded while exports fail, or if metrics have to be left out."""
        if self._reason:
            return Health("degraded", f"the last export of metrics failed: {self._reason}")
        left_out = [f"{name} ({reason})" for name, reason in self._series.left_out.items()]
        if left_out:
            return Health("degraded", f"metrics left out: {'; '.join(left_out)}")
        return Health()
