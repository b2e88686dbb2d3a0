"""What loads take from each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.flights import Load
from predis_core.ids import distinct
from predis_core.loading import _LOADED, _PENDING, Loads
from predis_core.stores import Rows
from predis_core.table.interface import Keys
from tests.support.steps import whole


class Collecting(Load):
    """A load whose thread writes an awaited value, and then its state, while another reads."""

    @property
    def values(self) -> Any:
        before = self.held.copy()
        self.held[:] = 7
        self.state[:] = _LOADED
        return before

    @values.setter
    def values(self, values: Any) -> None:
        self.held = np.zeros(1, np.int64)


def test_a_value_is_never_taken_before_it_is_there() -> None:
    source, load = Collecting(), Load()
    for each in (source, load):
        each.admit(whole(distinct(Keys(np.array([5])), np.array([0]), 1)))
    load.values = np.zeros(1, np.int64)
    loads = Loads(None, Rows("int64"))  # type: ignore[arg-type]
    loads._copy(load, np.array([0]), source)
    assert load.state[0] == _PENDING or load.values[0] == 7
    loads._copy(load, np.array([0]), source)
    assert load.state[0] == _LOADED
    assert load.values[0] == 7
