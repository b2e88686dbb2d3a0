"""From one policy to another on a GPU: in one go, between two batches.

Metadata mean something to one policy only, so every set's are made anew: one program writes down
the order in which the old policy would have let a set's entries go, and another has them come in
once more in that order, as the CPU's `table.switching` does. Nothing moves.
"""

from __future__ import annotations

import numpy as np

from predis_core.policies.choice import check_candidate
from predis_core.policies.contract import Policy
from predis_core.table.cuda.device import Kernels
from predis_core.table.cuda.sampling import Sampling
from predis_core.table.cuda.source import BATCH, WARP, words_of
from predis_core.table.layout import WAYS
from predis_core.table.sketch import ROWS, width_bits


class Switching(Sampling):
    """The part of a table on a GPU that knows several policies, of which one decides.

    Attributes:
        candidates: the policies.
        policy: the one that decides at present.
        has_idents: whether keys have idents beside their words; see `referenced`.
    """

    has_idents = False
    candidates: tuple[Policy, ...]
    _programs: dict[str, Kernels]

    def set_parameters(self, parameters: tuple[int, ...]) -> None:
        """See `interface.Table`; waits for nothing."""
        self._parameters = parameters
        vector = np.zeros(max(1, *(len(each.parameters) for each in self.candidates)), np.int64)
        vector[: len(parameters)] = parameters
        self._put("parameters", self._device.take(vector, np.int64))

    def prepare(self, policy: Policy) -> None:
        """Have what a policy needs compiled, or loaded; any thread may, beside the verbs.

        Raises:
            PolicyError, DeviceError: as of the table.
        """
        self._program(policy)

    def switch(self, policy: Policy) -> None:
        """Have another policy decide; waits for nothing.

        Args:
            policy: one of the `candidates`.

        Raises:
            PolicyError: if it is another one.
        """
        check_candidate(policy, self.candidates)
        if policy == self.policy:
            return
        kernels, device = self._program(policy), self._device
        levels = device.zeros(self.layout.slots, np.uint8)
        for number, region in enumerate(self.layout.regions):
            batch = words_of(
                BATCH, tick=self._tick, levels=device.address(levels[region.first_slot :])
            )
            self._launch(number, "rank_ways", region.sets * WARP, batch)
        self.policy, self._kernels = policy, kernels
        self.set_parameters(policy.parameters)
        self._open_sketch()
        for number, region in enumerate(self.layout.regions):
            batch = words_of(
                BATCH, tick=self._tick, levels=device.address(levels[region.first_slot :])
            )
            self._launch(number, "settle", region.sets * WARP, batch)
        self._tick += WAYS * self.layout.sets

    def _program(self, policy: Policy) -> Kernels:
        kernels = self._programs.get(policy.name)
        if kernels is None:
            about = (policy, self._row_bytes, self._record)
            kernels = self._device.load(*about, has_idents=self.has_idents)
            self._programs[policy.name] = kernels
        return kernels

    def _open_sketch(self) -> None:
        """Have a sketch, if the policy asks for one."""
        if self.policy.sketch and "sketch" not in self._columns:
            cells = ROWS << width_bits(self.layout.slots)
            self._put("sketch", self._device.zeros(cells, np.uint8))
