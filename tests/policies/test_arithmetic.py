"""What a policy's functions must keep to, checked at every call of a run through the reference."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predis_core.policies.contract import ARGUMENTS, HOT_BITS, TAG_BITS, Policy
from predis_core.table.interface import Keys
from predis_core.table.layout import Layout
from predis_core.table.reference import ReferenceTable
from tests.support import streams
from tests.support.contract import ALL

NAMES = sorted(ALL)
SEQUENCED = ("clock", "fifo", "gdsf", "lfu", "s3fifo", "sieve")
INT64 = range(-(2**63), 2**63)


class Int64(int):
    """An integer whose arithmetic must not leave int64, as that of a compiled policy would wrap."""


def _checked(name: str) -> Callable[..., Any]:
    compute = getattr(int, name)

    @functools.wraps(compute)
    def operation(*operands: int) -> Any:
        result = compute(*operands)
        if result is NotImplemented:
            return result
        if result not in INT64:
            raise OverflowError(f"{name}{operands} is {result}")
        return Int64(result)

    return operation


for _operator in ("add", "sub", "mul", "lshift", "rshift", "and", "or", "xor", "floordiv", "mod"):
    for _name in (f"__{_operator}__", f"__r{_operator}__"):
        setattr(Int64, _name, _checked(_name))
for _name in ("__neg__", "__invert__"):
    setattr(Int64, _name, _checked(_name))


def test_the_checked_integers_notice_what_leaves_int64() -> None:
    assert type(1 + (Int64(3) << 4)) is Int64
    for leaving in (lambda: Int64(2**62) * 2, lambda: 1 << Int64(63), lambda: -Int64(-(2**63))):
        with pytest.raises(OverflowError):
            leaving()


def watched(policy: Policy) -> Policy:
    """Return a policy that computes with checked integers and whose results are checked."""

    def watch(name: str) -> Callable[..., Any]:
        function = getattr(policy, name)

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            result = function(*map(_int64, arguments))
            check(name, result)
            return result

        return call

    def check(name: str, result: Any) -> None:
        if name in ("on_insert", "on_pass", "on_value"):
            meta = result[0] if name == "on_insert" else result
            assert 0 <= meta < 1 << policy.slot_bits
        elif name == "on_hit":
            assert 0 <= result < 1 << policy.visible_bits
        elif name in ("segment", "admit", "passes"):
            assert result in (0, 1)
        elif name == "on_evict":
            assert result[1] in range(1 << TAG_BITS)
        for number in result if isinstance(result, tuple) else (result,):
            assert operator.index(number) in INT64

    defaults = {field.name: field.default for field in dataclasses.fields(Policy)}
    own = [name for name in ARGUMENTS if getattr(policy, name) is not defaults[name]]
    return dataclasses.replace(policy, **{name: watch(name) for name in own})


def _int64(argument: Any) -> Any:
    return tuple(map(Int64, argument)) if isinstance(argument, tuple) else Int64(argument)


@pytest.mark.parametrize("tick", [0, 2**62], ids=["young", "old"])
@pytest.mark.parametrize("name", NAMES)
def test_results_fit(name: str, tick: int) -> None:
    """Metadata fits its bits, a tag two, and nothing leaves int64, however old the table is."""
    policy = watched(ALL[name])
    table = ReferenceTable(Layout.build(40), policy, 7, limit=2**62)
    rng = np.random.default_rng(7)
    table._tick = tick
    table._sets[0].state = (1 << policy.set_bits) - 1 if name in SEQUENCED else 0
    for start in range(0, 800, 8):
        batch = Keys(streams.mix(800, 70, 1)[start : start + 8].copy())
        table.lookup(batch, 0)
        table.insert(
            batch,
            None,
            0,
            sizes=2 ** rng.integers(0, 58, 8),
            costs=2 ** rng.integers(0, 62, 8),
            absent_only=start % 3 > 0,
            guess=start % 5 == 0,
        )
    dump = table.dump()
    assert dump.live.sum() > 30
    assert (dump.metas >> policy.slot_bits == 0).all()


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_a_hit_counts_once_per_tick(name: str, data: st.DataObject) -> None:
    policy = ALL[name]
    meta = data.draw(st.integers(0, (1 << policy.visible_bits) - 1), "meta")
    tick = data.draw(st.integers(0, 2**62), "tick")
    state = data.draw(st.integers(0, (1 << policy.set_bits) - 1), "state")
    once = policy.on_hit(meta, tick, state, policy.parameters)
    assert 0 <= once < 1 << policy.visible_bits
    assert policy.on_hit(once, tick, state, policy.parameters) == once


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_may_hold_a_key_more_than_once(name: str) -> None:
    """So the outcome is that of holding it once, except for the clock."""
    once, often = (ReferenceTable(Layout.build(28), ALL[name], 7) for _ in range(2))
    for table in (once, often):
        table.insert(Keys(np.arange(20)), None, 0)
    once.lookup(Keys(np.array([3, 4, 5])), 0)
    once.lookup(Keys(np.empty(0, np.int64)), 0)
    often.lookup(Keys(np.array([3, 4, 3, 5])), 0)
    assert (once.dump().metas == often.dump().metas).all()
    assert (once.dump().tick, often.dump().tick) == (24, 24)


@pytest.mark.parametrize("name", ["clock", "fifo", "s3fifo", "sieve"])
def test_a_hit_needs_only_the_line_that_it_found(name: str) -> None:
    assert ALL[name].visible_bits <= HOT_BITS
