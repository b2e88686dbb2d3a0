"""Ports for servers that cannot say which one the system gave them."""

from __future__ import annotations

import contextlib
import random
import socket

_FIRST, _END = 20_000, 32_000


def find_port() -> int:
    """Return a port on which nobody listens, for now.

    It is none of those that the system gives to whoever asks for any, as other tests do meanwhile.
    """
    numbers = random.SystemRandom()
    while True:
        port = numbers.randrange(_FIRST, _END)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
