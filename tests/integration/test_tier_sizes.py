"""Caches with a tier that are resized and divided: what each of the two tables has then."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import Cache
from predis_core.errors import CacheBusy, ConfigurationError, DeviceError
from predis_core.table import moving
from predis_core.table.cuda.shared import SharedGpuTable
from predis_core.table.interface import CacheTable
from predis_core.table.layout import WAYS
from predis_core.tiers import TierRequest, in_memory
from predis_core.tiers.moving import Move
from predis_core.tiers.tiered import TieredTable
from tests.support.crew import PATIENCE
from tests.support.gpu import open_on_host
from tests.support.tiers import open_tiered

ROWS = predis.Rows("int64")
MANY = np.arange(500)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many steps per move."""
    monkeypatch.setattr(moving, "_BYTES", 4 * WAYS * moving._ENTRY_BYTES)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the table above is on."""
    if request.param == "cuda":
        open_on_host(monkeypatch)
    return str(request.param)


def filled(above: int = 100, below: int = 1_000, **options: Any) -> Cache[int, int]:
    """Return a cache in which there are 500 entries."""
    cache = open_tiered(above, below, **{"policy": "lru", "seed": 1} | options)
    assert cache.set_many(MANY, 2 * MANY).all()
    return cache


def sizes(cache: Cache[Any, Any]) -> tuple[int, int]:
    """Return the capacities of both tables, the one above first."""
    upper, lower = cache.tiers()
    assert lower.capacity == cache.capacity
    return upper.capacity, lower.capacity


def above(cache: Cache[Any, Any]) -> set[int]:
    """Return the keys of which there are copies above."""
    assert isinstance(cache._table, TieredTable)
    return set(cache._table.upper.export(0).keys.words.tolist())


# ------------------------------------------------------------------ resize


def test_a_resize_is_the_tiers_and_copies_stay(device: str) -> None:
    cache = filled(device=device)
    copies = above(cache)
    assert len(copies) == 100
    report = cache.resize(5_000)
    assert (report.moved, report.evicted) == (500, 0)
    assert sizes(cache) == (100, 5_000)
    assert above(cache) == copies
    values, hit = cache.get_many(MANY)
    assert hit.all()
    assert values.tolist() == (2 * MANY).tolist()
    assert [tier.hits for tier in cache.tiers()] == [100, 400]
    cache.check_invariants()


def test_copies_are_resized_by_their_own_name(device: str) -> None:
    cache = filled(device=device)
    copies = above(cache)
    report = cache.resize(cache.capacity, above=300)
    assert (report.moved, report.evicted) == (0, 0)
    assert sizes(cache) == (300, 1_000)
    assert above(cache) == copies
    cache.get_many(MANY)
    assert len(above(cache)) > 200
    cache.resize(1_000, above=20)
    assert sizes(cache) == (20, 1_000)
    assert len(above(cache)) == 20
    assert cache.get_many(MANY)[1].all()
    cache.check_invariants()
    assert isinstance(cache._table, TieredTable)
    assert isinstance(cache._table.upper, SharedGpuTable) == (device == "cuda")


def test_what_the_tier_has_no_room_for_has_no_copy(device: str) -> None:
    cache = filled(device=device)
    told: list[int] = []
    cache.add_removal_listener(lambda gone: told.extend(gone.keys), reasons=["evicted"])
    report = cache.resize(50)
    assert report.evicted == 450 == len(told) == len(set(told))
    assert len(cache) == 50
    assert not above(cache) & set(told)
    assert cache.get_many(told)[1].sum() == 0
    cache.check_invariants()


def test_copies_never_outnumber_entries_and_come_back(device: str) -> None:
    cache = filled(device=device)
    cache.resize(30)
    assert sizes(cache) == (30, 30)
    cache.resize(2_000)
    assert sizes(cache) == (100, 2_000)
    cache.check_invariants()


def test_listeners_are_told_without_a_lock() -> None:
    cache = filled()
    found: list[bool] = []

    def ask(gone: Any) -> None:
        other = threading.Thread(target=cache.get_many, args=([1],))
        other.start()
        other.join(PATIENCE)
        found.append(not other.is_alive())

    cache.add_removal_listener(ask, reasons=["evicted"])
    cache.resize(300)
    assert found
    assert all(found)


def test_pins_of_before_forbid_it_and_those_of_meanwhile_hold() -> None:
    cache = filled()
    with cache.pinned([1]):
        with pytest.raises(CacheBusy, match="it cannot be resized while entries are pinned"):
            cache.resize(900)
        # Pins are the tier's.
        cache.resize(1_000, above=50)
    assert sizes(cache) == (50, 1_000)
    interrupt(cache, 900, at=2)
    pins = cache.pinned([1, 2, 3])
    with pins as values:
        assert pins.hit.all()
        assert values.tolist() == [2, 4, 6]
        with pytest.raises(CacheBusy):
            cache.resize(800)
        cache.set_many(np.arange(10_000, 20_000), np.arange(10_000))
        assert cache.get_many([1, 2, 3])[1].all()
        cache.check_invariants()
    report = cache.resize(800)
    assert report.moved - report.evicted == len(cache) > 700


def interrupt(cache: Cache[Any, Any], capacity: int, at: int) -> None:
    """Begin a resize that nobody goes on with after a few steps."""
    steps = Move.steps

    def few(self: Move, now: Any) -> Iterator[None]:
        for count, _ in enumerate(steps(self, now)):
            if count == at:
                raise KeyboardInterrupt
            yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Move, "steps", few)
        with pytest.raises(KeyboardInterrupt):
            cache.resize(capacity)


@pytest.mark.parametrize("at", [0, 1, 3])
def test_an_interrupted_resize_loses_nothing_and_is_finished(device: str, at: int) -> None:
    cache = filled(device=device)
    interrupt(cache, 3_000, at)
    assert cache.capacity == 3_000
    assert dict(cache.items()) == dict(zip(MANY.tolist(), (2 * MANY).tolist(), strict=True))
    cache.set_many(MANY[::2], 3 * MANY[::2])
    assert cache.delete_many([1, 3]).all()
    assert cache.get_many(MANY)[1].sum() == 498
    cache.check_invariants()
    cache.resize(2_500)
    assert sizes(cache) == (100, 2_500)
    values, hit = cache.get_many(MANY)
    assert hit.sum() == 498
    assert values[::2].tolist() == (3 * MANY[::2]).tolist()
    assert cache.stats().insertions == 500
    cache.check_invariants()


def test_a_resize_that_is_interrupted_at_its_end_is_finished(device: str) -> None:
    cache = filled(device=device)

    def ends(self: Move, rest: Iterator[None]) -> bool:
        for _ in rest:
            return True
        raise KeyboardInterrupt

    for capacity, copies in ((2_000, 100), (2_000, 200), (1_500, 150)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Move, "_advance", ends)
            with pytest.raises(KeyboardInterrupt):
                cache.resize(capacity, above=copies)
        assert cache.get_many(MANY)[1].all()
        cache.resize(capacity, above=copies)
        assert sizes(cache) == (copies, capacity)
        assert cache.get_many(MANY)[1].all()
        cache.check_invariants()


def test_closing_tells_of_what_an_interrupted_resize_had_no_room_for() -> None:
    cache = filled()
    told: list[int] = []
    cache.add_removal_listener(lambda gone: told.extend(gone.keys))
    interrupt(cache, 100, at=2)
    cache.set_many([5_000], [1])
    cache.close()
    assert sorted(told) == [*MANY.tolist(), 5_000]


# ------------------------------------------------------------------ what is refused


REFUSED: dict[str, tuple[Any, str]] = {
    "more than entries": (
        (200, 201),
        "above: a tier holds all that is above it, but 200 entries fit, and 201 above; ask for as "
        "many at most",
    ),
    "none": ((200, 0), "above: expected 1 to 2**40 entries, got 0"),
    "no number": ((200, "1GiB"), "above: expected an int (entries), got '1GiB'"),
    "too much of the host's memory": ((10_000, None), "memory: 10000 entries take "),
    "too much of the device's memory": ((1_000, 900), "memory: 900 entries take "),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_a_size_that_does_not_fit_leaves_the_cache_as_it_was(refused: str) -> None:
    cache = filled(memory="4KiB", host_memory="64KiB")
    (capacity, copies), message = REFUSED[refused]
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="^" + re.escape(message)):
            cache.resize(capacity, above=copies)
    assert sizes(cache) == (100, 1_000)
    assert cache.resize(1_000) == predis.resizing.ResizeReport(0, 0, 0.0)


def test_copies_are_asked_for_over_a_tier_only() -> None:
    cache = Cache[int, int](100, value=ROWS, device="cpu")
    message = "above: cache 'default' has no tier, and so no copies above it; leave it out"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        cache.resize(200, above=10)
    # Where the tier is all there is, the same call does what it can.
    tiered = Cache[int, int](10, host_capacity=100, value=ROWS, device="cpu")
    tiered.resize(200, above=20)
    assert tiered.capacity == 200
    tiered.namespace("a").resize(60, above=3)
    assert tiered.capacity == 140


class Other:
    """A tier with the verbs that every tier has, and no other."""

    def __init__(self, request: TierRequest) -> None:
        self._table = in_memory(request)

    def __getattr__(self, name: str) -> Any:
        if name not in dir(CacheTable):
            raise AttributeError(name)
        return getattr(self._table, name)

    layout = property(lambda self: self._table.layout)
    policy = property(lambda self: self._table.policy)
    candidates = property(lambda self: self._table.candidates)


def test_a_tier_that_cannot_be_resized_is_named() -> None:
    cache = open_tiered(10, 100, tier=Other, name="rows", policy="lru")
    cache[1] = 2
    message = (
        "cache 'rows' has a tier 'Other' below it, which cannot be resized: it has no like and no "
        "move_to; take the tier 'memory', or have the tier do what "
        "predis_core.tiers.ResizableTier says"
    )
    for refused in (lambda: cache.resize(7), lambda: cache.namespace("a")):
        with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
            refused()
    cache.resize(100, above=20)
    assert sizes(cache) == (20, 100)
    assert cache.namespaces() == {}
    assert cache[1] == 2


class Wrapped(Other):
    """A tier that has what the table that it wraps has."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)


def test_a_tier_that_can_be_resized_is() -> None:
    cache = open_tiered(10, 100, tier=Wrapped, policy="lru", seed=1)
    cache.set_many(MANY[:50], MANY[:50])
    assert cache.resize(400).moved == 50
    space = cache.namespace("a", share=0.5)
    space[1] = 2
    assert parts(cache) == {"": (5, 200), "a": (5, 200)}
    assert cache.get_many(MANY[:50])[1].all()
    cache.check_invariants()


# ------------------------------------------------------------------ namespaces


def parts(cache: Cache[Any, Any]) -> dict[str, tuple[int, int]]:
    """Return what the default namespace, as "", and the others have above and below."""
    return {"": sizes(cache)} | {name: sizes(each) for name, each in cache.namespaces().items()}


def test_a_namespace_has_the_same_share_of_both(device: str) -> None:
    cache = filled(device=device)
    acme = cache.namespace("acme", share=0.5)
    assert parts(cache) == {"": (50, 500), "acme": (50, 500)}
    few = cache.namespace("few", capacity=3)
    assert parts(cache) == {"": (49, 497), "acme": (50, 500), "few": (1, 3)}
    acme.set_many(MANY[:100], 3 * MANY[:100])
    few[1] = 7
    assert (acme[1], few[1]) == (3, 7)
    assert cache.get_many([1])[1].all() == (1 in cache)
    cache.drop_namespace("acme")
    assert parts(cache) == {"": (99, 997), "few": (1, 3)}
    cache.check_invariants()


def test_entries_and_copies_are_exchanged_each_by_its_name(device: str) -> None:
    cache = filled(device=device)
    acme = cache.namespace("acme", share=0.5)
    acme.resize(900)
    assert parts(cache) == {"": (50, 100), "acme": (50, 900)}
    acme.resize(900, above=80)
    assert parts(cache) == {"": (20, 100), "acme": (80, 900)}
    acme.resize(200, above=99)
    assert parts(cache) == {"": (1, 800), "acme": (99, 200)}
    acme.resize(300, above=10)
    assert parts(cache) == {"": (90, 700), "acme": (10, 300)}
    with pytest.raises(ConfigurationError) as caught:
        acme.resize(300, above=100)
    assert str(caught.value) == (
        "above: namespace 'acme' wants 100 copies and could have 99 of 100; ask for less, or "
        "resize() the cache"
    )
    assert parts(cache) == {"": (90, 700), "acme": (10, 300)}
    cache.resize(1_700, above=190)
    assert parts(cache) == {"": (190, 1_700), "acme": (10, 300)}
    cache.drop_namespace("acme")
    assert parts(cache) == {"": (200, 2_000)}


def test_a_tier_is_made_for_each_by_its_name() -> None:
    asked: list[tuple[str, int]] = []

    def make(request: TierRequest) -> Any:
        asked.append((request.cache, request.layout.slots))
        return in_memory(request)

    cache = open_tiered(10, 100, tier=make, policy="lru", name="shop")
    space = cache.namespace("acme")
    assert asked == [("shop", 100), ("shop/acme", 25)]
    assert [tier.name for tier in space.tiers()] == ["above", "make"]


def test_a_configuration_divides_both(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    section = {
        "capacity": 40, "host_capacity": 400, "policy": "lru", "device": device,
        "value": {"kind": "rows", "dtype": "int64"},
        "namespaces": {"acme": {"share": 0.5}, "few": {"capacity": 100}},
    }  # fmt: skip
    with predis.open({"cache": section}) as cache:
        assert {name: each.capacity for name, each in cache.namespaces().items()} == {
            "acme": 200,
            "few": 100,
        }
        assert cache.capacity == 100
        if device == "cuda":
            assert parts(cache) == {"": (10, 100), "acme": (20, 200), "few": (10, 100)}
