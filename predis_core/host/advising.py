"""Plugins' proposals, window by window: the first one is applied, or refused with a reason.

Plugins are asked in their own threads, one after the other in the configuration's order; one that
hangs or fails has nothing to propose. What was done about a proposal is an event.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from predis_core.clock import NANOSECONDS, Clock
from predis_core.errors import CacheUnusable, PredisError
from predis_core.host.attachment import Attachment
from predis_core.host.guard import FAILED
from predis_core.types import Event, Proposal, Stats, Window

WINDOW = 10.0
"""Seconds of a window."""

Lever = Callable[[Attachment, Any], Callable[[], Any]]
"""Checks a parameter's value, and returns what applies it."""


class Refused(PredisError):
    """A proposal that does not fit; says why."""


class Advising:
    """Asks the plugins of a cache for proposals.

    Args:
        attachments: the plugins.
        stats: returns what the cache did.
        levers: what can be changed, by the names of parameters.
        emit: takes an event.
        clock: where the time comes from.
    """

    def __init__(
        self,
        attachments: Sequence[Attachment],
        stats: Callable[[], Stats],
        levers: Mapping[str, Lever],
        emit: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        self._advisers = [each for each in attachments if each.implements("predis_advise")]
        self._stats, self._levers, self._emit, self._clock = stats, levers, emit, clock
        self._begin = clock.wall()
        self._before = stats()
        self._asking = False

    @property
    def is_wanted(self) -> bool:
        """Whether a plugin has proposals to make."""
        return bool(self._advisers)

    def turn(self) -> None:
        """End a window, and ask about it; not as long as somebody still thinks about the last."""
        if self._asking:
            return
        try:
            after = self._stats()
        except CacheUnusable:  # closed, or collected, since this was due
            return
        now = self._clock.wall()
        before, self._before = self._before, after
        window = Window(
            begin=self._begin,
            seconds=max(0, now - self._begin) / NANOSECONDS,
            requests=after.requests - before.requests,
            hits=after.hits - before.hits,
            evictions=after.evictions - before.evictions,
        )
        self._begin = now
        self._asking = True
        self._ask(window, 0)

    def _ask(self, window: Window, number: int) -> None:
        """Have an adviser asked, or the next one if it cannot be."""
        for at in range(number, len(self._advisers)):
            worker = self._advisers[at].plugged.worker
            assert worker is not None
            if worker.submit(functools.partial(self._asked, window, at)):
                return
        self._asking = False

    def _asked(self, window: Window, number: int) -> None:
        """Ask an adviser, in its own thread."""
        adviser = self._advisers[number]
        proposal: Any = FAILED
        try:
            proposal = adviser.call("predis_advise", window=window)
        finally:
            # Also if a strict guard lets through what the plugin raised.
            if proposal is FAILED or proposal is None:
                self._ask(window, number + 1)
            else:
                try:
                    self._decide(adviser, proposal)
                finally:
                    self._asking = False

    def _decide(self, adviser: Attachment, proposal: Any) -> None:
        """Apply all of a proposal, or nothing."""
        name = adviser.plugged.name
        data: dict[str, Any] = {"plugin": name}
        try:
            if not isinstance(proposal, Proposal):
                raise Refused(f"expected a Proposal, got {proposal!r}")
            if not isinstance(proposal.parameters, dict):
                raise Refused(f"parameters: expected a dict, got {proposal.parameters!r}")
            data |= {"parameters": dict(proposal.parameters), "reason": proposal.reason}
            if not proposal.parameters:
                raise Refused("it has no parameters")
            changes = [
                self._lever(parameter)(adviser, value)
                for parameter, value in proposal.parameters.items()
            ]
            for change in changes:
                change()
        except PredisError as error:
            message = f"proposal of plugin {name!r} is refused: {error}"
            data["refusal"] = str(error)
            self._emit(Event(kind="advice.refused", message=message, severity="warning", data=data))
        else:
            message = f"proposal of plugin {name!r} is applied: {proposal.reason}"
            self._emit(Event(kind="advice.applied", message=message, data=data))

    def _lever(self, parameter: Any) -> Lever:
        if parameter in self._levers:
            return self._levers[parameter]
        near = difflib.get_close_matches(str(parameter), self._levers, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        known = ", ".join(self._levers)
        raise Refused(f"no parameter {parameter!r} among {known}{hint}")
