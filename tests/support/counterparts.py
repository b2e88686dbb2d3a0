"""What tests need beside Python, programs and a compiler: never a reason to fail at home."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from predis_core.errors import DeviceError
from predis_core.table.cuda.nvrtc import Nvrtc, nvrtc

ROOT = Path(__file__).resolve().parents[2]


def counterpart(program: str) -> str:
    """Return the path of a program on PATH; without it, skip the test.

    Where the environment variable PREDIS_COUNTERPARTS is "required", as in continuous integration,
    a program that is missing is a failure.
    """
    found = shutil.which(program)
    if found is not None:
        return found
    _missing(f"{program} is not installed")


def node_counterpart(script: str) -> tuple[str, str]:
    """Return the path of node and of a script of an npm package in `build/node`; without it, as
    `counterpart`.

    Args:
        script: "package/path".
    """
    node = counterpart("node")
    found = ROOT / "build" / "node" / "node_modules" / script
    if found.is_file():
        return node, str(found)
    package = script.partition("/")[0]
    return _missing(f"{package} is not installed (npm install --prefix build/node {package})")


def rotel_counterpart() -> str:
    """Return the path of rotel's agent, a receiver of OTLP; without it, as `counterpart`."""
    found = importlib.util.find_spec("rotel")
    if found is not None and found.origin is not None:
        return str(Path(found.origin).with_name("rotel-agent"))
    _missing("rotel is not installed")


def nvrtc_counterpart() -> Nvrtc:
    """Return the compiler of CUDA C++; without it, as `counterpart`."""
    try:
        return nvrtc()
    except DeviceError as error:
        return _missing(f"nvidia-cuda-nvrtc is not installed ({error})")


def _missing(reason: str) -> NoReturn:
    if os.environ.get("PREDIS_COUNTERPARTS") == "required":
        pytest.fail(f"{reason}, and PREDIS_COUNTERPARTS=required asks for it")
    pytest.skip(reason)
