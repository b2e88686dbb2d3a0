"""Caches on a GPU prefetch as others do, for keys of the host."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.table.cuda.shared import SharedGpuTable
from tests.support.crew import wait_until
from tests.support.gpu import open_on_host


@pytest.mark.parametrize("keys", ["int64", "str"])
def test_what_comes_next_is_loaded_into_the_gpu(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_on_host(monkeypatch)
    as_keys = {"int64": lambda ids: ids, "str": lambda ids: [f"row {id}" for id in ids]}[keys]

    def load(ids: Any) -> Any:
        values = ids if keys == "int64" else [int(key.removeprefix("row ")) for key in ids]
        return np.asarray(values) * 10

    section = {
        "capacity": 5_000,
        "policy": "fifo",
        "keys": keys,
        "device": "cuda:0",
        "value": {"kind": "rows", "dtype": "int64"},
    }
    # Names are in no order, so that a scan of them is learnt the first time, and known the second.
    with predis.open({"cache": section, "plugins": {"prefetch": {}}}, loader=load) as cache:
        assert isinstance(cache._table, SharedGpuTable)

        def used() -> bool:
            """Ask for some more, and say whether something was there for that."""
            first = 20 * (next(batches) % 50)
            if not first:
                cache.clear()
            ids = list(range(first, first + 20))
            assert cache.get_or_load_many(as_keys(ids)).tolist() == [10 * id for id in ids]
            return sum(each.used for each in cache.prefetch_stats()) > 100

        batches = itertools.count()
        wait_until(used)
