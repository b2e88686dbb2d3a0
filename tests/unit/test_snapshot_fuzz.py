"""Files that hold anything: a restore raises SnapshotError and the cache is unchanged, or the file
is as it was written."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import predis_core as predis
from predis_core import snapshot
from predis_core.errors import SnapshotError
from predis_core.snapshot.files import Sink
from predis_core.snapshot.format import (
    ENTRIES_KIND,
    HEAD,
    HEADER_KIND,
    PART_HEAD,
    PREFIX,
    Header,
    SectionWriter,
)

KINDS = ["objects", "rows"]
ENTRIES: dict[str, dict[Any, Any]] = {
    "objects": {"a": (1, {"b": b"c"}), 2: [2**70, "\ud800"], (3, None): 1.5},
    "rows": {n: 10 * n for n in range(5)},
}
fuzz = settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def cache_of(kind: str, entries: dict[Any, Any]) -> predis.Cache[Any, Any]:
    value = predis.Rows("int64", ()) if kind == "rows" else predis.Objects()
    found = predis.Cache[Any, Any](28, value=value, clock=predis.ManualClock(100), seed=1)
    for number, (key, held) in enumerate(entries.items()):
        found.set(key, held, ttl=5 if number == 1 else None)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """Return the bytes of a snapshot of a kind."""
    folder = tmp_path_factory.mktemp("whole")

    @cache
    def written(kind: str) -> bytes:
        path = folder / kind
        cache_of(kind, ENTRIES[kind]).snapshot(path)
        return path.read_bytes()

    return written


def restored(kind: str, path: Path, data: bytes) -> bool:
    """Restore from bytes; return whether they were taken. If not, nothing may have changed."""
    path.write_bytes(data)
    held = {99: 1}
    target = cache_of(kind, held)
    before = target.stats()
    refusal = ""
    try:
        report = target.restore(path)
    except SnapshotError as error:
        refusal = str(error)
    if refusal:
        assert str(path) in refusal
        assert dict(target.items()) == held
        assert target.stats() == before
        return False
    assert report.entries == (
        report.restored + report.present + report.expired + report.did_not_fit
    )
    target.check_invariants()
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_each_flipped_bit_is_found(
    kind: str, whole: Callable[[str], bytes], tmp_path: Path
) -> None:
    data = bytearray(whole(kind))
    path = tmp_path / "file"
    for at in range(len(data)):
        for bit in range(8):
            data[at] ^= 1 << bit
            path.write_bytes(data)
            with pytest.raises(SnapshotError):
                snapshot.describe(path)
            data[at] ^= 1 << bit
    path.write_bytes(data)
    assert snapshot.describe(path).entries == len(ENTRIES[kind])


@pytest.mark.parametrize("kind", KINDS)
@fuzz
@given(draw=st.data())
def test_whatever_is_cut_put_in_or_written_over_is_found(
    kind: str, draw: st.DataObject, whole: Callable[[str], bytes], tmp_path: Path
) -> None:
    data = whole(kind)
    for _ in range(draw.draw(st.integers(1, 3))):
        start = draw.draw(st.integers(0, len(data)))
        end = draw.draw(st.integers(start, min(len(data), start + 40)))
        data = data[:start] + draw.draw(st.binary(max_size=40)) + data[end:]
    assert restored(kind, tmp_path / "file", data) == (data == whole(kind))


@pytest.mark.parametrize("kind", KINDS)
@fuzz
@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused(kind: str, data: bytes, tmp_path: Path) -> None:
    for start in (b"", PREFIX.pack(b"\x89PREDIS\n", 1)):
        assert not restored(kind, tmp_path / "file", start + data)


@pytest.mark.parametrize("kind", KINDS)
def test_sections_that_change_places_or_come_twice_or_are_missing_are_found(
    kind: str, whole: Callable[[str], bytes], tmp_path: Path
) -> None:
    data = whole(kind)
    sections = split(data)
    begin, *middle, end = sections
    assert len(middle) > 2
    for other in (
        [begin, *reversed(middle), end],
        [begin, *middle, middle[0], end],
        [begin, *middle[1:], end],
        [begin, end],
        [*middle, begin, end],
        [begin, *middle, end, end],
        [begin, begin, *middle, end],
    ):
        assert not restored(kind, tmp_path / "file", data[: PREFIX.size] + b"".join(other))
    assert restored(kind, tmp_path / "file", data[: PREFIX.size] + b"".join(sections))


def split(data: bytes) -> list[bytes]:
    """Return the sections of a snapshot."""
    found, at = [], PREFIX.size
    while at < len(data):
        _, length, _ = HEAD.unpack(data[at : at + HEAD.size])
        found.append(data[at : at + HEAD.size + length])
        at += HEAD.size + length
    return found


# ------------------------------------------------------------------ with checksums that fit


class Kept(Sink):
    """Keeps what is written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def forged(sections: list[tuple[bytes, bytes]], entries: int) -> bytes:
    """Return a snapshot of these kinds and payloads with checksums that fit."""
    kept = Kept()
    writer = SectionWriter(kept)
    for kind, payload in sections:
        writer.add(kind, payload)
    writer.end(entries)
    return kept.data


def payloads(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return kind and payload of all sections but the last."""
    return [(section[:4], section[HEAD.size :]) for section in split(data)[:-1]]


def test_a_snapshot_that_is_taken_apart_and_put_together_again_is_the_same(
    whole: Callable[[str], bytes],
) -> None:
    for kind in KINDS:
        assert forged(payloads(whole(kind)), len(ENTRIES[kind])) == whole(kind)


def test_sections_of_other_kinds_are_skipped(whole: Callable[[str], bytes], tmp_path: Path) -> None:
    for kind in KINDS:
        sections = payloads(whole(kind))
        sections.insert(2, (b"MORE", b"of a later version"))
        assert restored(kind, tmp_path / "file", forged(sections, len(ENTRIES[kind])))


@pytest.mark.parametrize("kind", KINDS)
@fuzz
@given(draw=st.data())
def test_payloads_with_checksums_that_fit_do_no_harm_either(
    kind: str, draw: st.DataObject, whole: Callable[[str], bytes], tmp_path: Path
) -> None:
    sections = payloads(whole(kind))
    for _ in range(draw.draw(st.integers(1, 4))):
        number = draw.draw(st.integers(0, len(sections) - 1))
        name, payload = sections[number]
        start = draw.draw(st.integers(0, len(payload)))
        new = draw.draw(st.binary(min_size=1, max_size=9))
        sections[number] = (name, payload[:start] + new + payload[start + len(new) :])
    restored(kind, tmp_path / "file", forged(sections, len(ENTRIES[kind])))


HUGE = (1 << 32) - 1


@pytest.mark.parametrize("kind", KINDS)
@fuzz
@given(
    numbers=st.tuples(*[st.sampled_from([0, 1, 2, 8, 16, 24, HUGE])] * 4),
    rest=st.binary(max_size=64),
)
@example(numbers=(0, HUGE, 0, 0), rest=b"")
@example(numbers=(0, 1, 8, 8), rest=b"\xff" * 7 + b"\x7f" + bytes(16))
@example(numbers=(0, 1, 8, 8), rest=bytes(7) + b"\x80" + bytes(16))
@example(numbers=(0, 1, 0, 6), rest=b"\xdd\xff\xff\xff\xff\xc0" * 2)
def test_lengths_that_contradict_each_other_do_no_harm(
    kind: str,
    numbers: tuple[int, ...],
    rest: bytes,
    whole: Callable[[str], bytes],
    tmp_path: Path,
) -> None:
    head = payloads(whole(kind))[0]
    data = forged([head, (ENTRIES_KIND, PART_HEAD.pack(*numbers) + rest)], numbers[1])
    restored(kind, tmp_path / "file", data)


def test_keys_and_values_that_are_not_as_the_header_says_are_refused(tmp_path: Path) -> None:
    def data(keys: Any, values: Any) -> bytes:
        header = Header(
            name="", keys="any", value="Objects()", row_bytes=0, policy="lru", capacity=1, wall=0
        )
        packed = [msgspec.msgpack.encode(keys), msgspec.msgpack.encode(values)]
        part = PART_HEAD.pack(0, 1, 0, len(packed[0])) + b"".join(packed)
        return forged([(HEADER_KIND, msgspec.json.encode(header)), (ENTRIES_KIND, part)], 1)

    path = tmp_path / "file"
    assert restored("objects", path, data(["a"], [1]))
    for keys, values in (([[]], [1]), (["a", "b"], [1]), (["a"], [1, 2]), ("a", [1]), (["a"], {})):
        assert not restored("objects", path, data(keys, values))
    with pytest.raises(SnapshotError) as caught:
        predis.Cache[Any, Any](10).restore(path)
    start = str(caught.value).partition(" at byte ")[0]
    assert start == f"{path}: the values in the section"
