"""Which of the proposals of a cache's prefetchers are loaded, and what came of them.

It neither loads nor asks for the time, and runs in one thread at a time: `observe` takes a batch of
look-ups, `plan` returns what is to be loaded, and whoever loads that says so by `stored`, `dropped`
or `failed`. The same calls in the same order make the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from predis_core.config import PrefetchConfig
from predis_core.prefetch.budget import Budget
from predis_core.prefetch.ledger import Ledger
from predis_core.prefetch.outcomes import LATE, MOOT, UNUSED, USED
from predis_core.table.batches import joined, part_of
from predis_core.table.interface import Bools, Int64s, Keys
from predis_core.types import AccessBatch, PrefetchStats

SHADOWS = 256
"""Proposals of a cache that are followed at a time without being loaded."""

_SHORTEST, _LONGEST = 64, 20_000
"""Accesses for which a guess may stay unused, at least and at most; else, the cache's capacity."""

_PENDING = 8
"""One of so many entries may be an unused guess: of a set it may be a quarter, by chance."""

_LEAST_CREDIT, _MOST_CREDIT = 64, 4_096
"""Bounds of the most credit that a prefetcher may have; else, a quarter of the capacity."""


Encode = Callable[[Any], Keys]
"""Returns the keys that a prefetcher proposes, as a table takes them."""


class Proposals(NamedTuple):
    """What a prefetcher expects.

    Attributes:
        keys: m keys.
        confidences: float64[m].
    """

    keys: Keys
    confidences: npt.NDArray[np.float64]


_NO_KEYS = Keys(np.empty(0, np.int64))
_NO_PROPOSALS = Proposals(_NO_KEYS, np.empty(0))


def checked(predict: Callable[[int], Any]) -> Callable[[int, Encode], Proposals]:
    """Return what asks a prefetcher, and refuses an answer that is none.

    Raises:
        ValueError: from what it returns, if keys and confidences do not go together.
        KeyKindError: if keys are not of the cache's kind.
    """

    def ask(limit: int, encode: Encode) -> Proposals:
        answer = predict(limit)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise ValueError(f"predict: expected (keys, confidences), got {answer!r}")
        if not len(answer[0]) and not len(answer[1]):  # most of the time
            return _NO_PROPOSALS
        keys, confidences = encode(answer[0]), np.asarray(answer[1], np.float64)
        if confidences.shape != (len(keys.words),):
            raise ValueError(
                f"predict: expected a confidence for each of {len(keys.words)} keys, "
                f"got an array of shape {confidences.shape}"
            )
        return Proposals(keys, confidences)

    return ask


class Member(NamedTuple):
    """A prefetcher at one cache.

    Attributes:
        name: its name, of this cache's the only one.
        observe: its method; what it raises ends the prefetching of the cache.
        predict: `checked` of its method, or what returns anything else if that raised.
    """

    name: str
    observe: Callable[[AccessBatch], Any]
    predict: Callable[[int, Encode], Any]


class Plan(NamedTuple):
    """What is to be loaded now.

    Attributes:
        keys: m distinct keys, of which none was in the cache, best first.
        owners: int64[m], the numbers of the prefetchers that proposed them.
    """

    keys: Keys
    owners: Int64s


class Engine:
    """What prefetchers see of one cache, and what it loads of what they propose.

    Args:
        members: its prefetchers.
        config: limits.
        capacity: entries that fit.
        encode: returns the `Keys` of keys as a prefetcher proposes them; may raise what it wants.
        resident: returns which keys are in the cache (bool[n]), noting nothing.
        touch: notes a use of keys: of guesses that came late, which have been asked for by then.

    Attributes:
        ledger: what became of guesses, and what prefetchers may load.
    """

    def __init__(
        self,
        members: Sequence[Member],
        config: PrefetchConfig,
        capacity: int,
        encode: Encode,
        resident: Callable[[Keys], Bools],
        touch: Callable[[Keys], Any],
    ) -> None:
        self.members = members
        most = min(max(capacity // 4, _LEAST_CREDIT), _MOST_CREDIT)
        horizon = min(max(capacity, _SHORTEST), _LONGEST)
        self.ledger = Ledger(len(members), config.precision, most, horizon)
        self._budget = Budget(config, self.ledger)
        self._batch = config.batch
        self._most_pending = max(_PENDING, capacity // _PENDING)
        self._encode, self._resident, self._touch = encode, resident, touch

    @property
    def is_quiet(self) -> bool:
        """Whether no prefetcher may load anything."""
        return all(credit < 1 for credit in self.ledger.credits)

    @property
    def asked_for(self) -> int:
        """How many guesses were asked for so far."""
        return self.ledger.asked_for

    def observe(self, batch: AccessBatch, number: int = 0) -> None:
        """Take note of a batch of look-ups; later ones have no lower number."""
        used, late = self.ledger.settle(batch.words, batch.hits, number)
        if used is not None or late is not None:
            batch = AccessBatch(batch.cache, batch.keys, batch.words, batch.hits, used, late)
        if late is not None:
            self._touch(part_of(_keys_of(batch), late))
        for member in self.members:
            member.observe(batch)

    def plan(self, now: int, most: int | None = None) -> Plan | None:
        """Return what is to be loaded at a time, in nanoseconds, at most so much; None: nothing."""
        ledger = self.ledger
        left = [int(credit) for credit in ledger.credits]
        room = min(self._budget.room(now), most or self._batch, sum(left))
        room = max(0, min(room, self._most_pending - ledger.pending))
        shadows = min(SHADOWS - ledger.shadows, self._batch)
        # Who has credit is asked for no more than can be loaded now, for what is proposed and not
        # loaded is not proposed again; who has none, for what can be followed as shadows.
        limits = [min(room, each) if each else shadows for each in left]
        if not any(limits):
            return None
        proposed = self._proposed(limits)
        if proposed is None:
            return None
        keys, owners = proposed
        chosen = ledger.choose(keys.words, owners, room, SHADOWS)
        if not len(chosen):
            return None
        self._budget.load(len(chosen))
        return Plan(part_of(keys, chosen), owners[chosen])

    # ------------------------------------------------------------------ what became of a plan

    def stored(
        self,
        plan: Plan,
        stored: Bools,
        batch: int = 0,
        nbytes: int = 0,
        elsewhere: Bools | None = None,
    ) -> None:
        """What a plan has was loaded, and this of it stored.

        Args:
            plan: what was to be loaded.
            stored: bool[m].
            batch: the number that batches have, at least, which began when it was there.
            nbytes: what it takes.
            elsewhere: bool[m], what somebody else was loading by then; None: nothing.
        """
        self._budget.loaded(nbytes)
        words = plan.keys.words
        self.ledger.stored(words[stored], batch)
        places = np.flatnonzero(~stored)
        if len(places):
            rest = part_of(plan.keys, places)
            # What is there, or others load, was asked for or set meanwhile. The rest may exist
            # nowhere: that load was wasted, or who proposes such keys would have them loaded for
            # nothing for ever.
            there = self._resident(rest)
            if elsewhere is not None:
                there = there | elsewhere[places]
            self.ledger.elsewhere(rest.words[there])
            self.ledger.drop(rest.words[~there], UNUSED)

    def left(self, words: Int64s, owners: Int64s) -> None:
        """These entries left to make room, each for a guess of an owner."""
        self.ledger.left(words, owners)

    def failed(self, plan: Plan) -> None:
        """Nothing of a plan was loaded."""
        self.ledger.drop(plan.keys.words, MOOT)

    def stats(self) -> list[PrefetchStats]:
        """Return what each prefetcher did so far."""
        return [self._stats(owner) for owner in range(len(self.members))]

    # ------------------------------------------------------------------ inside

    def _stats(self, owner: int) -> PrefetchStats:
        ledger = self.ledger
        counts, credit = ledger.counts(owner), ledger.credits[owner]
        return PrefetchStats(
            prefetcher=self.members[owner].name,
            loads=ledger.loads(owner),
            used=counts[USED],
            late=counts[LATE],
            unused=counts[UNUSED],
            harmful=ledger.harmful(owner),
            credit=credit,
            is_quiet=credit < 1,
        )

    def _proposed(self, limits: list[int]) -> tuple[Keys, Int64s] | None:
        """Ask every prefetcher for so many keys.

        Returns:
            those that are not in the cache, each once, best first, and whose they are; None if
            there are none.
        """
        found: list[Keys] = []
        owners: list[Int64s] = []
        scores: list[npt.NDArray[np.float64]] = []
        for owner, (member, limit) in enumerate(zip(self.members, limits, strict=True)):
            if not limit:
                continue
            answer = member.predict(limit, self._encode)
            if not isinstance(answer, Proposals) or not len(answer.keys.words):
                continue
            absent = np.flatnonzero(~self._resident(answer.keys))[:limit]
            if not len(absent):
                continue
            found.append(part_of(answer.keys, absent))
            owners.append(np.full(len(absent), owner))
            scores.append(answer.confidences[absent] * self.ledger.worth(owner))
        if not found:
            return None
        keys, score = joined(found), np.concatenate(scores)
        best = _best(keys.words, score)
        return part_of(keys, best), np.concatenate(owners)[best]


def _best(words: Int64s, scores: npt.NDArray[np.float64]) -> Int64s:
    """Return where each word has its best score, the best first, of equals what came first."""
    order = np.argsort(-scores, kind="stable")
    named = words.tolist()
    if len(set(named)) == len(named):
        return order
    best: dict[int, int] = {}
    for at, word in enumerate(named):
        if word not in best or scores[best[word]] < scores[at]:
            best[word] = at
    kept = np.array(list(best.values()))
    return kept[np.argsort(-scores[kept], kind="stable")]


def _keys_of(batch: AccessBatch) -> Keys:
    """Return the keys of a batch as a table takes them."""
    return Keys(batch.words, None if batch.keys is batch.words else batch.keys)
