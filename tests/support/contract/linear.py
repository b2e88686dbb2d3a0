"""A linear scorer: the entry with the lowest weighted sum of its features leaves; the weights are
the parameters, so that a tuner or a trained model can move them while the table runs.

The two features are those of Lee et al.: "LRFU: A Spectrum of Policies that Subsumes the Least
Recently Used and Least Frequently Used Policies", IEEE Transactions on Computers 2001. With weights
from a model it is the frame of Song et al.: "Learning Relaxed Belady for Content Distribution
Network Caching", NSDI 2020.
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, Policy

# meta: the lowest HOT_BITS count uses up to _MOST; above, the tick of the last one.
_MOST = (1 << HOT_BITS) - 1
_TICK_BITS = 40
_TICKS = (1 << _TICK_BITS) - 1
_HALF = 1 << (_TICK_BITS - 1)


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Note the first use."""
    return ((tick & _TICKS) << HOT_BITS) + 1, state


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Note a further use, once per tick."""
    if meta >> HOT_BITS == tick & _TICKS:
        return meta
    return ((tick & _TICKS) << HOT_BITS) + min(_MOST, (meta & _MOST) + 1)


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Weigh recency (0 now, lower the longer ago) and frequency (1 to 127)."""
    recency = (((meta >> HOT_BITS) - tick + _HALF) & _TICKS) - _HALF
    return recency * int(parameters[0]) + (meta & _MOST) * int(parameters[1])


POLICY = Policy(
    name="linear",
    slot_bits=HOT_BITS + _TICK_BITS,
    parameters=(1, 32),  # the weights of recency (per tick) and frequency (per use), below 2**23
    on_insert=on_insert,
    on_hit=on_hit,
    rank=rank,
)
