"""Loaders that count, and loaders that keep their callers waiting."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from tests.support.combinations import Combination, plain
from tests.support.crew import PATIENCE


class Source:
    """Where loaders get their values: counts how often each id is asked for."""

    def __init__(self, combination: Combination) -> None:
        self.combination = combination
        self.asked: Counter[Any] = Counter()
        self.batches = 0
        self._lock = threading.Lock()

    def __call__(self, ids: Any) -> list[Any]:
        listed = plain(ids)
        with self._lock:
            self.batches += 1
            self.asked.update(listed)
        return self.combination.load(listed)


class Held(Source):
    """A source that keeps its callers waiting until it is released."""

    def __init__(self, combination: Combination) -> None:
        super().__init__(combination)
        self.release = threading.Event()

    def __call__(self, ids: Any) -> list[Any]:
        values = super().__call__(ids)
        assert self.release.wait(PATIENCE)
        return values
