"""What of CuPy the GPU table uses, in host memory, with kernels that the host's compiler makes.

It knows which device is current, and complains if nothing is; it launches as the driver does, from
an array of pointers to the arguments.
"""

from __future__ import annotations

import ctypes
import hashlib
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from predis_core.arrays import address


class RuntimeFailure(RuntimeError):
    """An error of CUDA's runtime."""


class DriverFailure(RuntimeError):
    """An error of the driver."""


class MemoryIsOut(MemoryError):
    """Memory of the GPU is all used."""


class Array(np.ndarray[Any, np.dtype[Any]]):
    """An array of the GPU."""

    @property
    def data(self) -> Any:  # type: ignore[override]
        return SimpleNamespace(ptr=address(self), device_id=0)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.__array_interface__, "version": 3}

    @property
    def device(self) -> Any:
        return Device(0)

    def __dlpack_device__(self) -> tuple[int, int]:  # type: ignore[override]
        return 2, 0

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def get(self, out: Any) -> None:
        out[...] = self

    def set(self, given: Any) -> None:
        self[...] = given


class Device:
    """A GPU, current within a with statement."""

    current: list[int] = []  # noqa: RUF012
    compute_capability = "90"
    attributes = {"MultiProcessorCount": 1}  # noqa: RUF012

    def __init__(self, number: int) -> None:
        self.id = number

    def __enter__(self) -> None:
        self.current.append(self.id)

    def __exit__(self, *_: object) -> None:
        self.current.pop()


class Module:
    """A program: the bytes of a shared library."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, code: bytes) -> None:
        _need_device()
        path = self._folder / f"module{hashlib.sha256(code).hexdigest()}.so"
        if not path.exists():  # what is loaded must not be written to
            path.write_bytes(code)
        self._library = ctypes.CDLL(str(path))

    def get_function(self, name: str) -> Any:
        return SimpleNamespace(ptr=getattr(self._library, name))


class Event:
    """A moment of a stream; the host of this one is never ahead of it."""

    done = True

    def __init__(self, disable_timing: bool = False) -> None:
        self.of: list[int] = []

    def record(self, stream: Any = None) -> None:
        _need_device()
        self.at = time.perf_counter()
        self.of.append(7 if stream is None else stream.ptr)

    def synchronize(self) -> None:
        assert self.at


class Stream:
    """A stream, current within a with statement; it knows what it waited for."""

    current: list[Stream] = []  # noqa: RUF012

    def __init__(self, pointer: int) -> None:
        self.ptr = pointer

    def __enter__(self) -> None:
        self.current.append(self)

    def __exit__(self, *_: object) -> None:
        self.current.pop()

    def synchronize(self) -> None:
        _need_device()

    def wait_event(self, event: Event) -> None:
        WAITS.append((self.ptr, event.of[-1]))

    @classmethod
    def now(cls) -> Stream:
        return cls.current[-1] if cls.current else Stream(7)


WAITS: list[tuple[int, int]] = []
"""Which stream waited for what was asked for on which."""
LAUNCHES: list[int] = []
"""The stream of every launch."""


class RawKernel:
    """A kernel of the benchmark, which reads lines of 64 bytes: what it would read is there."""

    def __init__(self, source: str, name: str) -> None:
        assert f"void {name}(" in source

    def __call__(self, grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
        _need_device()
        lines, places, n, _ = arguments
        assert grid[0] * block[0] >= 4 * n
        assert not lines.reshape(-1, 16)[places[:n]].any()


def _need_device() -> None:
    assert Device.current, "no device is current"


def _aligned(count: int, dtype: Any, byte: int) -> Array:
    _need_device()
    size = count * np.dtype(dtype).itemsize
    raw = np.full(size + 512, byte, np.uint8)
    start = -address(raw) % 512
    found: Array = raw[start : start + size].view(dtype).view(Array)
    return found


def _as_array(given: Any) -> Array:
    _need_device()
    if isinstance(given, Array):
        return given
    if given.dtype.kind not in "biufc" or not given.dtype.isnative:  # as CuPy does
        raise ValueError(f"Unsupported dtype {given.dtype}")
    taken = _aligned(given.size, given.dtype, 0).reshape(given.shape)
    taken[...] = given
    return taken


def _lent(given: Any) -> Array:
    """Another library's array, the same memory."""
    _need_device()
    assert given.__dlpack_device__()[0] == 2
    if isinstance(given, Array):
        return given
    found: Array = given.__dlpack__().view(Array)
    return found


def _as_numpy(given: Array) -> Any:
    _need_device()
    assert type(given) is Array
    return np.array(given.view(np.ndarray))


def _launch(function: Any, *sizes: int) -> None:
    _need_device()
    *grid, shared, stream, arguments, extra = sizes
    LAUNCHES.append(stream)
    now = Stream.now().ptr
    assert (grid[1:3], grid[4:], shared, stream, extra) == ([1, 1], [1, 1], 0, now, 0)
    table, batch = (ctypes.c_void_p * 2).from_address(arguments)
    failed = function(
        ctypes.c_void_p(table),
        ctypes.c_void_p(batch),
        ctypes.c_uint(grid[0]),
        ctypes.c_uint(grid[3]),
        ctypes.c_uint64(1),
    )
    assert not failed


def cupy(folder: Path, **runtime: Any) -> Any:
    """Return the module; `folder` is for programs, `runtime` is put over CUDA's runtime."""
    known = {
        "getDeviceCount": lambda: 1,
        "runtimeGetVersion": lambda: 13020,
        "driverGetVersion": lambda: 13010,
        "getDeviceProperties": lambda number: {
            "name": b"A GPU of the host",
            "l2CacheSize": 1024,
            "totalGlobalMem": 1 << 30,
        },
        "memGetInfo": lambda: (1 << 30, 1 << 30),
        "CUDARuntimeError": RuntimeFailure,
    }
    return SimpleNamespace(
        __version__="14.0",
        ndarray=Array,
        arange=lambda *ends, dtype: _as_array(np.arange(*ends, dtype=dtype)),
        concatenate=lambda parts: _as_array(np.concatenate(parts)),
        copyto=np.copyto,
        minimum=np.minimum,
        searchsorted=lambda keys, asked: np.searchsorted(keys, asked).view(Array),
        sort=lambda given: np.sort(given),
        take=np.take,
        RawKernel=RawKernel,
        get_default_memory_pool=lambda: SimpleNamespace(free_all_blocks=lambda: None),
        zeros=lambda count, dtype: _aligned(count, dtype, 0),
        empty=lambda count, dtype: _aligned(count, dtype, 0x5A),
        asarray=_as_array,
        from_dlpack=_lent,
        ascontiguousarray=lambda given: np.array(given, copy=None, order="C", subok=True),
        asnumpy=_as_numpy,
        cuda=SimpleNamespace(
            runtime=SimpleNamespace(**{**known, **runtime}),
            driver=SimpleNamespace(launchKernel=_launch, CUDADriverError=DriverFailure),
            function=SimpleNamespace(Module=lambda: Module(folder)),
            memory=SimpleNamespace(OutOfMemoryError=MemoryIsOut),
            Device=Device,
            Event=Event,
            get_elapsed_time=lambda begin, end: 1e3 * (end.at - begin.at),
            alloc_pinned_memory=bytearray,
            get_current_stream=Stream.now,
            ExternalStream=Stream,
            Stream=SimpleNamespace(null=Stream(0)),
        ),
    )
