"""A Hypothesis state machine that calls every face of a cache and asks the model about each answer.

Subclass `CacheMachine`, say what cache, which keys and which values, and let a test runner collect
its `TestCase`. Hypothesis then looks for a sequence of calls after which the cache breaks a promise
and shrinks it to the shortest one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from predis_core.cache import Cache
from predis_core.testing.lives import LifeRules
from predis_core.testing.searching import initialize, st


class CacheMachine(LifeRules):
    """Every face of a cache, in any order, against the model.

    Override `make_cache`, `keys` and `values`; the other hooks have defaults. After each call
    `check_invariants()` must pass, `len` must be right, the counters must add up, what the cache
    iterates over must be what the model holds, less what was evicted, and a removal listener must
    have been told of all that left.

    Attributes:
        clock: a `ManualClock`, to be given to the cache; some rules move it.
        cache: the cache under test.
        model: what it owes.
        takes_snapshots: set it to have snapshots taken and restored; see `codec`.
        can_resize: unset it for a cache that refuses to be resized.
    """

    @initialize(listening=st.booleans())
    def begin(self, listening: bool) -> None:
        """Open the cache and its model."""
        self.check(self.make_cache(), listening=listening)

    def check(
        self,
        cache: Cache[Any, Any],
        ttl: float | timedelta | None = None,
        *,
        listening: bool = False,
    ) -> None:
        """Take a new cache whose default time to live is `ttl` as the one to check.

        With `listening`, a removal listener is added, and what it is told is checked, too.
        """
        self.listening = listening
        self.enter("", cache, self.make_model(cache, ttl))
