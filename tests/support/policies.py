"""Policies that make sense of nothing and use everything that the contract offers."""

from __future__ import annotations

from typing import Any

from predis_core.policies import Policy


def tally(meta: int) -> int:
    return 1 + ((meta & 3) << 8)


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    meta = (tick & 0x3FF) + (frequency << 10) + (tag << 14) + ((total & 0xFFFF) << 16)
    return meta + ((tick & 0x7FFFFFF) << 33), (state * 5 + tag + parameters[0]) & 0xFFFFFFFFFF


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return ((meta ^ state) & 0xFFFF) - ((tick + total + parameters[1]) & 0xFF)


def segment(meta: int) -> int:
    return (meta >> 3) & 1


def admit(frequency_0: int, frequency_1: int) -> int:
    return 1 if frequency_0 > frequency_1 else 0


def passes(victim_meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return (victim_meta ^ tick ^ state) & 3


def on_pass(meta: int, victim_meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return meta ^ (((victim_meta + tick + state) & 0xF) << 4)


def on_evict(meta: int, tick: int, state: int) -> tuple[int, int]:
    return state ^ (meta & 0xFFFFF), (meta ^ tick) & 3


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    return (meta & 0xFF00) | ((tick ^ state) & 0xFF)


def on_value(meta: int, size: int, cost: int, parameters: Any) -> int:
    return meta ^ (size * 5 + cost * 3 + parameters[1])


def _policy(name: str, slot_bits: int, hit_bits: int, **more: Any) -> Policy:
    return Policy(
        name=name,
        slot_bits=slot_bits,
        hit_bits=hit_bits,
        set_bits=40,
        ghosts=True,
        sketch=True,
        parameters=(1, 2),
        tally=tally,
        on_insert=on_insert,
        rank=rank,
        segment=segment,
        admit=admit,
        passes=passes,
        on_pass=on_pass,
        on_evict=on_evict,
        on_hit=on_hit,
        **more,
    )


# All 63 bits of a slot, with hits that reach into the column; two bytes of column, and hits within
# the line.
WIDE = _policy("wide", slot_bits=63, hit_bits=16)
NARROW = _policy("narrow", slot_bits=20, hit_bits=5)
# One that is told of values, too.
VALUED = _policy("valued", slot_bits=40, hit_bits=16, on_value=on_value)


def nru_on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    return 0, state


def nru_on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    return 1


def nru_rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return meta


def nru_on_pass(
    meta: int, victim_meta: int, tick: int, state: int, total: int, parameters: Any
) -> int:
    return meta & ~victim_meta


# One bit per slot, and neither a column nor a state.
NRU = Policy(
    "nru",
    slot_bits=1,
    on_insert=nru_on_insert,
    on_hit=nru_on_hit,
    rank=nru_rank,
    on_pass=nru_on_pass,
)


def steep_on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    return tick & 0x3F, state


def steep_tally(meta: int) -> int:
    return (meta & 0x3F) << 32


def steep_rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    if meta & 7 == 0:
        return (1 << 63) - 1
    return (((meta & 0x3F) - 32) ^ ((total >> 32) & 1)) << 57


# Ranks that take all bits of a word, and many alike; tallies that leave the lowest 32 bits empty.
STEEP = Policy("steep", slot_bits=6, on_insert=steep_on_insert, rank=steep_rank, tally=steep_tally)
