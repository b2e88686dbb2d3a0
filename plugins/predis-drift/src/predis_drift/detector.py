"""Says when the workload is not what it was.

Events are cut into blocks, blocks are turned into histograms of features. The first blocks are the
reference; from then on each window, of two blocks, is compared with it. There is an alarm once a
feature of several windows in a row is farther from the reference than its limit.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from predis_drift import keeping
from predis_drift.calibration import (
    PER_WINDOW,
    Limits,
    calibrate,
    calibrate_visits,
    distances,
    lasting,
    spreads,
)
from predis_drift.config import FEATURES, DriftConfig, PatternName
from predis_drift.describing import compact
from predis_drift.features import BINS, CATEGORICAL, IS_CATEGORICAL, WARM, Counts, Histograms
from predis_drift.gathering import Events, joined, part
from predis_drift.interface import Alarm, Pattern, Reading
from predis_drift.patterns import Kept, Patterns
from predis_drift.scales import Scale, Scales, Scored
from predis_drift.seasons import KeptSeasons, Seasons
from predis_drift.statistics import Floats, psi, shares

LEARNED = 40
"""Blocks of the first reference."""

LATELY = 20
"""The last blocks, which a rolling reference leaves out, lest it learns the change it looks for."""

MOST = 120
"""Blocks of a rolling reference, at most."""

_REFRESHED = 20
"""Blocks after which a rolling reference is calibrated anew."""

_SETTLES = 10
"""Blocks after an alarm that are not learned: a change takes its time."""

_SCORES = FEATURES.index("model_scores")
_ENOUGH = 200
"""Scores of a block, or it has none: a few are always far from what many are."""

_DAY = 86_400
_VERSION = 2

_GRAVE = 2.0
"""An alarm is an error, not a warning, if PSI is above its limit by this factor."""


class _State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept.

    Attributes:
        version: of this layout.
        block: events of a block.
        blocks, places: of the histograms.
        history: int32[blocks, features, bins], compressed.
        learned: blocks of the history that the reference is made of; 0: there is none yet.
        cold, skip, age, told: of the detector.
        patterns: what emerges, beside the reference.
        scales: of models that score.
        seasons: hours, if the reference is seasonal.
    """

    version: int
    block: int
    blocks: int
    places: bytes
    history: bytes
    learned: int
    cold: tuple[int, ...]
    skip: int
    age: int
    told: tuple[bool, ...]
    patterns: Kept
    scales: tuple[Scale, ...]
    seasons: KeptSeasons | None = None


class Detector:
    """Watches one stream of events.

    Args:
        config: the section.

    Attributes:
        windows: windows that were compared or learned so far.

    Raises:
        ValueError: if `reference_file` does not hold a reference that fits.
        OSError: if it cannot be read.
    """

    def __init__(self, config: DriftConfig) -> None:
        self.windows = 0
        self._config = config
        self._block = config.window // PER_WINDOW
        per_event = config.false_alarms_per_day / (_DAY * config.events_per_second)
        self._height = spreads(per_event, len(config.features))
        self._is_watched = np.array([name in config.features for name in FEATURES])
        self._rolls = config.reference in ("rolling", "seasonal")
        self._seasons = Seasons(config.season) if config.reference == "seasonal" else None
        self._of_hour: Limits | None = None
        self._histograms = Histograms(self._block)
        self._patterns = Patterns(self._block, config.patterns)
        self._emerged: list[Pattern] = []
        self._scales, self._scores = Scales(), np.zeros(BINS, np.int64)
        self._pending: list[Events] = []
        self._waiting = 0
        self._begin_anew([WARM[name] for name in FEATURES], 0)
        if config.reference_file is not None:
            found = keeping.read(config.reference_file)
            if found is None:
                raise ValueError(
                    f"reference_file: there is no {config.reference_file}; name the file that "
                    "`state` named in an earlier run"
                )
            self.restore(found)

    def _begin_anew(self, cold: list[int], skip: int) -> None:
        """Forget the reference; learn one after `skip` blocks."""
        self._cold, self._skip = cold, skip
        self._history: deque[Counts] = deque(maxlen=MOST + LATELY)
        self._limits: Limits | None = None
        self._age = self._learned = 0
        self._forget_windows()

    def _forget_windows(self) -> None:
        self._previous: Counts | None = None
        self._found: deque[Floats] = deque(maxlen=PER_WINDOW * (self._config.confirmation - 1) + 1)
        self._window = np.zeros((len(FEATURES), BINS), np.int64)
        self._is_told = np.zeros(len(FEATURES), bool)
        self._has_settled = np.ones(len(FEATURES), bool)

    # ------------------------------------------------------------------ events

    def feed(self, events: Events, wall: float = 0.0, scored: Sequence[Scored] = ()) -> list[Alarm]:
        """Take the next events, and return what is sure by now.

        Args:
            events: in their order.
            wall: the time, in seconds since the epoch; of no matter but for seasons.
            scored: what models scored meanwhile.
        """
        self._score(scored)
        self._pending.append(events)
        self._waiting += len(events.words)
        if self._waiting < self._block:
            return []
        if self._seasons is not None and self._seasons.enter(wall):
            self._enter_hour()
        events = joined(self._pending)
        alarms = []
        whole = self._waiting // self._block * self._block
        scores = self._shared(whole // self._block)
        for at, counts in enumerate(self._histograms.take(part(events, 0, whole))):
            counts[_SCORES] = scores[at] if at < len(scores) else 0
            alarms += self._take(counts)
            self._emerged += self._patterns.take(self._histograms)
        # A copy: a part of an array would keep all of it.
        self._pending = [part(events, whole, self._waiting, copy=True)]
        self._waiting -= whole
        return alarms

    def _score(self, scored: Sequence[Scored]) -> None:
        """Count scores for the blocks to come; what bins meant that mean something else goes."""
        counts, is_other = self._scales.take(scored)
        if is_other:
            self._scores[:] = 0
            self._cold[_SCORES] = len(self._history)
            for known in self._history:
                known[_SCORES] = 0
            for found in self._found:
                found[_SCORES] = 0
            if self._previous is not None:
                self._previous[_SCORES] = 0
            if self._limits is not None:
                self._limits.limits[_SCORES] = np.inf
        self._scores += counts

    def _shared(self, blocks: int) -> Counts:
        """Share scores out: int64[m, BINS], for m of some blocks, each of which has enough."""
        few = min(blocks, int(self._scores.sum()) // _ENOUGH)
        if not few:
            return np.zeros((0, BINS), np.int64)
        edges = np.linspace(0, self._scores, few + 1).astype(np.int64)
        self._scores = np.zeros(BINS, np.int64)
        shared: Counts = np.diff(edges, axis=0)
        return shared

    def _take(self, counts: Counts) -> list[Alarm]:
        """Take the histograms of a block."""
        blocks = self._histograms.blocks
        self.windows = blocks // PER_WINDOW
        if self._seasons is not None and blocks > max(WARM.values()):
            # Of models that are trained anew no earlier day says anything.
            self._seasons.add(np.where(np.arange(len(FEATURES))[:, None] == _SCORES, 0, counts))
        if self._skip:
            self._skip -= 1
            return []
        limits = self._of_hour or self._limits
        alarms = self._compare(counts, limits) if limits is not None else []
        if alarms and self._rolls and self._of_hour is None:
            self._begin_anew([max(0, WARM[name] - _SETTLES) for name in FEATURES], _SETTLES)
            return alarms
        if self._limits is None or self._rolls:
            if len(self._history) == self._history.maxlen:  # the oldest one goes
                self._cold = [max(0, cold - 1) for cold in self._cold]
            self._history.append(counts)
            self._learn()
        return alarms

    def _learn(self) -> None:
        """Calibrate, if there is enough to learn from."""
        count = len(self._history)
        if self._limits is None:
            if count >= LEARNED:
                self._calibrate(LEARNED)
            return
        self._age += 1
        if count - LATELY > LEARNED and self._age % _REFRESHED == 0:
            self._calibrate(count - LATELY)

    def _calibrate(self, blocks: int) -> None:
        """Make the first blocks of the history the reference."""
        chosen = np.array([self._history[at] for at in range(blocks)])
        self._limits = calibrate(chosen, self._cold, self._config.confirmation, self._height)
        self._learned = blocks

    def _enter_hour(self) -> None:
        """Take the same hour of earlier days or weeks for the reference, if there were enough."""
        assert self._seasons is not None
        visits = self._seasons.visits()
        is_known = len(visits) > 1 and sum(map(len, visits)) >= LEARNED
        confirmation = self._config.confirmation
        self._of_hour = calibrate_visits(visits, confirmation, self._height) if is_known else None

    def _compare(self, counts: Counts, limits: Limits) -> list[Alarm]:
        """Compare the window that a block completes."""
        previous, self._previous = self._previous, counts
        if previous is None:
            return []
        self._window = previous + counts
        after = shares(self._window)
        found = distances(limits.shares, after, IS_CATEGORICAL)
        self._found.append(np.where(self._is_there(), found, 0.0))
        lasts = self._lasting()
        if lasts is None:
            return []
        exceeds = lasts > limits.limits
        self._has_settled |= ~exceeds
        sure = exceeds & self._has_settled & ~self._is_told
        self._is_told = exceeds & (self._is_told | sure)
        return [self._alarm(np.flatnonzero(sure), lasts, limits, after)] if sure.any() else []

    def _is_there(self) -> npt.NDArray[np.bool_]:
        """Say of which features the last window has something."""
        return self._window.any(axis=-1) & self._is_watched

    def _psi(self, limits: Limits) -> Floats:
        """Return the population stability index of each feature in the last window."""
        return np.where(self._is_there(), psi(limits.shares, shares(self._window)), 0.0)

    def _lasting(self) -> Floats | None:
        """Return how far all of the last windows are from the reference; None if too few."""
        if len(self._found) < (self._found.maxlen or 0):
            return None
        lasts: Floats = lasting(np.array(self._found), self._config.confirmation)[-1]
        return lasts

    def _alarm(self, sure: Counts, lasts: Floats, limits: Limits, after: Floats) -> Alarm:
        """Return the alarm about features, the one that is farthest from its limit first."""
        order = sure[np.argsort(-lasts[sure] / limits.limits[sure], kind="stable")]
        first = int(order[0])
        index = float(self._psi(limits)[first])
        is_grave = index > _GRAVE * limits.limits_of_psi[first]
        labels, old, new = compact(FEATURES[first], limits.shares[first], after[first])
        return Alarm(
            feature=FEATURES[first],
            statistic=_statistic(first),
            value=float(lasts[first]),
            threshold=float(limits.limits[first]),
            psi=index,
            also=tuple(FEATURES[at] for at in order[1:]),
            severity="error" if is_grave else "warning",
            labels=labels,
            before=old,
            after=new,
            event=self._histograms.blocks * self._block,
        )

    # ------------------------------------------------------------------ what is shown and kept

    def emerged(self) -> list[Pattern]:
        """Return the patterns that emerged since it was called before."""
        found, self._emerged = self._emerged, []
        return found

    @property
    def strengths(self) -> Mapping[PatternName, float]:
        """How strong each pattern is now, as a multiple of what makes it one."""
        return self._patterns.strengths

    def readings(self) -> Sequence[Reading]:
        """Return, for each feature, the least of the last windows, and PSI of the last one."""
        limits, lasts = self._of_hour or self._limits, self._lasting()
        if limits is None or lasts is None:
            return ()
        found, indices = [], self._psi(limits)
        for at in np.flatnonzero(np.isfinite(limits.limits) & self._is_watched).tolist():
            limit, of_psi = float(limits.limits[at]), float(limits.limits_of_psi[at])
            found.append(Reading(FEATURES[at], _statistic(at), float(lasts[at]), limit))
            found.append(Reading(FEATURES[at], "psi", float(indices[at]), of_psi))
        return found

    def state(self) -> bytes:
        """Return all that `restore` needs; what is not a whole block yet is left out."""
        blocks, places = self._histograms.state()
        history = np.array(list(self._history), np.int32)
        return msgspec.msgpack.encode(
            _State(
                version=_VERSION,
                block=self._block,
                blocks=blocks,
                places=places,
                history=zlib.compress(history.tobytes(), 1),
                learned=self._learned,
                cold=tuple(self._cold),
                skip=self._skip,
                age=self._age,
                told=tuple(self._is_told.tolist()),
                patterns=self._patterns.state(),
                scales=self._scales.state(),
                seasons=None if self._seasons is None else self._seasons.state(),
            )
        )

    def restore(self, data: bytes) -> None:
        """Go on from what `state` returned; the caches of a restart may be cold at first.

        Raises:
            ValueError: if it does not fit; nothing is changed then.
        """
        state = _decoded(data, self._block)
        histograms = Histograms(self._block)
        histograms.restore(state.blocks, state.places)
        history = _history(state)
        patterns = Patterns(self._block, self._config.patterns)
        patterns.restore(state.patterns)
        scales = Scales()
        scales.restore(state.scales)
        if self._seasons is not None and state.seasons is not None:
            self._seasons.restore(state.seasons)
        self._histograms, self._patterns, self._scales = histograms, patterns, scales
        self._scores = np.zeros(BINS, np.int64)
        self._pending, self._waiting = [], 0
        self._begin_anew(list(state.cold), state.skip)
        self._history.extend(history)
        self._age = state.age
        if state.learned:
            self._calibrate(state.learned)
        if self._seasons is not None:
            self._enter_hour()
        self._is_told = np.array(state.told)
        self._has_settled[FEATURES.index("hit_ratio")] = False
        self.windows = state.blocks // PER_WINDOW


def _statistic(feature: int) -> str:
    return "distance" if FEATURES[feature] in CATEGORICAL else "ks"


def _decoded(data: bytes, block: int) -> _State:
    try:
        state = msgspec.msgpack.decode(data, type=_State)
    except msgspec.MsgspecError as error:
        raise ValueError(f"this is no state of predis-drift: {error}") from None
    count = len(FEATURES)
    if state.version != _VERSION or len(state.cold) != count or len(state.told) != count:
        raise ValueError("this state was kept by another version of predis-drift")
    if state.block != block:
        raise ValueError(
            f"this state has window = {state.block * PER_WINDOW}, the configuration "
            f"{block * PER_WINDOW}; give the same one, or begin anew"
        )
    return state


def _history(state: _State) -> Counts:
    try:
        found = np.frombuffer(zlib.decompress(state.history), np.int32)
        blocks = found.reshape(-1, len(FEATURES), BINS).astype(np.int64)
    except (zlib.error, ValueError):
        raise ValueError("the history of this state is damaged") from None
    if not 0 <= state.learned <= len(blocks) or (blocks < 0).any():
        raise ValueError("the history of this state is damaged")
    return blocks
