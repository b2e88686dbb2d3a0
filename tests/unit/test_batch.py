"""Functions over batches of items: what they compute, what they return, what they raise."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import (
    ConfigurationError,
    KeyKindError,
    LoaderDeadlock,
    LoaderError,
    MissingKeys,
)
from tests.support.combinations import Combination, plain

WIDTH = 3


class Embedder:
    """A model: texts to rows, and a note of each call."""

    def __init__(self, scale: float = 1) -> None:
        self.scale = scale
        self.calls: list[list[str]] = []

    def __call__(self, texts: list[str]) -> Any:
        self.calls.append(texts)
        return [[len(text) * self.scale] * WIDTH for text in texts]

    def rows(self, texts: list[str]) -> list[list[float]]:
        return [[len(text) * self.scale] * WIDTH for text in texts]


def embeddings(kind: Any = "str", **options: Any) -> predis.Cache[Any, Any]:
    return predis.Cache(1_000, value=predis.Rows("float32", (WIDTH,)), keys=kind, seed=1, **options)


# ------------------------------------------------------------------ what is computed


@pytest.mark.parametrize("kind", ["str", "any"])
def test_only_distinct_missing_items_are_computed_in_one_call_in_order_of_appearance(
    kind: str,
) -> None:
    model = Embedder()
    embed = embeddings(kind).batch(model, name="model")
    texts = ["one", "three", "one", "seventeen"]
    rows = embed(texts)
    assert rows.dtype == np.float32
    assert rows.tolist() == model.rows(texts)
    again = ["new", *texts, "newer", "new"]
    assert embed(again).tolist() == model.rows(again)
    assert model.calls == [["one", "three", "seventeen"], ["new", "newer"]]
    assert embed.cache_info() == (11 - 5, 5)


@pytest.mark.parametrize("n", [0, 1, 5_000])
def test_lists_may_have_any_length(n: int) -> None:
    """Longer than the cache, too: nothing is computed twice in a call."""
    model = Embedder()
    texts = [f"text {number}" for number in range(n)]
    rows = embeddings().batch(model)(texts)
    assert rows.shape == (n, WIDTH)
    assert rows.tolist() == model.rows(texts)
    assert sum(map(len, model.calls)) == n
    assert len(model.calls) == (n > 0)


@pytest.mark.parametrize(
    "items",
    [
        ("a", "bb"),
        np.array(["a", "bb"]),
        iter(["a", "bb"]),
        dict.fromkeys(["a", "bb"]),
    ],
    ids=["tuple", "array", "iterator", "dict"],
)
def test_items_may_come_in_any_iterable(items: Any) -> None:
    model = Embedder()
    assert embeddings().batch(model)(items).tolist() == model.rows(["a", "bb"])
    assert model.calls == [["a", "bb"]]
    assert type(model.calls[0][0]) is str


def test_every_store_and_kind_of_keys_takes_a_batch_function(combination: Combination) -> None:
    cache = combination.open(100)
    asked: list[Any] = []

    def function(items: Any) -> Any:
        asked.append(items)
        return combination.load(items)

    function_of = cache.batch(function)
    numbers = [9, 4, 2, 9]
    values = function_of(combination.keys(numbers))
    assert isinstance(values, np.ndarray) == combination.holds_rows
    assert plain(values) == combination.values(numbers)
    assert plain(function_of(combination.keys([4, 5]))) == combination.values([4, 5])
    assert [plain(items) for items in asked] == [
        combination.keys([9, 4, 2]),
        combination.keys([5]),
    ]
    if combination.kind == "int64":
        assert asked[0].dtype == np.int64
    else:
        assert type(asked[0]) is list


def test_two_models_of_one_cache_never_mix() -> None:
    for kind in ("str", "any"):
        cache = embeddings(kind)
        small, large = Embedder(1), Embedder(10)
        embed, embed_large = cache.batch(small, name="small"), cache.batch(large, name="large")
        unnamed = cache.batch(Embedder(100)), cache.batch(Embedder(1000))
        for _ in range(2):
            assert embed(["abc"]).tolist() == small.rows(["abc"])
            assert embed_large(["abc"]).tolist() == large.rows(["abc"])
            assert [each(["abc"])[0, 0] for each in unnamed] == [300, 3000]
        assert len(small.calls) == len(large.calls) == 1


def test_functions_of_one_model_name_share_values() -> None:
    cache = embeddings()
    model = Embedder()
    cache.batch(model, name="model")(["abc"])
    other = Embedder(-1)
    assert cache.batch(other, name="model")(["abc"]).tolist() == model.rows(["abc"])
    assert other.calls == []


def test_key_says_which_items_are_one() -> None:
    model = Embedder()
    embed = embeddings().batch(model, key=str.casefold)
    assert embed(["Abc", "aBC", "d"]).tolist() == model.rows(["abc", "abc", "d"])
    assert embed(["ABC"]).tolist() == model.rows(["abc"])
    assert model.calls == [["Abc", "d"]]


def test_items_that_cannot_be_hashed_go_with_a_key() -> None:
    cache = predis.Cache[Any, Any](100)
    seen: list[Any] = []

    def total(rows: list[list[int]]) -> list[int]:
        seen.append(rows)
        return list(map(sum, rows))

    with pytest.raises(KeyKindError) as caught:
        cache.batch(total)([(1, 2), [3]])
    assert str(caught.value) == (
        "items: unhashable type: 'list' (at position 1); pass key=, a function of an item that "
        "returns what can be hashed"
    )
    totals = cache.batch(total, key=tuple)
    assert totals([[1, 2], [3], [1, 2]]) == [3, 3, 3]
    assert seen == [[[1, 2], [3]]]
    assert totals.invalidate([[3], [4]]).tolist() == [True, False]


def test_ids_of_an_int64_cache_with_a_key() -> None:
    cache = predis.Cache[int, Any](100, value=predis.Rows("int64"))
    lengths = cache.batch(
        lambda words: [len(word) for word in words], key=lambda word: ord(word[0])
    )
    assert lengths(["abc", "b", "axxxx"]).tolist() == [3, 1, 3]
    assert cache[ord("a")] == 3


def test_max_batch_bounds_what_the_function_gets_at_a_time() -> None:
    model = Embedder()
    embed = embeddings().batch(model, max_batch=4)
    texts = [f"{number:03}" * number for number in range(10)]
    assert embed([*texts, texts[0]]).tolist() == model.rows([*texts, texts[0]])
    assert list(map(len, model.calls)) == [4, 4, 2]
    assert [text for call in model.calls for text in call] == texts


@pytest.mark.parametrize("max_batch", [None, 2])
def test_a_function_may_return_a_mapping(max_batch: int | None) -> None:
    cache = predis.Cache[Any, Any](100)
    known = {"a": 1, "b": 2, "c": 3}
    look_up = cache.batch(
        lambda items: {item: known[item] for item in items if item in known},
        max_batch=max_batch,
    )
    assert look_up(["c", "a", "b", "c"]) == [3, 1, 2, 3]
    with pytest.raises(MissingKeys) as caught:
        look_up(["x", "a", "y", "x"])
    assert caught.value.ids == ["x", "y"]
    values, found = look_up(["x", "a"], missing="mask")
    assert (values, found.tolist()) == ([None, 1], [False, True])


def test_objects_come_in_parts_as_well() -> None:
    cache = predis.Cache[Any, Any](100)
    pairs = cache.batch(lambda items: ((item, [item]) for item in items), max_batch=2)
    assert pairs([1, 2, 3]) == [(1, [1]), (2, [2]), (3, [3])]


# ------------------------------------------------------------------ how long it lives


def test_each_call_may_have_a_time_to_live_of_its_own() -> None:
    clock = predis.ManualClock()
    cache = embeddings(ttl=1_000, clock=clock)
    embed = cache.batch(Embedder(), ttl="5m", name="model")
    for ttl, seconds in {None: 300, "1h": 3600, 5: 5, timedelta(seconds=9): 9}.items():
        text = f"for {ttl}"
        embed([text], ttl=ttl)
        assert cache.ttl_left(embed.keys([text])[0]) == seconds
    embed(["x", "y"], ttl=[1, 2])
    assert [cache.ttl_left(key) for key in embed.keys(["x", "y"])] == [1, 2]
    default = cache.batch(Embedder())
    default(["x"])
    assert cache.ttl_left(default.keys(["x"])[0]) == 1_000
    with pytest.raises(ConfigurationError, match='ttl: expected a duration such as "5m", got'):
        embed(["z"], ttl="later")


# ------------------------------------------------------------------ what is raised


def failing(error: Exception) -> Callable[..., Any]:
    def function(items: list[Any]) -> Any:
        raise error

    return function


@pytest.mark.parametrize("max_batch", [None, 1])
def test_what_the_function_raises_is_a_loader_error_with_the_items(max_batch: int | None) -> None:
    cache = embeddings()
    error = ConnectionError("down")
    embed = cache.batch(failing(error), max_batch=max_batch)
    with pytest.raises(LoaderError) as caught:
        embed(["a", "b", "a"])
    assert str(caught.value) == "the loader raised ConnectionError: down; ids ['a', 'b']"
    assert caught.value.ids == ["a", "b"]
    assert caught.value.__cause__ is error
    assert len(cache) == 0
    assert embed.cache_info() == (0, 2)


@pytest.mark.parametrize("max_batch", [None, 2])
@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "expected a sequence"),
        ([[1] * WIDTH], "expected shape (2, 3), one row per key, got (1, 3)"),
        ({"a": [1] * WIDTH, "z": [1] * WIDTH}, "ids that it was not asked for"),
    ],
)
def test_results_that_do_not_fit_are_a_loader_error(
    result: Any, message: str, max_batch: int | None
) -> None:
    cache = embeddings()
    embed = cache.batch(lambda items: result, max_batch=max_batch)
    items = ["a", "b"] if max_batch is None else ["a", "b", "c", "d"]
    with pytest.raises(LoaderError) as caught:
        embed(items)
    assert caught.value.ids == items
    if result is not None:
        assert message in str(caught.value)
    assert len(cache) == 0


def test_a_batch_that_waits_for_its_own_items_is_an_error() -> None:
    cache = predis.Cache[Any, Any](100)
    circle: Any = cache.batch(lambda items: circle(items))
    with pytest.raises(LoaderDeadlock) as caught:
        circle(["a"])
    assert caught.value.ids == ["a"]


def test_one_item_instead_of_several_is_an_error() -> None:
    embed = embeddings().batch(Embedder())
    for item in ("text", b"text", 5):
        with pytest.raises(KeyKindError) as caught:
            embed(item)
        assert str(caught.value) == f"items: expected several, got {item!r}; pass [item]"


def test_an_item_that_the_cache_does_not_take_is_an_error() -> None:
    embed = embeddings().batch(Embedder())
    with pytest.raises(KeyKindError) as caught:
        embed(["a", 5])
    assert str(caught.value) == (
        "Embedder: this cache takes str keys, got 5 (int) at position 1; pass key=, a function "
        "that returns str, or build the cache with keys='any'"
    )
    with pytest.raises(KeyKindError, match=r"got 5 \(int\) at position 3000; pass key="):
        embed([*["a"] * 3_000, 5])
    with pytest.raises(KeyKindError, match=r"this cache takes int64 keys, got 'a' \(str\)"):
        embeddings("int64").batch(Embedder())(["a"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fn": 3}, "fn: expected a function, got 3"),
        ({"key": 3}, "key: expected a function, got 3"),
        ({"name": ""}, "name: expected text without NUL, got ''"),
        ({"max_batch": 0}, "max_batch: expected an int > 0, got 0"),
        ({"max_batch": True}, "max_batch: expected an int > 0, got True"),
        ({"ttl": "x"}, "ttl: expected a duration such as \"5m\", got 'x'"),
        ({"ttl": -1}, "ttl: expected seconds > 0 or a timedelta, got -1"),
    ],
)
def test_an_option_that_does_not_fit_is_an_error_that_names_it(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        embeddings().batch(**{"fn": Embedder(), **options})
    assert str(caught.value).startswith(message)


def test_a_cache_of_int64_keys_serves_one_name() -> None:
    cache = embeddings("int64")
    function = cache.batch(lambda ids: np.repeat(ids[:, None], WIDTH, axis=1).astype("float32"))
    assert function([3, 4, 3])[:, 0].tolist() == [3, 4, 3]
    assert cache[4].tolist() == [4] * WIDTH
    with pytest.raises(ConfigurationError, match="int64 keys have no room for a name"):
        cache.batch(Embedder(), name="model")


# ------------------------------------------------------------------ what is forgotten


@pytest.mark.parametrize("kind", ["str", "any"])
def test_invalidate_forgets_items_and_invalidate_all_the_function(kind: str) -> None:
    cache = embeddings(kind)
    model, other = Embedder(), Embedder()
    embed, kept = cache.batch(model, name="model"), cache.batch(other)
    for each in (embed, kept):
        each(["a", "b", "c"])
    assert embed.invalidate(["b", "x"]).tolist() == [True, False]
    embed(["a", "b", "c"])
    embed.invalidate_all()
    assert len(cache) == 3
    for each in (embed, kept):
        each(["a", "b", "c"])
    assert model.calls == [["a", "b", "c"], ["b"], ["a", "b", "c"]]
    kept.invalidate_all()
    kept(["c"])
    assert other.calls == [["a", "b", "c"], ["c"]]


def test_a_batch_function_looks_like_the_function() -> None:
    def embed(texts: list[str]) -> Any:
        """Return rows."""

    batch = embeddings().batch(embed)
    assert batch.__wrapped__ is embed
    assert batch.__doc__ == "Return rows."
    assert not inspect.iscoroutinefunction(batch)
