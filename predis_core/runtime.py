"""What Predis needs of the interpreter, and what happens to caches when the process forks."""

from __future__ import annotations

import os
import sys
import weakref
from typing import Any, Protocol

from predis_core.errors import UnsupportedRuntime


class Forkable(Protocol):
    """What is told that it now lives in a child process."""

    def _forked(self) -> None: ...


_caches: weakref.WeakSet[Forkable] = weakref.WeakSet()


def check() -> None:
    """Refuse interpreters on which Predis was never tested.

    Raises:
        UnsupportedRuntime: on a free-threaded build, or in a sub-interpreter.
    """
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise UnsupportedRuntime(
            "Predis does not support the free-threaded build of CPython yet; "
            "use the standard build, or set PYTHON_GIL=1"
        )
    if _in_sub_interpreter():
        raise UnsupportedRuntime(
            "Predis does not support sub-interpreters yet; use it from the main interpreter"
        )


def _in_sub_interpreter() -> bool:
    for module in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters = __import__(module)
        except ImportError:
            continue
        current, main = interpreters.get_current(), interpreters.get_main()
        # Python 3.13 returns (id, owner) where earlier versions return an id.
        return bool(_identifier(current) != _identifier(main))
    return False


def _identifier(interpreter: Any) -> int:
    return int(interpreter[0] if isinstance(interpreter, tuple) else interpreter)


def watch_fork(cache: Forkable) -> None:
    """Have a cache told when it finds itself in a child process."""
    _caches.add(cache)


def _after_fork() -> None:
    for cache in list(_caches):
        cache._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
