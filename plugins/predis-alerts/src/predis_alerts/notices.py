"""Notices: what is told, and how many a minute."""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, json

from predis_core.clock import NANOSECONDS
from predis_core.plugin import Event

logger = logging.getLogger("predis.alerts")

LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

HELD_AT_MOST = 256
"""Alerts that a summary tells of one by one."""

_MINUTE = 60 * NANOSECONDS


class Notice(Struct, frozen=True, kw_only=True):
    """Something to tell.

    Attributes:
        cache: the cache's name.
        event: kind, message, severity and data.
        time: nanoseconds since the Unix epoch.
        source: "alerts", or who emitted the event that is passed on.
        key: what it is about: of the notices that are held back, the last one for each is told.
    """

    cache: str
    event: Event
    time: int
    source: str = "alerts"
    key: tuple[Any, ...] = ()

    def document(self, id: str) -> bytes:
        """Return it as JSON, with an id: what is posted."""
        fields = {
            "version": 1,
            "id": id,
            "kind": self.event.kind,
            "severity": self.event.severity,
            "message": self.event.message,
            "cache": self.cache,
            "time": iso(self.time),
            "source": self.source,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "data": self.event.data,
        }
        try:
            return json.encode(fields, enc_hook=repr)
        except Exception:  # the data is another plugin's: it may hold anything
            return json.encode(fields | {"data": {"text": repr(self.event.data)}})


def iso(nanoseconds: int) -> str:
    """Return a time as ISO 8601 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(nanoseconds / NANOSECONDS, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Desk:
    """Gives notices out, so many a minute, and tells of the others in a summary.

    Args:
        per_minute: notices within any minute; a summary is one of them.
        give: takes each notice that is given out.

    Attributes:
        given: notices given out, by cache.
        held: notices held back so far, by cache.
    """

    def __init__(self, per_minute: int, give: Callable[[Notice], None]) -> None:
        self.given: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self._per_minute = per_minute
        self._give = give
        self._times: deque[int] = deque()
        self._waiting: dict[tuple[Any, ...], Notice] = {}
        self._count = 0

    def take(self, notice: Notice) -> None:
        """Give a notice out, or hold it back."""
        self.sum_up(notice.time)
        if self._has_room(notice.time):
            self._give_out(notice)
            return
        self._count += 1
        self.held[notice.cache] += 1
        # The last one of each comes last: what does not fit is what has changed least lately.
        self._waiting.pop(notice.key, None)
        self._waiting[notice.key] = notice
        if len(self._waiting) > HELD_AT_MOST:
            del self._waiting[next(iter(self._waiting))]

    def sum_up(self, now: int, *, at_end: bool = False) -> None:
        """Tell of what was held back, once there is room for it, or there is no later."""
        if not self._count or not (at_end or self._has_room(now)):
            return
        held, count = list(self._waiting.values()), self._count
        self._waiting, self._count = {}, 0
        names = dict.fromkeys(
            str(notice.event.data.get("rule", notice.event.kind)) for notice in held
        )
        listed = ", ".join(list(names)[:10]) + (", …" if len(names) > 10 else "")
        plural = "notice was" if count == 1 else "notices were"
        event = Event(
            kind="alert.summary",
            message=f"{count} {plural} held back, as there were too many: {listed}",
            severity=max((n.event.severity for n in held), key=list(LEVELS).index),
            data={
                "held_back": count,
                "last": [
                    {
                        "kind": notice.event.kind,
                        "cache": notice.cache,
                        "time": iso(notice.time),
                        "message": notice.event.message,
                        **{
                            name: notice.event.data[name]
                            for name in ("rule", "labels")
                            if name in notice.event.data
                        },
                    }
                    for notice in held
                ],
            },
        )
        self._give_out(Notice(cache=held[-1].cache, event=event, time=now))

    def _has_room(self, now: int) -> bool:
        while self._times and abs(now - self._times[0]) >= _MINUTE:
            self._times.popleft()
        return len(self._times) < self._per_minute

    def _give_out(self, notice: Notice) -> None:
        self._times.append(notice.time)
        self.given[notice.cache] += 1
        self._give(notice)


def write(notice: Notice) -> None:
    """Write a notice to the log; the end of an alert is information only."""
    ends = notice.event.kind == "alert.resolved"
    logger.log(logging.INFO if ends else LEVELS[notice.event.severity], "%s", notice.event.message)
