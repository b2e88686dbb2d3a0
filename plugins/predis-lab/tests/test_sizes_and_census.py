"""Sizes as a person writes them, and the counts that shares refer to."""

from __future__ import annotations

import numpy as np
import pytest

from predis_lab.census import Census, take_census
from predis_lab.sizes import Size


@pytest.mark.parametrize(
    ("text", "distinct", "entries"),
    [
        ("1%", 2606, 26), ("10%", 2606, 261), ("1%", 1011, 10), ("0.5 %", 1000, 5), ("1%", 3, 1),
        ("100%", 77, 77), ("500", 10, 500), ("1_000", 10, 1000), (12, 10, 12), (" 7 ", 10, 7),
    ],
)  # fmt: skip
def test_sizes(text: str | int, distinct: int, entries: int) -> None:
    assert Size.parse(text).of(distinct) == entries


@pytest.mark.parametrize("text", ["0", "0%", "101%", "-1", "1.5", "ten", "", "%", "1e3", -4])
def test_sizes_that_are_none(text: str | int) -> None:
    with pytest.raises(ValueError, match=r"^size .*: write a number of entries"):
        Size.parse(text)


def test_sizes_are_shown_as_they_are_written() -> None:
    assert [str(Size.parse(text)) for text in ("1%", "0.5%", "12345")] == ["1%", "0.5%", "12,345"]
    assert Size.parse(Size(entries=3)) == Size.parse("3")


@pytest.mark.parametrize("parts", [1, 2, 13, 200])
def test_a_census_counts_keys_across_chunks(parts: int) -> None:
    keys = np.random.default_rng(parts).integers(-500, 500, 5_000)
    census = take_census(np.array_split(keys, parts))
    assert census == Census(5_000, len(set(keys.tolist())))


def test_a_census_of_nothing() -> None:
    assert take_census([]) == Census(0, 0)
