"""Where memory goes before there is a cache, and after it was used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import planning, policies
from predis_core.errors import ConfigurationError
from predis_core.stores import Blobs, Objects, Rows, Store


def plan(store: Store, capacity: int | None, memory: int | None, **more: Any) -> Any:
    given = {"policy": "lru", "key_refs": False} | more
    policy = policies.get(given.pop("policy"))
    return planning.plan(policy, store, capacity=capacity, memory=memory, **given)


@pytest.mark.parametrize("policy", policies.names())
@pytest.mark.parametrize("memory", [100_000, 1 << 20, 1 << 33])
def test_rows_by_memory_alone_are_as_many_as_it_holds(policy: str, memory: int) -> None:
    found = plan(Rows("float32", (16,)), None, memory, policy=policy)
    assert found.total <= memory
    assert found.slots == 64 * found.capacity
    assert found.values is None
    more = plan(Rows("float32", (16,)), found.capacity + 1, None, policy=policy)
    assert more.total > memory


def test_the_parts_of_a_plan_add_up() -> None:
    found = plan(Blobs(), 1_000, 1 << 20)
    assert found.total == sum(found.parts.values()) == 1 << 20
    assert found.parts == {
        "table": found.table,
        "deadlines and pins": 12_000,
        "slots": 16_000,
        "values": found.values,
    }
    assert plan(Blobs(), 1_000, 1 << 20, costs=True).extras == 20_000
    assert plan(Blobs(), 1_000, 1 << 20, policy="gdsf").extras == 20_000
    assert plan(Objects(), 1_000, 1 << 20, key_refs=True).slots == 16_000
    assert plan(Objects(), 1_000, None, key_refs=True).slots == 8_000


@pytest.mark.parametrize(
    ("store", "capacity", "memory", "message"),
    [
        (Objects(), None, None, "capacity: say how many entries fit, or give memory="),
        (
            Blobs(),
            None,
            1 << 20,
            "capacity: values of Blobs() differ in size: say how many entries fit at most",
        ),
        (
            Rows("int64"),
            1_000,
            1_000,
            "memory: 1000 entries take 34048 bytes; give as much, or leave capacity out",
        ),
        (
            Rows("int64"),
            None,
            500,
            "memory: 500 bytes do not hold a single entry; give at least 908",
        ),
        (
            Blobs(),
            1_000,
            10_000,
            "memory: the table alone takes 42048 bytes for 1000 entries; give more, or a smaller "
            "capacity",
        ),
    ],
)
def test_what_cannot_be_planned(
    store: Store, capacity: int | None, memory: int | None, message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plan(store, capacity, memory)
    assert str(caught.value) == message


WEIGHER = len  # it is only looked at


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"capacity": 9, "memory": "1MiB"},
            "weigher: a cache of Objects cannot tell what they take; give one with memory=",
        ),
        (
            {"capacity": 9, "weigher": WEIGHER},
            "memory: say what entries may take, or leave weigher out",
        ),
        (
            {"capacity": 9, "memory": "1MiB", "weigher": 3},
            "weigher: expected a callable, got 3",
        ),
        (
            {"capacity": 9, "memory": "1MiB", "weigher": WEIGHER, "value": Rows("int64")},
            "weigher: Rows('int64', ()) takes what it takes; leave it out",
        ),
        (
            {"capacity": 9, "value": Blobs()},
            "memory: a cache of Blobs needs it, as in Cache(100_000, memory='64MiB', "
            "value=Blobs())",
        ),
        (
            {"capacity": 9, "memory": "1 GB of it", "value": Blobs()},
            "memory: expected a size such as \"2GiB\", got '1 GB of it'",
        ),
        (
            {"capacity": 9, "memory": -1, "value": Blobs()},
            'memory: expected a size such as "2GiB", got -1',
        ),
        (
            {"capacity": 9, "memory": 4_000, "value": Blobs()},
            "memory: 2796 bytes are left for blobs; give at least 4096 more than the table takes",
        ),
        ({}, "capacity: say how many entries fit, or give memory="),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_arguments_that_do_not_go_together(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        predis.Cache(**arguments)
    assert str(caught.value) == message


# ---------------------------------------------------------------------- kept


class Used:
    """A cache of one store that makes use of every column."""

    def __init__(self, store: Store, policy: str, keys: Any, memory: int, listens: bool) -> None:
        weigher = (lambda key, value: 100) if isinstance(store, Objects) else None
        self.told: list[Any] = []
        self.cache: predis.Cache[Any, Any] = predis.Cache(
            None if isinstance(store, Rows) else 500,
            memory=memory,
            value=store,
            policy=policy,
            keys=keys,
            weigher=weigher,
            on_removal=self.told.append if listens else None,
        )
        capacity = self.cache.capacity
        some: Any = range(2 * capacity)
        if keys != "int64":
            some = [str(key) for key in some]
        values: Any = [b"x" * 400] * len(some)
        if isinstance(store, Rows):
            values = np.zeros((len(some), *store.shape), store.dtype)
        self.cache.set_many(some, values, ttl=60.0)
        self.cache.get_or_load_many(some[:10], lambda ids: values[: len(ids)])
        with self.cache.pinned(some[-10:]):
            pass


@pytest.mark.parametrize(
    ("store", "policy", "keys"),
    [
        (Blobs(), "lru", "int64"),
        (Blobs(), "lru", "any"),
        (Rows("int64"), "s3fifo", "int64"),
        (Objects(), "lru", "any"),
    ],
    ids=str,
)
@pytest.mark.parametrize("listens", [False, True])
def test_a_cache_takes_no_more_than_was_planned(
    store: Store, policy: str, keys: str, listens: bool
) -> None:
    memory = 200_000
    used = Used(store, policy, keys, memory, listens)
    table, cache = used.cache._table, used.cache
    planned = plan(
        store,
        cache.capacity,
        memory,
        policy=policy,
        key_refs=keys != "int64",
        costs=listens,
    )
    assert planned.total <= memory
    assert table.memory <= planned.total
    weight = cache.stats().bytes if isinstance(store, Objects) else 0
    assert table.memory + weight <= memory
    # Nothing of it was planned for nothing: all but the arrays' alignment, and pages' ends.
    fixed = planned.total - (planned.values or 0)
    kept = table.memory - (table._arena.nbytes if table._arena else 0)
    assert fixed - kept < 20_000 if isinstance(store, Blobs) else fixed - kept <= 512
    assert bool(used.told) == listens
