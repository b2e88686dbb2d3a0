"""Eviction policies, one per file, and the contract that they and a user's own keep."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from predis_core.errors import ConfigurationError
from predis_core.policies import clock, fifo, lfu, lru, s3fifo, sieve, slru, wtinylfu
from predis_core.policies.contract import Policy, as_policy

DEFAULT = "s3fifo"

_BUILT_IN: dict[str, Policy] = {
    module.POLICY.name: module.POLICY
    for module in (clock, fifo, lfu, lru, s3fifo, sieve, slru, wtinylfu)
}

__all__ = ["DEFAULT", "Policy", "as_policy", "get", "names"]


def names() -> tuple[str, ...]:
    """Return the names of the built-in policies, sorted."""
    return tuple(sorted(_BUILT_IN))


def get(policy: str | Policy | Any, others: Iterable[str] = ()) -> Policy:
    """Return a policy by its name, or a user's own as a checked Policy.

    Args:
        policy: a built-in's name, or an object that keeps the contract.
        others: names that are known elsewhere, for the message of an error.

    Raises:
        ConfigurationError: if no built-in policy has that name; the message has the nearest one.
        PolicyError: if an object does not keep the contract.
    """
    if not isinstance(policy, str):
        return as_policy(policy)
    if policy in _BUILT_IN:
        return _BUILT_IN[policy]
    known = sorted({*names(), *others})
    near = difflib.get_close_matches(policy.lower().replace("-", ""), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "pass one of these or a policy of your own"
    raise ConfigurationError(f"policy: no policy {policy!r} among {', '.join(known)}; {hint}")
