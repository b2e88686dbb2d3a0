"""What stands between the core and a plugin that raises."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from predis_core.clock import stopwatch

logger = logging.getLogger("predis")

FAILURES_IN_A_ROW = 3
"""After so many, a plugin's function is not called any more."""

FAILED: Any = object()
"""What a guarded call returns if the function raised or is disabled."""

_SAMPLED = 64
"""One call in so many is timed."""


class GuardStatus(msgspec.Struct, frozen=True):
    """How the calls of one function of a plugin went.

    Attributes:
        what: what it is, as "observer LatencyWatch".
        calls: how often it was called.
        failures: how often it raised.
        disabled: whether it is not called any more.
        last_error: the last failure, or "".
        seconds: mean time of a call, over sampled ones; 0.0 before the first sample.
    """

    what: str
    calls: int
    failures: int
    disabled: bool
    last_error: str
    seconds: float


class Guard:
    """Calls one function of a plugin, counts its failures, and gives it up after some in a row.

    Only `Exception` is swallowed: an interrupt goes its way. With `strict` everything does.

    Args:
        plugin: the plugin's name.
        what: what the function is, for people.
        function: what to call.
        strict: count failures and raise them.
        on_disabled: told when the function is given up.
    """

    def __init__(
        self,
        plugin: str,
        what: str,
        function: Callable[..., Any],
        *,
        strict: bool = False,
        on_disabled: Callable[[Guard], None] | None = None,
    ) -> None:
        self.plugin = plugin
        self.what = what
        self.failures = 0
        self.disabled = False
        self._function = function
        self._strict = strict
        self._on_disabled = on_disabled
        self._calls = 0
        self._in_a_row = 0
        self._last_error = ""
        self._timed = 0
        self._nanoseconds = 0
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; return what it returns, or FAILED.

        Raises:
            Exception: what the function raised, if the guard is strict.
        """
        if self.disabled:
            return FAILED
        self._calls += 1
        begin = stopwatch() if self._calls % _SAMPLED == 1 else 0
        try:
            result = self._function(*args, **kwargs)
        except Exception as error:
            self._failed(error)
            return FAILED
        if begin:
            self._timed += 1
            self._nanoseconds += stopwatch() - begin
        if self._in_a_row:
            self._in_a_row = 0
        return result

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self.failures += 1
            self._in_a_row += 1
            self._last_error = f"{type(error).__name__}: {error}"
            first = self.failures == 1
            gives_up = self._in_a_row >= FAILURES_IN_A_ROW and not self.disabled
            self.disabled = self.disabled or gives_up
        if first:
            logger.warning("plugin %r: %s raised", self.plugin, self.what, exc_info=error)
        if gives_up:
            logger.error(
                "plugin %r: %s is disabled after %d failures in a row, the last one %s",
                self.plugin,
                self.what,
                FAILURES_IN_A_ROW,
                self._last_error,
            )
            if self._on_disabled is not None:
                self._on_disabled(self)
        if self._strict:
            raise error

    def status(self) -> GuardStatus:
        """Return how the calls went so far."""
        seconds = self._nanoseconds / self._timed / 1e9 if self._timed else 0.0
        return GuardStatus(
            self.what, self._calls, self.failures, self.disabled, self._last_error, seconds
        )
