"""From one policy to another, in the same memory, while everybody goes on.

Metadata mean something to one policy only, so every set's have to be made anew: its entries come in
once more, through the new policy's `on_insert`, in the order in which the old one would have let
them go, into a set without state or ghosts. A table for which that may happen reserves records that
are wide enough for each of its policies.

1. The old policy's kernels write down that order, for every set, beside the table.
2. In one step the table gets the new policy, and the orders. From now on kernels of the old one
   store nothing: an insert that meets the change goes on with the new kernels.
3. Sets are *settled* one after the other. An insert that comes to a set before that settles it
   first; what came after the order was written comes last. Lookups note no hits meanwhile.
4. When all sets are settled, the orders go.

Nothing moves: values, keys, deadlines, pins and slots are as they were. A change that was abandoned
halfway is completed before the next one begins; until then the table works as in step 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from predis_core.arrays import address
from predis_core.policies.contract import Policy
from predis_core.table.layout import NO_WAY, WAYS

if TYPE_CHECKING:
    from predis_core.table.cpu import CpuTable

_SETS = 128
"""Sets that are looked at, or settled, under one lock: some tens of microseconds."""


class Switch:
    """A table on its way to another policy.

    Args:
        table: the table; nobody else changes its policy or moves its entries meanwhile.
        policy: one of the table's candidates.

    Raises:
        PolicyError: if the policy's functions break its contract.
    """

    def __init__(self, table: CpuTable, policy: Policy) -> None:
        self._table, self._policy = table, policy
        self._kernels = table.kernels_for(policy)
        self._orders = np.full(table.layout.sets * WAYS, NO_WAY, np.uint8)
        self._begun = False

    def steps(self) -> Iterator[None]:
        """Do all of it, some sets at a time; others may do anything between the steps."""
        if not self._begun:
            for number, first, stop in self._windows():
                arguments = (self._table._header, self._table._parameters, number, first, stop)
                self._table._kernels.order_sets(*arguments, self._orders)
                yield
            self._take_over()
        for number, first, stop in self._windows():
            arguments = (self._table._header, self._table._parameters, number, first, stop)
            self._kernels.settle_sets(*arguments)
            yield
        self._kernels.forget_orders(self._table._header)
        self._table._switch = None

    def _take_over(self) -> None:
        table, policy = self._table, self._policy
        table._switch, self._begun = self, True
        # Kernels are the last, for they may be called at once: they meet the old policy in the
        # header, and store nothing yet. Parameters are as many for each policy.
        former = table._parameters
        table.policy = policy
        table._open_sketch()
        table._parameters = table._vector(policy.parameters)
        table._kernels = self._kernels
        self._kernels.take_over(table._header, address(table._parameters), address(self._orders))
        del former  # scalar methods looked at them until here

    def _windows(self) -> Iterator[tuple[int, int, int]]:
        for number, region in enumerate(self._table.layout.regions):
            for first in range(0, region.sets, _SETS):
                yield number, first, min(first + _SETS, region.sets)
