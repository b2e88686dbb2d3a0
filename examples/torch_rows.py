"""PyTorch tensors go in and out of `Rows` by DLPack, on the CPU.

Without PyTorch there is nothing to show, and this says so.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

import predis_core as predis

if find_spec("torch") is None:
    print("PyTorch is not installed, so this example has nothing to show")
    sys.exit(0)

import torch

WIDTH = 32
table = torch.nn.Embedding(50_000, WIDTH)
cache = predis.Cache[int, torch.Tensor](5_000, value=predis.Rows("float32", (WIDTH,)))


def load(ids):  # type: ignore[no-untyped-def]
    """Look rows up in the table: int64[m] to a tensor float32[m, WIDTH]."""
    with torch.no_grad():
        return table(torch.from_numpy(ids))


# Ids may be a tensor; rows come back as NumPy, which PyTorch takes over without a copy.
ids = torch.randint(0, 50_000, (1_000,))
rows = torch.from_numpy(cache.get_or_load_many(ids, load))
assert torch.equal(rows, table(ids).detach())

# Or they are written into a tensor that is there already; rows of misses stay as they are.
more = torch.arange(2_000)
out = torch.full((len(more), WIDTH), -1.0)
same, hit = cache.get_many(more, out=out)
found = torch.from_numpy(hit)
assert same is out
assert torch.equal(out[found], table(more[found]).detach())
assert (out[~found] == -1.0).all()

print(f"{len(ids):,} rows loaded through the cache, every row right")
print(f"{int(found.sum())} of the first {len(more):,} rows of the table are in the cache now")
