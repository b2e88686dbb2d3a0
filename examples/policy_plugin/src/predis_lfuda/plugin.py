"""LFU with dynamic ageing (LFU-DA), and the plugin that offers it.

Arlitt, Cherkasova, Dilley, Friedrich, Jin: "Evaluating Content Management Techniques for Web Proxy
Caches", SIGMETRICS Performance Evaluation Review 27(4), 2000.
"""

from typing import Any

from predis_core.plugin import NoOptions, Registry, hookimpl
from predis_core.policies import Policy

# meta: 31 bits of worth, 7 of uses, 24 of the last use's tick; state: the last victim's worth
WORTH, USES, TICK = (1 << 31) - 1, (1 << 7) - 1, (1 << 24) - 1


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Come in with one use."""
    return ((state + 1) << 31) + (1 << 24) + (tick & TICK), state


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Count the use, once per tick; be worth the uses and what the last victim was worth."""
    if meta & TICK == tick & TICK:
        return meta
    uses = min(((meta >> 24) & USES) + 1, USES)
    return ((state + uses) << 31) + (uses << 24) + (tick & TICK)


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Let go of what is worth least; of equals, of what was used longest ago."""
    return ((((meta >> 31) - state) & WORTH) << 24) - ((tick - meta) & TICK)


def on_evict(meta: int, tick: int, state: int) -> tuple[int, int]:
    """Note what the victim was worth: newcomers begin there. It leaves no ghost."""
    return meta >> 31, 0


LFUDA = Policy("lfuda", 62, on_insert, rank, set_bits=31, on_hit=on_hit, on_evict=on_evict)


class Lfuda:
    """Offers the policy by its name."""

    def __init__(self, options: NoOptions) -> None: ...

    @hookimpl
    def predis_register(self, registry: Registry) -> None:
        registry.add_policy(LFUDA)
