"""How readings look in a terminal.

Colours are the terminal's own, and only what needs a look has one, so it reads on dark and on light
ground alike.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Literal

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from predis_top.readings import NANOSECONDS, Reading

Order = Literal["name", "look-ups", "hit ratio", "memory"]
ORDERS: tuple[Order, ...] = ("name", "look-ups", "hit ratio", "memory")

_SPARKS = "▁▂▃▄▅▆▇█"
_KEPT = 12
_LEAST_SPAN = 0.1
_BAR = 10
_NOTHING = "–"


class Screen:
    """Draws readings; remembers hit ratios, for a line of how they went.

    Args:
        source: where readings come from, for the headline.
        interval: seconds between them.
    """

    def __init__(self, source: str, interval: float) -> None:
        self.order: Order = "name"
        self._source = source
        self._interval = interval
        self._ratios: dict[tuple[int, str], deque[float]] = {}

    def next_order(self) -> None:
        """Sort by the next column that one can sort by."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]

    def note(self, readings: Sequence[Reading]) -> None:
        """Remember what is shown as a line over time."""
        kept = {}
        for reading in readings:
            key = reading.pid, reading.now.cache
            line = kept[key] = self._ratios.get(key, deque(maxlen=_KEPT))
            if reading.hit_ratio is not None:
                line.append(reading.hit_ratio)
        self._ratios = kept

    def draw(
        self, readings: Sequence[Reading], silent: Sequence[str], *, keys: bool
    ) -> RenderableType:
        """Return the whole screen; `keys` tells what may be pressed."""
        parts: list[RenderableType] = [self._headline(readings), Text()]
        if readings:
            parts.append(self._table(readings))
        elif not silent:
            parts.append(_advice(self._source))
        troubles = [*map(_trouble, readings), *(Text(line, style="red") for line in silent)]
        if shown := [each for each in troubles if each]:
            parts += [Text(), *shown]
        if keys:
            parts += [Text(), Text(f"q quit   s sort, by {self.order} now", style="dim")]
        return Padding(Group(*parts), (1, 2))

    def _headline(self, readings: Sequence[Reading]) -> Table:
        processes = len({reading.pid for reading in readings})
        caches = sum("/" not in reading.now.cache for reading in readings)
        line = Table.grid(expand=True)
        line.add_column()
        line.add_column(justify="right")
        left = Text.assemble(
            ("Predis", "bold"),
            (f"   {_many(caches, 'cache')} in {_many(processes, 'process')}", "dim"),
        )
        times = [reading.now.time for reading in readings]
        when = datetime.fromtimestamp(max(times) / NANOSECONDS) if times else datetime.now()
        line.add_row(left, Text(f"every {self._interval:g} s   {when:%H:%M:%S}", style="dim"))
        return line

    def _table(self, readings: Sequence[Reading]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("process", style="dim", no_wrap=True)
        table.add_column("cache", no_wrap=True, overflow="ellipsis", max_width=28)
        table.add_column("policy", style="dim", no_wrap=True)
        table.add_column("hit ratio", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True, style="dim", min_width=_KEPT)
        for title in ("look-ups/s", "p50", "p99", "evicted/s", "loaded/s"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("fill", no_wrap=True)
        table.add_column("memory", justify="right", no_wrap=True)
        before = None
        for reading in self._sorted(readings):
            process = "" if reading.pid == before else str(reading.pid)
            table.add_row(*self._row(reading, process))
            before = reading.pid
        return table

    def _row(self, reading: Reading, process: str) -> list[RenderableType]:
        ratio = reading.hit_ratio
        return [
            process,
            _name(reading.now.cache),
            reading.now.policy,
            _NOTHING if ratio is None else f"{ratio:.1%}",
            _sparks(self._ratios.get((reading.pid, reading.now.cache), ())),
            _or_nothing(reading.rate("hits", "misses"), number),
            _or_nothing(reading.quantile(0.5), duration),
            _or_nothing(reading.quantile(0.99), duration),
            _or_nothing(reading.rate("evictions"), number),
            _or_nothing(reading.rate("loads"), number),
            _bar(reading.fill),
            _or_nothing(reading.now.memory, size),
        ]

    def _sorted(self, readings: Sequence[Reading]) -> list[Reading]:
        """Return readings in order; a namespace stays below its cache, whatever that is."""
        weights = {
            (reading.pid, reading.now.cache): {
                "name": 0.0,
                "look-ups": -reading.requests / (reading.seconds or 1),
                "hit ratio": -(reading.hit_ratio or 0.0),
                "memory": -(reading.now.memory or 0.0),
            }[self.order]
            for reading in readings
        }

        def key(reading: Reading) -> tuple[float, int, str]:
            root = reading.now.cache.partition("/")[0]
            return weights.get((reading.pid, root), 0.0), reading.pid, reading.now.cache

        return sorted(readings, key=key)


def number(value: float) -> str:
    """Return a number as short as a glance wants it."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # What rounds up to the next letter takes it.
        if value >= 0.9995 * factor:
            return f"{value / factor:.3g} {letter}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Return seconds with a unit that suits."""
    if math.isinf(seconds):
        return "> 8 s"
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= 0.9995 * factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def size(count: float) -> str:
    """Return bytes with a unit that suits."""
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 0.9995 * (1 << power):
            return f"{count / (1 << power):.3g} {unit}"
    return f"{count:.0f} B"


def _or_nothing(value: float | None, shown: Callable[[float], str]) -> str:
    return _NOTHING if value is None else shown(value)


def _name(cache: str) -> Text:
    root, slash, namespace = cache.partition("/")
    return Text.assemble("  ", (f"/{namespace}", "")) if slash else Text(root, style="bold")


def _sparks(ratios: Iterable[float]) -> str:
    """Return how ratios went; the line's height is what they span, ten points at least."""
    line = list(ratios)
    if not line:
        return ""
    middle = (min(line) + max(line)) / 2
    span = max(_LEAST_SPAN, max(line) - min(line))
    steps = len(_SPARKS) - 1
    return "".join(_SPARKS[round(((each - middle) / span + 0.5) * steps)] for each in line)


def _bar(share: float) -> Text:
    full = min(_BAR, round(share * _BAR))
    return Text.assemble("━" * full, ("━" * (_BAR - full), "dim"), f" {share:.0%}")


def _trouble(reading: Reading) -> Text:
    """Return what is wrong with a cache, in a line; nothing if nothing is."""
    told = [f"plugin {name} does not work" for name in reading.now.down]
    if failures := reading.counts.get("load_failures"):
        told.append(f"{number(failures)} loads failed")
    if refused := reading.counts.get("refusals"):
        told.append(f"{number(refused)} entries were refused")
    if not told:
        return Text()
    where = f"{reading.now.cache} ({reading.pid})"
    return Text.assemble((where, "yellow"), f": {', '.join(told)}")


def _advice(source: str) -> Text:
    return Text(
        f"No process has a control socket in {source}. A process has one while a cache is open\n"
        'that predis_core.open() opened with [host] state_dir = "…" set to that folder.'
    )


def _many(count: int, noun: str) -> str:
    plural = "" if count == 1 else ("es" if noun.endswith("s") else "s")
    return f"{count} {noun}{plural}"
