"""What sets of 28 ways cost: little, beside one set with as many ways as the cache has entries."""

from __future__ import annotations

import numpy as np
import pytest

from predis_core.table.interface import Counter, Keys
from predis_core.table.layout import Layout
from predis_core.table.reference import ReferenceTable
from tests.support import streams
from tests.support.contract import ALL
from tests.support.set_models import MODELS, fully_associative

ENTRIES = 112  # four sets
REQUESTS = streams.zipf(5_000, 700, 9)


@pytest.mark.parametrize("name", sorted(ALL))
def test_four_sets_hit_almost_as_often_as_one(name: str) -> None:
    table = ReferenceTable(Layout.build(ENTRIES), ALL[name], 1)
    whole = MODELS[name](fully_associative(ENTRIES))
    hits = tick = 0
    for key in REQUESTS:
        batch = Keys(np.array([key]))
        if table.lookup(batch, 0)[0] < 0:
            table.insert(batch, None, 0)
        tick += 2
        if whole.get(int(key), tick):
            hits += 1
        else:
            whole.insert(int(key), tick + 1)
    found = table.counters()[Counter.HITS] / len(REQUESTS)
    assert found == pytest.approx(hits / len(REQUESTS), abs=0.01)
    assert found > 0.5
