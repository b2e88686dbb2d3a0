"""Durations, sizes and secrets, as a configuration gives them.

Each works as the type of a field of any `msgspec.Struct` that the decoder of this package decodes:
msgspec hands subclasses of float and int to the decoder's hook, so that `interval * 2` stays plain
arithmetic on seconds.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

_SECONDS = {
    "w": Fraction(604_800),
    "d": Fraction(86_400),
    "h": Fraction(3_600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1_000),
    "us": Fraction(1, 1_000_000),
    "ns": Fraction(1, 1_000_000_000),
}
_BYTES = {
    **{unit: 1024**power for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB"))},
    **{unit: 1000**power for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB"))},
    "KB": 1000,
    "B": 1,
}
# Three digits of exponent reach every float and keep exact arithmetic small.
_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d{1,3})?"
# The units by name: a unit `e` would make exponents ambiguous, and matching exponential.
_AMOUNT = re.compile(rf"({_NUMBER}) *(ms|us|ns|[wdhms])", re.ASCII)
_DURATION = re.compile(rf"{_NUMBER}|(?:{_AMOUNT.pattern} *)+", re.ASCII)
_SIZE = re.compile(rf"({_NUMBER}) *([A-Za-z]*)", re.ASCII)
_KINDS = {
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    tuple: "a list",
    dict: "a table",
}
_LONGEST = 100  # characters: enough for any amount, too few to compute with for long
_SHOWN = 60
_TOO_LARGE = 1 << 63
_COMPOUND_BELOW = 10**12  # seconds: longer ones are no easier to read as days


def shown(value: Any) -> str:
    """Return a value's repr on one line, cut after 60 characters."""
    try:
        text = repr(value)
    except Exception:  # an object of the caller's, or an int with too many digits to print
        text = f"<{type(value).__name__}>"
    text = " ".join(text.splitlines())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def kind_of(value: Any) -> str:
    """Return what sort of value this is, for messages that must not show it."""
    return _KINDS.get(type(value), type(value).__name__)


class Duration(float):
    """A time span in seconds, finite and greater than 0; otherwise a float.

    Raises:
        ValueError: if it is not a finite number greater than 0.
    """

    expected: ClassVar[str] = 'a duration such as "5m"'

    def __new__(cls, seconds: float) -> Self:
        if isinstance(seconds, str | bool) or not 0 < seconds <= sys.float_info.max:
            raise ValueError(f"expected seconds > 0, got {shown(seconds)}")
        return super().__new__(cls, seconds)

    @classmethod
    def parse(cls, value: str | float | timedelta) -> Self:
        """Return a duration from seconds, a timedelta or text such as "250ms", "5m" or "1h30m".

        Units are w, d, h, m, s, ms, us and ns, from the longest to the shortest; text without a
        unit is in seconds.

        Raises:
            ValueError: if it is none; the message says what is expected.
        """
        seconds: object = value
        if isinstance(value, timedelta):
            seconds = value.total_seconds()
        elif isinstance(value, str):
            seconds = _seconds(value)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ValueError(f"expected {cls.expected}, got {shown(value)}")
        try:
            return cls(seconds)
        except ValueError:
            raise ValueError(
                f"expected {cls.expected}, greater than 0, got {shown(value)}"
            ) from None

    def __str__(self) -> str:
        seconds = float(self)
        if seconds.is_integer() and seconds < _COMPOUND_BELOW:
            return _compound(int(seconds))
        for unit in ("s", "ms", "us", "ns"):
            scaled = seconds / float(_SECONDS[unit])
            if scaled >= 1:
                text = f"{scaled:.15g}{unit}"
                if _seconds(text) == seconds:
                    return text
        return f"{seconds!r}s"

    def __repr__(self) -> str:
        return f"{type(self).__name__}.parse({str(self)!r})"


class ByteSize(int):
    """A number of bytes, from 0 to 2**63 - 1; otherwise an int.

    Raises:
        ValueError: if it is not an int in that range.
    """

    expected: ClassVar[str] = 'a size such as "2GiB"'

    def __new__(cls, size: int) -> Self:
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < _TOO_LARGE:
            raise ValueError(f"expected bytes from 0 to 2**63 - 1, got {shown(size)}")
        return super().__new__(cls, size)

    @classmethod
    def parse(cls, value: str | int) -> Self:
        """Return a size from bytes or text such as "512", "64KiB" or "1.5GB".

        Units are B, KiB, MiB, GiB, TiB (powers of 1024) and kB or KB, MB, GB, TB (of 1000).

        Raises:
            ValueError: if it is none; the message says what is expected.
        """
        size = _bytes(value) if isinstance(value, str) else value
        try:
            return cls(size)
        except ValueError:
            raise ValueError(f"expected {cls.expected}, got {shown(value)}") from None

    def __str__(self) -> str:
        size = int(self)
        for unit, factor in _BYTES.items():
            if size >= factor and size % factor == 0:
                return f"{size // factor}{unit}"
        return f"{size}B"

    def __repr__(self) -> str:
        return f"{type(self).__name__}.parse({str(self)!r})"


class Secret:
    """A text that only `reveal()` shows; equal and hashed by it.

    Its `str` and `repr` show the reference that it came from, or `***`. It cannot be pickled, and
    copying it returns itself.

    Args:
        text: the secret.
        reference: where it came from, fit to be shown.
    """

    __slots__ = ("_reveal", "_shown")

    expected: ClassVar[str] = "text, ${NAME} or file:/path"

    def __init__(self, text: str, reference: str = "***") -> None:
        # In a closure: whatever lists the attributes of an object does not list it.
        self._reveal: Callable[[], str] = lambda: text
        self._shown = reference

    @classmethod
    def resolve(cls, value: Any, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the secret that a configuration gives, reading what it refers to.

        Args:
            value: the text itself, `${NAME}` for a variable of `environ`, or `file:/path` for the
                contents of a file, less one newline at their end.
            environ: where variables are looked up.

        Raises:
            ValueError: if it is not text, or what it refers to cannot be read; the message names
                the variable or the path, and shows nothing else.
        """
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise ValueError(f"expected {cls.expected}, got {kind_of(value)}")
        if value.startswith("${") and value.endswith("}"):
            return cls(_variable(value[2:-1], environ), value)
        if value.startswith("file:"):
            return cls(_contents(value.removeprefix("file:")), value)
        return cls(value)

    def reveal(self) -> str:
        """Return the secret text."""
        return self._reveal()

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"Secret({self._shown})"

    def __eq__(self, other: object) -> bool:
        return self.reveal() == other.reveal() if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Secret is not pickled; pass on its reference, ${NAME} or file:/path, and decode it "
            "where it is used"
        )


def _seconds(text: str) -> float | None:
    """Return the seconds, correctly rounded, that a text stands for; None if for none."""
    text = text.strip()
    if len(text) > _LONGEST or not _DURATION.fullmatch(text):
        return None
    amounts = _AMOUNT.findall(text) or [(text, "s")]
    units = [unit for _, unit in amounts]
    if units != [unit for unit in _SECONDS if unit in units]:
        return None
    try:
        return float(sum(Fraction(number) * _SECONDS[unit] for number, unit in amounts))
    except OverflowError:
        return None


def _compound(seconds: int) -> str:
    """Return whole seconds as days, hours, minutes and seconds."""
    text = ""
    for unit in ("d", "h", "m", "s"):
        count, seconds = divmod(seconds, int(_SECONDS[unit]))
        text += f"{count}{unit}" if count else ""
    return text


def _bytes(text: str) -> int:
    """Return the whole number of bytes that a text stands for; -1 if for none."""
    text = text.strip()
    match = _SIZE.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or (match[2] or "B") not in _BYTES:
        return -1
    size = Fraction(match[1]) * _BYTES[match[2] or "B"]
    return int(size) if size.denominator == 1 else -1


def _variable(name: str, environ: Mapping[str, str]) -> str:
    """Return the value of an environment variable."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("expected ${NAME} with a name of letters, digits and '_'")
    if name not in environ:
        raise ValueError(f"the environment variable {name} is not set")
    return environ[name]


def _contents(path: str) -> str:
    """Return the text of a file, less one newline at its end."""
    problem = "is not UTF-8 text"
    try:
        text = Path(path).read_bytes().decode()
    except UnicodeDecodeError:
        pass  # it holds the contents, so what is raised below must not refer to it
    except (OSError, ValueError) as error:
        problem = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    else:
        return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
    raise ValueError(f"the file {path!r} {problem}")
