"""What of a policy, and of a set's record, the programs of every backend are compiled for."""

from __future__ import annotations

from predis_core.policies import contract
from predis_core.policies.contract import Policy
from predis_core.table.layout import Record


def of_policy(policy: Policy, record: Record) -> dict[str, int | bool]:
    """Return constants by name.

    Args:
        policy: whose functions a program calls; those that it left out are not called.
        record: where the program finds what it keeps of a set.
    """
    return {
        "VISIBLE_BITS": policy.visible_bits,
        "SLOT_MASK": (1 << policy.slot_bits) - 1,
        "SET_MASK": (1 << policy.set_bits) - 1,
        "HAS_ON_HIT": policy.on_hit is not contract.unchanged_on_hit,
        "HAS_TALLY": policy.tally is not contract.no_tally,
        "HAS_SEGMENT": policy.has_segments,
        "HAS_ON_PASS": policy.on_pass is not contract.unchanged_on_pass,
        "HAS_ON_EVICT": policy.on_evict is not contract.forget,
        "HAS_ON_VALUE": policy.sees_values,
        "HAS_GHOSTS": policy.ghosts,
        "HAS_SKETCH": policy.sketch,
        "STATE": record.state,
        "CONFLICTS": record.conflicts,
        "COLUMN": record.column,
        "COLUMN_BYTES": record.column_bytes,
        "GHOSTS": record.ghosts,
        "STRIDE": record.stride,
    }
