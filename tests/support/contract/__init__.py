"""A policy that the contract must be able to carry, beside those that ship: test code."""

from __future__ import annotations

from predis_core import policies
from predis_core.policies import Policy
from tests.support.contract import linear

ALL: dict[str, Policy] = {
    **{name: policies.get(name) for name in policies.names()},
    linear.POLICY.name: linear.POLICY,
}
"""Every policy by name: the shipped ones and that of this package."""
