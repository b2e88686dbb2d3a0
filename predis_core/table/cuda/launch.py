"""The device that is a GPU: CuPy's memory and streams, and cubins launched through the driver."""

from __future__ import annotations

import ctypes
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.arrays import address
from predis_core.errors import DeviceError
from predis_core.policies.contract import Policy
from predis_core.table.cuda.built import built
from predis_core.table.cuda.nvrtc import Nvrtc, nvrtc
from predis_core.table.cuda.source import THREADS, source
from predis_core.table.interface import Int64s

_THREADS_AT_ONCE = 2048
"""Threads that a processor of a GPU holds at most: with more, kernels take turns by themselves."""
_ALIGNMENT = 16


def _cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            f"a cache on a GPU needs CuPy ({error}); install predis-core[cuda13] or "
            "predis-core[cuda12], as the driver's version of CUDA is, or use device='cpu'"
        ) from error
    return cupy


def cubin(policy: Policy, row_bytes: int, architecture: str, compiler: Nvrtc) -> bytes:
    """Return the program of a table for one architecture, compiled unless it is on disk.

    Raises:
        PolicyError: if the policy cannot be translated.
        DeviceError: if the compiler refuses it.
    """
    text = source(policy, row_bytes)
    build = partial(_write_cubin, text, architecture, compiler)
    return built(text, f"{architecture}.cubin", build, compiler.version).read_bytes()


def _write_cubin(text: str, architecture: str, compiler: Nvrtc, path: Path) -> None:
    path.write_bytes(compiler.compile(text, architecture))


class CupyKernels:
    """A compiled program on a GPU.

    Args:
        cupy: the module.
        gpu: CuPy's device.
        code: the program, a cubin.
    """

    def __init__(self, cupy: Any, gpu: Any, code: bytes) -> None:
        self._gpu = gpu
        self._driver = cupy.cuda.driver
        self._stream = cupy.cuda.get_current_stream
        self._module = cupy.cuda.function.Module()
        self._most_blocks = gpu.attributes["MultiProcessorCount"] * (_THREADS_AT_ONCE // THREADS)
        self._functions: dict[str, Any] = {}
        with gpu:
            self._module.load(code)

    def launch(self, kernel: str, threads: int, table: Int64s, batch: Int64s) -> None:
        """See `device.Kernels`; on the current stream, and without waiting for anything.

        Raises:
            DeviceError: if the driver does not take it.
        """
        blocks = min(-(-threads // THREADS), self._most_blocks)
        arguments = (ctypes.c_void_p * 2)(address(table), address(batch))
        try:
            with self._gpu:
                function = self._functions.get(kernel)
                if function is None:
                    function = self._module.get_function(f"predis_{kernel}")
                    self._functions[kernel] = function
                # fmt: off
                self._driver.launchKernel(
                    function.ptr, blocks, 1, 1, THREADS, 1, 1, 0, self._stream().ptr,
                    ctypes.addressof(arguments), 0,
                )
                # fmt: on
        except self._driver.CUDADriverError as error:
            raise DeviceError(_lost(f"the kernel {kernel}", error)) from error


class CupyDevice:
    """A GPU's memory and its processors.

    Everything is asked for on CuPy's current stream, in whose order it happens. Whoever changes
    streams between two calls has the second wait for the first.

    Args:
        number: of the GPU, as CUDA counts them.

    Raises:
        DeviceError: if CuPy, the driver or the GPU is missing, or the driver is too old.
    """

    def __init__(self, number: int = 0) -> None:
        cupy = self._cupy = _cupy()
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(
                f"no GPU can be used ({error}); install a driver for CUDA "
                f"{_major(cupy)} or newer, the extra that fits the driver, or use device='cpu'"
            ) from error
        if not 0 <= number < count:
            raise DeviceError(
                f"device: there is no cuda:{number} among {count}; name one of "
                f"{', '.join(f'cuda:{each}' for each in range(count)) or 'none'}, or use 'cpu'"
            )
        self._gpu = cupy.cuda.Device(number)
        self._architecture = f"sm_{self._gpu.compute_capability}"

    def zeros(self, count: int, dtype: Any) -> Any:
        """See `device.Device`; raises `DeviceError` if the memory does not do."""
        return self._room(self._cupy.zeros, count, dtype)

    def empty(self, count: int, dtype: Any) -> Any:
        """See `device.Device`; raises `DeviceError` if the memory does not do."""
        return self._room(self._cupy.empty, count, dtype)

    def _room(self, made: Any, count: int, dtype: Any) -> Any:
        try:
            with self._gpu:
                return made(count, dtype)
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            size = count * np.dtype(dtype).itemsize
            raise DeviceError(
                f"cuda:{self._gpu.id} has no {size} bytes left ({error}); lower the cache's "
                "capacity or memory, or use device='cpu'"
            ) from error

    def take(self, array: Any, dtype: Any) -> Any:
        """See `device.Device`; an array of the host is copied before this returns."""
        with self._gpu:
            taken = self._cupy.ascontiguousarray(self._cupy.asarray(array)).reshape(-1).view(dtype)
            return taken if taken.data.ptr % _ALIGNMENT == 0 else taken.copy()

    def give(self, array: Any) -> npt.NDArray[Any]:
        """See `device.Device`; waits for the current stream."""
        try:
            with self._gpu:
                found: npt.NDArray[Any] = self._cupy.asnumpy(array)
                return found
        except self._cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(_lost("what was asked for", error)) from error

    def holds(self, array: Any) -> bool:
        """See `device.Device`."""
        return hasattr(array, "__cuda_array_interface__")

    def address(self, array: Any) -> int:
        """See `device.Device`."""
        if isinstance(array, self._cupy.ndarray):
            return int(array.data.ptr)
        return int(array.__cuda_array_interface__["data"][0])

    def sort(self, array: Any) -> None:
        """See `device.Device`."""
        with self._gpu:
            array.sort()

    def load(self, policy: Policy, row_bytes: int) -> CupyKernels:
        """See `device.Device`.

        Raises:
            PolicyError: if the policy cannot be translated.
            DeviceError: if there is no compiler, or it refuses the program.
        """
        compiler = nvrtc((_major(self._cupy),))
        code = cubin(policy, row_bytes, self._architecture, compiler)
        return CupyKernels(self._cupy, self._gpu, code)


def _lost(what: str, error: Exception) -> str:
    return (
        f"the GPU did not do {what} ({error}), and what it held may be lost; open the cache anew, "
        "or use device='cpu'"
    )


def _major(cupy: Any) -> int:
    """Return the version of CUDA that CuPy is made for."""
    return int(cupy.cuda.runtime.runtimeGetVersion()) // 1000
