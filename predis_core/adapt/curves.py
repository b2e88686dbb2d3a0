"""Both curves of a stream of lookups: of LRU at any size, and of a policy at some."""

from __future__ import annotations

import msgspec
import numpy as np

from predis_core.adapt.curve import MissRatioCurve, need_ratio
from predis_core.adapt.estimate import NOTHING, Truth
from predis_core.adapt.reuse import KEYS, ReuseDistances
from predis_core.adapt.shadows import Shadows
from predis_core.errors import CurveError
from predis_core.policies import Policy
from predis_core.table.interface import Bools, Int64s
from predis_core.table.keys import spread_seed

KEYS_NEEDED = 64
"""Sampled keys below which a curve would be a guess."""

_EVERY_KEY = 1 << 30
"""Places of more keys would not fit int32; memory ends before."""


class Curves:
    """Follows the lookups of a share of the keys; a `sampled.Consumer`.

    Args:
        policy: the eviction policy of the cache whose lookups they are.
        capacity: its entries.
        rate: share of the keys to follow, above 0 and at most 1.
        seed: int64, of the hash that decides which keys are.
        keys: how many are followed at most; beyond, fewer are.

    Attributes:
        rate: as it is now.
    """

    def __init__(
        self, policy: Policy, capacity: int, rate: float, seed: int, *, keys: int = KEYS
    ) -> None:
        self.rate = rate
        self._seed = seed
        self._reuse = ReuseDistances(rate, seed, keys=keys)
        self.aim(policy, capacity)

    @classmethod
    def of_trace(cls, policy: Policy, capacity: int, rate: float, seed: int = 0) -> Curves:
        """Return what follows a trace: as many keys as there are, if `rate` is 1.

        Args:
            policy, capacity, rate: as for the class.
            seed: any int; another one, another sample.
        """
        return cls(policy, capacity, rate, spread_seed(seed), keys=_EVERY_KEY)

    def aim(self, policy: Policy, capacity: int) -> None:
        """Simulate a policy at sizes around a capacity, from now on."""
        self._shadows = Shadows(policy, capacity, self.rate, self._seed)

    @property
    def keys(self) -> int:
        """How many keys were followed so far, at the present rate."""
        return self._reuse.keys

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self._reuse.nbytes + self._shadows.nbytes

    def feed(self, words: Int64s, hits: Bools, truth: Truth) -> None:
        """Take the next lookups; see `sampled.Consumer`."""
        self._reuse.feed(words, hits, truth)
        self._shadows.feed(words, hits, truth)

    def prepare(self) -> None:
        """Have the kernels compiled, or loaded, before lookups wait for them."""
        self._reuse.prepare()
        self._shadows.feed(np.empty(0, np.int64), np.empty(0, np.bool_), NOTHING)

    def lower(self, rate: float) -> None:
        """Follow that share of the keys from now on, if it is less than so far."""
        self.rate = min(self.rate, rate)
        self._reuse.lower(rate)
        if self._shadows.rate > rate:
            self.aim(self._shadows.policy, self._shadows.capacity)

    def curve(self, sizes: Int64s | None = None) -> MissRatioCurve:
        """Return the curve of LRU so far, with that of the policy as its `live`.

        Args:
            sizes: as for `ReuseDistances.curve`.

        Raises:
            CurveError: if too few keys were sampled so far.
        """
        keys = self.keys
        if not keys or not self._reuse.requests:
            raise CurveError("no key was looked up so far of those that are sampled")
        if keys < KEYS_NEEDED and self.rate < 1:
            raise CurveError(
                f"only {keys} keys were sampled so far, and a curve needs {KEYS_NEEDED}: ask "
                f"again later, or raise sampling, which is {self.rate:g} now"
            )
        curve = self._reuse.curve(sizes)
        return msgspec.structs.replace(curve, live=self._shadows.curve())

    def size_for(self, hit_ratio: float) -> int:
        """Return the entries with which that share of the requests would have been hits.

        It is read off the curve of the policy where that reaches it, else off LRU's.

        Raises:
            CurveError: as `curve`, or if no size reaches it.
        """
        need_ratio(hit_ratio)
        curve = self.curve()
        live = curve.live
        if live is not None and live.miss_ratios[-1] <= 1.0 - hit_ratio <= live.miss_ratios[0]:
            return live.size_for(hit_ratio)
        return curve.size_for(hit_ratio)
