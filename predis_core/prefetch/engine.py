"""Which of the proposals of a cache's prefetchers are loaded, and what came of them.

It neither loads nor asks for the time, and runs in one thread at a time: `observe` takes a batch of
look-ups, `plan` returns what is to be loaded, and whoever loads that says so by `stored`, `dropped`
or `failed`. The same calls in the same order make the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from predis_core.config import PrefetchConfig
from predis_core.prefetch.budget import Budget
from predis_core.prefetch.credit import Credit
from predis_core.prefetch.ledger import Ledger, Outcome, Verdict
from predis_core.table.batches import part_of
from predis_core.table.interface import Bools, Keys
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


class Member:
    """A prefetcher at one cache.

    Args:
        name: its name, of this cache's the only one.
        observe: its method; what it raises ends the prefetching of the cache.
        predict: `checked` of its method, or what returns anything else if that raised.

    Attributes:
        credit: what it may load.
        loads: guesses that were loaded.
        counts: what became of guesses, by `Outcome`.
        harmful: guesses for which something left that was asked for soon after.
    """

    def __init__(
        self,
        name: str,
        observe: Callable[[AccessBatch], Any],
        predict: Callable[[int, Encode], Any],
    ) -> None:
        self.name, self.observe, self.predict = name, observe, predict
        self.loads = 0
        self.counts = [0] * len(Outcome)
        self.harmful = 0
        self.credit = Credit(0.5, 0)

    @property
    def asked_for(self) -> int:
        """How many of its guesses were asked for so far, in time or late."""
        return self.counts[Outcome.USED] + self.counts[Outcome.LATE]

    @property
    def worth(self) -> float:
        """The share of its guesses that came true, as far as is known (Laplace's rule)."""
        return (self.asked_for + 1) / (self.asked_for + self.counts[Outcome.UNUSED] + 2)

    def stats(self) -> PrefetchStats:
        """Return what it did so far."""
        return PrefetchStats(
            prefetcher=self.name,
            loads=self.loads,
            used=self.counts[Outcome.USED],
            late=self.counts[Outcome.LATE],
            unused=self.counts[Outcome.UNUSED],
            harmful=self.harmful,
            credit=self.credit.left,
            is_quiet=self.credit.is_quiet,
        )


class Plan(NamedTuple):
    """What is to be loaded now.

    Attributes:
        keys: m distinct keys, of which none was in the cache, best first.
        owners: for each, the number of the prefetcher that proposed it.
    """

    keys: Keys
    owners: list[int]


class _Candidate(NamedTuple):
    """A proposal: the best is loaded first, of equals the one that was proposed first."""

    score: float
    owner: int
    at: int
    word: int


class Engine:
    """What prefetchers see of one cache, and what it loads of what they propose.

    Args:
        members: its prefetchers.
        config: limits.
        capacity: entries that fit.
        encode: returns the `Keys` of keys as a prefetcher proposes them; may raise what it wants.
        resident: returns which keys are in the cache (bool[n]), noting nothing.
        touch: notes a use of keys: of guesses that came late, which have been asked for by then.
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
        self.budget = Budget(config)
        self.ledger = Ledger(min(max(capacity, _SHORTEST), _LONGEST))
        self._batch = config.batch
        self._most_pending = max(_PENDING, capacity // _PENDING)
        self._encode, self._resident, self._touch = encode, resident, touch
        most = min(max(capacity // 4, _LEAST_CREDIT), _MOST_CREDIT)
        for member in members:
            member.credit = Credit(config.precision, most)

    @property
    def is_quiet(self) -> bool:
        """Whether no prefetcher may load anything."""
        return all(member.credit.is_quiet for member in self.members)

    @property
    def asked_for(self) -> int:
        """How many guesses of all were asked for so far."""
        return sum(member.asked_for for member in self.members)

    def observe(self, batch: AccessBatch, number: int = 0) -> None:
        """Take note of a batch of look-ups; later ones have no lower number."""
        words, hits = batch.words.tolist(), batch.hits.tolist()
        self.budget.need(len(hits) - sum(hits))
        for owner in self.ledger.harmed(words, hits):
            self.members[owner].harmful += 1
            self.members[owner].credit.harmed()
        used, late = self._judge(self.ledger.settle(words, hits, number))
        if used or late:
            batch = AccessBatch(
                batch.cache,
                batch.keys,
                batch.words,
                batch.hits,
                _among(used, words),
                _among(late, words),
            )
        if late:
            self._touch(part_of(keys_of(batch), batch.late))
        self._judge(self.ledger.age())
        for member in self.members:
            member.observe(batch)

    def plan(self, now: int, most: int | None = None) -> Plan | None:
        """Return what is to be loaded at a time, in nanoseconds, at most so much; None: nothing."""
        left = [int(member.credit.left) for member in self.members]
        pending = self.ledger.pending
        room = min(self.budget.room(now, pending), most or self._batch, sum(left))
        room = max(0, min(room, self._most_pending - pending))
        shadows = min(SHADOWS - self.ledger.shadows, self._batch)
        # Who has credit is asked for no more than can be loaded now, for what is proposed and not
        # loaded is not proposed again; who has none, for what can be followed as shadows.
        limits = [min(room, each) if each else shadows for each in left]
        if not any(limits):
            return None
        proposed, candidates = self._proposed(limits)
        chosen: list[_Candidate] = []
        for each in candidates:
            if len(chosen) < room and left[each.owner] > 0:
                left[each.owner] -= 1
                chosen.append(each)
            elif self.ledger.shadows < SHADOWS and each.word not in self.ledger:
                self.ledger.shadow(each.owner, [each.word])
        if not chosen:
            return None
        for each in chosen:
            self.members[each.owner].credit.spend(1)
            self.members[each.owner].loads += 1
        owners = [each.owner for each in chosen]
        self.ledger.load(owners, [each.word for each in chosen])
        self.budget.load(len(chosen))
        return Plan(_gathered(proposed, chosen), owners)

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
        self.budget.loaded(nbytes)
        words = plan.keys.words
        self.ledger.stored(words[stored].tolist(), batch)
        places = np.flatnonzero(~stored)
        rest = part_of(plan.keys, places)
        if len(places):
            # What is there, or others load, was asked for or set meanwhile. The rest may exist
            # nowhere: that load was wasted, or who proposes such keys would have them loaded for
            # nothing for ever.
            there = self._resident(rest)
            if elsewhere is not None:
                there = there | elsewhere[places]
            self.ledger.elsewhere(rest.words[there].tolist())
            self._judge(self.ledger.drop(rest.words[~there].tolist(), Outcome.UNUSED))

    def left(self, words: Iterable[int], owners: Iterable[int]) -> None:
        """These entries left to make room, each for a guess of an owner."""
        self._judge(self.ledger.left(words, owners))

    def failed(self, plan: Plan) -> None:
        """Nothing of a plan was loaded."""
        self._judge(self.ledger.drop(plan.keys.words.tolist()))

    def stats(self) -> list[PrefetchStats]:
        """Return what each prefetcher did so far."""
        return [member.stats() for member in self.members]

    # ------------------------------------------------------------------ inside

    def _proposed(self, limits: list[int]) -> tuple[list[Keys], list[_Candidate]]:
        """Ask every prefetcher for so many keys; return all by owner, and what may be loaded."""
        proposed: list[Keys] = []
        found: dict[int, _Candidate] = {}
        for owner, (member, limit) in enumerate(zip(self.members, limits, strict=True)):
            if not limit:
                proposed.append(_NO_KEYS)
                continue
            answer = member.predict(limit, self._encode)
            keys = answer.keys if isinstance(answer, Proposals) else _NO_KEYS
            proposed.append(keys)
            if not len(keys.words):
                continue
            absent = np.flatnonzero(~self._resident(keys))[:limit]
            scores = (answer.confidences[absent] * member.worth).tolist()
            words = keys.words[absent].tolist()
            for at, word, score in zip(absent.tolist(), words, scores, strict=True):
                other = found.get(word)
                if other is None or other.score < score:
                    found[word] = _Candidate(score, owner, at, word)
        pending = self.ledger.is_pending
        candidates = [each for each in found.values() if not pending(each.word)]
        candidates.sort(key=lambda each: -each.score)
        return proposed, candidates

    def _judge(self, verdicts: Iterable[Verdict]) -> tuple[list[int], list[int]]:
        """Count what became of guesses, have it paid; return the used ones, and the late ones."""
        used: list[int] = []
        late: list[int] = []
        for owner, outcome, word in verdicts:
            member = self.members[owner]
            member.counts[outcome] += 1
            if outcome is Outcome.USED:
                member.credit.used()
                self.budget.need(1)
                used.append(word)
            elif outcome is Outcome.UNUSED:
                self.budget.waste()
            elif outcome is Outcome.SHADOW_USED:
                member.credit.shadow_used()
            elif outcome is Outcome.SHADOW_UNUSED:
                member.credit.shadow_unused()
            else:
                member.credit.back()
                if outcome is Outcome.LATE:
                    late.append(word)
        return used, late


def _among(some: list[int], words: list[int]) -> Bools | None:
    """Return which words are among some; None if there are not any."""
    if not some:
        return None
    chosen = set(some)
    return np.array([word in chosen for word in words], bool)


def keys_of(batch: AccessBatch) -> Keys:
    """Return the keys of a batch as a table takes them."""
    return Keys(batch.words, None if batch.keys is batch.words else batch.keys)


def _gathered(proposed: list[Keys], chosen: list[_Candidate]) -> Keys:
    """Return the keys of candidates, in their order."""
    words = np.array([each.word for each in chosen], np.int64)
    if proposed[chosen[0].owner].refs is None:
        return Keys(words)
    refs = np.empty(len(chosen), object)
    for number, each in enumerate(chosen):
        of_owner = proposed[each.owner].refs
        assert of_owner is not None
        refs[number] = of_owner[each.at]
    return Keys(words, refs)
