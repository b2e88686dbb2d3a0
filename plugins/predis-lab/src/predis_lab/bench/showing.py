"""What `predis bench` shows: tables for the terminal, a part of a Markdown page, and a plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from predis_lab.bench.measuring import Bar, Measured, Verdict, spread

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
"""Lines of a page between which `write_page` puts its part."""

_COLUMNS = ("ratio", "lowest", "highest", "bar", "aim", "of the limit", "")
_STYLES = {"missed": "bold red", "not measured": "yellow"}
_COLORS = {
    "aim": "#1a7f37",
    "met": "#2f6fb4",
    "at the limit": "#8a63d2",
    "missed": "#c0392b",
}


def row_table(measured: Measured) -> Table:
    """One row of the benchmark: a line per contender, the median first, the spread beside it."""
    table = Table(title=f"{measured.name}: {measured.title}", title_justify="left")
    table.add_column("")
    for column in ("ns per key", "lowest", "highest", "M keys/s", "time over Predis'"):
        table.add_column(column, justify="right")
    ratios = measured.ratios
    for name, nanoseconds in measured.medians.items():
        low, high = min(measured.nanoseconds[name]), max(measured.nanoseconds[name])
        table.add_row(
            name,
            f"{nanoseconds:.1f}",
            f"{low:.1f}",
            f"{high:.1f}",
            f"{1e3 / nanoseconds:.2f}",
            f"{ratios[name]:.2f}×" if name in ratios else "",
        )
    return table


def bar_table(rows: Sequence[Measured]) -> Table:
    """Every bar: what was reached, what had to be, and how much of the physical limit."""
    table = Table(title="Bars", title_justify="left")
    table.add_column("row", no_wrap=True)
    table.add_column("what")
    for column in _COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for name, label, cells in _lines(rows):
        style = _STYLES.get(cells[-1], "")
        table.add_row(name, label, *cells, style=style)
    return table


def _lines(rows: Sequence[Measured]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """The name of the row, the ratio in words, and the cells of `_COLUMNS`, for each bar."""
    for row in rows:
        if row.lacking is not None:
            yield row.name, row.lacking, ("",) * (len(_COLUMNS) - 1) + ("not measured",)
        for verdict in row.verdicts():
            yield row.name, _what(verdict), _cells(verdict)


def _what(verdict: Verdict) -> str:
    if verdict.missing:
        return f"{verdict.bar.label}: there is no {', '.join(verdict.missing)}"
    return verdict.bar.label


def _cells(verdict: Verdict) -> tuple[str, ...]:
    bar, sign = verdict.bar, "≤" if verdict.bar.at_most else "≥"
    measured = (verdict.ratio, verdict.lowest, verdict.highest)
    return (
        *(("",) * 3 if verdict.missing else map(_number, measured)),
        f"{sign} {bar.bar:g}",
        f"{sign} {bar.aim:g}",
        "" if verdict.share is None else f"{verdict.share:.0%}",
        verdict.standing,
    )


def _number(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def conditions(about: Mapping[str, Any], rows: Sequence[Measured]) -> str:
    """The machine, the versions, how it was measured, and how much noise there was."""
    cores = about["pinned_to"]
    pinned = f"pinned to core {cores[0]}" if cores else "not pinned to a core"
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return (
        f"{about['processor']}, {about['cores']} cores, {about['system']}; {pinned}; medians of "
        f"{about['rounds']} rounds, in turns; noise: the quartiles of a contender's times are "
        f"{spread(rows):.1%} of their median apart; Python {about['python']}, {versions}"
    )


# ------------------------------------------------------------------ a page


def page_takes_figures(path: Path) -> bool:
    """Say whether a Markdown page has a part for figures."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return BEGIN in lines and END in lines[lines.index(BEGIN) :]


def write_page(path: Path, about: Mapping[str, Any], rows: Sequence[Measured], date: str) -> None:
    """Put the figures into the part of a Markdown page that is for them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    begin = lines.index(BEGIN)
    end = lines.index(END, begin)
    part = _part(about, rows, date)
    text = "\n".join([*lines[: begin + 1], part, *lines[end:]]) + "\n"
    path.write_text(text, encoding="utf-8")


def _part(about: Mapping[str, Any], rows: Sequence[Measured], date: str) -> str:
    head = ["row", "what", *_COLUMNS[:-1], "standing"]
    bars = [[f"`{name}`", label, *cells] for name, label, cells in _lines(rows)]
    times = [
        [f"`{row.name}`", row.title, "; ".join(_times(row))] for row in rows if row.nanoseconds
    ]
    return "\n".join(
        [
            "",
            f"{date}: {conditions(about, rows)}.",
            "",
            *_markdown(head, bars, "--" + "r" * (len(_COLUMNS) - 1) + "-"),
            "",
            "Nanoseconds per key, medians:",
            "",
            *_markdown(["row", "what is timed", "contenders"], times, "---"),
            "",
        ]
    )


def _times(row: Measured) -> Iterator[str]:
    return (f"{name} {nanoseconds:,.1f}" for name, nanoseconds in row.medians.items())


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    rule = ["---:" if side == "r" else "---" for side in sides]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


# ------------------------------------------------------------------ a plot


def plot(rows: Sequence[Measured], path: Path) -> None:
    """Draw how far each row is from its bar, with its spread and its aim, as PNG or SVG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    shown = [v for row in rows for v in row.verdicts() if not v.missing][::-1]
    figure, axis = plt.subplots(figsize=(9, 0.34 * len(shown) + 1.6))
    for at, verdict in enumerate(shown):
        bar, color = verdict.bar, _COLORS[verdict.standing]
        ends = [_above(bar, ratio) for ratio in (verdict.lowest, verdict.highest)]
        axis.barh(at, _above(bar, verdict.ratio) - 1, left=1, height=0.6, color=color, alpha=0.75)
        axis.plot(ends, [at, at], color="black", linewidth=1)
        axis.plot(_above(bar, bar.aim), at, marker="|", markersize=12, color="#888888")
    axis.axvline(1.0, color="black", linewidth=1.2)
    axis.set(xscale="log", xlabel="times its bar (mark: the aim; line: lowest to highest round)")
    axis.set_yticks(range(len(shown)), [f"{v.row}: {v.bar.label}" for v in shown], fontsize=8)
    axis.grid(axis="x", alpha=0.3)
    handles = [
        Line2D([], [], color=color, linewidth=6, label=name) for name, color in _COLORS.items()
    ]
    axis.legend(
        handles=handles, fontsize=8, loc="upper center", ncols=4, bbox_to_anchor=(0.4, -0.12)
    )
    figure.tight_layout()
    try:
        figure.savefig(path, dpi=120)
    finally:
        plt.close(figure)


def _above(bar: Bar, ratio: float) -> float:
    """How many times its bar a ratio is; more is better."""
    return bar.bar / ratio if bar.at_most else ratio / bar.bar
