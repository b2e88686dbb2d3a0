"""One cache under watch: samples in; events, metrics, and what a report shows out.

Everything here runs in the plugin's own thread.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from pathlib import Path

import msgspec

from predis_core.clock import NANOSECONDS, Clock
from predis_core.errors import PluginError
from predis_core.plugin import CacheView, Event, KeySample, Metric, Sample
from predis_drift import keeping
from predis_drift.config import CACHE, DriftConfig
from predis_drift.gathering import Gatherer
from predis_drift.interface import Alarm, Detecting, Pattern, Reading
from predis_drift.scales import Scored
from predis_drift.totals import Totals

logger = logging.getLogger("predis.drift")

STATISTIC = Metric(
    "predis.drift.statistic",
    "gauge",
    "1",
    "How far the last window is from the reference.",
    ("cache", "feature", "statistic"),
)
THRESHOLD = Metric(
    "predis.drift.threshold",
    "gauge",
    "1",
    "What the statistic has to exceed for an alarm.",
    ("cache", "feature", "statistic"),
)
ALARMS = Metric(
    "predis.drift.alarms", "counter", "1", "Alarms that were given.", ("cache", "feature")
)
HELD = Metric(
    "predis.drift.held",
    "counter",
    "1",
    "Alarms and patterns that were held back, as they had just been told.",
)
EVENTS = Metric("predis.drift.events", "counter", "1", "Sampled events that were compared.")
WINDOWS = Metric("predis.drift.windows", "counter", "1", "Windows that were complete.")

PATTERNS_TOLD = Metric(
    "predis.drift.patterns", "counter", "1", "Patterns that emerged.", ("cache", "pattern")
)
STRENGTH = Metric(
    "predis.drift.pattern_strength",
    "gauge",
    "1",
    "How strong a pattern is in the last block, as a multiple of what makes it one.",
    ("cache", "pattern"),
)

_KEPT = 240
"""Windows, alarms and patterns that a report shows."""

_MOST_SCORES = 10_000
"""Of a model at a time."""

SAID = {
    "hot_group": "keys that are asked for much more than before",
    "scan": "keys that are new and do not come again",
    "period": "keys that come again after the same number of look-ups",
    "working_set": "another number of keys in use",
}
"""What each pattern is, for people."""


class Course(msgspec.Struct):
    """The readings of a window: when it was complete, in seconds of the wall clock."""

    time: float
    readings: tuple[Reading, ...]


class Watch:
    """Watches a cache.

    Args:
        view: the cache.
        config: the section.
        detector: decides.
        clock: where the time comes from.

    Attributes:
        courses: the readings of the last windows.
        alarms: the last alarms, and when they were given, in seconds of the wall clock.
        patterns: likewise, what emerged.
    """

    stream = "keys"
    interval = 1.0
    name = "drift"
    metrics = (STATISTIC, THRESHOLD, ALARMS, HELD, EVENTS, WINDOWS, PATTERNS_TOLD, STRENGTH)

    def __init__(
        self, view: CacheView, config: DriftConfig, detector: Detecting, clock: Clock
    ) -> None:
        self.rate = config.rate
        self.courses: deque[Course] = deque(maxlen=_KEPT)
        self.alarms: deque[tuple[float, Alarm]] = deque(maxlen=_KEPT)
        self.patterns: deque[tuple[float, Pattern]] = deque(maxlen=_KEPT)
        self.trouble = ""
        self._view, self._config, self._detector, self._clock = view, config, detector, clock
        self._gatherer, self._totals = Gatherer(), Totals()
        # A wall clock that is set later on does not make another hour of this one.
        self._began = clock.wall() - clock.monotonic()
        self._given: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._held = self._events = 0
        self._until: dict[str, int] = {}
        self._unanswered: Alarm | None = None
        self._windows = detector.windows
        self.path = _of(view.name, config.state)
        self._restore_file()

    # ------------------------------------------------------------------ from samples to events

    def on_sample(self, sample: KeySample) -> None:
        """Take look-ups; tell of what is sure by now, and keep what was learned."""
        now = self._clock.monotonic()
        events = self._gatherer.take(sample, now / NANOSECONDS)
        if not len(events.words):
            return
        sizes, spaces = self._totals.since(self._view.snapshot(), len(events.words))
        events = events._replace(sizes=sizes, spaces=spaces)
        self._events += len(events.words)
        wall = (self._began + now) / NANOSECONDS
        for alarm in self._detector.feed(events, wall, self._scored()):
            self._tell(alarm, now)
        for pattern in self._detector.emerged():
            self._tell_pattern(pattern, now)
        if self._detector.windows != self._windows:
            seconds = self._clock.wall() / NANOSECONDS
            self.courses.append(Course(seconds, tuple(self._detector.readings())))
            self._keep()
            self._windows = self._detector.windows  # those that are kept: nobody sees others

    def _scored(self) -> list[Scored]:
        """Ask the models of the cache for their latest scores."""
        found: list[Scored] = []
        if "model_scores" not in self._config.features:
            return found
        for model in self._view.models():
            name = f"{model.plugin}/{model.name}"
            version = str(model.version)
            with contextlib.suppress(PluginError):  # who offers it is told so by the core
                scores = model.scores(self._until.get(name, 0))
                self._until[name] = scores.until
                found.append(Scored(name, version, scores.values[-_MOST_SCORES:]))
        return found

    def _is_due(self, what: str, now: int) -> bool:
        """Count an alarm of a feature, or a pattern; say whether it was not just given."""
        latest = self._latest.get(what)
        if latest is not None and now - latest < float(self._config.cooldown) * NANOSECONDS:
            self._held += 1
            return False
        self._latest[what] = now
        self._given[what] = self._given.get(what, 0) + 1
        return True

    def _tell(self, alarm: Alarm, now: int) -> None:
        """Give an alarm, unless the same one was just given."""
        if not self._is_due(alarm.feature, now):
            return
        self._unanswered = alarm
        self.alarms.append((self._clock.wall() / NANOSECONDS, alarm))
        message = (
            f"cache {self._view.name!r}: its workload changed: {alarm.feature}, by "
            f"{alarm.statistic} {alarm.value:.3g} (threshold {alarm.threshold:.3g})"
        )
        if alarm.also:
            message += f"; also {', '.join(alarm.also)}"
        level = getattr(logging, alarm.severity.upper())
        logger.log(level, message)
        self._view.emit(
            Event(
                kind="drift.alarm",
                message=message,
                severity=alarm.severity,
                data=msgspec.to_builtins(alarm),
            )
        )

    def _tell_pattern(self, pattern: Pattern, now: int) -> None:
        """Tell of a pattern, unless the same one was just told of."""
        if not self._is_due(pattern.pattern, now):
            return
        self.patterns.append((self._clock.wall() / NANOSECONDS, pattern))
        message = f"cache {self._view.name!r}: {said(pattern)}"
        logger.info(message)
        self._view.emit(
            Event(kind="drift.pattern", message=message, data=msgspec.to_builtins(pattern))
        )

    def next_to_react_to(self) -> Alarm | None:
        """Return the last alarm, once."""
        alarm, self._unanswered = self._unanswered, None
        return alarm

    # ------------------------------------------------------------------ what is kept

    def save(self) -> bytes:
        """Return what was learned, for a snapshot."""
        return self._detector.state()

    def restore(self, data: bytes) -> None:
        """Go on from what a snapshot kept."""
        self._detector.restore(data)
        self._windows = self._detector.windows

    def _restore_file(self) -> None:
        if self.path is None:
            return
        try:
            data = keeping.read(self.path)
            if data is not None:
                self.restore(data)
        except (OSError, ValueError) as error:
            self.trouble = f"state: {error}"
            logger.warning("cache %r: %s; the reference is learned anew", self._view.name, error)

    def _keep(self) -> None:
        if self.path is None:
            return
        try:
            keeping.write(self.path, self._detector.state())
            self.trouble = ""
        except OSError as error:
            if not self.trouble:
                logger.warning("cache %r: state: %s", self._view.name, error)
            self.trouble = f"state: {error}"

    # ------------------------------------------------------------------ metrics

    def collect(self) -> list[Sample]:
        """Return what there is of statistics and alarms."""
        cache = self._view.name
        found = []
        for reading in self._detector.readings():
            labels = (cache, reading.feature, reading.statistic)
            found.append(Sample(STATISTIC, labels, reading.value))
            found.append(Sample(THRESHOLD, labels, reading.threshold))
        for feature in self._config.features:
            found.append(Sample(ALARMS, (cache, feature), self._given.get(feature, 0)))
        for name in self._config.patterns:
            found.append(Sample(PATTERNS_TOLD, (cache, name), self._given.get(name, 0)))
        for name, strength in self._detector.strengths.items():
            found.append(Sample(STRENGTH, (cache, name), strength))
        found.append(Sample(HELD, (cache,), self._held))
        found.append(Sample(EVENTS, (cache,), self._events))
        found.append(Sample(WINDOWS, (cache,), self._windows))
        return found


def said(pattern: Pattern) -> str:
    """Return what came up, as a sentence."""
    period = f", every {pattern.period:,}" if pattern.period else ""
    return (
        f"{pattern.pattern} emerged: {SAID[pattern.pattern]}{period}; "
        f"{pattern.keys:,} sampled keys, {pattern.growth:.3g} times as before"
    )


def _of(cache: str, path: Path | None) -> Path | None:
    """The file of a cache's state."""
    return None if path is None else path.with_name(path.name.replace(CACHE, cache))
