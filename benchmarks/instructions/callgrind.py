"""Runs the counting process, with and without callgrind, and reads what callgrind wrote."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.instructions.baseline import TARGET, Count

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "build" / "instructions"
COUNTING = (sys.executable, "-m", "benchmarks.instructions.counting")
SECONDS = 900
"""Ten times what it takes: past it, something is compiled or loaded that should not be."""
_TRIGGER = "desc: Trigger: Client Request: "


class CountingFailed(Exception):
    """The counting process, or valgrind, did not do what it should."""


def count() -> dict[str, Count]:
    """Return the counts of all verbs.

    The kernels are compiled before, without valgrind, under which that would take many minutes.

    Raises:
        CountingFailed: if valgrind is not there, or a process fails.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CountingFailed("valgrind is not installed (Debian, Ubuntu: apt install valgrind)")
    KERNELS.mkdir(parents=True, exist_ok=True)
    run(COUNTING)
    with tempfile.TemporaryDirectory() as folder:
        dumps = Path(folder, "counts")
        options = (
            "-q",
            "--tool=callgrind",
            "--instr-atstart=no",
            "--compress-strings=no",
            f"--callgrind-out-file={dumps}",
        )
        run((valgrind, *options, *COUNTING))
        parts = sorted(dumps.parent.glob("counts.*"), key=lambda path: int(path.suffix[1:]))
        texts = [path.read_text("utf-8", "replace") for path in parts]
    counts = dict(read(text) for text in texts)
    if not counts:
        raise CountingFailed("callgrind wrote no counts")
    return counts


def run(command: tuple[str, ...]) -> None:
    """Run a command to its end.

    Raises:
        CountingFailed: with what it wrote.
    """
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=surroundings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise CountingFailed(f"not done after {SECONDS} seconds: {' '.join(command)}") from error
    if done.returncode:
        raise CountingFailed(f"exit {done.returncode}: {' '.join(command)}\n{done.stdout}")


def surroundings() -> dict[str, str]:
    """Return the environment of the counting process: the same wherever it runs, as far as it can.

    Numba compiles for one target, and there is one thread only.
    """
    kept = ("PATH", "HOME", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "NUMBA_CPU_NAME": TARGET,
        "NUMBA_CPU_FEATURES": "",  # those of the target
        "NUMBA_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PREDIS_CACHE_DIR": str(KERNELS),
        "PYTHONHASHSEED": "0",
    }


def read(text: str) -> tuple[str, Count]:
    """Return a verb's name and count from what callgrind wrote about it.

    A line of numbers is a position and the instructions there; that after `calls=` repeats what a
    callee took. Compiled kernels are all that is executed in no file, so in the object `???`.
    """
    calls, name, total, compiled = 1, "", 0, 0
    in_kernel = of_callee = False
    for line in text.splitlines():
        if line.startswith(_TRIGGER):
            number, name = line.removeprefix(_TRIGGER).split(" ", 1)
            calls = int(number)
        elif line.startswith("ob="):
            in_kernel = line == "ob=???"
        elif line.startswith("calls="):
            of_callee = True
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            instructions = 0 if of_callee else int(line.split()[1])
            total += instructions
            compiled += instructions if in_kernel else 0
            of_callee = False
    return name, Count(round(total / calls), round(compiled / calls))
