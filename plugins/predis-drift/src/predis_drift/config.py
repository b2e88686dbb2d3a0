"""The section `[plugins.drift]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from predis_core.plugin import SAMPLE_RATE, Duration

CACHE = "{cache}"
"""What stands for a cache's name in the name of its file."""

Feature = Literal[
    "popularity",
    "reuse_distance",
    "inter_arrival",
    "batch_size",
    "value_size",
    "hit_ratio",
    "namespace_share",
    "new_keys",
    "model_scores",
]

FEATURES: tuple[Feature, ...] = get_args(Feature)

PatternName = Literal["hot_group", "scan", "period", "working_set"]

PATTERNS: tuple[PatternName, ...] = get_args(PatternName)


class DriftConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is watched of a cache's workload, and how sure an alarm has to be.

    Attributes:
        window: sampled events that are compared at a time.
        rate: share of the keys whose look-ups are sampled.
        features: what is watched; left out: everything.
        patterns: what is told when it emerges; left out: everything.
        false_alarms_per_day: alarms without a change that are accepted per day.
        events_per_second: sampled events per second, by which "per day" is turned into events.
        reference: what a window is compared with: "rolling" (what was before lately; learned anew
            after an alarm), "kept" (what was first), "seasonal" (the same hour in earlier days or
            weeks; "rolling" until there are some) or "file".
        season: for "seasonal": the hour of the "day", or that of the "week".
        reference_file: for "file", the file that `state` named in an earlier run.
        confirmation: windows in a row that have to differ before there is an alarm.
        cooldown: after an alarm, the same one is not given again within this time.
        state: file in which what was learned is kept after each window; `{cache}` in its name
            stands for the cache's. Left out: only snapshots keep it.
        reactions: what an alarm may bring about: "reset-auto" (the policy "auto" chooses anew),
            "sample-more" (a higher rate for a while).
    """

    window: Annotated[int, Meta(ge=500, le=10_000)] = 2_000
    rate: Annotated[float, Meta(gt=0, le=1)] = SAMPLE_RATE
    features: tuple[Feature, ...] = FEATURES
    patterns: tuple[PatternName, ...] = PATTERNS
    false_alarms_per_day: Annotated[float, Meta(gt=0)] = 1.0
    events_per_second: Annotated[float, Meta(gt=0)] = 67.0
    reference: Literal["rolling", "kept", "seasonal", "file"] = "rolling"
    season: Literal["day", "week"] = "day"
    reference_file: Path | None = None
    confirmation: Annotated[int, Meta(ge=1, le=6)] = 3
    cooldown: Duration = Duration(600)
    state: Path | None = None
    reactions: tuple[Literal["reset-auto", "sample-more"], ...] = ()

    def __post_init__(self) -> None:
        if (self.reference == "file") != (self.reference_file is not None):
            raise ValueError('reference_file: goes with reference = "file"; give both, or neither')
        if not self.features:
            raise ValueError("features: expected at least one; leave it out for all of them")
