"""How often each verb launches a kernel: nobody is to add one without seeing it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predis_core import Cache, Rows
from predis_core.table.cuda.launch import CupyDevice
from tests.support.cupy import LAUNCHES, Device
from tests.support.gpu import put_cupy_in_place

N = 100
Verb = Callable[[Cache[int, int], Any], object]
# A sketch takes three more: what was found or stored is counted, and the counts may have to age.
SKETCH = 3
VERBS: dict[str, tuple[Verb, int, int]] = {
    # The verb, its launches, and how many more where the policy has a sketch.
    "get_many": (lambda cache, keys: cache.get_many(keys), 1, SKETCH),
    "touch_many": (lambda cache, keys: cache.touch_many(keys), 1, SKETCH),
    "contains_many": (lambda cache, keys: cache.contains_many(keys), 1, 0),
    # Equal keys are united, then order, insert, spread; and CuPy sorts between them.
    "set_many": (lambda cache, keys: cache.set_many(keys, keys), 4, SKETCH),
    # The rows of what left are gathered.
    "set_many, with what left": (
        lambda cache, keys: cache.set_many(keys, keys, return_evicted=True), 5, SKETCH,
    ),
    "delete_many": (lambda cache, keys: cache.delete_many(keys), 2, 0),
    # A lookup, and the positions of misses; there are none.
    "get_or_load_many": (lambda cache, keys: cache.get_or_load_many(keys, abs), 3, SKETCH),
}  # fmt: skip


@pytest.mark.parametrize(("policy", "has_sketch"), [("lru", False), ("wtinylfu", True)])
def test_no_verb_launches_more_than_it_did(
    policy: str, has_sketch: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_cupy_in_place(monkeypatch, tmp_path)
    sorts: list[int] = []
    sort = CupyDevice.sort
    monkeypatch.setattr(
        CupyDevice, "sort", lambda self, array: (sorts.append(len(array)), sort(self, array))[1]
    )
    with Device(0):
        cache: Cache[int, int] = Cache(
            N, policy=policy, value=Rows("int64"), keys="int64", seed=1, device="cuda:0"
        )
        device: Any = cache._table.device  # type: ignore[attr-defined]
        keys = device.take(np.arange(N // 4), np.int64)
        found, expected = {}, {}
        for name, (verb, launches, more) in VERBS.items():
            cache.set_many(keys, keys)
            LAUNCHES.clear()
            sorts.clear()
            verb(cache, keys)
            found[name] = len(LAUNCHES), len(sorts)
            expected[name] = launches + more * has_sketch, int(name.startswith("set"))
    assert found == expected
