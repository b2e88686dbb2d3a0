"""The device that is none: the kernels compiled by the host's C++ compiler, for tests.

`host_shim.h` runs every thread as a fiber, under a scheduler whose seed says how they interleave.
"""

from __future__ import annotations

import ctypes
import itertools
import subprocess
import threading
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.arrays import address
from predis_core.policies.contract import Policy
from predis_core.table.cuda.built import built
from predis_core.table.cuda.device import Arguments
from predis_core.table.cuda.exchange import Exchange
from predis_core.table.cuda.source import source
from predis_core.table.layout import Record

FLAGS = ("-O2", "-std=c++17", "-shared", "-fPIC", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE")
_ALIGNMENT, _GARBAGE = 16, 0x5A
_BLOCK, _MOST_BLOCKS = 64, 3
"""Few enough threads that kernels come to their loops, and enough that warps meet."""
_running = threading.RLock()
"""A finaliser may launch where a launch is being prepared: Pinned takes its pins back in one."""


class HostKernels:
    """A compiled program, launched on fibers.

    Args:
        library: path of the shared library.
        seed: of the scheduler; every launch has another one that follows from it.
    """

    def __init__(self, library: Path, seed: int) -> None:
        self._library = ctypes.CDLL(str(library))
        self._seeds = itertools.count(seed * 1_000_003)

    def launch(self, kernel: str, threads: int, arguments: Arguments) -> None:
        """See `device.Kernels`.

        Raises:
            RuntimeError: if the lanes of a warp did not take part in the same operations.
        """
        blocks = min(-(-threads // _BLOCK), _MOST_BLOCKS)
        run = getattr(self._library, f"predis_{kernel}")
        with _running:
            failed = run(
                *map(ctypes.c_void_p, arguments.pointers),
                ctypes.c_uint(blocks),
                ctypes.c_uint(_BLOCK),
                ctypes.c_uint64(next(self._seeds)),
            )
        if failed:
            raise RuntimeError(
                f"{kernel}: the lanes of a warp did not take part in the same operations"
            )


class HostArray(np.ndarray[Any, np.dtype[Any]]):
    """An array of the device: host memory, by its type told from what a caller has."""


class HostDevice:
    """Host memory, and kernels that the host's compiler makes.

    Args:
        seed: of the scheduler.
        compiler: path of a C++ compiler, g++ by default.
    """

    def __init__(self, seed: int = 0, compiler: str = "g++") -> None:
        self._seed = seed
        self._compiler = compiler
        self.number = 0
        self.exchange: Exchange | None = None

    def zeros(self, count: int, dtype: Any) -> HostArray:
        """See `device.Device`."""
        return self._filled(count, dtype, 0)

    def empty(self, count: int, dtype: Any) -> HostArray:
        """See `device.Device`; what nobody may read before it is written is not 0."""
        return self._filled(count, dtype, _GARBAGE)

    def _filled(self, count: int, dtype: Any, byte: int) -> HostArray:
        size = count * np.dtype(dtype).itemsize
        raw = np.full(size + _ALIGNMENT, byte, np.uint8)
        offset = -address(raw) % _ALIGNMENT
        filled: HostArray = raw[offset : offset + size].view(dtype).view(HostArray)
        return filled

    def take(self, array: Any, dtype: Any) -> HostArray:
        """See `device.Device`."""
        flat: HostArray = np.ascontiguousarray(array).reshape(-1).view(dtype).view(HostArray)
        if self.holds(array) and address(flat) % _ALIGNMENT == 0:
            return flat
        taken = self.empty(len(flat), dtype)
        taken[:] = flat
        return taken

    def give(self, array: HostArray) -> npt.NDArray[Any]:
        """See `device.Device`."""
        return array.copy().view(np.ndarray)

    def holds(self, array: Any) -> bool:
        """See `device.Device`."""
        return isinstance(array, HostArray)

    def address(self, array: HostArray) -> int:
        """See `device.Device`."""
        return address(array)

    def sort(self, array: HostArray) -> None:
        """See `device.Device`."""
        array.sort()

    def in_order(self) -> AbstractContextManager[None]:
        """See `device.Device`: there is no other order."""
        return nullcontext()

    def load(
        self,
        policy: Policy,
        row_bytes: int,
        record: Record | None = None,
        *,
        has_idents: bool = False,
    ) -> HostKernels:
        """See `device.Device`.

        Raises:
            PolicyError: if the policy cannot be translated.
            subprocess.CalledProcessError: if the compiler refuses the program.
        """
        return self.build(source(policy, row_bytes, record, has_idents=has_idents, host=True))

    def build(self, text: str) -> HostKernels:
        """Return the kernels of a program's text, compiled unless they are on disk."""
        return HostKernels(built(text, "table.so", partial(self.compile, text), *FLAGS), self._seed)

    def compile(self, text: str, library: Path) -> None:
        """Make the shared library of a program's text."""
        command = [self._compiler, *FLAGS, "-x", "c++", "-", "-o", str(library)]
        subprocess.run(command, input=text, text=True, check=True)
