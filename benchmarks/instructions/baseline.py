"""Counts of instructions: those on record, and how others compare with them. Plain Python."""

from __future__ import annotations

import json
import platform
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

TARGET = "x86-64-v3"
"""The processor that Numba compiles for, wherever the counting is done."""
TOLERANCE = 0.03
RECORDED = Path(__file__).with_name("baseline.json")


@dataclass(frozen=True)
class Count:
    """Instructions of one call of a verb.

    Attributes:
        call: all of them, the interpreter's included.
        compiled: those in compiled kernels.
    """

    call: int
    compiled: int


@dataclass(frozen=True)
class Baseline:
    """Counts by verb, and what they depend on beside this repository's code."""

    environment: Mapping[str, str]
    verbs: Mapping[str, Count]

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Return what `write` wrote."""
        document = json.loads(path.read_text("utf-8"))
        verbs = {name: Count(**count) for name, count in document["verbs"].items()}
        return cls(document["environment"], verbs)

    def write(self, path: Path) -> None:
        """Write a JSON document."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")


def environment() -> dict[str, str]:
    """Return what counts depend on: the interpreter, the compilers, and the processor aimed at."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    build = "profile-guided" if "--enable-optimizations" in options else "plain"
    return {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "python build": build,
        "machine": platform.machine(),
        **{name: version(name) for name in ("numpy", "numba", "llvmlite")},
        "target": TARGET,
    }


def differences(recorded: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Return in which ways two environments differ, in words."""
    return [
        f"{name} {recorded.get(name, 'unknown')} on record, {here.get(name, 'unknown')} here"
        for name in {**recorded, **here}
        if recorded.get(name) != here.get(name)
    ]


@dataclass(frozen=True)
class Comparison:
    """Counts beside those on record."""

    recorded: Mapping[str, Count]
    now: Mapping[str, Count]

    @property
    def slower(self) -> list[str]:
        """Verbs that take more instructions than is tolerated."""
        return [name for name, ratio in self._ratios().items() if ratio > 1 + TOLERANCE]

    @property
    def faster(self) -> list[str]:
        """Verbs that take so much fewer that the record hides what may be lost again."""
        return [name for name, ratio in self._ratios().items() if ratio < 1 - TOLERANCE]

    @property
    def unmatched(self) -> list[str]:
        """Verbs that are only on record or only counted."""
        return sorted(self.recorded.keys() ^ self.now.keys())

    def table(self) -> str:
        """Return a line per verb, those that got slower marked by an exclamation mark."""
        ratios, slower = self._ratios(), self.slower
        title, names = "instructions per call", list({**self.recorded, **self.now})
        width = max(len(name) for name in (title, *names))
        rows: list[tuple[str, ...]] = [(title, "baseline", "now", "ratio", "compiled", "now", "")]
        for name in names:
            call = (_number(counts, name, "call") for counts in (self.recorded, self.now))
            compiled = (_number(counts, name, "compiled") for counts in (self.recorded, self.now))
            ratio = f"{ratios[name]:.3f}" if name in ratios else "-"
            rows.append((name, *call, ratio, *compiled, "  !" if name in slower else ""))
        return "\n".join(
            f"{name:<{width}}" + "".join(f"{cell:>11}" for cell in cells) + mark
            for name, *cells, mark in rows
        )

    def _ratios(self) -> dict[str, float]:
        return {
            name: self.now[name].call / count.call
            for name, count in self.recorded.items()
            if name in self.now
        }


def _number(counts: Mapping[str, Count], name: str, part: str) -> str:
    return f"{getattr(counts[name], part):,}" if name in counts else "-"
