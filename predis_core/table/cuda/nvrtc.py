"""NVRTC, NVIDIA's compiler of CUDA C++ as a library: programs become cubins without a GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from predis_core.errors import DeviceError

MAJORS = (13, 12)
"""Versions of CUDA whose compiler will do, the newest first."""
_FLAGS = ("--std=c++17", "--diag-suppress=177")  # a policy needs some of the arithmetic only


class Nvrtc:
    """The compiler.

    Args:
        library: its shared library, loaded.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    @property
    def version(self) -> str:
        """The version, as "13.0"."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return f"{major.value}.{minor.value}"

    def compile(self, text: str, architecture: str) -> bytes:
        """Return a program as a cubin.

        Args:
            text: CUDA C++; see `source.source`.
            architecture: of the GPU, as "sm_90".

        Raises:
            DeviceError: if the compiler has anything to say about it; the message has its log.
        """
        program = ctypes.c_void_p()
        named = (text.encode(), b"table.cu", 0, None, None)
        self._call("nvrtcCreateProgram", ctypes.byref(program), *named)
        try:
            flags = [flag.encode() for flag in (f"--gpu-architecture={architecture}", *_FLAGS)]
            options = (ctypes.c_char_p * len(flags))(*flags)
            failed = self._library.nvrtcCompileProgram(program, len(flags), options)
            log = self._get("nvrtcGetProgramLog", program).rstrip(b"\0\n").decode()
            if failed or log:
                raise DeviceError(
                    f"the GPU table's program does not compile for {architecture} with NVRTC "
                    f"{self.version}; name another policy, or use device='cpu':\n{log}"
                )
            return self._get("nvrtcGetCUBIN", program)
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def _get(self, what: str, program: ctypes.c_void_p) -> bytes:
        """Return a text of a program: its log or its cubin."""
        size = ctypes.c_size_t()
        self._call(f"{what}Size", program, ctypes.byref(size))
        room = ctypes.create_string_buffer(size.value)
        self._call(what, program, room)
        return room.raw

    def _call(self, name: str, *arguments: object) -> None:
        failed = getattr(self._library, name)(*arguments)
        if failed:
            raise DeviceError(f"NVRTC: {name} failed with error {failed}")


@cache
def nvrtc(majors: tuple[int, ...] = MAJORS) -> Nvrtc:
    """Return the compiler of one of some versions of CUDA, the first that there is.

    It is looked for among NVIDIA's packages of this environment, then where the system has its
    libraries.

    Raises:
        DeviceError: if there is none; the message says what to install.
    """
    for major in majors:
        for name in _candidates(major):
            try:
                return Nvrtc(ctypes.CDLL(name))
            except OSError:
                continue
    names = " or ".join(f"predis-core[cuda{major}]" for major in majors)
    raise DeviceError(f"NVRTC, which compiles the GPU table, is not installed; install {names}")


def _candidates(major: int) -> Iterator[str]:
    spec = find_spec("nvidia")
    for root in (spec.submodule_search_locations or ()) if spec is not None else ():
        for path in sorted(Path(root).glob(f"*/lib/libnvrtc.so.{major}")):
            yield str(path)
    yield f"libnvrtc.so.{major}"
