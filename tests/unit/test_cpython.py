"""What kernels read in place: known here, and recognised where it is not so."""

from __future__ import annotations

import sys

import pytest

from predis_core.table import cpython


def known_anew() -> bool:
    return cpython.is_known.__wrapped__()


def test_this_interpreter_is_known() -> None:
    assert known_anew()


@pytest.mark.parametrize(
    "name",
    [
        "TYPE",
        "LENGTH",
        "HASH",
        "ASCII_DATA",
        "WIDE_DATA",
        "BYTES_DATA",
        "TUPLE_ITEMS",
        "ARRAY_DATA",
        "INT_DIGITS",
    ],
)
def test_an_offset_that_is_wrong_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpython, name, getattr(cpython, name) - 1)
    assert not known_anew()


def test_bits_of_a_state_that_are_nowhere_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpython, "STATE", 0)  # what counts references
    assert cpython._find_kind_shift() == -1
    monkeypatch.setattr(cpython, "KIND_SHIFT", -1)
    assert not known_anew()


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 15, 0)])
def test_other_versions_are_not_known(
    version: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    assert not known_anew()


def test_other_interpreters_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.implementation, "name", "another")
    assert not known_anew()
