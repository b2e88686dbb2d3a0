"""Compiled kernels on disk: Numba's decorators with a cache of our own in place of Numba's.

Numba's cache has an index per function that two processes may overwrite for each other, fails the
call where it cannot write, trusts whatever a crash left behind, and before it reads anything has
Numba load all that compiling takes, which is a third of a warm start. Here, each compiled function
is one file in the folder of its module, named after all that it was compiled for, with a checksum,
written in one step. A file that is missing or damaged is compiled anew; one that cannot be written
is reported once, and compiled in each process.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import sigutils
from numba.core.ccallback import CFunc
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from predis_core.table.compiling import KernelCompiler

logger = logging.getLogger("predis")

_CHECKSUM_BYTES = 16
_reported: set[Path] = set()


def njit(*, cache: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` whose `cache=True` is ours."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(pipeline_class=KernelCompiler, **options)(function)
        if cache:
            dispatcher._cache = MachineCode(function)
        return dispatcher

    return decorate


def cfunc(signature: Any, *, cache: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """`numba.cfunc` whose `cache=True` is ours; it compiles, or loads, at once."""

    def decorate(function: Callable[..., Any]) -> Any:
        callback: Any = CFunc(
            function,
            sigutils.normalize_signature(signature),
            locals={},
            # Into its wrapper: a call less, and nothing goes by way of memory.
            options={"forceinline": True},
            pipeline_class=KernelCompiler,
        )
        if cache:
            callback._cache = MachineCode(function)
        callback.compile()
        return callback

    return decorate


class MachineCode:
    """What Numba asks for a function's compiled forms, and hands new ones to.

    The function's module has to be named after all that its code depends on, as those that
    `codegen` makes are.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = function.__qualname__.replace("<locals>.", "")
        self._module = Path(function.__code__.co_filename)

    @property
    def cache_path(self) -> str:
        """The folder."""
        return str(self._module.parent)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return what was compiled for a signature, or None."""
        payload = _read(self._path(signature, target_context.codegen()))
        if payload is None:
            return None
        # Of all that compiling takes, running takes only this.
        rtsys.initialize(target_context)
        compiled = CompileResult._rebuild(target_context, *pickle.loads(payload))
        return compiled if compiled.signature.args == _arguments(signature) else None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep what was compiled for a signature, if it can be kept."""
        if compiled.lifted or compiled.library.has_dynamic_globals:
            return
        path = self._path(signature, compiled.library.codegen)
        try:
            _write(path, dumps(compiled._reduce()))
        except OSError as error:
            if path.parent not in _reported:
                _reported.add(path.parent)
                logger.warning(
                    "compiled kernels cannot be kept in %s: %s; they are compiled in each process",
                    path.parent,
                    error.strerror,
                )

    def _path(self, signature: Any, codegen: Any) -> Path:
        compiled_for = repr((_arguments(signature), codegen.magic_tuple()))
        digest = hashlib.sha256(compiled_for.encode()).hexdigest()[:16]
        return self._module.with_name(f"{self._module.stem}.{self._name}.{digest}.machine")


def _arguments(signature: Any) -> Any:
    """The types of the arguments: Numba gives them alone, or as a signature."""
    return getattr(signature, "args", signature)


def _read(path: Path) -> bytes | None:
    """Return what was written, or None if it is not there whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    checksum, payload = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
    return payload if checksum == _checksum(payload) else None


def _write(path: Path, payload: bytes) -> None:
    """Write a file in one step: others see all of it or nothing."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_checksum(payload) + payload)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _checksum(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_CHECKSUM_BYTES).digest()
