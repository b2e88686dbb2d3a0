"""Responses by id in a MiB: texts of all lengths as bytes, and the ratio of bytes that hit."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence

import predis_core as predis

WORDS = ("a", "cache", "may", "forget", "what", "it", "likes", "but", "never", "lies")
MEMORY = 1 << 20


def render(number: int) -> bytes:
    """Render a response, compressed: most are short, a few are long."""
    chance = random.Random(number)
    words = int(20 * chance.paretovariate(1.1))
    return zlib.compress(" ".join(chance.choices(WORDS, k=min(words, 50_000))).encode(), 1)


def render_all(ids: Sequence[int]) -> list[bytes]:
    """Render what is missing: the cache calls this once per batch."""
    return [render(int(number)) for number in ids]


cache: predis.Cache[int, bytes] = predis.Cache(
    8_000, memory=MEMORY, value=predis.Blobs(), loader=render_all, seed=7
)

requests = random.Random(7)
for _ in range(300):
    ids = [int(requests.paretovariate(0.3)) % 100_000 for _ in range(100)]
    responses = cache.get_or_load_many(ids)
    assert responses[0] == render(ids[0])

# A batch for the network: one buffer, no object per response.
batch = predis.Packed()
_, hit = cache.get_many(ids, out=batch)
assert hit.mean() > 0.8
assert bytes(batch[0]) == responses[0]
assert len(batch.data[: batch.offsets[-1]]) == sum(map(len, batch))

# What can never fit is refused; everything else stays.
before = len(cache)
assert not cache.set(-1, bytes(MEMORY))
assert len(cache) == before

stats = cache.stats()
assert stats.bytes == sum(map(len, cache.values())) < MEMORY
assert 0 < stats.byte_hit_ratio < stats.hit_ratio
cache.check_invariants()
print(f"{stats.size:,} responses in {stats.bytes / (1 << 20):.1f} MiB")
print(f"{stats.hit_ratio:.0%} of the responses were hits, {stats.byte_hit_ratio:.0%} of the bytes")
