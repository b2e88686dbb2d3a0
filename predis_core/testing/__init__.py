"""The testing kit: what a cache owes its user, as a model, and a machine that looks for breaches.

`CacheModel` knows which answers of a cache are right, whatever the cache is made of. `CacheMachine`
is a Hypothesis state machine that calls every face of a `Cache` in random order and asks the model
about each answer; it needs Hypothesis: `pip install "predis-core[testing]"`.

    from predis_core.testing import CacheMachine

    class MyMachine(CacheMachine):
        def make_cache(self):
            return Cache(10, policy=my_policy, clock=self.clock)

        def keys(self):
            return st.integers(0, 20)

        def values(self):
            return st.integers()

    TestMyPolicy = MyMachine.TestCase
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from predis_core.testing.machine import CacheMachine
    from predis_core.testing.model import CacheModel

_HOMES = {
    "CacheMachine": "predis_core.testing.machine",
    "CacheModel": "predis_core.testing.model",
}

__all__ = ["CacheMachine", "CacheModel"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'predis_core.testing' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
