"""References to the keys of a cache on a GPU: taken and given back as by one on the CPU."""

from __future__ import annotations

import pytest

from tests.integration import test_references
from tests.integration.test_gpu_faces import borrowed
from tests.integration.test_gpu_key_faces import combination
from tests.integration.test_references import quick_collections

__all__ = ["combination", "quick_collections"]

pytestmark = pytest.mark.watches_lifetime

globals().update(borrowed(test_references))


@pytest.mark.parametrize("ending", ["resize", "switch"])
def test_nothing_is_held_by_a_table_that_was_left(
    combination: test_references.Combination, ending: str
) -> None:
    bench = test_references.Bench(combination)
    before = bench.counts()
    bench.store()
    if ending == "resize":
        bench.cache.resize(7)
        bench.cache.resize(2 * test_references.CAPACITY)
    else:
        candidates = bench.cache._table.candidates
        bench.cache._change_policy(candidates[1])
    assert sum(bench.counts()) - sum(before) == len(bench.cache)
    bench.cache.clear()
    assert bench.counts() == before
