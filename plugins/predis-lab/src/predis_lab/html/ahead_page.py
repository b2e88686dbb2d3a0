"""The report of `predis replay --prefetch`: what loading ahead saves, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from predis_lab.ahead import HEAD, HELP, Ahead, rows
from predis_lab.html import plots
from predis_lab.html.page import Block, Column, Facts, Figure, Page, Prose, Section, Table

TITLE = "What prefetching saves"
_GUESSES: Mapping[str, Callable[[Ahead], float]] = {
    "precision": lambda each: each.precision,
    "coverage": lambda each: each.coverage,
    "late": lambda each: each.lateness,
    "harm": lambda each: each.harm,
}


def ahead_page(found: Sequence[Ahead], names: Sequence[str], rate: float) -> Page:
    """The page of a run.

    names: of the prefetchers, or of the plugins that offer them
    rate: requests per second
    """
    is_timed = any(each.latency for each in found)
    sections = [Section("Misses", (_misses(found),))]
    if is_timed:
        sections.append(Section("Waiting", (_waiting(found),)))
    sections += [
        Section("Guesses", (*_guesses(found), _members(found))),
        Section("All results", (_table(found), Facts(tuple(HELP.items())))),
    ]
    return Page(TITLE, _lead(found, names, rate), tuple(sections))


def _lead(found: Sequence[Ahead], names: Sequence[str], rate: float) -> str:
    latency = found[0].latency
    time = (
        f"A load takes {latency * 1e3:g} ms, and {rate:,.0f} requests come per second, in "
        "simulated time: who asks for a key that is being loaded ahead waits for the rest of that "
        "load."
        if latency
        else "Loads take no time: what is loaded ahead is there before the next request."
    )
    return (
        "Every trace was replayed into an empty cache of each eviction policy and size, one "
        f"request at a time, and into one whose prefetchers load ahead: {', '.join(names)}. {time}"
    )


def _misses(found: Sequence[Ahead]) -> Figure:
    panels: dict[str, dict[str, plots.Line]] = {}
    for each in sorted(found, key=lambda each: each.entries):
        panel = panels.setdefault(each.trace, {})
        for series, misses in zip(_series(each), (each.plain_misses, each.misses), strict=True):
            x, y = panel.setdefault(series, ([], []))
            panel[series] = [*x, each.entries], [*y, misses / max(1, each.requests)]
    names = list(dict.fromkeys(name for each in found for name in _series(each)))
    return Figure(
        plots.lines(panels, names, x_label="entries", y_label="miss ratio", log_entries=True),
        "Miss ratio by cache size, with prefetchers and without. Lower is better; sizes are "
        "logarithmic.",
        f"Lines: miss ratio by cache size for {', '.join(names)}, a panel for each of "
        f"{', '.join(panels)}. The table below has all values.",
    )


def _series(each: Ahead) -> tuple[str, str]:
    """The lines of a policy: without prefetchers, and with."""
    return each.policy, f"{each.policy} + prefetch"


def _waiting(found: Sequence[Ahead]) -> Figure:
    waited = {_cell(each): {"without": each.plain_waited, "with": each.waited} for each in found}
    said = "; ".join(
        f"{cell}: {both['without']:,.1f} s without, {both['with']:,.1f} s with"
        for cell, both in waited.items()
    )
    return Figure(
        plots.grouped_bars(
            waited,
            ("without", "with"),
            label="seconds",
            write="{:,.1f}".format,
            write_tick="{:,.0f}".format,
        ),
        "Seconds that all requests together waited for loads. Lower is better.",
        f"Bars: seconds waited. {said}.",
    )


def _guesses(found: Sequence[Ahead]) -> list[Block]:
    """A plot for each trace: many bars side by side cannot be read."""
    blocks: list[Block] = []
    for trace in dict.fromkeys(each.trace for each in found):
        shares = {
            f"{each.policy}, {each.entries:,}": {name: of(each) for name, of in _GUESSES.items()}
            for each in found
            if each.trace == trace and each.loads
        }
        if not shares:
            blocks.append(Prose((f"{trace}: nothing was loaded ahead.",)))
            continue
        said = "; ".join(
            f"{cell}: " + ", ".join(f"{name} {share:.0%}" for name, share in of_cell.items())
            for cell, of_cell in shares.items()
        )
        drawn = plots.grouped_bars(
            shares,
            tuple(_GUESSES),
            label="share",
            write="{:.0%}".format,
            write_tick="{:.0%}".format,
            x_label="policy, entries",
        )
        caption = f"What became of what was loaded ahead: {trace}. The terms are explained below."
        blocks.append(Figure(drawn, caption, f"Bars: {said}."))
    return blocks


def _members(found: Sequence[Ahead]) -> Table:
    numbers = ("loads", "used", "late", "unused", "harmful")
    return Table(
        "By prefetcher, in keys",
        (
            *(Column(name) for name in ("trace", "policy", "entries", "prefetcher")),
            *(Column(name, numeric=True) for name in numbers),
            Column("at the end", "Quiet: its guesses did not pay, and nothing is loaded for it."),
        ),
        tuple(
            (
                each.trace,
                each.policy,
                f"{each.entries:,}",
                stats.prefetcher,
                *(f"{getattr(stats, name):,}" for name in numbers),
                "quiet" if stats.is_quiet else "awake",
            )
            for each in found
            for stats in each.prefetchers
        ),
        headers=4,
    )


def _table(found: Sequence[Ahead]) -> Table:
    columns = (Column(HEAD[0]), Column(HEAD[1]), *(Column(name, numeric=True) for name in HEAD[2:]))
    return Table("With prefetchers and without", columns, tuple(map(tuple, rows(found))), headers=2)


def _cell(each: Ahead) -> str:
    return f"{each.trace}, {each.policy}, {each.entries:,}"
