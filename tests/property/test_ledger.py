"""The ledger of guesses against a plain Python model: what it counts, pays and keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from predis_core.prefetch import credit
from predis_core.prefetch.ledger import Ledger
from predis_core.prefetch.outcomes import (
    LATE,
    MOOT,
    OUTCOMES,
    SHADOW_UNUSED,
    SHADOW_USED,
    UNUSED,
    USED,
)
from tests.support.depth import search

OWNERS, PRECISION, MOST, HORIZON = 2, 0.4, 70.0, 40
LOADING, ELSEWHERE, SHADOW = "loading", "elsewhere", "shadow"

words = st.integers(0, 30) | st.sampled_from([-1, 1 << 62, -(1 << 63)])
batches = st.lists(words, max_size=12)
sets = st.lists(words, max_size=12, unique=True)


class Model:
    """The same, with dictionaries: a guess is [owner, when it was made, whence it is there]."""

    def __init__(self) -> None:
        self.guesses: dict[int, list[Any]] = {}
        self.victims: dict[int, tuple[int, int]] = {}
        self.accesses = 0
        self.counts = [[0] * OUTCOMES for _ in range(OWNERS)]
        self.loads, self.harmful = [0] * OWNERS, [0] * OWNERS
        self.left = [credit.FIRST] * OWNERS
        self.wasted = self.needed = 0.0

    def pending(self) -> int:
        return sum(there != SHADOW for _, _, there in self.guesses.values())

    def earn(self, owner: int, much: float) -> None:
        self.left[owner] = min(MOST, max(0.0, self.left[owner] + much))

    def close(self, word: int, outcome: int) -> None:
        owner, _, _ = self.guesses.pop(word)
        self.counts[owner][outcome] += 1
        self.wasted += outcome == UNUSED
        self.needed += outcome == USED
        penalty = credit.SHADOW * PRECISION / (1 - PRECISION)
        earned = {
            USED: 1 / PRECISION,
            LATE: 1 + credit.SHADOW,
            UNUSED: 0.0,
            MOOT: 1.0,
            SHADOW_USED: credit.SHADOW,
            SHADOW_UNUSED: -penalty,
        }
        self.earn(owner, earned[outcome])

    def settle(self, asked: list[int], hits: list[bool], number: int) -> tuple[list[bool], ...]:
        self.needed += hits.count(False)
        for word, hit in zip(asked, hits, strict=True):
            if word in self.victims:
                owner, _ = self.victims.pop(word)
                self.harmful[owner] += not hit
                self.earn(owner, -1.0 * (not hit))
        found = []
        for word, hit in zip(asked, hits, strict=True):
            outcome = None
            if word in self.guesses:
                there = self.guesses[word][2]
                if there == SHADOW:
                    outcome = MOOT if hit else SHADOW_USED
                elif there in (LOADING, ELSEWHERE):
                    outcome = MOOT if hit else LATE
                else:
                    outcome = USED if hit else LATE if number < there else UNUSED
                self.close(word, outcome)
            found.append(outcome)
        self.accesses += len(asked)
        oldest = self.accesses - HORIZON
        for word, (_, made, there) in list(self.guesses.items()):
            if made < oldest:
                given_up = {SHADOW: SHADOW_UNUSED, ELSEWHERE: MOOT}
                self.close(word, given_up.get(there, UNUSED))
        self.victims = {word: left for word, left in self.victims.items() if left[1] >= oldest}
        return [each == USED for each in found], [each == LATE for each in found]


class Accounts(RuleBasedStateMachine):
    """Whatever is said of guesses, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger, self.model = Ledger(OWNERS, PRECISION, MOST, HORIZON), Model()
        self.random = np.random.default_rng(1)

    @rule(asked=batches, number=st.integers(0, 5))
    def settle(self, asked: list[int], number: int) -> None:
        hits = self.random.random(len(asked)) < 0.5
        used, late = self.ledger.settle(np.array(asked, np.int64), hits, number)
        were_used, were_late = self.model.settle(asked, hits.tolist(), number)
        assert (used is None and not any(were_used)) or used.tolist() == were_used  # type: ignore[union-attr]
        assert (late is None and not any(were_late)) or late.tolist() == were_late  # type: ignore[union-attr]

    @rule(proposed=sets, room=st.integers(0, 8), most_shadows=st.integers(0, 6))
    def choose(self, proposed: list[int], room: int, most_shadows: int) -> None:
        owners = self.random.integers(0, OWNERS, len(proposed))
        chosen = self.ledger.choose(np.array(proposed, np.int64), owners, room, most_shadows)
        model, wanted = self.model, []
        for at, (word, owner) in enumerate(zip(proposed, owners.tolist(), strict=True)):
            known = model.guesses.get(word)
            if known is not None and known[2] != SHADOW:
                continue
            if len(wanted) < room and model.left[owner] >= 1:
                model.left[owner] -= 1
                model.loads[owner] += 1
                wanted.append(at)
            elif known is None and len(model.guesses) - model.pending() < most_shadows:
                model.guesses[word] = [owner, model.accesses, SHADOW]
        for at in wanted:
            model.guesses.pop(proposed[at], None)
            model.guesses[proposed[at]] = [int(owners[at]), model.accesses, LOADING]
        assert chosen.tolist() == wanted

    @rule(some=sets, number=st.integers(0, 5) | st.none())
    def stored(self, some: list[int], number: int | None) -> None:
        if number is None:
            self.ledger.elsewhere(np.array(some, np.int64))
        else:
            self.ledger.stored(np.array(some, np.int64), number)
        for word in some:
            if word in self.model.guesses and self.model.guesses[word][2] != SHADOW:
                self.model.guesses[word][2] = ELSEWHERE if number is None else number

    @rule(some=sets, outcome=st.sampled_from([MOOT, UNUSED]))
    def drop(self, some: list[int], outcome: int) -> None:
        self.ledger.drop(np.array(some, np.int64), outcome)
        for word in some:
            if word in self.model.guesses and self.model.guesses[word][2] != SHADOW:
                self.model.close(word, outcome)

    @rule(some=sets)
    def left(self, some: list[int]) -> None:
        owners = self.random.integers(0, OWNERS, len(some))
        self.ledger.left(np.array(some, np.int64), owners)
        for word, owner in zip(some, owners.tolist(), strict=True):
            if word not in self.model.guesses:
                self.model.victims.pop(word, None)
                self.model.victims[word] = (owner, self.model.accesses)
            elif self.model.guesses[word][2] != SHADOW:
                self.model.close(word, UNUSED)

    @rule(more=st.integers(500, 3_000))
    def grow(self, more: int) -> None:
        """What there is stays as it is when there has to be room for more."""
        self.ledger._guesses.make_room(more)
        self.ledger._victims.make_room(more)

    @invariant()
    def the_same(self) -> None:
        ledger, model = self.ledger, self.model
        assert ledger.accesses == model.accesses
        assert ledger.pending == model.pending()
        assert ledger.shadows == len(model.guesses) - model.pending()
        assert [ledger.counts(owner) for owner in range(OWNERS)] == model.counts
        assert [ledger.loads(owner) for owner in range(OWNERS)] == model.loads
        assert [ledger.harmful(owner) for owner in range(OWNERS)] == model.harmful
        np.testing.assert_allclose(ledger.credits, model.left)
        assert (ledger.wasted, ledger.needed) == (model.wasted, model.needed)
        true = sum(model.counts[owner][each] for owner in range(OWNERS) for each in (USED, LATE))
        assert ledger.asked_for == true
        known = list(model.guesses)
        wanted = [model.guesses[word][2] != SHADOW for word in known]
        assert ledger.are_pending(np.array(known, np.int64)).tolist() == wanted


TestAccounts = Accounts.TestCase
TestAccounts.settings = search(40, steps=60)
