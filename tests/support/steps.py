"""Work that is done step by step, done at once."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


def whole(steps: Generator[Any, None, Result]) -> Result:
    """Return what steps end with."""
    return counted(steps)[0]


def counted(steps: Generator[Any, None, Result]) -> tuple[Result, int]:
    """Return what steps end with, and how many pauses there were."""
    pauses = 0
    try:
        while True:
            next(steps)
            pauses += 1
    except StopIteration as end:
        result: Result = end.value
        return result, pauses
