"""Embeddings of texts: each text is sent to the model once, and the rest comes from the cache.

The model stands for a service that is paid per text and takes at most 100 of them per call.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

import predis_core as predis

WIDTH, AT_MOST = 64, 100
sent: list[int] = []


def embedding(text: str, model: str) -> npt.NDArray[np.float32]:
    """Return what a model makes of a text, always the same."""
    seed = hashlib.blake2b(f"{model} {text}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(seed, "big")).random(WIDTH, np.float32)


def embed_small(texts: list[str]) -> list[npt.NDArray[np.float32]]:
    """Ask the model for the embeddings of up to 100 distinct texts."""
    assert len(set(texts)) == len(texts) <= AT_MOST
    sent.append(len(texts))
    return [embedding(text, "small") for text in texts]


def embed_large(texts: list[str]) -> list[npt.NDArray[np.float32]]:
    """Ask another model, whose embeddings must not be taken for those of the first."""
    return [embedding(text, "large") for text in texts]


cache: predis.Cache[str, npt.NDArray[np.float32]] = predis.Cache(
    20_000, value=predis.Rows("float32", (WIDTH,)), keys="str"
)
small = cache.batch(embed_small, name="small-v1", ttl="7d", max_batch=AT_MOST)
large = cache.batch(embed_large, name="large-v1", ttl="7d", max_batch=AT_MOST)

random = np.random.default_rng(7)
asked = 0
for _ in range(50):
    texts = [f"sentence {number}" for number in random.zipf(1.3, 400) % 5_000]
    rows = small(texts)  # float32[400, WIDTH], in the order of the texts
    assert np.array_equal(rows[0], embedding(texts[0], "small"))
    assert np.array_equal(rows[-1], embedding(texts[-1], "small"))
    asked += len(texts)
assert np.array_equal(large(["sentence 1"])[0], embedding("sentence 1", "large"))

info = small.cache_info()
assert info.hits + info.misses == asked
assert sum(sent) == info.misses == len(cache) - 1
assert small.invalidate(["sentence 1", "never seen"]).tolist() == [True, False]
print(f"{asked:,} texts asked for, {info.misses:,} sent to the model in {len(sent)} calls")
print(f"{info.hits / asked:.0%} came from the cache")
