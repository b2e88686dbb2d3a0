"""auto: no policy of its own, but the one of several that suits the workload, and changes with it.

`predis_core.adapt` chooses. Alone, in a table that nobody chooses for, it is the first of them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from predis_core.errors import PolicyError
from predis_core.policies.contract import Policy

NAME = "auto"


@dataclass(frozen=True)
class Auto(Policy):
    """A choice among policies; `auto` makes one.

    Attributes:
        candidates: the policies; the first is the one to begin with.
        at_rest: the one to have while next to nothing leaves the cache; None: whichever it has.
    """

    candidates: tuple[Policy, ...] = ()
    at_rest: Policy | None = None


def auto(*candidates: Policy, at_rest: Policy | None = None) -> Auto:
    """Return the choice among some policies, to be given to a cache as its policy.

    Every entry takes as much metadata as the widest of them needs.

    Args:
        candidates: two or more, which differ in name; the first is the one to begin with.
        at_rest: the one of them to have while next to nothing leaves the cache, so that it hardly
            matters what would, but what a hit costs; None: whichever it has.

    Raises:
        PolicyError: if there are fewer, or one is a choice itself, or two have one name, or
            `at_rest` is none of them.
    """
    names = [policy.name for policy in candidates]
    if len(candidates) < 2 or len(set(names)) < len(names):
        raise PolicyError(f"policy: auto needs two policies or more that differ, got {names}")
    if any(isinstance(policy, Auto) for policy in candidates):
        raise PolicyError("policy: auto chooses among single policies; name those that it has")
    if at_rest not in (None, *candidates):
        raise PolicyError(
            f"policy: at_rest is {getattr(at_rest, 'name', at_rest)!r}, which is none of the "
            f"candidates {names}; add it to them"
        )
    first = {field.name: getattr(candidates[0], field.name) for field in fields(Policy)}
    return Auto(**(first | {"name": NAME, "candidates": candidates, "at_rest": at_rest}))


def check_candidate(policy: Policy, candidates: tuple[Policy, ...]) -> None:
    """Check that a table that was made for some policies has room for another one.

    Raises:
        PolicyError: if it is none of them.
    """
    if policy not in candidates:
        names = ", ".join(candidate.name for candidate in candidates)
        raise PolicyError(f"policy: the table has room for {names}, not for {policy.name}")


def sees_values(policy: Policy) -> bool:
    """Return whether a policy, or one that it is a choice among, is told of values."""
    return any(candidate.sees_values for candidate in candidates_of(policy))


def candidates_of(policy: Policy) -> tuple[Policy, ...]:
    """Return what a policy is a choice among: itself, unless it is an `Auto`."""
    return policy.candidates if isinstance(policy, Auto) else (policy,)


def rest_of(policy: Policy) -> Policy | None:
    """Return the policy to have while next to nothing leaves; None: whichever there is."""
    return policy.at_rest if isinstance(policy, Auto) else None
