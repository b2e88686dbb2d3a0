"""The tree of errors is the one that its docstring draws."""

from __future__ import annotations

import inspect
import re

import pytest

from predis_core import errors
from predis_core.errors import LoaderError, MissingKeys, PredisError, shown

CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if found.__module__ == errors.__name__
]


def drawn() -> dict[str, tuple[str, str | None]]:
    """Name of each drawn class -> its parent's, and the built-in exception that it is, too."""
    found: dict[str, tuple[str, str | None]] = {}
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    ([│├└─ ]*)([A-Z]\w+)\s*(?:\((\w+)\))?", line):
            depth = len(match[1]) // 4
            del parents[depth:]
            found[match[2]] = (parents[-1] if parents else "Exception", match[3])
            parents.append(match[2])
    return found


def test_the_docstring_draws_the_tree() -> None:
    actual = {}
    for found in CLASSES:
        parent, *others = found.__bases__
        actual[found.__name__] = (parent.__name__, others[0].__name__ if others else None)
    assert drawn() == actual


@pytest.mark.parametrize("found", CLASSES, ids=lambda found: found.__name__)
def test_every_error_is_a_predis_error_and_documented(found: type[Exception]) -> None:
    assert issubclass(found, PredisError)
    assert (found.__doc__ or "").strip()


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([], "[]"),
        ([1, "b"], "[1, 'b']"),
        (range(10), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"),
        (range(12), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … 2 more]"),
    ],
)
def test_ids_are_shown_up_to_ten(ids: list[object], text: str) -> None:
    assert shown(ids) == text


def test_errors_of_loading_say_and_hold_which_ids() -> None:
    failed = LoaderError("it broke", (1, 2))
    assert failed.ids == [1, 2]
    assert str(failed) == "it broke; ids [1, 2]"
    missing = MissingKeys(["a"])
    assert missing.ids == ["a"]
    assert "no value for ['a']; pass missing='mask'" in str(missing)
