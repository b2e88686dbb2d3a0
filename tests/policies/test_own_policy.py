"""A user's own policy runs on both tables alike: verb by verb, with all that they hold."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import policies
from predis_core.policies import Policy, as_policy
from predis_core.table import Counter, open_table
from predis_core.table.cpu import CpuTable
from predis_core.table.interface import Keys
from predis_core.table.invariants import broken
from predis_core.table.keys import spread_seed
from predis_core.table.layout import Layout
from predis_core.table.reference import ReferenceTable
from tests.support import streams
from tests.support.contract import ALL
from tests.support.dumps import assert_same_dump, assert_same_removed

SEED = 11
USES = 127
STAMPS = 15
STAMP_SHIFT = 7
BASE_SHIFT = 11
BASES = (1 << 12) - 1


def credit(meta: int, state: int) -> int:
    """How far an entry is above the age of its set: a helper of the policy below."""
    return (((meta >> BASE_SHIFT) - state + BASES // 2) & BASES) + (meta & USES)


class AgingLfu:
    """LFU with dynamic ageing: uses since it came, on top of the set's age at that time.

    Arlitt, Cherkasova, Dilley, Friedrich, Jin: "Evaluating Content Management Techniques for Web
    Proxy Caches", 1999. What the table's sketch knows of a key is a head start.
    """

    name = "aging-lfu"
    slot_bits = BASE_SHIFT + 12
    hit_bits = BASE_SHIFT
    set_bits = 12
    sketch = True
    parameters = (2,)

    @staticmethod
    def on_insert(
        tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
    ) -> tuple[int, int]:
        head_start = min(USES, frequency * parameters[0])
        return (state << BASE_SHIFT) + ((tick & STAMPS) << STAMP_SHIFT) + head_start, state

    @staticmethod
    def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
        if (meta >> STAMP_SHIFT) & STAMPS == tick & STAMPS or meta & USES == USES:
            return meta
        return ((tick & STAMPS) << STAMP_SHIFT) + (meta & USES) + 1

    @staticmethod
    def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
        return credit(meta, state)

    @staticmethod
    def on_evict(meta: int, tick: int, state: int) -> tuple[int, int]:
        return (meta >> BASE_SHIFT) + (meta & USES), 0


def _came(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    return 0, state


def _used(meta: int, tick: int, state: int, parameters: Any) -> int:
    return 1


def _unused_first(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return meta


def _forget_if_all_are_used(
    meta: int, victim_meta: int, tick: int, state: int, total: int, parameters: Any
) -> int:
    return 0 if victim_meta else meta


not_recently_used = SimpleNamespace(
    name="nru",
    slot_bits=1,
    on_insert=_came,
    on_hit=_used,
    rank=_unused_first,
    on_pass=_forget_if_all_are_used,
)
"""The least a policy can be: a bit per entry."""

OWN = {
    "class": as_policy(AgingLfu),
    "object": as_policy(not_recently_used),
    "sketch and segments": ALL["wtinylfu"],
}


@pytest.fixture(params=OWN)
def own(request: pytest.FixtureRequest) -> Policy:
    return OWN[request.param]


class Tables:
    """The two tables, asked the same; what they answer and hold must be equal."""

    def __init__(self, policy: Policy, *capacities: int) -> None:
        self.layout, self.seed = Layout.build(*capacities), spread_seed(SEED)
        self.reference = ReferenceTable(self.layout, policy, self.seed)
        self.cpu = CpuTable(self.layout, policy, self.seed)

    def ask(self, verb: str, *arguments: Any, **options: Any) -> None:
        expected = getattr(self.reference, verb)(*arguments, **options)
        found = getattr(self.cpu, verb)(*arguments, **options)
        if verb == "insert":
            assert expected.status.tolist() == found.status.tolist()
            assert expected.slots.tolist() == found.slots.tolist()
            assert_same_removed(expected.removed, found.removed)
        elif verb == "delete":
            assert expected.deleted.tolist() == found.deleted.tolist()
        elif expected is not None:
            assert expected.tolist() == found.tolist()
        dump = self.reference.dump()
        assert_same_dump(dump, self.cpu.dump())
        assert broken(dump, self.layout, self.seed) == []


def test_random_batches(own: Policy) -> None:
    tables = Tables(own, 75, 6)
    random = np.random.default_rng(5)
    now = 0
    for _ in range(250):
        region = int(random.random() < 0.2)
        n = int(random.integers(0, 30))
        keys = Keys(random.zipf(1.3, n) % (12 if region else 160))
        now += 1
        verb = str(random.choice(["lookup", "insert", "insert", "touch", "delete"]))
        options: dict[str, Any] = {}
        if verb == "insert":
            deadlines = np.where(random.random(n) < 0.2, now + random.integers(1, 9, n), 0)
            options = {"absent_only": bool(random.random() < 0.3), "deadlines": deadlines}
            options["guess"] = bool(random.random() < 0.3)
            options["want_removed"] = True
            tables.ask(verb, keys, None, now, region=region, **options)
        else:
            tables.ask(verb, keys, now, region=region)
    tables.ask("clear", now, region=0)
    tables.ask("insert", Keys(np.arange(200)), None, now)
    assert tables.reference.counters()[Counter.EVICTIONS] > 100


def test_the_comparison_names_what_differs() -> None:
    tables = Tables(OWN["object"], 20)
    tables.ask("insert", Keys(np.arange(10)), None, 0)
    tables.reference.lookup(Keys(np.array([3])), 0)
    with pytest.raises(AssertionError, match=r"^metas: 1 differ"):
        assert_same_dump(tables.reference.dump(), tables.cpu.dump())


def test_new_parameters_count_from_the_next_batch() -> None:
    tables = Tables(OWN["class"], 20)
    for weight in (2, 0, 9):
        tables.reference.set_parameters((weight,))
        tables.cpu.set_parameters((weight,))
        for start in range(0, 300, 25):
            batch = Keys(streams.zipf(300, 60, weight)[start : start + 25].copy())
            tables.ask("lookup", batch, 0)
            tables.ask("insert", batch, None, 0)
    assert len(np.unique(tables.reference.dump().metas & USES)) > 3


@pytest.mark.parametrize("name", policies.names())
def test_replay_is_get_then_insert(name: str) -> None:
    """One request at a time, as the reference does it with batches of one."""
    tables = Tables(ALL[name], 60)
    requests = streams.mix(700, 130, 3)
    hits = tables.cpu.replay(requests)
    expected = []
    for key in requests:
        batch = Keys(np.array([key]))
        expected.append(bool(tables.reference.lookup(batch, 0)[0] >= 0))
        if not expected[-1]:
            tables.reference.insert(batch, None, 0)
    assert hits.tolist() == expected
    assert_same_dump(tables.reference.dump(), tables.cpu.dump())


@pytest.mark.parametrize(
    "given", [AgingLfu, AgingLfu(), OWN["class"]], ids=["class", "object", "policy"]
)
def test_a_cache_takes_it(given: Any) -> None:
    cache = predis.Cache(50, policy=given)
    cache.set_many(list(range(80)), [str(key) for key in range(80)])
    values, hit = cache.get_many(list(range(80)))
    assert len(cache) == hit.sum() <= 50
    assert values == [str(key) if found else None for key, found in enumerate(hit)]


def test_a_table_of_ones_own_takes_a_policy_by_name_or_as_it_is() -> None:
    requests = streams.zipf(500, 60, 0)
    by_name = open_table(20, "sieve", 4).replay(requests)
    assert (open_table(20, policies.get("sieve"), 4).replay(requests) == by_name).all()
    assert (open_table(20, "fifo", 4).replay(requests) != by_name).any()
