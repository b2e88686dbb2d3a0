"""The model accepts what a cache may answer, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from predis_core.clock import ManualClock
from predis_core.snapshot import RestoreReport
from predis_core.testing import CacheModel
from predis_core.types import Removals, Stats


class Case:
    """A model of a cache of three, its clock, and short names."""

    def __init__(self, ttl: float | None = None) -> None:
        self.clock = ManualClock()
        self.model = CacheModel(3, clock=self.clock, ttl=ttl)

    def set(self, **entries: Any) -> None:
        self.model.expect_set(list(entries), list(entries.values()), [True] * len(entries))

    def stats(self, **changed: int) -> Stats:
        counts = dict.fromkeys(Stats.__struct_fields__, 0) | {"capacity": 3} | changed
        return Stats(**counts)


@pytest.fixture
def case() -> Case:
    return Case()


def refuses(message: str) -> Any:
    return pytest.raises(AssertionError, match=message)


# ------------------------------------------------------------------ reading


def test_what_was_stored_is_found(case: Case) -> None:
    case.set(a=1, b=None)
    case.model.expect_get(["a", "b", "c", "a"], [1, None, None, 1], [True, True, False, True])
    case.model.expect_present(["a", "c"], np.array([True, False]))
    case.model.expect_keys(["b", "a"])
    case.model.expect_items([("a", 1), ("b", None)])
    case.model.expect_len(2)
    assert case.model.entries() == {"a": 1, "b": None}


def test_a_wrong_value_is_refused(case: Case) -> None:
    case.set(a=1)
    with refuses("get: 'a' has the value 2, expected 1"):
        case.model.expect_get(["a"], [2], [True])
    with refuses("iteration: 'a' has the value 2, expected 1"):
        case.model.expect_items([("a", 2)])
    with refuses("delete: 'a' has the value 2, expected 1"):
        case.model.expect_delete(["a"], [True], values=[2])


def test_arrays_are_compared_in_shape_and_content(case: Case) -> None:
    row = np.array([1.0, np.nan])
    case.set(a=row)
    case.model.expect_get(["a"], np.array([[1.0, np.nan]]), [True])
    for other in (np.array([1.0, 2.0]), np.array([[1.0, np.nan]]), 1.0):
        with refuses("get: 'a' has the value"):
            case.model.expect_get(["a"], [other], [True])


def test_keys_are_those_of_a_dict(case: Case) -> None:
    case.model.expect_set([1, True, (2,)], ["x", "y", "z"], [True] * 3)
    case.model.expect_get([1.0, (2,)], ["y", "z"], [True, True])
    case.model.expect_keys([True, (2,)])


@pytest.mark.parametrize("gone", ["was never stored", "was deleted", "was cleared", "has expired"])
def test_a_key_that_is_gone_is_not_found(case: Case, gone: str) -> None:
    if gone == "has expired":
        case.model.expect_set(["a"], [1], [True], ttl=5)
        case.clock.advance(5)
    elif gone != "was never stored":
        case.set(a=1)
    if gone == "was deleted":
        case.model.expect_delete(["a", "a"], [True, False])
    if gone == "was cleared":
        case.model.expect_clear(1)
    with refuses(f"get: found 'a', which {gone}"):
        case.model.expect_get(["a"], [1], [True])
    with refuses(f"contains: found 'a', which {gone}"):
        case.model.expect_present(["a"], [True])
    with refuses(f"iteration: found 'a', which {gone}"):
        case.model.expect_keys(["a"])
    with refuses(f"delete: found 'a', which {gone}"):
        case.model.expect_delete(["a"], [True])
    with refuses(f"ttl_left: found 'a', which {gone}"):
        case.model.expect_ttl_left("a", None)
    case.model.expect_get(["a"], [None], [False])


def test_a_key_that_is_there_is_not_missed(case: Case) -> None:
    case.set(a=1)
    for what, ask in {
        "get": lambda: case.model.expect_get(["a"], [None], [False]),
        "touch": lambda: case.model.expect_present(["a"], [False], what="touch"),
        "delete": lambda: case.model.expect_delete(["a"], [False]),
        "load": lambda: case.model.expect_asked(["a"], ["a"]),
    }.items():
        with refuses(f"{what}: 'a' is missing, but was stored"):
            ask()
    with refuses(r"iteration: \['a'\] are missing, but only 0 evictions"):
        case.model.expect_keys([])


def test_a_miss_comes_with_the_blank(case: Case) -> None:
    case.model.expect_get(["a"], [0], [False], blank=0)
    case.model.expect_get(["a"], ["anything"], [False])
    with refuses("get: the missed key 'a' came with 5 instead of 0"):
        case.model.expect_get(["a"], [5], [False], blank=0)


def test_a_key_does_not_come_twice(case: Case) -> None:
    case.set(a=1)
    with refuses("iteration: 'a' comes twice"):
        case.model.expect_keys(["a", "a"])


def test_answers_are_as_long_as_questions(case: Case) -> None:
    with refuses("get: 2 keys, but 1 in hit"):
        case.model.expect_get(["a", "b"], [None, None], [False])
    with refuses("set: 1 keys, but 2 in stored"):
        case.model.expect_set(["a"], [1], [True, True])


# ------------------------------------------------------------------ forgetting


def test_counted_evictions_may_be_missing_and_no_more(case: Case) -> None:
    case.set(a=1, b=2, c=3)
    case.model.note_evictions(1)
    assert case.model.forgotten == 1
    case.model.expect_get(["a", "a"], [1, 1], [True, True])
    case.model.expect_get(["b", "b"], [None, None], [False, False])
    assert case.model.forgotten == 0
    with refuses("get: 'c' is missing"):
        case.model.expect_get(["c"], [None], [False])
    with refuses("get: found 'b', which was evicted"):
        case.model.expect_get(["b"], [2], [True])


def test_iteration_names_what_was_evicted(case: Case) -> None:
    case.set(a=1, b=2, c=3)
    case.model.note_evictions(2)
    with refuses(r"iteration: \['a', 'b', 'c'\] are missing, but only 2"):
        case.model.expect_keys([])
    case.model.expect_keys(["c"])
    assert case.model.entries() == {"c": 3}
    assert case.model.forgotten == 0


def test_named_evictions_are_gone(case: Case) -> None:
    case.set(a=1, b=2)
    case.model.expect_set(["c", "d"], [3, 4], [True] * 2, evicted=(["a"], [1]))
    with refuses("contains: found 'a', which was evicted"):
        case.model.expect_present(["a"], [True])
    with refuses("get: 'b' is missing"):
        case.model.expect_get(["b"], [None], [False])


def test_what_is_evicted_must_have_been_there(case: Case) -> None:
    case.set(a=1)
    with refuses("evicted: 'x' came with the value 9, but it was never stored"):
        case.model.expect_set(["b"], [2], [True], evicted=(["x"], [9]))


def test_what_is_evicted_has_its_value(case: Case) -> None:
    case.set(a=1)
    with refuses("evicted: 'a' came with the value 9, expected 1"):
        case.model.expect_set(["b"], [2], [True], evicted=(["a"], [9]))


def test_nothing_is_evicted_twice(case: Case) -> None:
    case.set(a=1)
    with refuses("evicted: 'a' came with the value 1, but it was evicted"):
        case.model.expect_set(["b"], [2], [True], evicted=(["a", "a"], [1, 1]))


def test_a_key_evicted_before_its_turn_is_there_afterwards(case: Case) -> None:
    case.set(a=1)
    case.model.expect_set(["b", "a"], [2, 3], [True, True], evicted=(["a"], [1]))
    case.model.expect_get(["a"], [3], [True])
    assert case.model.forgotten == 0


def test_a_key_evicted_after_its_turn_is_not(case: Case) -> None:
    case.set(a=1)
    case.model.expect_set(["a", "b"], [3, 2], [True, True], evicted=(["a"], [3]))
    case.model.expect_get(["a"], [None], [False])


def test_a_key_evicted_with_both_its_values_alike_may_be_there_or_not() -> None:
    for hit in (True, False):
        case = Case()
        case.set(a=1)
        case.model.expect_set(["a", "b"], [1, 2], [True, True], evicted=(["a"], [1]))
        case.model.expect_get(["a"], [1 if hit else None], [hit])


def test_more_than_fit_are_too_many(case: Case) -> None:
    case.set(a=1, b=2, c=3, d=4)
    with refuses("len: 4 entries in a cache of 3"):
        case.model.expect_len(4)


def test_the_length_is_accounted_for(case: Case) -> None:
    case.set(a=1, b=2)
    with refuses("len: 1, but from 2 to 2 entries are accounted for"):
        case.model.expect_len(1)
    with refuses("len: 3, but from 2 to 2 entries are accounted for"):
        case.model.expect_len(3)
    case.model.note_evictions(1)
    case.model.expect_len(1)


# ------------------------------------------------------------------ writing


def test_the_last_of_equal_keys_wins(case: Case) -> None:
    case.model.expect_set(["a", "b", "a"], [1, 2, 3], [True] * 3, ttl=[1, 1, 9])
    case.model.expect_get(["a"], [3], [True])
    case.model.expect_ttl_left("a", 9.0)
    with refuses("set: 'a', twice in the batch, is stored here and refused there"):
        case.model.expect_set(["a", "a"], [1, 2], [False, True])


def test_what_is_refused_is_not_stored(case: Case) -> None:
    case.set(b=0)
    case.model.expect_pinned(["b"], [0], [True])
    case.model.expect_set(["a", "b"], [1, 2], [False, True])
    assert case.model.entries() == {"b": 2}


def test_nothing_is_refused_without_need(case: Case) -> None:
    with refuses("set: 'a' is refused, but it fits and 0 places are pinned"):
        case.model.expect_set(["a"], [1], [False])


def test_lives_end() -> None:
    case = Case(ttl=2)
    case.set(a=1)
    case.model.expect_set(["b"], [2], [True], ttl=timedelta(seconds=5))
    case.model.expect_set(["c"], [3], [True], ttl=float("inf"))
    case.model.expect_ttl_left("a", 2.0)
    case.clock.advance(1.5)
    case.model.expect_ttl_left("a", 0.5)
    case.model.expect_ttl_left("b", 3.5)
    case.model.expect_ttl_left("c", None)
    with refuses(r"ttl_left: 'a' has 0.5 seconds left, the cache says 2.0"):
        case.model.expect_ttl_left("a", 2.0)
    with refuses(r"ttl_left: 'c' has None seconds left, the cache says 1.0"):
        case.model.expect_ttl_left("c", 1.0)
    case.set(a=4)
    case.model.expect_ttl_left("a", 2.0)
    case.clock.advance(2)
    assert case.model.entries() == {"b": 2, "c": 3}


def test_what_has_expired_counts_until_it_is_reclaimed(case: Case) -> None:
    case.model.expect_set(["a"], [1], [True], ttl=1)
    case.set(b=2)
    case.clock.advance(1)
    case.model.expect_len(2)
    case.model.expect_len(1)
    case.model.expect_delete(["a"], [False])
    with refuses("len: 2, but from 1 to 1 entries"):
        case.model.expect_len(2)


# ------------------------------------------------------------------ loading


def test_a_loader_is_asked_for_distinct_missing_ids_in_order(case: Case) -> None:
    case.set(a=1)
    keys = ["c", "a", "b", "c"]
    assert case.model.expect_asked(keys, ["c", "b"]) == {"a": 1}
    for asked in (["b", "c"], ["c", "b", "c"], ["c", "b", "x"]):
        with refuses("load: the loader was asked for"):
            case.model.expect_asked(keys, asked)
    with refuses("load: found 'b', which was never stored"):
        case.model.expect_asked(keys, ["c"])


def test_what_is_filled_is_what_is_available(case: Case) -> None:
    available = {"a": 1, "b": 2}
    case.model.expect_filled(["a", "b", "x"], [1, 2, None], [True, True, False], available)
    with refuses("load: 'b' has the value 9, expected 2"):
        case.model.expect_filled(["b"], [9], [True], available)
    with refuses("load: 'x' is found, but the loader disagrees"):
        case.model.expect_filled(["x"], [9], [True], available)
    with refuses("load: 'a' is not found, but the loader disagrees"):
        case.model.expect_filled(["a"], [None], [False], available)


# ------------------------------------------------------------------ counters


def test_counters_add_up(case: Case) -> None:
    case.set(a=1, b=2)
    case.set(a=3)
    case.model.expect_get(["a", "x"], [3, None], [True, False])
    case.model.expect_delete(["b"], [True])
    case.model.expect_asked(["a", "y", "y"], ["y"])
    case.model.note_failed_loads(1)
    right = {
        "hits": 2,
        "misses": 3,
        "insertions": 2,
        "updates": 1,
        "deletions": 1,
        "loads": 1,
        "load_failures": 1,
        "size": 1,
    }
    case.model.expect_stats(case.stats(**right))
    for name in right:
        with refuses("stats: |len: "):
            case.model.expect_stats(case.stats(**(right | {name: right[name] + 1})))


def test_evictions_in_the_counters_may_be_missing(case: Case) -> None:
    case.set(a=1, b=2, c=3)
    case.set(d=4)
    case.model.expect_stats(case.stats(insertions=4, evictions=1, size=3))
    assert case.model.forgotten == 1
    case.model.expect_stats(case.stats(insertions=4, evictions=1, size=3))
    assert case.model.forgotten == 1
    case.model.expect_keys(["b", "c", "d"])


def test_evictions_are_not_taken_back(case: Case) -> None:
    case.set(a=1)
    case.model.note_evictions(1)
    with refuses("stats: evictions 0, but 1 are known"):
        case.model.expect_stats(case.stats(insertions=1, size=1))


# ------------------------------------------------------------------ the life of a cache


def test_what_is_pinned_may_not_be_missing(case: Case) -> None:
    case.set(a=1, b=2)
    outer = case.model.expect_pinned(["a", "x"], [1, None], [True, False], blank=None)
    inner = case.model.expect_pinned(["a"], [1], [True])
    case.model.note_evictions(2)
    case.model.note_unpinned(outer)
    with refuses("get: 'a' is missing, but it is pinned"):
        case.model.expect_get(["a"], [None], [False])
    case.model.note_unpinned(inner)
    case.model.expect_get(["a", "b"], [None, None], [False, False])


def test_the_place_of_what_was_pinned_is_taken_until_the_pin_goes(case: Case) -> None:
    case.set(a=1)
    pins = case.model.expect_pinned(["a"], [1], [True])
    case.model.expect_delete(["a"], [True])
    case.model.expect_set(["b"], [2], [False])
    case.model.note_unpinned(pins)
    assert not case.model.may_refuse("b", 2)


def removals(*told: tuple[Any, Any, str]) -> Removals:
    keys, values, reasons = zip(*told, strict=True)
    return Removals(list(keys), list(values), list(reasons), np.zeros(len(told)))


def test_all_that_leaves_must_be_told_once_and_rightly() -> None:
    for told, message in {
        (): "told: nobody was told that 1 of 'a' left",
        (("a", 3, "replaced"),): "told: 'a' was replaced with 3, but had 1",
        (("a", 1, "deleted"),): "told: 'a' was deleted, which cannot be why it left",
        (("a", 1, "expired"),): "told: 'a' was expired, which cannot be why it left",
        (("b", 1, "evicted"),): "told: 'b' was evicted with 1, but was not there",
        (("a", 1, "replaced"),) * 2: "told: 'a' was replaced with 1, but had 2",
        (("a", 1, "replaced"), ("a", 2, "evicted")): "told: {'a'} are there, but were told",
    }.items():
        case = Case()
        listener = case.model.listen()
        case.set(a=1)
        case.model.expect_told(1, ["a"])
        case.set(a=2)
        if told:
            listener(removals(*told))
        with refuses(message):
            case.model.expect_told(1, ["a"])


def test_what_expired_is_there_until_it_was_told() -> None:
    case = Case(ttl=1)
    listener = case.model.listen()
    case.set(a=1)
    case.clock.advance(1)
    case.model.expect_told(1, [])
    case.set(b=2)
    listener(removals(("a", 1, "expired")))
    with refuses("told: 2 entries are there, but 1 and 0 expired ones"):
        case.model.expect_told(2, ["b"])


def test_bytes_are_accounted_for() -> None:
    model = CacheModel(3, clock=ManualClock(), weigh=lambda key, value: value, limit=10)
    model.expect_set(["a", "b"], [4, 11], [True, False])
    model.expect_bytes(4)
    with refuses("bytes: 5, but from 4 to 4 are accounted for"):
        model.expect_bytes(5)
    with refuses("bytes: 12 are held, in a cache that has 10 for values"):
        model.expect_bytes(12)
    with refuses("set: 'c' is refused, but it fits and 0 places are pinned"):
        model.expect_set(["c"], [10], [False])


def test_a_restore_must_say_what_became_of_each_entry(case: Case) -> None:
    case.set(a=1, b=2)
    image = case.model.expect_snapshot(2)
    case.model.expect_delete(["a"], [True])
    right = RestoreReport(2, 1, 1, 0, 0, 0.0)
    with refuses("restore: the report says .*'restored': 1.* expected .*'restored': 0"):
        case.model.expect_restored(image, right, [False, True])
    case.model.expect_restored(image, right, [True, True])
    assert case.model.entries() == {"a": 1, "b": 2}


# ------------------------------------------------------------------ the kit


def test_the_model_needs_no_hypothesis_and_the_machine_says_what_it_needs() -> None:
    code = """
import sys
sys.modules["hypothesis"] = None
from predis_core.testing import CacheModel
try:
    from predis_core.testing import CacheMachine
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == (
        'the state machine needs Hypothesis; install it with: pip install "predis-core[testing]"'
    ), done.stderr


def test_the_kit_lists_what_it_exports() -> None:
    import predis_core.testing as kit

    assert set(kit.__all__) <= set(dir(kit))
    assert all((getattr(kit, name).__doc__ or "").strip() for name in kit.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = kit.Nothing
