"""Loaders that fail: the error names the ids, nothing wrong is cached, and every waiter wakes."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import LoaderError
from tests.support.combinations import Combination, plain
from tests.support.crew import PATIENCE, Crew, wait_until
from tests.support.sources import Source


def generator(ids: Any) -> Iterator[Any]:
    yield 1
    raise KeyError("half way")


class Lazy(Mapping[Any, Any]):
    """A mapping that fails when it is read."""

    def __init__(self, ids: Any) -> None:
        self.ids = plain(ids)

    def __getitem__(self, key: Any) -> Any:
        raise OSError("gone")

    def __iter__(self) -> Iterator[Any]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


def raises(ids: Any) -> Any:
    raise ZeroDivisionError("the source is down")


BOTH: dict[str, Callable[[Any], Any]] = {
    "raises": raises,
    "too little": lambda ids: [1] * (len(ids) - 1),
    "too much": lambda ids: [1] * (len(ids) + 1),
    "nothing": lambda ids: [],
    "None": lambda ids: None,
    "a number": lambda ids: 5,
    "text": lambda ids: "abc",
    "unasked ids": lambda ids: {**dict.fromkeys(plain(ids), 1), "unasked": 1},
    "generator fails": generator,
    "mapping fails": Lazy,
}
ROWS_ONLY: dict[str, Callable[[Any], Any]] = {
    "wrong dtype": lambda ids: np.ones(len(ids)),
    "wrong kind": lambda ids: ["a"] * len(ids),
    "wrong shape": lambda ids: np.ones((len(ids), 2), np.int64),
    "ragged": lambda ids: [[1], [1, 2], 3][: len(ids)],
    "None for one": lambda ids: [1, None, 3],
    "too large": lambda ids: [2**63] * len(ids),
}


@pytest.mark.parametrize("failure", BOTH.values(), ids=BOTH)
def test_a_loader_that_fails_names_its_ids_and_caches_nothing(
    combination: Combination, failure: Callable[[Any], Any]
) -> None:
    refuse_and_go_on(combination, failure)


@pytest.mark.parametrize("failure", ROWS_ONLY.values(), ids=ROWS_ONLY)
@pytest.mark.parametrize("kind", ["int64", "str", "bytes", "any"])
def test_rows_that_do_not_fit_name_their_ids_and_are_not_cached(
    kind: str, failure: Callable[[Any], Any]
) -> None:
    refuse_and_go_on(Combination("rows", kind), failure)


def refuse_and_go_on(combination: Combination, failure: Callable[[Any], Any]) -> None:
    cache = combination.open(100)
    cache[combination.key(9)] = combination.value(9)
    keys = combination.keys([1, 9, 2, 1, 3])
    with pytest.raises(LoaderError) as caught:
        cache.get_or_load_many(keys, failure)
    assert type(caught.value) is LoaderError
    assert caught.value.ids == combination.keys([1, 2, 3])
    assert repr(combination.key(2)) in str(caught.value)
    assert list(cache) == [combination.key(9)]
    assert (cache.stats().loads, cache.stats().load_failures) == (3, 3)

    source = Source(combination)
    assert plain(cache.get_or_load_many(keys, source)) == combination.values([1, 9, 2, 1, 3])
    assert source.asked == Counter(combination.keys([1, 2, 3]))


def test_the_error_of_a_loader_is_the_cause() -> None:
    cache = predis.Cache[int, int](10)
    with pytest.raises(LoaderError, match="ZeroDivisionError: the source is down") as caught:
        cache.get_or_load_many([1], raises)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(LoaderError, match="ZeroDivisionError: the source is down") as caught:
        cache.get_or_load(1, raises)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("failure", BOTH.values(), ids=BOTH)
def test_a_loader_that_fails_wakes_every_waiter(
    combination: Combination, crew: Crew, failure: Callable[[Any], Any]
) -> None:
    cache = combination.open(100)
    begun, release = threading.Event(), threading.Event()

    def loader(ids: Any) -> Any:
        begun.set()
        release.wait(PATIENCE)
        return failure(ids)

    first = crew.start(lambda: cache.get_or_load_many(combination.keys([1, 2, 3]), loader))
    assert begun.wait(PATIENCE)
    source = Source(combination)
    own = [4, 5, 6]
    waiters = [
        crew.start(lambda n=n: cache.get_or_load_many(combination.keys([n, 3, 1]), source))
        for n in own
    ]
    wait_until(lambda: cache.stats().loads_saved == 2 * len(own))
    release.set()
    with pytest.raises(LoaderError) as caught:
        first.result(PATIENCE)
    assert caught.value.ids == combination.keys([1, 2, 3])
    for waiter in waiters:
        with pytest.raises(LoaderError, match="another thread") as caught:
            waiter.result(PATIENCE)
        assert caught.value.ids == combination.keys([3, 1])
        assert repr(combination.key(3)) in str(caught.value)
    assert set(cache) == set(combination.keys(own))
    assert source.asked == Counter(combination.keys(own))
    assert (cache.stats().loads, cache.stats().load_failures) == (6, 3)
    again = combination.keys([1, 2, 3])
    assert plain(cache.get_or_load_many(again, source)) == combination.values([1, 2, 3])


def test_an_interrupted_loader_wakes_its_waiters(combination: Combination, crew: Crew) -> None:
    cache = combination.open(100)
    begun, release = threading.Event(), threading.Event()

    def loader(ids: Any) -> Any:
        begun.set()
        release.wait(PATIENCE)
        raise KeyboardInterrupt

    keys = combination.keys([1, 2])
    first = crew.start(lambda: cache.get_or_load_many(keys, loader))
    assert begun.wait(PATIENCE)
    waiter = crew.start(lambda: cache.get_or_load_many(keys, loader))
    wait_until(lambda: cache.stats().loads_saved == 2)
    release.set()
    with pytest.raises(KeyboardInterrupt):
        first.result(PATIENCE)
    with pytest.raises(LoaderError) as caught:
        waiter.result(PATIENCE)
    assert caught.value.ids == keys
    assert (cache.stats().loads, cache.stats().load_failures) == (2, 2)
    assert plain(cache.get_or_load_many(keys, combination.load)) == combination.values([1, 2])


@pytest.mark.parametrize("calm", range(30))
def test_a_key_that_cannot_be_compared_any_more_leaves_no_claim_behind(
    crew: Crew, calm: int
) -> None:
    """Loading runs the keys' own code, which may raise when some ids are claimed already."""

    class Moody:
        comparisons = 1_000_000

        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            Moody.comparisons -= 1
            if Moody.comparisons < 0:
                raise ZeroDivisionError("not now")
            return isinstance(other, Moody) and self.number == other.number

    cache = predis.Cache[Any, int](100)
    release, begun = threading.Event(), threading.Event()

    def held(ids: list[Any]) -> list[int]:
        begun.set()
        release.wait(PATIENCE)
        return [1] * len(ids)

    first = crew.start(lambda: cache.get_or_load_many([Moody(1)], held))
    assert begun.wait(PATIENCE)
    Moody.comparisons = calm
    batch = ["text", Moody(2), Moody(3), Moody(2)]
    with contextlib.suppress(ZeroDivisionError, LoaderError):
        cache.get_or_load_many(batch, lambda ids: [5, 2, 3])
    Moody.comparisons = 1_000_000
    release.set()
    assert first.result(PATIENCE) == [1]
    again = crew.start(
        lambda: cache.get_or_load_many(
            ["text", Moody(2)], lambda ids: [5 if key == "text" else 2 for key in ids]
        )
    )
    assert again.result(PATIENCE) == [5, 2]
