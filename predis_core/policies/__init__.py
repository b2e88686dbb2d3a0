"""Eviction policies, one per file, and the contract that they and a user's own keep."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from predis_core.errors import ConfigurationError
from predis_core.policies import (
    arc,
    clock,
    density,
    fifo,
    gdsf,
    lfu,
    lirs,
    lru,
    s3fifo,
    sieve,
    slru,
    wtinylfu,
)
from predis_core.policies.choice import NAME as AUTO
from predis_core.policies.choice import Auto, auto
from predis_core.policies.contract import Policy, as_policy

DEFAULT = AUTO

_BUILT_IN: dict[str, Policy] = {
    module.POLICY.name: module.POLICY
    for module in (arc, clock, density, fifo, gdsf, lfu, lirs, lru, s3fifo, sieve, slru, wtinylfu)
}

_AUTO = auto(density.POLICY, s3fifo.POLICY, lirs.POLICY, arc.POLICY, at_rest=s3fifo.POLICY)
"""They differ in kind: what one of them loses on, another wins on. s3fifo's hits cost least."""

__all__ = ["AUTO", "DEFAULT", "Auto", "Policy", "as_policy", "auto", "get", "names"]


def names() -> tuple[str, ...]:
    """Return the names of the built-in policies, sorted; "auto", which chooses, is none of them."""
    return tuple(sorted(_BUILT_IN))


def get(policy: str | Policy | Any, others: Iterable[str] = ()) -> Policy:
    """Return a policy by its name, or a user's own as a checked Policy; "auto" is a choice.

    Args:
        policy: a built-in's name, or an object that keeps the contract.
        others: names that are known elsewhere, for the message of an error.

    Raises:
        ConfigurationError: if no built-in policy has that name; the message has the nearest one.
        PolicyError: if an object does not keep the contract.
    """
    if not isinstance(policy, str):
        return as_policy(policy)
    if policy == AUTO:
        return _AUTO
    if policy in _BUILT_IN:
        return _BUILT_IN[policy]
    known = sorted({*names(), AUTO, *others})
    near = difflib.get_close_matches(policy.lower().replace("-", ""), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "pass one of these or a policy of your own"
    raise ConfigurationError(f"policy: no policy {policy!r} among {', '.join(known)}; {hint}")
