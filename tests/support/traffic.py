"""Mixed operations of one thread, of which each checks what it gets."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from predis_core.errors import LoaderError, MissingKeys
from tests.support.combinations import plain


class Traffic:
    """What one thread does to a cache: each face in turn.

    Args:
        cache: the cache.
        expected: the value that belongs to each key that is ever used.
        seed: of the choice of operations and keys.
        failing: whether some loads fail, so that those who share them fail too.
    """

    def __init__(
        self, cache: Any, expected: Mapping[Any, Any], seed: int, *, failing: bool = False
    ) -> None:
        self.cache, self.expected = cache, expected
        self.keys = list(expected)
        self.random = random.Random(seed)
        self.failing = failing
        self.steps: list[Callable[[], None]] = [
            self.look_up,
            self.store,
            self.store_and_take_evicted,
            self.load,
            self.remove,
            self.use_as_dict,
            self.go_over,
        ]
        if failing:
            self.steps += [self.load_in_vain, self.load_in_part]

    def step(self) -> None:
        """Do one thing."""
        self.random.choice(self.steps)()
        assert len(self.cache) <= self.cache.capacity

    def _batch(self) -> tuple[list[Any], list[Any]]:
        keys = self.random.choices(self.keys, k=self.random.choice((1, 3, 30, 200)))
        return keys, [self.expected[key] for key in keys]

    def _check(self, keys: Any, values: Any, hit: Any) -> None:
        for key, value, there in zip(plain(keys), plain(values), hit, strict=True):
            assert not there or value == self.expected[key]

    def _loader(self, ids: Any) -> list[Any]:
        return [self.expected[key] for key in plain(ids)]

    def look_up(self) -> None:
        """Look a batch up, into an array of its own if there are rows."""
        keys, _ = self._batch()
        found, hit = self.cache.get_many(keys)
        self._check(keys, found, hit)
        self.cache.touch_many(keys)
        if isinstance(found, np.ndarray):
            out = np.zeros_like(found)
            _, hit = self.cache.get_many(keys, out=out)
            self._check(keys, out, hit)

    def store(self) -> None:
        """Store a batch that lives long, shortly or differently long."""
        keys, values = self._batch()
        ttl = self.random.choice((None, 0.002, 60, [0.001] * len(keys)))
        assert self.cache.set_many(keys, values, ttl=ttl).all()

    def store_and_take_evicted(self) -> None:
        """Store a batch and look at what had to leave."""
        keys, values = self._batch()
        stored, gone = self.cache.set_many(keys, values, return_evicted=True)
        assert stored.all()
        self._check(gone.keys, gone.values, [True] * len(gone.keys))

    def load(self) -> None:
        """Load a batch, then one."""
        keys, values = self._batch()
        try:
            assert plain(self.cache.get_or_load_many(keys, self._loader)) == values
            found = self.cache.get_or_load(keys[0], lambda key: self.expected[key])
            assert found == values[0]
        except (LoaderError, MissingKeys) as error:
            assert self.failing
            _check_error(error, keys)

    def load_in_vain(self) -> None:
        """Load with a loader that raises."""
        keys, values = self._batch()

        def loader(ids: Any) -> Any:
            raise ZeroDivisionError("in vain")

        try:
            assert plain(self.cache.get_or_load_many(keys, loader)) == values
        except (LoaderError, MissingKeys) as error:
            _check_error(error, keys)

    def load_in_part(self) -> None:
        """Load with a loader that does not know every id."""
        keys, _ = self._batch()

        def loader(ids: Any) -> dict[Any, Any]:
            return {key: self.expected[key] for key in plain(ids)[::2]}

        try:
            values, found = self.cache.get_or_load_many(keys, loader, missing="mask")
            self._check(keys, values, found)
        except LoaderError as error:
            _check_error(error, keys)

    def remove(self) -> None:
        """Delete some and take one; now and then everything."""
        keys, values = self._batch()
        self.cache.delete_many(keys[:10])
        missing = object()
        found = self.cache.pop(keys[-1], missing)
        assert found is missing or found == values[-1]
        if self.random.random() < 0.1:
            self.cache.clear()

    def use_as_dict(self) -> None:
        """Go through the methods of a dict."""
        keys, values = self._batch()
        for key, value in zip(keys[:20], values[:20], strict=True):
            found = self.cache.get(key)
            assert found is None or found == value
            self.cache[key] = value
            assert self.cache.setdefault(key, value) == value

    def go_over(self) -> None:
        """Iterate, and read the counters."""
        for key, value in self.cache.items():
            assert value == self.expected[key]
        keys = list(self.cache)
        assert len(set(keys)) == len(keys) <= self.cache.capacity
        stats = self.cache.stats()
        assert 0 <= stats.size <= stats.capacity


def _check_error(error: LoaderError | MissingKeys, keys: list[Any]) -> None:
    assert set(error.ids) <= set(keys)
    assert isinstance(error, MissingKeys) or "in vain" in str(error)
