"""gdsf keeps what is worth most: small values, and what is expensive to load."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from predis_core import policies
from predis_core.policies.gdsf import POLICY
from predis_core.table.cpu import CpuTable
from predis_core.table.keys import spread_seed
from predis_core.table.layout import Layout
from tests.support import streams

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

REQUESTS = streams.zipf(40_000, 6_000, 1)
SIZES = 2 ** (REQUESTS * 7919 % 13) * 10  # 10 to 40,960 bytes, whatever the popularity
COSTS = 10 ** (REQUESTS * 104_729 % 5) * 1_000  # 1 to 10,000 microseconds
LIMIT = 2_000_000
SLOTS = 2_000
HUGE = 2**62


def missed(
    policy: str, costs: Int64s | None = None, quarters: int = 4, limit: int = LIMIT
) -> Bools:
    """Return which requests miss in a table of 2,000 slots."""
    table = CpuTable(Layout.build(SLOTS), policies.get(policy), spread_seed(1), limit=limit)
    if policy == "gdsf":
        table.set_parameters((quarters,))
    return ~table.replay(REQUESTS, sizes=SIZES, costs=costs)


def test_fewer_requests_miss_than_with_lru_but_more_bytes() -> None:
    gdsf, lru = missed("gdsf"), missed("lru")
    assert (gdsf.sum(), SIZES[gdsf].sum()) == (10_398, 119_749_190)
    assert (lru.sum(), SIZES[lru].sum()) == (17_695, 111_358_150)


def test_if_size_does_not_count_fewer_bytes_miss() -> None:
    by_size, by_use = missed("gdsf"), missed("gdsf", quarters=0)
    assert SIZES[by_use].sum() < 0.9 * SIZES[by_size].sum()
    assert by_use.sum() > by_size.sum()


def test_what_is_expensive_to_load_stays() -> None:
    told, blind = missed("gdsf", COSTS), missed("gdsf")
    assert COSTS[told].sum() < 0.95 * COSTS[blind].sum()


def test_a_cost_per_entry_counts_where_size_does_not() -> None:
    told, blind = missed("gdsf", COSTS, 0, HUGE), missed("gdsf", None, 0, HUGE)
    assert COSTS[told].sum() < 0.7 * COSTS[blind].sum()


@pytest.mark.parametrize(
    ("size", "cost", "worth"),
    [
        (0, 0, 2**22),
        (1, 999, 2**22),
        (1, 1_000, 2**22),
        (1_024, 0, 2**12),
        (1_500, 0, 7 * 2**9),
        (2**22, 0, 1),
        (2**40, 0, 1),
        (1, 2**62, 7 * 2**36),
        (2**20, 10**9, 7 * 2**19),
    ],
)
def test_a_use_is_worth_its_cost_by_size(size: int, cost: int, worth: int) -> None:
    """In microseconds by byte, of 2**-22 each, to a quarter of an octave."""
    meta = POLICY.on_value(1, size, cost, POLICY.parameters)
    assert POLICY.rank(meta, 0, 0, 0, POLICY.parameters) - 2**43 == worth
