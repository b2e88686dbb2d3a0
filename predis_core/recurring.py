"""Work for an object every so often, in the core's thread, as long as the object is there."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from predis_core.deferred import Deferred

Owner = TypeVar("Owner")

_drains = Deferred("predis_core.host.drains")


def recurring(owner: Owner, seconds: float, job: Callable[[Owner], Any]) -> Callable[[], Any]:
    """Do a job every so many seconds; return what ends that, as the owner's end does.

    Args:
        owner: what the job gets; the job must not keep it.
    """
    found = weakref.ref(owner)

    def do() -> None:
        there = found()
        if there is not None:
            job(there)

    drains = _drains.DRAINS
    worker = drains.hold()
    number = worker.every(seconds, do)

    def end() -> None:
        worker.no_longer(number)
        drains.release(worker)

    return weakref.finalize(owner, end)


def never() -> None:
    """What ends where nothing began."""
