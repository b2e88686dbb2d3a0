"""What a rule compares a value with: "< 0.8", "> 50ms", ">= 90%"."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import NamedTuple

from predis_core.plugin import ByteSize, Duration

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_CONDITION = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(.+?)\s*")
_EXPECTED = 'one of < <= > >= == != and a number, such as "< 0.8", "> 50ms" or ">= 1GiB"'


class Condition(NamedTuple):
    """A comparison that holds for a value, or does not.

    Attributes:
        sign: one of < <= > >= == !=.
        bound: what values are compared with, in the metric's unit.
        text: as the rule spells it.
    """

    sign: str
    bound: float
    text: str

    def holds(self, value: float, bound: float | None = None) -> bool:
        """Say whether it holds for a value; with another bound in place of its own, if given."""
        return _OPERATORS[self.sign](value, self.bound if bound is None else bound)


def condition_of(text: str) -> Condition:
    """Return the condition that a text spells.

    Raises:
        ValueError: if it is none; the message says what is expected.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(f"condition: expected {_EXPECTED}, got {text!r}")
    try:
        return Condition(match[1], number_of(match[2]), f"{match[1]} {match[2]}")
    except ValueError:
        raise ValueError(f"condition: expected {_EXPECTED}, got {text!r}") from None


def number_of(value: float | str) -> float:
    """Return a number, or what a text such as "80%", "50ms" or "1GiB" stands for (seconds, bytes).

    Raises:
        ValueError: if it stands for none.
    """
    if isinstance(value, str):
        text = value.strip()
        for read in (float, _share, Duration.parse, ByteSize.parse):
            try:
                return _finite(float(read(text)))
            except ValueError:
                continue
        raise ValueError(f'expected a number, such as 0.8, "80%", "50ms" or "1GiB", got {value!r}')
    return _finite(float(value))


def check_clear(condition: Condition, clear: float | str) -> float:
    """Return the value at which an alert ends, which has to be on the condition's other side.

    Raises:
        ValueError: if it is not.
    """
    try:
        bound = number_of(clear)
    except ValueError as error:
        raise ValueError(f"clear: {error}") from None
    below = condition.sign in ("<", "<=")
    if condition.sign in ("==", "!="):
        raise ValueError(f"clear: goes with < <= > >= only, not with {condition.text!r}; leave out")
    if (bound < condition.bound) if below else (bound > condition.bound):
        side = "at least" if below else "at most"
        raise ValueError(
            f"clear: an alert of {condition.text!r} would go on and off at {clear!r}; "
            f"give {side} {condition.bound:g}, or leave it out"
        )
    return bound


def _share(text: str) -> float:
    if not text.endswith("%"):
        raise ValueError("no percentage")
    return float(text[:-1]) / 100


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("expected a finite number")
    return number
