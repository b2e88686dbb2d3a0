"""Policies that the contract must be able to carry, beside those that ship: test code."""

from __future__ import annotations

from predis_core import policies
from predis_core.policies import Policy
from tests.support.contract import arc, linear, lirs

ALL: dict[str, Policy] = {
    **{name: policies.get(name) for name in policies.names()},
    **{module.POLICY.name: module.POLICY for module in (arc, linear, lirs)},
}
"""Every policy by name: the shipped ones and those of this package."""
