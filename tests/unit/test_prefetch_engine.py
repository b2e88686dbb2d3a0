"""What the engine loads of what prefetchers propose, and when it stops: inline, without threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predis_core.errors import KeyKindError
from predis_core.prefetch.budget import _FREE
from predis_core.prefetch.credit import FIRST, SHADOW
from predis_core.prefetch.engine import Engine
from predis_core.prefetch.outcomes import LATE, MOOT, UNUSED, USED
from predis_core.types import AccessBatch
from tests.support.depth import search
from tests.support.prefetchers import Ahead, Driven, Says

WITHIN = 100_000
"""Accesses within which an engine is to become quiet, and to recover."""


def hostile(length: int) -> Any:
    """Return a stream that looks like a scan for two keys, and then goes elsewhere for ever."""
    starts = np.random.default_rng(5).permutation(length // 2) * 1_000
    return np.stack([starts, starts + 1], axis=1).ravel()


STREAMS = {
    "once": np.random.default_rng(1).permutation(WITHIN) * 3,
    "random": np.random.default_rng(2).integers(0, 1 << 40, WITHIN),
    "hostile": hostile(WITHIN),
}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("at_once", [1, 100])
def test_what_does_not_pay_ends_soon_and_comes_back_when_it_does(stream: str, at_once: int) -> None:
    driven = Driven([Ahead()])
    keys = STREAMS[stream][: WITHIN if at_once > 1 else WITHIN // 40]
    quiet = driven.accesses_until(True, keys, at_once)
    assert quiet is not None
    driven.run(keys[quiet:], at_once)
    assert driven.engine.is_quiet
    (stats,) = driven.engine.stats()
    assert stats.loads <= FIRST + 2 * stats.used + 16
    # From there on it goes on as if nothing had been.
    scan = np.arange(1 << 41, (1 << 41) + WITHIN)
    awake = driven.accesses_until(False, scan)
    assert awake is not None
    assert driven.run(scan[awake : awake + 2_000]) < 500
    driven.cache.check_invariants()


def test_a_scan_is_loaded_ahead_and_every_guess_is_accounted_for() -> None:
    driven = Driven([Ahead()])
    missed = driven.run(np.arange(6_000))
    (stats,) = driven.engine.stats()
    assert missed < 300
    assert stats.used == 6_000 - missed
    assert stats.unused == stats.late == stats.harmful == 0
    assert stats.loads == stats.used + driven.engine.ledger.pending
    assert driven.inline.fetched == stats.loads
    assert not stats.is_quiet


def test_what_is_in_the_cache_or_on_its_way_is_not_loaded_again() -> None:
    says = Says()
    driven = Driven([says], latency=10_000)
    driven.ask([1, 2])
    for _ in range(2):
        says.next = [1, 2, 3, 3]
        driven.ask(9)
    assert driven.inline.fetched == 1
    assert driven.inline.due(3) == 12_000
    assert driven.inline.due(1) is None


def test_who_asks_while_a_guess_is_loaded_makes_it_late_and_an_entry_like_others() -> None:
    says = Says()
    driven = Driven([says], latency=10_000)
    says.next = [5]
    driven.ask(1)
    assert driven.ask(5) == [False]
    driven.ask(2, after=20_000)
    assert driven.ask(5) == [True]
    (stats,) = driven.engine.stats()
    assert (stats.loads, stats.used, stats.late, stats.unused) == (1, 0, 1, 0)
    assert not driven.cache._table.export(0).guesses.any()
    assert driven.engine.stats()[0].credit == FIRST + SHADOW  # it was right


def test_a_guess_for_which_something_left_that_is_asked_for_is_harmful() -> None:
    says = Says()
    driven = Driven([says], capacity=28)
    driven.run(np.arange(28))
    says.next = [1_000]
    driven.ask(27)  # whose set is full: the least recently used, 0, leaves
    assert driven.ask(0) == [False]
    (stats,) = driven.engine.stats()
    assert stats.harmful == 1
    driven.ask(0)
    assert driven.engine.stats()[0].harmful == 1


def test_guesses_that_leave_for_others_are_unused_at_once() -> None:
    says = Says()
    driven = Driven([says], capacity=28)
    driven.engine._most_pending = 28  # or the second ones would have to wait
    driven.run(np.arange(28))
    for first in (1_000, 2_000):
        says.next = list(range(first, first + 7))
        driven.ask(27)
    (stats,) = driven.engine.stats()
    assert (stats.loads, stats.unused) == (14, 7)
    assert driven.engine.ledger.pending == 7


def test_guesses_of_what_does_not_exist_are_wasted() -> None:
    says = Says()
    engine = Driven([says]).engine
    for key in range(1_000):
        says.next = [1_000_000 + key]
        words = np.array([key])
        engine.observe(AccessBatch("test", words, words, np.zeros(1, bool)))
        if (plan := engine.plan(0)) is not None:
            engine.stored(plan, np.zeros(len(plan.owners), bool))
    (stats,) = engine.stats()
    assert engine.is_quiet
    assert stats.loads == stats.unused == FIRST


def test_guesses_that_somebody_else_loads_already_are_late() -> None:
    class Told(Says):
        late = 0

        def observe(self, batch: AccessBatch) -> None:
            self.late += 0 if batch.late is None else int(batch.late.sum())

    says = Told()
    engine = Driven([says]).engine
    for key in range(1_000):  # each time the next key: somebody asked for it a moment ago
        says.next = [key + 1]
        words = np.array([key])
        engine.observe(AccessBatch("test", words, words, np.zeros(1, bool)))
        plan = engine.plan(0)
        assert plan is not None
        engine.stored(plan, np.zeros(1, bool), elsewhere=np.ones(1, bool))
    (stats,) = engine.stats()
    assert (stats.loads, stats.late, stats.unused) == (1_000, 999, 0)
    assert says.late == 999
    assert engine.stats()[0].credit == FIRST - 1 + 999 * SHADOW  # one is on its way
    assert engine.ledger.pending == 1


def test_what_was_set_meanwhile_is_nobodys_fault() -> None:
    says = Says()
    driven = Driven([says])
    says.next = [5]
    words = np.array([1])
    driven.engine.observe(AccessBatch("test", words, words, np.zeros(1, bool)))
    plan = driven.engine.plan(0)
    assert plan is not None
    driven.engine.stored(plan, np.zeros(1, bool), elsewhere=np.ones(1, bool))
    driven.run(np.arange(100, 40_000), at_once=100)  # until it is given up
    (stats,) = driven.engine.stats()
    assert (stats.loads, stats.used, stats.late, stats.unused) == (1, 0, 0, 0)
    assert driven.engine.ledger.pending == 0


def test_the_better_prefetcher_of_two_goes_first() -> None:
    class Wrong(Says):
        name = "wrong"

    wrong, right = Wrong(), Says()
    driven = Driven([wrong, right], batch=1)
    for key in range(0, 3_000, 10):
        wrong.next, right.next = [-key - 1], [key + 10]
        driven.ask(key)
    by_name = {stats.prefetcher: stats for stats in driven.engine.stats()}
    assert by_name["says"].used > 200
    assert by_name["wrong"].used == 0
    assert by_name["wrong"].loads <= FIRST


@pytest.mark.parametrize(
    "limit", [{}, {"loads_per_second": 100.0}, {"bytes_per_second": 800}], ids=str
)
def test_the_budget_holds_whatever_it_is_good_for(limit: dict[str, Any]) -> None:
    driven = Driven([Ahead()], **limit)
    for key in range(3_000):
        driven.ask(key, after=3_000_000)  # nine seconds in all
    # A second's worth is there at first, and a batch may go beyond.
    assert (300 < driven.inline.fetched <= 1_020) == bool(limit)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_what_is_wasted_keeps_to_its_share_of_what_is_needed(share: float) -> None:
    """Every other guess is right, which is precise enough, but half of the loads are wasted."""
    says = Says()
    driven = Driven([says], precision=0.3, waste=share)
    for key in range(0, 6_000, 2):
        says.next = [key + 2, -key - 1]
        driven.ask(key)
    (stats,) = driven.engine.stats()
    needed = driven.misses + stats.used
    assert stats.used > 50
    pending = driven.engine.ledger.pending
    assert stats.unused + pending <= _FREE + share * needed + 2 * pending


def test_an_answer_that_is_none_is_refused() -> None:
    class Answers(Says):
        def predict(self, limit: int) -> Any:
            return self.next

    says = Answers()
    driven = Driven([says])
    for answer, what in (
        ([1, 2], r"expected \(keys, confidences\)"),
        (([1, 2], [0.5]), "a confidence for each of 2 keys"),
    ):
        says.next = answer
        with pytest.raises(ValueError, match=what):
            driven.ask(1)
    says.next = (["a"], [0.5])
    with pytest.raises(KeyKindError):
        driven.ask(1)


@given(st.lists(st.tuples(st.integers(0, 60), st.lists(st.integers(0, 60), max_size=4))))
@search(100)
def test_nothing_is_lost_and_the_credit_is_what_was_earned(
    script: list[tuple[int, list[int]]],
) -> None:
    says = Says()
    driven = Driven([says], capacity=28, latency=1_500)
    engine: Engine = driven.engine
    for key, proposed in script:
        says.next = proposed
        driven.ask(key)
        (stats,) = engine.stats()
        counts = engine.ledger.counts(0)
        of_loads = sum(counts[outcome] for outcome in (USED, LATE, UNUSED, MOOT))
        pending = np.flatnonzero(engine.ledger.are_pending(np.arange(61))).tolist()
        assert engine.ledger.pending == len(pending)
        # A shadow that was hit is moot as well, but was never loaded.
        assert stats.loads <= of_loads + len(pending)
        assert stats.credit >= 0
        guesses = driven.cache._table.export(0)
        held = set(guesses.keys.words[guesses.guesses].tolist())
        assert held <= set(pending) | set(range(61))
        assert int(guesses.guesses.sum()) <= 7
    driven.cache.check_invariants()


def test_the_same_calls_make_the_same_decisions() -> None:
    def decided() -> list[Any]:
        driven = Driven([Ahead(), Ahead(4, 3, "threes")], latency=5_000)
        keys = np.concatenate([np.arange(500), 3 * np.arange(500), STREAMS["random"][:500]])
        driven.run(keys)
        return driven.engine.stats()

    assert decided() == decided()


def test_a_batch_names_its_cache() -> None:
    says = Says()
    Driven([says]).ask([4, 5])
    (batch,) = says.batches
    assert isinstance(batch, AccessBatch)
    assert (batch.cache, batch.keys.tolist(), batch.hits.tolist()) == ("test", [4, 5], [False] * 2)
