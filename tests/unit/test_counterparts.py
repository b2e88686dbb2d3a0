"""A missing program skips a test at home and fails it where it is required."""

from __future__ import annotations

import shutil

import pytest

from predis_core.errors import DeviceError
from tests.support import counterparts
from tests.support.counterparts import counterpart, nvrtc_counterpart, rotel_counterpart

ABSENT = "no-such-program-of-predis"


def test_a_program_on_path_is_found() -> None:
    assert counterpart("sh") == shutil.which("sh")


def test_a_missing_program_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREDIS_COUNTERPARTS", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"^{ABSENT} is not installed$"):
        counterpart(ABSENT)


def test_a_missing_program_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDIS_COUNTERPARTS", "required")
    with pytest.raises(pytest.fail.Exception, match=f"^{ABSENT} is not installed, and PREDIS_"):
        counterpart(ABSENT)


def test_a_missing_receiver_skips_or_fails_as_a_program_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delenv("PREDIS_COUNTERPARTS", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^rotel is not installed$"):
        rotel_counterpart()
    monkeypatch.setenv("PREDIS_COUNTERPARTS", "required")
    with pytest.raises(pytest.fail.Exception, match=r"^rotel is not installed, and PREDIS_"):
        rotel_counterpart()


def _no_compiler() -> None:
    raise DeviceError("there is none")


def test_a_missing_compiler_skips_or_fails_as_a_program_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counterparts, "nvrtc", _no_compiler)
    reason = r"^nvidia-cuda-nvrtc is not installed \(there is none\)"
    monkeypatch.delenv("PREDIS_COUNTERPARTS", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"{reason}$"):
        nvrtc_counterpart()
    monkeypatch.setenv("PREDIS_COUNTERPARTS", "required")
    with pytest.raises(pytest.fail.Exception, match=f"{reason}, and PREDIS_COUNTERPARTS=required"):
        nvrtc_counterpart()
