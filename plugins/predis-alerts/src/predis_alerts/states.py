"""What becomes of one series of a rule: nothing, a wait, an alert, and its end."""

from __future__ import annotations

from typing import Literal

from predis_alerts.conditions import check_clear, condition_of
from predis_alerts.config import Rule
from predis_core.clock import NANOSECONDS

State = Literal["inactive", "pending", "firing"]
Change = Literal["firing", "resolved"]


class Alert:
    """Knows how one series stands, and what was told of it.

    inactive → pending as the condition begins to hold, → firing once it has held for the rule's
    `for`, → inactive as the value passes `clear`, or there is no value any longer.

    Args:
        rule: the rule.

    Attributes:
        state: how it stands.
        since: nanoseconds at which the condition began to hold; 0 while it does not.
        missed: alerts since the last one that was told, which the cooldown held back.
    """

    def __init__(self, rule: Rule) -> None:
        self.state: State = "inactive"
        self.since = 0
        self.missed = 0
        self._condition = condition = condition_of(rule.condition)
        self._clear = None if rule.clear is None else check_clear(condition, rule.clear)
        self._for = 0 if rule.for_ is None else round(rule.for_ * NANOSECONDS)
        self._cooldown = round(rule.cooldown * NANOSECONDS)
        self._is_told = False
        self._told_at: int | None = None

    def step(self, value: float | None, now: int) -> Change | None:
        """Take the value of now; return what has to be told.

        Args:
            value: None if there is none.
            now: nanoseconds, not before those of the call before.
        """
        was = self.state
        bound = self._clear if was == "firing" else None
        holds = value is not None and self._condition.holds(value, bound)
        if not holds:
            self.state, self.since = "inactive", 0
        elif was == "inactive":
            self.state, self.since = "pending", now
        if self.state == "pending" and now - self.since >= self._for:
            self.state = "firing"
            self.missed += 1
        return self._due(now)

    def _due(self, now: int) -> Change | None:
        """Return what has to be told, now that the state is what it is."""
        if self._is_told and self.state != "firing":
            self._is_told = False
            return "resolved"
        if self._is_told or self.state != "firing":
            return None
        if self._told_at is not None and now - self._told_at < self._cooldown:
            return None
        self._is_told, self._told_at = True, now
        return "firing"

    def told(self) -> int:
        """Return how many alerts the cooldown held back before this one, and begin anew."""
        missed, self.missed = max(0, self.missed - 1), 0
        return missed

    def is_over(self, now: int) -> bool:
        """Say whether it may be forgotten."""
        cools = self._told_at is not None and now - self._told_at < self._cooldown
        return self.state == "inactive" and not self._is_told and not cools
