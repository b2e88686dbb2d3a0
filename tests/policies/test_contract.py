"""A policy that does not keep the contract is refused, in words that name what to change."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from predis_core import policies
from predis_core.errors import ConfigurationError, PolicyError
from predis_core.policies import Policy, as_policy, lru
from predis_core.policies.contract import ARGUMENTS
from predis_core.table import open_table
from predis_core.table.interface import Keys
from predis_core.table.layout import Layout
from predis_core.table.reference import ReferenceTable
from tests.support.contract import ALL

WEIGHT = 0.5
TABLE = [1, 2, 3]
ARRAY = np.array([1, 2, 3])
WIDE = 2**63


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    return tick & 1, state


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return meta


def segment(meta: int) -> int:
    return meta


def admit(frequency_0: int, frequency_1: int) -> int:
    return 0


def policy(**changes: Any) -> Policy:
    """A policy that keeps the contract, but for what is changed."""
    fields = {"name": "mine", "slot_bits": 7, "on_insert": on_insert, "rank": rank, **changes}
    return as_policy(SimpleNamespace(**{k: v for k, v in fields.items() if v is not ...}))


def test_what_keeps_the_contract_is_taken() -> None:
    mine = policy()
    assert (mine.name, mine.slot_bits, mine.visible_bits, mine.set_bits) == ("mine", 7, 7, 0)
    assert not mine.has_segments
    assert not mine.sees_values
    assert policy(slot_bits=63, hit_bits=0, set_bits=63).visible_bits == 0
    assert policy(segment=segment, admit=admit, sketch=True).has_segments
    assert policy(parameters=[2**63 - 1, -(2**63)]).parameters == (2**63 - 1, -(2**63))


class Mine:
    """A policy as a class with static methods."""

    name = "mine"
    slot_bits = 1
    on_insert = staticmethod(on_insert)
    rank = staticmethod(rank)


def test_classes_instances_modules_and_policies_are_taken() -> None:
    assert as_policy(Mine) == as_policy(Mine()) == policy(slot_bits=1)
    assert as_policy(ALL["arc"]) is ALL["arc"]
    assert policies.get(Mine) == policy(slot_bits=1)
    module = SimpleNamespace(**vars(lru), name="mine", slot_bits=39)
    assert dataclasses.replace(as_policy(module), name="lru") == lru.POLICY


@pytest.mark.parametrize("name", ["on_insert", "rank", "name", "slot_bits"])
def test_a_required_field_is_missing(name: str) -> None:
    with pytest.raises(PolicyError, match=rf"lacks {name}; pass a policy's name, a Policy, or"):
        policy(**{name: ...})


def test_an_object_that_is_no_policy_at_all() -> None:
    with pytest.raises(PolicyError, match=r"^policy: 3 lacks name, slot_bits, on_insert, rank;"):
        policies.get(3)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "slot bits in a bool": ({"slot_bits": True}, "slot_bits must be an int from 0 to 63, got True"),
    "single parameter": ({"parameters": 5}, "parameters must be a tuple, got 5"),
    "empty name": ({"name": ""}, "name must be a non-empty str, got ''"),
    "name that is no str": ({"name": 3}, "name must be a non-empty str, got 3"),
    "negative slot bits": ({"slot_bits": -1}, "slot_bits must be an int from 0 to 63, got -1"),
    "too many slot bits": ({"slot_bits": 64}, "slot_bits must be an int from 0 to 63, got 64"),
    "slot bits in a str": ({"slot_bits": "7"}, "slot_bits must be an int from 0 to 63, got '7'"),
    "too many set bits": ({"set_bits": 64}, "set_bits must be an int from 0 to 63, got 64"),
    "more hit bits than slot bits": (
        {"hit_bits": 8},
        "hit_bits must be an int from 0 to 7, got 8",
    ),
    "float parameter": ({"parameters": (1, 0.5)}, "parameters must be int64 values, got (1, 0.5)"),
    "wide parameter": ({"parameters": (2**63,)}, "parameters must be int64 values"),
    "segment alone": (
        {"segment": segment, "sketch": True},
        "admit is missing: segment and admit only work together",
    ),
    "admit alone": (
        {"admit": admit, "sketch": True},
        "segment is missing: segment and admit only work together",
    ),
    "segments without a sketch": (
        {"segment": segment, "admit": admit},
        "sketch must be True, because admit compares its counts",
    ),
    "function that is a number": ({"rank": 3}, "rank must be a plain Python function, got 3"),
    "built-in function": ({"tally": abs}, "tally must be a plain Python function, got <built-in"),
    "too few arguments": (
        {"rank": segment},
        "rank must take (meta, tick, state, total, parameters), but takes (meta)",
    ),
    "arguments in another order": (
        {"on_evict": lambda tick, meta, state: (state, 0)},
        "on_evict must take (meta, tick, state), but takes (tick, meta, state)",
    ),
}


@pytest.mark.parametrize(("changes", "text"), BROKEN.values(), ids=BROKEN)
def test_a_field_breaks_the_contract(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(text)) as caught:
        policy(**changes)
    assert isinstance(caught.value, ConfigurationError)
    assert changes.keys() & {"name", "parameters"} or "'mine'" in str(caught.value)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_function_is_checked(name: str) -> None:
    def other(meta: int, something: int) -> int:
        return meta

    expected = re.escape(f"policy 'mine': {name} must take ({', '.join(ARGUMENTS[name])})")
    with pytest.raises(PolicyError, match=expected):
        policy(**{name: other})


def test_a_method_that_is_not_static() -> None:
    class Bound(Mine):
        def tally(self, meta: int) -> int:
            return meta

    with pytest.raises(PolicyError, match=r"tally must be a plain Python function, got <bound"):
        as_policy(Bound())
    with pytest.raises(PolicyError, match=r"tally must take \(meta\), but takes \(self, meta\)"):
        as_policy(Bound)


# ------------------------------------------------------------- what cannot be compiled


def weighs(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return int(meta * WEIGHT)


def looks_up(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return TABLE[meta]


def indexes(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return int(ARRAY[meta])


def masks(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return meta & (WIDE - 1)


def masks_at_once(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return meta & 0xFFFFFFFFFFFFFFFF


def scales(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return int(meta * 1.5)


def halves(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return int(meta / 2)


def asks_a_module(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return meta & lru._LOW


def asks_a_class(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return meta & Mine.slot_bits


def asks_nobody(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return meta & SLOT_BITS  # type: ignore[name-defined] # noqa: F821


def calls_itself(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return calls_itself(meta - 1, tick, state, total, parameters) if meta else 0


def calls_back(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return _helper(meta, tick, state, total, parameters)


def _helper(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return calls_back(meta, tick, state, total, parameters)


def closing_over(function: Callable[[int], int]) -> Callable[..., int]:
    def closes(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
        return function(meta)

    return closes


UNCOMPILABLE = {
    "float global": (weighs, "weighs refers to 'WEIGHT', a float"),
    "list global": (looks_up, "looks_up refers to 'TABLE', a list"),
    "array global": (indexes, "indexes refers to 'ARRAY', a ndarray"),
    "wide global": (masks, "masks refers to 'WIDE', which does not fit int64"),
    "wide constant": (masks_at_once, f"masks_at_once uses {2**64 - 1}, which does not fit int64"),
    "float constant": (scales, "scales uses 1.5; policies are int64 arithmetic"),
    "true division": (halves, "halves divides with '/'; use '//'"),
    "module": (asks_a_module, "asks_a_module refers to 'lru', a module"),
    "class": (asks_a_class, "asks_a_class refers to 'Mine', a type"),
    "unknown name": (asks_nobody, "asks_nobody uses 'SLOT_BITS', which is defined nowhere"),
    "recursion": (calls_itself, "calls_itself calls itself; policies cannot recurse"),
    "recursion of two": (calls_back, "calls_back calls itself; policies cannot recurse"),
    "closure": (
        closing_over(segment),
        "closing_over.<locals>.closes closes over function 'function'; "
        "move it to the module's top level",
    ),
}


@pytest.mark.parametrize(("function", "text"), UNCOMPILABLE.values(), ids=UNCOMPILABLE)
def test_a_function_that_cannot_be_compiled(function: Callable[..., int], text: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(text)):
        open_table(10, policy(rank=function))


# ------------------------------------------------------------- names


def test_the_names_of_the_built_in_policies() -> None:
    assert policies.names() == (
        "arc",
        "clock",
        "density",
        "fifo",
        "gdsf",
        "lfu",
        "lirs",
        "lru",
        "s3fifo",
        "sieve",
        "slru",
        "wtinylfu",
    )
    assert [policies.get(name).name for name in policies.names()] == list(policies.names())
    assert policies.DEFAULT == "auto"


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"no policy 'lrru' among .*did you mean 'lru'\?"):
        policies.get("lrru")
    with pytest.raises(ConfigurationError, match=r"no policy 's3-fifo'.*did you mean 's3fifo'\?"):
        policies.get("s3-fifo")
    with pytest.raises(
        ConfigurationError, match=r"no policy 'belady' among arc, auto, clock, density, fifo, gdsf"
    ):
        policies.get("belady")


# ------------------------------------------------------------- at run time


def test_the_reference_takes_only_int64() -> None:
    """What machine code would wrap or truncate is an error in the definition."""
    for leaving in (lambda meta: 2**63, lambda meta: 0.5):
        table = ReferenceTable(Layout.build(5), policy(tally=leaving), 0)
        table.insert(Keys(np.array([1])), None, 0)
        with pytest.raises(PolicyError, match=r"a function returned .*, which is no int64"):
            table.insert(Keys(np.array([2])), None, 0)
