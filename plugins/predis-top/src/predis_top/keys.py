"""Keys that are pressed while something is shown."""

from __future__ import annotations

import contextlib
import os
import selectors
import sys
import termios
import tty
from collections.abc import Iterator
from typing import IO


class Keyboard:
    """Reads single keys from a terminal; where there is none, nobody presses any.

    Args:
        stream: the terminal; by default stdin.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = sys.stdin if stream is None else stream
        self.is_there = self._stream.isatty()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take keys as they are pressed, without Enter; afterwards the terminal is as before."""
        if not self.is_there:
            yield
            return
        settings = termios.tcgetattr(self._stream)
        tty.setcbreak(self._stream)
        try:
            yield
        finally:
            termios.tcsetattr(self._stream, termios.TCSADRAIN, settings)

    def within(self, seconds: float) -> str:
        """Return the key that is pressed within some seconds, or ""."""
        with selectors.DefaultSelector() as selector:
            if self.is_there:
                selector.register(self._stream, selectors.EVENT_READ)
            found = selector.select(seconds)
        # Not through the stream, which would read ahead and hide the rest from the selector.
        return os.read(self._stream.fileno(), 1).decode("latin-1") if found else ""
