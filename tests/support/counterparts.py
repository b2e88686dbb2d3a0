"""Programs that tests need beside Python: looked up on PATH, and never a reason to fail at home."""

from __future__ import annotations

import os
import shutil

import pytest


def counterpart(program: str) -> str:
    """Return the path of a program on PATH; without it, skip the test.

    Where the environment variable PREDIS_COUNTERPARTS is "required", as in continuous integration,
    a program that is missing is a failure.
    """
    found = shutil.which(program)
    if found is not None:
        return found
    reason = f"{program} is not installed"
    if os.environ.get("PREDIS_COUNTERPARTS") == "required":
        pytest.fail(f"{reason}, and PREDIS_COUNTERPARTS=required asks for it")
    pytest.skip(reason)
