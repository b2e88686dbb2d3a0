"""The colours of a page, light and dark, and the stand-ins for them in plots.

A plot is drawn once, in stand-in colours; in the page each becomes a CSS variable, so that one
drawing serves both themes.
"""

from __future__ import annotations

from typing import NamedTuple

# Contrast of text with `page` and `panel`: at least 4.5:1; of series with `panel`: 3:1. Series were
# chosen to lie far apart for readers with any of the three colour deficiencies.
LIGHT = {
    "page": "#f6f7f9",
    "panel": "#ffffff",
    "ink": "#1a1d21",
    "muted": "#555d66",
    "line": "#d5d9de",
    "accent": "#00589b",
    "bad": "#b3261e",
    "series-0": "#1f5cf9",
    "series-1": "#6d3403",
    "series-2": "#37a470",
    "series-3": "#e83ab8",
    "series-4": "#b88b05",
    "series-5": "#3a3636",
    "series-6": "#03587c",
    "series-7": "#3e119c",
}
DARK = {
    "page": "#101215",
    "panel": "#191c20",
    "ink": "#e8eaed",
    "muted": "#a5adb7",
    "line": "#3a4048",
    "accent": "#7cc0ff",
    "bad": "#ff9c92",
    "series-0": "#2ea7fa",
    "series-1": "#b05316",
    "series-2": "#2be08a",
    "series-3": "#fcc8ec",
    "series-4": "#f9ad10",
    "series-5": "#8f8686",
    "series-6": "#11779f",
    "series-7": "#7f46fa",
}
SERIES = sum(name.startswith("series-") for name in LIGHT)

STAND_INS = {name: f"#0101{number:02x}" for number, name in enumerate(LIGHT)}

_MARKERS = "oDs^vPXd"
_LINES = ("solid", "dashed", "dotted", "dashdot")
_HATCHES = ("", "////", "....", "xxxx")


class Style(NamedTuple):
    """How a series looks in every plot: colour alone never tells two series apart."""

    color: str
    marker: str
    line: str
    hatch: str


def style(index: int) -> Style:
    """The look of the series with this number; after the last colour, the first with a pattern."""
    turn, number = divmod(index, SERIES)
    return Style(
        STAND_INS[f"series-{number}"],
        _MARKERS[number % len(_MARKERS)],
        _LINES[turn % len(_LINES)],
        _HATCHES[turn % len(_HATCHES)],
    )
