"""Functions to be memoized: they tell how they were called, or wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.support.crew import PATIENCE


def recorded(calls: list[Any]) -> Callable[..., Any]:
    """Return a function that notes its arguments and returns a new object each time."""

    def function(a: Any, b: Any = 2, *rest: Any, c: Any = 3, **named: Any) -> object:
        calls.append((a, b, rest, c, named))
        return object()

    return function


class Gate:
    """A function that runs until it is let go."""

    def __init__(self, result: Callable[[Any], Any] = lambda x: x) -> None:
        self.release = threading.Event()
        self.runs: list[Any] = []
        self._result = result

    def __call__(self, x: Any) -> Any:
        self.runs.append(x)
        assert self.release.wait(PATIENCE)
        return self._result(x)


def fail(error: BaseException) -> Any:
    raise error
