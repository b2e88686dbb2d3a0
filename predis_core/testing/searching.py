"""Hypothesis, or what to install for it."""

from __future__ import annotations

try:
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'the state machine needs Hypothesis; install it with: pip install "predis-core[testing]"',
        name=error.name,
    ) from error

__all__ = ["RuleBasedStateMachine", "initialize", "invariant", "rule", "st"]
