"""Snapshots of blobs: what comes back, what does not fit, and files that hold something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import predis_core as predis
from predis_core import snapshot
from predis_core.errors import SnapshotError
from predis_core.snapshot.format import ENTRIES_KIND, HEADER_KIND, PART_HEAD, SectionWriter
from predis_core.table.cpu import CpuTable


def blobs(capacity: int = 500, memory: int = 1 << 20, **more: Any) -> predis.Cache[Any, Any]:
    given = {"value": predis.Blobs(), "policy": "lru", "seed": 7} | more
    return predis.Cache(capacity, memory=memory, **given)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.snapshot"


def of(key: int) -> bytes:
    return np.random.default_rng(key).bytes(key * 37 % 5_000)


@pytest.mark.parametrize("keys", ["int64", "any"])
def test_blobs_come_back(path: Path, keys: Any) -> None:
    clock = predis.ManualClock()
    cache = blobs(keys=keys, clock=clock)
    cache.set_many(range(200), [of(key) for key in range(200)], ttl=[100.0, 0.5] * 100)
    held = dict(cache.items())
    assert cache.snapshot(path).entries == len(held)
    other = blobs(keys=keys, capacity=900, clock=clock)
    clock.advance(0.25)
    report = other.restore(path)
    assert (report.entries, report.restored) == (len(held), len(held))
    assert dict(other.items()) == held
    assert [other.ttl_left(key) for key in (0, 1)] == [99.75, 0.25]
    assert snapshot.describe(path).header.value == "Blobs()"


def test_values_of_a_format_are_kept_as_they_were_encoded(path: Path) -> None:
    cache = blobs(value=predis.Blobs("msgpack", type=dict[str, int]))
    cache[1] = {"a": 1}
    cache.snapshot(path)
    other = blobs(value=predis.Blobs("msgpack", type=dict[str, int]))
    assert other.restore(path).restored == 1
    assert other[1] == {"a": 1}
    with pytest.raises(SnapshotError) as caught:
        blobs().restore(path)
    assert str(caught.value) == (
        f"value: {path} holds Blobs('msgpack', type=dict[str, int]), cache 'default' holds "
        "Blobs(); restore it into one with value=Blobs('msgpack', type=dict[str, int])"
    )


@pytest.mark.parametrize("length", [10, 300, 20_000])
def test_the_most_valuable_of_what_fits_is_restored_and_nothing_leaves(
    path: Path, length: int
) -> None:
    cache = blobs(capacity=2_000, memory=1 << 20)
    cache.set_many(range(1_500), [bytes([key % 256]) * length for key in range(1_500)])
    cache.snapshot(path)
    small = blobs(capacity=1_200, memory=200_000)
    mine = {-key: of(key) for key in range(1, 15)}
    small.set_many(list(mine), list(mine.values()))
    before = small.stats()
    report = small.restore(path)
    after = small.stats()
    assert after.evictions == before.evictions
    assert mine.items() <= dict(small.items()).items()
    assert report.restored == after.insertions - before.insertions == len(small) - len(mine) > 0
    assert report.restored + report.did_not_fit == report.entries
    small.check_invariants()
    if length > 10:
        # Not one more would have fitted.
        ledger = small._table.ledger()
        assert ledger is not None
        assert not ledger.fits(length)


def test_large_blobs_are_written_a_few_sets_at_a_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = blobs(1_000, 64 << 20)
    cache.set_many(range(500), [bytes(100_000)] * 500)
    exported: list[int] = []
    export = CpuTable.export

    def watched(self: CpuTable, *arguments: Any, **more: Any) -> Any:
        entries = export(self, *arguments, **more)
        exported.append(len(entries.values.data))
        return entries

    monkeypatch.setattr(CpuTable, "export", watched)
    assert cache.snapshot(path).entries == len(cache)
    assert max(exported) <= 4 << 20


def test_of_one_set_those_that_were_used_last_are_restored(path: Path) -> None:
    cache = blobs(28, 1 << 20)
    cache.set_many(range(28), [b"x" * 5_000] * 28)
    cache.get_many(range(20, 28))
    cache.snapshot(path)
    small = blobs(28, 60_000)
    report = small.restore(path)
    assert 8 <= report.restored < 28
    assert set(range(20, 28)) <= set(small)


def test_a_file_with_values_that_are_no_bytes_is_refused(path: Path) -> None:
    cache = blobs()
    cache[1] = b"x"
    cache.snapshot(path)
    header = snapshot.describe(path).header
    values = msgspec.msgpack.encode(["text"])
    part = PART_HEAD.pack(0, 1, 0, 8) + (1).to_bytes(8, "little")
    with path.open("wb") as file:
        sections = SectionWriter(file)
        sections.add(HEADER_KIND, msgspec.json.encode(header))
        sections.add(ENTRIES_KIND, part + b"\xdd\x00\x00\x00\x01" + values[1:])
        sections.end(1)
    cache[1] = b"mine"
    with pytest.raises(SnapshotError, match=r"cannot be read: expected bytes, got str$"):
        cache.restore(path)
    assert cache[1] == b"mine"
