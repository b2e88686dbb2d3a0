"""What a compiler makes of a program, kept beside the kernels of the CPU; see `packages`."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from predis_core.table import packages

_building = threading.Lock()


def built(text: str, file: str, build: Callable[[Path], None], *depends_on: str) -> Path:
    """Return the path of what is built from a program, which is done unless it is on disk.

    Args:
        text: the program.
        file: name of what is built.
        build: writes it to a path.
        depends_on: what else it depends on: the compiler, its options.
    """
    identity = "\0".join((file, *depends_on, text))
    name = packages.PREFIX + "cuda_" + hashlib.sha256(identity.encode()).hexdigest()[:32]
    with _building:
        package = packages.provide(name, {"table.cu": text})
        if package is not None and (package / file).is_file():
            return package / file
        folder = Path(tempfile.mkdtemp(prefix="predis-cuda-"))
        build(folder / file)
        if package is not None:
            with suppress(OSError):  # a folder that is there for reading only
                return _moved(folder, file, package)
        return folder / file


def _moved(folder: Path, file: str, package: Path) -> Path:
    """Move a file to a package in one step: another process may be at the same one."""
    near = package / f".{folder.name}"
    shutil.copyfile(folder / file, near)
    near.replace(package / file)
    shutil.rmtree(folder)
    return package / file
