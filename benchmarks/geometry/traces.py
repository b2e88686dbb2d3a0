"""Traces, hashing and the way a cache's capacity is spread over its sets."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard

FINGERPRINT_BITS = 14


@dataclass(frozen=True)
class Trace:
    """One request stream: distinct keys are numbered, requests are those numbers."""

    name: str
    requests: np.ndarray  # int32[requests], indices into `keys`
    keys: np.ndarray  # int64[distinct]


@dataclass(frozen=True)
class Cell:
    """One fully associative result: what a set-associative cache is compared with."""

    trace: str
    fraction: str
    entries: int
    policy: str
    miss_ratio: float


def load_trace(path: Path) -> Trace:
    """Read a zstd-compressed .npy file of integer keys."""
    with path.open("rb") as file:
        raw = zstandard.ZstdDecompressor().stream_reader(file).read()
    keys, requests = np.unique(np.load(io.BytesIO(raw)).astype(np.int64), return_inverse=True)
    return Trace(path.name.removesuffix(".npy.zst"), requests.astype(np.int32), keys)


def load_expected(path: Path, policies: tuple[str, ...]) -> list[Cell]:
    """Read the fully associative miss ratios (tab separated, with a header) of `policies`."""
    with path.open(newline="") as file:
        return [
            Cell(
                row["trace"],
                row["cache_fraction"],
                int(row["entries"]),
                row["policy"],
                float(row["miss_ratio"]),
            )
            for row in csv.DictReader(file, delimiter="\t")
            if row["policy"] in policies
        ]


def mix(keys: np.ndarray, seed: int) -> np.ndarray:
    """Bijective 64-bit mix of key ^ seed (the finaliser of MurmurHash3, Appleby); uint64[n]."""
    h = keys.astype(np.uint64) ^ np.uint64(seed * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xFF51AFD7ED558CCD)
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ (h >> np.uint64(33))


def set_of(hashes: np.ndarray, sets: int) -> np.ndarray:
    """floor(hash * sets / 2**64) for uint64 hashes; exact for sets < 2**32; int32[n]."""
    count, low, half = np.uint64(sets), np.uint64(0xFFFFFFFF), np.uint64(32)
    carry = ((hashes & low) * count) >> half
    return (((hashes >> half) * count + carry) >> half).astype(np.int32)


def fingerprint(hashes: np.ndarray) -> np.ndarray:
    """The 14 bits that a ghost keeps of a key's hash; int32[n]."""
    mask = np.uint64((1 << FINGERPRINT_BITS) - 1)
    return ((hashes >> np.uint64(16)) & mask).astype(np.int32)


def spread(capacity: int, ways: int) -> np.ndarray:
    """First slot of each set, and `capacity` last: ceil(capacity / ways) sets, evenly wide."""
    sets = -(-capacity // ways)
    width = np.full(sets, capacity // sets, dtype=np.int64)
    width[: capacity % sets] += 1
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(width)])
