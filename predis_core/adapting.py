"""A cache whose policy is a choice: in the background, its table gets the one that suits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

from predis_core.adapt import Choosing, Curves
from predis_core.adapt.choosing import INTERVAL
from predis_core.adapt.sampled import FollowedTable, SampledLookups
from predis_core.errors import CacheUnusable
from predis_core.policies import Policy
from predis_core.recurring import never, recurring
from predis_core.table.interface import CacheTable
from predis_core.table.keys import spread_seed

if TYPE_CHECKING:
    from predis_core.native import Scalars
    from predis_core.resizing import Turn

logger = logging.getLogger("predis")


class SwitchedTable(FollowedTable, Protocol):
    """A table whose policy may change; `CpuTable` tells what these do."""

    def prepare(self, policy: Policy) -> None: ...

    def switch(self, policy: Policy) -> Iterator[None]: ...


class AdaptingFace:
    """Follows its own lookups, where the policy is "auto", and takes the policy that suits them."""

    if TYPE_CHECKING:
        name: str
        _curves: Curves | None
        _sampled: SampledLookups
        _scalars: Scalars
        _seed: int
        _table: CacheTable
        _turn: Turn
        _unusable: CacheUnusable | None

        def _settle(self) -> None: ...

    _choosing: Choosing | None
    _chosen: Callable[[], Any]

    @property
    def policy(self) -> str:
        """The name of the eviction policy that decides at present."""
        return self._table.newest.policy.name

    @property
    def nbytes(self) -> int:
        """Bytes of the table and its values, and of what the cache learns from; of Blobs, all that
        they may take; of keys and values that are Python objects, the references.
        """
        learners = (self._choosing, self._curves)
        return self._table.memory + sum(each.nbytes for each in learners if each is not None)

    def _begin_choosing(self) -> None:
        self._choosing, self._chosen = None, never
        if len(self._table.candidates) > 1:
            self._choosing = Choosing(self._sampled, self._switched(), spread_seed(self._seed))
            self._chosen = recurring(self, INTERVAL, AdaptingFace._adapt)

    def _adapt(self) -> None:
        """Take a turn; see `Choosing`."""
        if self._choosing is None or self._unusable is not None:
            return
        try:
            table = self._switched()
            best = self._choosing.turn(table)
            if best != table.policy:
                # What compiles now takes seconds, but nobody has to wait for it.
                table.prepare(best)
                self._scalars.prepare(self, best)  # type: ignore[arg-type]
                self._change_policy(best)
        except Exception:
            # A candidate of somebody's own that does not compile, say: once is enough.
            self._choosing = None
            logger.exception("cache %r: its policy stays %r from now on", self.name, self.policy)

    def _change_policy(self, policy: Policy) -> None:
        """Have the table follow a policy from now on, set by set."""
        with self._turn:
            self._settle()
            if self._unusable is None:
                for _ in self._switched().switch(policy):
                    time.sleep(0)  # lookups go first
                self._scalars.drop(self)  # type: ignore[arg-type]

    def _switched(self) -> SwitchedTable:
        """Return the table, one that can change its policy."""
        return cast("SwitchedTable", self._table)
