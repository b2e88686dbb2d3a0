"""Modules that are imported when something of them is named."""

from __future__ import annotations

import sys

import pytest

from predis_core.deferred import Deferred


def test_a_module_is_imported_when_something_of_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    colors = Deferred("colorsys")
    assert "colorsys" not in sys.modules
    assert colors.rgb_to_hsv(0.0, 0.0, 0.0) == (0.0, 0.0, 0.0)
    assert "colorsys" in sys.modules


def test_what_it_has_not_is_an_error() -> None:
    with pytest.raises(AttributeError, match="module 'colorsys' has no attribute 'nothing'"):
        Deferred("colorsys").nothing  # noqa: B018
