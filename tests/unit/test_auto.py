"""A choice among policies, and who makes it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from predis_core import policies
from predis_core.adapt import Choice, Choosing, Inline
from predis_core.adapt.calm import Calm
from predis_core.adapt.choice import LARGEST
from predis_core.adapt.sampled import SampledLookups
from predis_core.errors import PolicyError
from predis_core.policies.choice import auto, candidates_of, rest_of
from predis_core.table import Layout
from predis_core.table.cpu import CpuTable
from predis_core.table.interface import Int64s
from predis_core.table.keys import spread_seed
from predis_core.table.layout import record_of

LRU, FIFO, LIRS, S3FIFO = (policies.get(name) for name in ("lru", "fifo", "lirs", "s3fifo"))
SEED = spread_seed(7)


def loop(length: int, requests: int) -> Int64s:
    """Round and round through more keys than fit: the worst that LRU can meet."""
    return np.arange(requests, dtype=np.int64) % length


def drift(requests: int, seed: int) -> Int64s:
    """Keys of the recent past: what LRU is made for."""
    back = np.random.default_rng(seed).geometric(1 / 150, requests)
    return np.arange(requests, dtype=np.int64) // 4 - back


def miss_ratio(policy: object, keys: Int64s, capacity: int) -> float:
    table = CpuTable(Layout.build(capacity), policies.get(policy), SEED)
    through = Inline(table) if len(table.candidates) > 1 else table
    return 1 - float(through.replay(keys).mean())


# ------------------------------------------------------------------ what it is made of


def test_auto_is_a_choice_and_no_name_among_the_policies() -> None:
    assert policies.get("auto").name == "auto"
    assert "auto" not in policies.names()
    names = {policy.name for policy in candidates_of(policies.get("auto"))}
    assert names < set(policies.names())
    assert candidates_of(LRU) == (LRU,)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ((LRU,), "policy: auto needs two policies or more that differ, got ['lru']"),
        ((LRU, LRU), "policy: auto needs two policies or more that differ, got ['lru', 'lru']"),
        (
            (LRU, auto(LRU, FIFO)),
            "policy: auto chooses among single policies; name those that it has",
        ),
    ],
)
def test_what_is_no_choice_is_refused(
    candidates: tuple[policies.Policy, ...], message: str
) -> None:
    with pytest.raises(PolicyError, match=re.escape(message)):
        auto(*candidates)


def test_the_policy_at_rest_is_one_of_the_candidates() -> None:
    message = (
        "policy: at_rest is 'fifo', which is none of the candidates ['lru', 'lirs']; add it to them"
    )
    with pytest.raises(PolicyError, match=re.escape(message)):
        auto(LRU, LIRS, at_rest=FIFO)
    assert rest_of(auto(LRU, FIFO, at_rest=FIFO)) == FIFO
    assert rest_of(auto(LRU, FIFO)) is rest_of(LRU) is None


def test_entries_take_what_the_widest_candidate_needs() -> None:
    both = record_of(auto(FIFO, S3FIFO))
    assert both.column_bytes == record_of(S3FIFO).column_bytes
    assert both.stride == max(record_of(FIFO).stride, record_of(S3FIFO).stride)
    assert (both.state >= 0, both.ghosts >= 0) == (True, True)


def test_a_table_has_no_other_policy_than_its_candidates() -> None:
    table = CpuTable(Layout.build(100), auto(LRU, FIFO), SEED)
    message = "policy: the table has room for lru, fifo, not for s3fifo"
    with pytest.raises(PolicyError, match=message):
        list(table.switch(S3FIFO))
    assert table.policy == LRU


def test_a_change_that_was_abandoned_is_completed_before_the_next() -> None:
    table = CpuTable(Layout.build(28 * 300), auto(LRU, FIFO), SEED)
    table.replay(np.arange(20_000))
    steps = table.switch(FIFO)
    while table.policy == LRU:
        next(steps)
    del steps
    for _ in table.switch(LRU):
        pass
    assert table.policy == LRU
    assert table._switch is None
    assert table.replay(np.arange(19_000, 20_000)).mean() > 0.9


# ------------------------------------------------------------------ who makes it


def choice(*candidates: policies.Policy, capacity: int = 500) -> Choice:
    return Choice(candidates, candidates[0], capacity, 1.0, SEED)


def test_the_policy_that_hits_more_is_chosen() -> None:
    chooser = choice(LRU, LIRS)
    assert chooser.best == LRU
    keys = loop(700, 20_000)
    chooser.feed(keys)
    assert chooser.best == LIRS


def test_a_choice_follows_a_workload_that_changes() -> None:
    chooser = choice(LRU, LIRS)
    for _ in range(2):
        keys = loop(700, 20_000)
        chooser.feed(keys)
        assert chooser.best == LIRS
        keys = 1_000_000 + drift(60_000, seed=1)
        chooser.feed(keys)
        assert chooser.best == LRU


def test_nothing_changes_where_no_policy_surely_wins() -> None:
    chooser = choice(FIFO, LRU)
    keys = np.random.default_rng(3).integers(0, 5_000, 100_000)
    chooser.feed(keys)
    assert chooser.best == FIFO


def test_what_was_learned_can_be_forgotten() -> None:
    table = CpuTable(Layout.build(100), policies.get("auto"), SEED)
    choosing = Choosing(SampledLookups(SEED), table, SEED)
    choosing.prepare(table)
    assert choosing.nbytes > 0
    choosing.forget()
    assert choosing.turn(table) == table.policy
    assert choosing.nbytes == 0


def test_where_lookups_are_cut_changes_nothing() -> None:
    keys = np.concatenate([loop(700, 9_000), drift(9_000, seed=2)])
    whole, parts = choice(LRU, LIRS), choice(LRU, LIRS)
    whole.feed(keys)
    for part in np.array_split(keys, 97):
        parts.feed(part)
    assert whole.best == parts.best
    assert (whole._spans[0]._won == parts._spans[0]._won).all()


def test_of_a_large_cache_few_keys_are_followed() -> None:
    large = choice(LRU, FIFO, capacity=1_000_000)
    assert large.rate <= LARGEST / 1_000_000
    assert large.nbytes < 2 * 28 * LARGEST


# ------------------------------------------------------------------ what comes of it


def test_a_replay_with_auto_gives_the_same_twice() -> None:
    keys = np.concatenate([loop(700, 20_000), drift(20_000, seed=4)])
    assert miss_ratio("auto", keys, 500) == miss_ratio("auto", keys, 500)


def test_auto_is_near_the_best_policy_of_each_part() -> None:
    parts = [loop(700, 40_000), 10_000 + drift(60_000, seed=5), loop(650, 40_000)]
    oracle = sum(
        min(miss_ratio(candidate, part, 500) for candidate in (LRU, LIRS)) * len(part)
        for part in parts
    )
    keys = np.concatenate(parts)
    got = miss_ratio(auto(LRU, LIRS), keys, 500) * len(keys)
    single = min(miss_ratio(candidate, keys, 500) for candidate in (LRU, LIRS)) * len(keys)
    assert got < 1.15 * oracle
    assert got < single


# ------------------------------------------------------------------ while nothing leaves


def test_calm_begins_after_ten_turns_with_a_lookup_per_entry_and_ends_with_an_eviction() -> None:
    table, calm = CpuTable(Layout.build(100), LRU, SEED), Calm()
    table.replay(np.arange(60))
    said = []
    for _ in range(12):
        said.append(calm.turn(table))
        table.replay(np.arange(10))
    assert said == [False] * 9 + [True] * 3
    table.replay(np.arange(1_000, 1_200))
    assert [calm.turn(table) for _ in range(3)] == [False] * 3


def test_without_lookups_nothing_is_calm() -> None:
    table, calm = CpuTable(Layout.build(100), LRU, SEED), Calm()
    table.replay(np.arange(60))
    assert not any(calm.turn(table) for _ in range(50))


def test_what_leaves_now_and_then_does_not_disturb_a_large_table() -> None:
    table, calm = CpuTable(Layout.build(28 * 1_000), LRU, SEED), Calm()
    keys = np.arange(28 * 1_000)
    table.replay(keys)
    for _ in range(30):
        calm.turn(table)
        table.replay(table_keys(table))
    assert calm.turn(table)
    table.replay(np.concatenate([table_keys(table), np.arange(-10, 0)]))
    assert calm.turn(table)


def table_keys(table: CpuTable) -> Int64s:
    return table.export(0).keys.words
