"""Compiled functions on disk: two processes at once, damage, full disks, and a lean start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
from numba import types
from predis_core.table.machine_code import cfunc, njit

@njit(cache=True)
def double(number):
    return number + number

def callback():
    @cfunc(types.int64(types.int64), cache=True)
    def triple(number):
        return 3 * number
    return triple
"""

# Prints hits and misses of `double` after calls with the arguments of the command line.
CALLS = """
import sys, twice
for argument in map(eval, sys.argv[1:]):
    assert twice.double(argument) == 2 * argument
stats = twice.double.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "twice.py").write_text(MODULE)
    return tmp_path


def begin(folder: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return out.strip(), errors


def run(folder: Path, *arguments: str) -> str:
    return end(begin(folder, CALLS, *arguments))[0]


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("twice.double.*"))


def test_processes_that_compile_at_once_keep_what_each_compiled(folder: Path) -> None:
    """Two of them the same, one another signature of the same function."""
    processes = [begin(folder, CALLS, argument) for argument in ("2", "2", "2.5")]
    for process in processes:
        end(process)
    assert len(kept(folder)) == 2
    assert all(path.suffix == ".machine" for path in kept(folder))
    assert run(folder, "2", "2.5") == "2 0"


@pytest.mark.parametrize("damage", [b"", b"cut", None])
def test_a_damaged_file_is_compiled_anew(folder: Path, damage: bytes | None) -> None:
    assert run(folder, "2") == "0 1"
    [path] = kept(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"?" if damage is None else damage)
    assert run(folder, "2") == "0 1"
    assert run(folder, "2") == "1 0"


def test_a_full_disk_is_reported_once_and_fails_nothing(folder: Path) -> None:
    pytest.importorskip("resource")
    full = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    out, errors = end(begin(folder, full + CALLS, "2", "2.5"))
    assert out == "0 2"
    assert errors.strip() == (
        f"compiled kernels cannot be kept in {folder}: File too large; "
        "they are compiled in each process"
    )
    assert sorted(path.name for path in folder.iterdir()) == ["twice.py"]


def test_a_callback_is_kept_too(folder: Path) -> None:
    code = (
        "import ctypes, twice\n"
        "made = twice.callback()\n"
        "call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(made.address)\n"
        "print(call(7), made._cache_hits)"
    )
    assert end(begin(folder, code))[0] == "21 0"
    assert end(begin(folder, code))[0] == "21 1"


def test_loading_takes_nothing_that_only_compiling_takes(folder: Path) -> None:
    """Else Numba loads all that it knows of Python and NumPy: a third of a warm start."""
    code = CALLS + "print('numba.np.linalg' in sys.modules)"
    assert end(begin(folder, code, "2"))[0].split() == ["0", "1", "True"]
    assert end(begin(folder, code, "2"))[0].split() == ["1", "0", "False"]


def test_what_was_loaded_can_be_called_by_what_is_compiled(folder: Path) -> None:
    run(folder, "2")
    code = """
import numba, twice
assert twice.double(2) == 4
@numba.njit
def fourfold(number):
    return twice.double(twice.double(number))
print(fourfold(3), sum(twice.double.stats.cache_hits.values()))
"""
    assert end(begin(folder, code))[0] == "12 1"
