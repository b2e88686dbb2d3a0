"""Every format is read back as it was written, whole or in chunks, and bad files say where."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from predis_lab.traces import FORMATS, TraceError, open_trace, rechunk

PLAIN: Callable[[bytes], bytes] = bytes
COMPRESS = {"": PLAIN, ".gz": gzip.compress, ".zst": zstandard.compress}


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(COMPRESS.get(path.suffix, PLAIN)(data))
    return path


def npy_bytes(array: np.ndarray, tmp_path: Path) -> bytes:
    np.save(tmp_path / "whole.npy", array)
    return (tmp_path / "whole.npy").read_bytes()


def oracle_bytes(ids: list[int]) -> bytes:
    return b"".join(struct.pack("<IQIq", 7 * i, id_, 512, -1) for i, id_ in enumerate(ids))


SAMPLES = {
    "csv": (b"time,key\n1,10\n2,-20\n3,30\n", [10, -20, 30]),
    "tsv": (b"key\ttime\n10\t1\n-20\t2\n30\t3\n", [10, -20, 30]),
    "text": (b"10\n-20\n\n  30 \r\n", [10, -20, 30]),
    "arc": (b"10 3 0 0\n5 1 0 1\n10 2 0 2\n", [10, 11, 12, 5, 10, 11]),
    "arc-io": (b"10 3 0 0\n5 1 0 1\n10 2 0 2\n", [10, 5, 10]),
    "lirs": (b"*\n10\n20\n* second part\n30\n", [10, 20, 30]),
    "oracle": (oracle_bytes([10, 20, 2**64 - 1]), [10, 20, -1]),
}


def test_there_is_a_sample_of_every_format() -> None:
    assert {*SAMPLES, "npy"} == set(FORMATS)


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("format", SAMPLES)
def test_reads_back(tmp_path: Path, format: str, ending: str) -> None:
    data, keys = SAMPLES[format]
    trace = open_trace(write(tmp_path / f"trace.dat{ending}", data), format)
    assert trace.read().tolist() == keys
    assert trace.read().dtype == np.int64
    for size in (1, 2, len(keys), 100):
        chunks = [chunk.tolist() for chunk in trace.chunks(size)]
        assert chunks == [keys[at : at + size] for at in range(0, len(keys), size)]


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("dtype", ["<i8", ">i8", "<i4", ">u2", "<u8", "|u1"])
def test_npy_of_any_integer_type(tmp_path: Path, dtype: str, ending: str) -> None:
    keys = np.array([0, 3, 200, 7, 90], dtype=dtype)
    trace = open_trace(write(tmp_path / f"t.npy{ending}", npy_bytes(keys, tmp_path)))
    assert trace.read().tolist() == keys.tolist()
    assert [len(chunk) for chunk in trace.chunks(2)] == [2, 2, 1]


def test_npy_of_uint64_keeps_distinct_keys_distinct(tmp_path: Path) -> None:
    keys = np.array([2**64 - 1, 2**63, 2**63 - 1], dtype=np.uint64)
    read = open_trace(write(tmp_path / "t.npy", npy_bytes(keys, tmp_path))).read()
    assert read.view(np.uint64).tolist() == keys.tolist()


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_several_compressed_frames_are_one_trace(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.txt{ending}"
    path.write_bytes(COMPRESS[ending](b"1\n2\n") + COMPRESS[ending](b"3\n"))
    assert open_trace(path).read().tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "format", "stem"),
    [
        ("a.npy.zst", "npy", "a"),
        ("a.b.csv", "csv", "a.b"),
        ("a.TXT.gz", "text", "a"),
        ("P3.lis", "arc", "P3"),
        ("multi1.trc", "lirs", "multi1"),
        ("c52.oracleGeneral.sample10.zst", "oracle", "c52.oracleGeneral.sample10"),
        ("c52.oracleGeneral.zst", "oracle", "c52"),
    ],
)
def test_the_extension_tells_the_format(tmp_path: Path, name: str, format: str, stem: str) -> None:
    (tmp_path / name).write_bytes(b"")
    trace = open_trace(tmp_path / name)
    assert (trace.format, trace.name) == (format, stem)


def test_an_explicit_format_wins_over_the_extension(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path / "t.csv", b"4 2 0 0\n"), "arc")
    assert trace.read().tolist() == [4, 5]


def test_names_become_the_same_int64_every_time(tmp_path: Path) -> None:
    names = [b"user:1", b"1_0", b"99999999999999999999", b"1.5", b"\xff\xfe", b"user:1"]
    trace = open_trace(write(tmp_path / "t.txt", b"\n".join(names)))
    keys = trace.read().tolist()
    assert keys[0] == keys[5] == 1304368944307141588
    assert len(set(keys)) == 5
    assert not {1, 10} & set(keys)


def test_names_and_integers_mix(tmp_path: Path) -> None:
    keys = open_trace(write(tmp_path / "t.txt", b"7\nname\n-7\n")).read().tolist()
    assert (keys[0], keys[2]) == (7, -7)
    assert abs(keys[1]) > 2**32


@pytest.mark.parametrize(
    ("data", "column", "keys"),
    [
        (b"1,2\n3,4\n", 1, [2, 4]),
        (b"1,2\n3,4\n", -2, [1, 3]),
        (b"a,b\n3,4\n5,6\n", 0, [3, 5]),
        (b"a,b\n3,4\n", "b", [4]),
        (b"5\n6\n", None, [5, 6]),
        (b"when,id\n1,8\n", None, [8]),
        (b'key,note\n1,"two\nlines"\n2,x\n', "key", [1, 2]),
        (b"\n", None, []),
        (b"", None, []),
    ],
)
def test_csv_columns(
    tmp_path: Path, data: bytes, column: str | int | None, keys: list[int]
) -> None:
    trace = open_trace(write(tmp_path / "t.csv", data), column=column)
    assert trace.read().tolist() == keys


def test_csv_names_hash_like_text(tmp_path: Path) -> None:
    data = "käse\n".encode() + b"\xff\n"
    text = open_trace(write(tmp_path / "t.txt", data)).read()
    csv = open_trace(write(tmp_path / "t.csv", data)).read()
    assert text.tolist() == csv.tolist()


BAD = [
    ("t.csv", b"time,key\n1,2\n", {"column": "kye"}, r"line 1: .*'kye'.*mean 'key'.*time, key"),
    ("t.csv", b"a,b\n1,2\n", {}, r"2 columns \(a, b\).*column="),
    ("t.csv", b"1,2\n1,2\n1\n", {"column": 1}, r"line 3: .*too few"),
    ("t.csv", b"1,2\n", {"column": 4}, r"line 1: .*index 4.*has 2"),
    ("t.csv", b"1,2\n\0\n", {"format": "text"}, r"zero bytes"),
    ("t.lis", b"1 2 0 0\nx 2 0 1\n", {}, r"line 2: expected a start block, found 'x'"),
    ("t.lis", b"1 2 0 0\n5\n", {}, r"line 2: .*one field"),
    ("t.lis", b"1 2 0 0\n\n5 0 0 1\n", {}, r"line 3: asks for 0 blocks"),
    ("t.lirs", b"*\n1\n\nfile9\n", {}, r"line 4: expected a block number, found 'file9'"),
    ("t.npy", b"no header here", {}, r"not a \.npy file"),
    ("t.txt.gz.zst", b"1\n", {"format": "npy"}, r"not a \.npy file"),
    ("t.oracle", oracle_bytes([1, 2])[:-1], {}, r"record 2: .*truncated"),
    ("t.txt", b"9" * (1 << 21), {}, r"line 1: .*longer than"),
]


@pytest.mark.parametrize(("name", "data", "options", "message"), BAD)
def test_errors_say_where_and_what_to_do(
    tmp_path: Path, name: str, data: bytes, options: dict[str, str], message: str
) -> None:
    path = write(tmp_path / name, data)
    with pytest.raises(TraceError, match=message) as caught:
        open_trace(path, **options).read()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((2, 2), dtype=np.int64), np.array(["a"])])
def test_npy_refuses_what_is_no_row_of_integers(tmp_path: Path, array: np.ndarray) -> None:
    path = write(tmp_path / "t.npy", npy_bytes(array, tmp_path))
    with pytest.raises(TraceError, match=r"one dimension of integer keys"):
        open_trace(path).read()


@pytest.mark.parametrize("lost", [1, 8, 20])
def test_a_truncated_npy_is_reported(tmp_path: Path, lost: int) -> None:
    path = write(tmp_path / "t.npy", npy_bytes(np.arange(5), tmp_path)[:-lost])
    with pytest.raises(TraceError, match=rf"record {5 - (lost - 1) // 8}: .*of the 5.*truncated"):
        open_trace(path).read()


def test_a_npy_that_goes_on_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "t.npy", npy_bytes(np.arange(5), tmp_path) + b"more")
    with pytest.raises(TraceError, match=r"goes on after the 5 keys"):
        open_trace(path).read()


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("format", ["text", "npy", "oracle"])
def test_a_truncated_compressed_file_is_reported(tmp_path: Path, format: str, ending: str) -> None:
    ids = np.random.default_rng(1).integers(0, 2**40, 5000)
    data = {
        "text": "\n".join(map(str, ids)).encode(),
        "npy": npy_bytes(ids, tmp_path),
        "oracle": oracle_bytes(ids.tolist()),
    }[format]
    path = write(tmp_path / f"t.bin{ending}", data)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TraceError, match="truncated"):
        open_trace(path, format).read()


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_file_that_is_not_compressed_is_reported(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"t.txt{ending}").write_bytes(b"1\n2\n3\n")
    with pytest.raises(TraceError, match=rf"not valid \{ending} data"):
        open_trace(tmp_path / f"t.txt{ending}").read()


def test_unknown_formats_are_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "t.xyz").write_bytes(b"")
    with pytest.raises(TraceError, match=r"'\.xyz' does not tell the format: .*oracle"):
        open_trace(tmp_path / "t.xyz")
    with pytest.raises(TraceError, match=r"no format 'oracel'\. Did you mean 'oracle'\?"):
        open_trace(tmp_path / "t.xyz", "oracel")
    with pytest.raises(TraceError, match=r"column is for csv and tsv"):
        open_trace(tmp_path / "t.xyz", "arc", column=1)
    with pytest.raises(TraceError, match=r"is a directory"):
        open_trace(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_trace(tmp_path / "absent.npy")


def test_a_chunk_has_at_least_one_key(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path / "t.txt", b"1\n"))
    with pytest.raises(ValueError, match="at least 1"):
        next(trace.chunks(0))


def test_rechunk_keeps_order_and_sizes() -> None:
    parts = np.split(np.arange(100), [3, 3, 50, 51, 99])
    chunks = list(rechunk(parts, 7))
    assert np.concatenate(chunks).tolist() == list(range(100))
    assert [len(chunk) for chunk in chunks] == [7] * 14 + [2]


ENDLESS = {
    "npy": (b"\0" * 8, 8_000_000),
    "oracle": (b"\0" * 24, 3_000_000),
    "text": (b"%512d\n" % 7, 150_000),
    "arc": (b"1 8000000 0 0\n", 1),
}


@pytest.mark.parametrize("format", ENDLESS)
def test_streaming_never_holds_the_whole(tmp_path: Path, format: str) -> None:
    """A trace of 64 MB or more, tiny on disk, passes through a few."""
    row, rows = ENDLESS[format]
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    with (tmp_path / "t.zst").open("wb") as file:
        if format == "npy":
            header = npy_bytes(np.zeros(0, dtype=np.int64), tmp_path)
            file.write(packer.compress(header.replace(b"(0,), }      ", b"(8000000,), }", 1)))
        for _ in range(0, rows, 10_000):
            file.write(packer.compress(row * min(rows, 10_000)))
        file.write(packer.flush())
    tracemalloc.start()
    try:
        read = sum(len(chunk) for chunk in open_trace(tmp_path / "t.zst", format).chunks(10_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read == (8_000_000 if format == "arc" else rows)
    assert peak < 40_000_000
