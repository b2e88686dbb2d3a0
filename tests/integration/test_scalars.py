"""Scalar methods in machine code: what runs in between, who else takes part, what is raised."""

from __future__ import annotations

import gc
import inspect
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import predis_core as predis
from predis_core import native
from predis_core.errors import CacheClosed, CacheFull, ConfigurationError, ForkedCache, KeyKindError
from predis_core.table import context as words
from tests.support.scalars import compiled, verbs

Cache = predis.Cache[Any, Any]


def opened(capacity: int = 100, **options: Any) -> Cache:
    return compiled(predis.Cache(capacity, seed=5, **options))


class Key:
    """A key whose hash and equality are Python code, which may do anything."""

    def __init__(
        self,
        number: int,
        on_eq: Callable[[], object] | None = None,
        on_hash: Callable[[], object] | None = None,
    ) -> None:
        self.number, self.on_eq, self.on_hash = number, on_eq, on_hash

    def __hash__(self) -> int:
        if self.on_hash is not None:
            self.on_hash()
        return self.number

    def __eq__(self, other: object) -> bool:
        for key in (self, other):
            if isinstance(key, Key) and key.on_eq is not None:
                key.on_eq()
        return isinstance(other, Key) and self.number == other.number


class Dying:
    """A value that does something when it goes."""

    def __init__(self, last_words: Callable[[], object]) -> None:
        self.last_words = last_words

    def __del__(self) -> None:
        self.last_words()


def refuse() -> None:
    raise ZeroDivisionError("on purpose")


# ---------------------------------------------------------------------- which methods


def test_methods_become_machine_code_after_enough_calls() -> None:
    cache: Cache = predis.Cache(1_000)
    for number in range(native.CALLS):
        cache.get(number)
        cache[number] = number
    assert not any(verbs(cache))
    assert cache.get(1) == 1
    reads = [True, True, False, False, True, False, True]
    assert verbs(cache) == reads
    cache[1] = 2
    assert verbs(cache) == [True, True, True, False, True, True, True]
    assert cache[1] == 2


def test_a_call_that_names_no_loader_needs_a_default_one() -> None:
    cache = opened()
    cache[1] = 2
    with pytest.raises(ConfigurationError, match="loader: pass one to this call"):
        cache.get_or_load(1)
    with pytest.raises(ConfigurationError, match="loader: pass one to this call"):
        cache.get_or_load(1, None)
    assert cache.get_or_load(1, refuse) == 2
    other = opened(loader=lambda ids: [refuse() for _ in ids])
    other[1] = 2
    assert other.get_or_load(1) == other.get_or_load(1, None) == 2


class Loud(predis.Cache[Any, Any]):
    def get_many(self, keys: Any, **options: Any) -> Any:
        self.heard = True
        return super().get_many(keys, **options)


class Polite(predis.Cache[Any, Any]):
    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key, "please"), default

    def set(self, key: Any, value: Any, *, ttl: Any = None) -> bool:
        return super().set(key, ("set", value), ttl=ttl)


def test_what_a_subclass_overrides_is_called() -> None:
    loud = compiled(Loud(100))
    loud[1] = 2
    assert verbs(loud) == [False, True, True, False, True, True, True]
    assert loud.get(1) == loud[1] == 2
    assert loud.heard
    polite = compiled(Polite(100))
    assert polite.get(1) == ("please", None)
    polite[1] = 2
    assert polite[1] == ("set", 2)
    assert verbs(polite) == [True, True, True, False, True, False, True]


def test_what_a_cache_itself_overrides_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    cache: Cache = predis.Cache(100)
    monkeypatch.setattr(cache, "get_many", lambda keys: (["other"], [True]))
    compiled(cache)
    assert cache.get(1) == "other"
    assert 1 not in cache


@pytest.mark.parametrize("kind", ["str", "bytes"])
def test_keys_hashed_by_content_are_exactly_of_their_type(kind: Any) -> None:
    class Text(str):
        pass

    class Data(bytes):
        pass

    cache = opened(keys=kind)
    own, other = ("a\u00e9\u6c34", Text("a\u00e9\u6c34")), (b"abc", Data(b"abc"))
    if kind == "bytes":
        own, other = other, own
    cache[own[0]] = 1
    assert verbs(cache) == [True, True, True, False, True, True, True]
    assert cache[own[0]] == cache[own[1]] == cache.get_many([own[0]])[0][0] == 1
    for key in (*other, 1):
        with pytest.raises(KeyKindError):
            cache.get(key)


def test_weighed_values_are_stored_by_plain_python() -> None:
    cache = opened(memory="1MiB", weigher=lambda key, value: value)
    cache[1] = 2
    assert verbs(cache)[:3] == [True, True, False]
    assert cache.get(1) == 2
    stats = cache.stats()
    assert (stats.bytes, stats.hit_bytes) == (2, 2)


def test_signatures_and_docstrings_stay() -> None:
    opened()
    plain = {
        "get": "(self, key, default=None)",
        "set": "(self, key, value, *, ttl=None)",
        "get_or_load": "(self, key, loader=None, *, ttl=None)",
        "__getitem__": "(self, key)",
        "__setitem__": "(self, key, value)",
        "__contains__": "(self, key)",
    }
    for name, signature in plain.items():
        method = getattr(predis.Cache, name)
        assert inspect.ismethoddescriptor(method)
        found = inspect.signature(method)
        names = [each.replace(annotation=each.empty) for each in found.parameters.values()]
        shown = str(inspect.Signature(names)).replace("(self, /, ", "(self, ")
        assert shown == signature
    assert predis.Cache.get.__doc__ == "Return the value of a key, or `default`."
    assert predis.Cache.get.__objclass__ is predis.Cache  # type: ignore[attr-defined]


def test_wrong_calls_say_what_is_wrong() -> None:
    cache = opened()
    for call in (
        lambda: cache.get(),  # type: ignore[call-overload]
        lambda: cache.get(1, 2, 3),  # type: ignore[call-overload]
        lambda: cache.get(1, other=2),  # type: ignore[call-overload]
        lambda: cache.set(1),  # type: ignore[call-arg]
        lambda: cache.__setitem__(1),  # type: ignore[call-arg]
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError, match="descriptor 'get' for 'Cache' objects doesn't apply"):
        predis.Cache.get(object(), 1)  # type: ignore[call-overload]


def test_a_cache_that_was_never_built_is_no_cache() -> None:
    with pytest.raises(AttributeError):
        predis.Cache.__new__(predis.Cache).get(1)


# ---------------------------------------------------------------------- keys


def test_arguments_by_name_mean_the_same() -> None:
    cache = opened()
    assert cache.set(key=1, value=2, ttl=10)
    assert cache.get(key=1) == cache.get(1, default=3) == 2
    assert cache.get(4, default=3) == 3
    assert cache.ttl_left(1) is not None


def test_unhashable_keys_are_refused() -> None:
    cache = opened()
    for call in (
        lambda: cache.get([]),
        lambda: cache[[]],
        lambda: [] in cache,
        lambda: cache.set([], 1),
        lambda: cache.get_or_load([], refuse),
    ):
        with pytest.raises(KeyKindError, match=r"keys: unhashable type: 'list' \(at position 0\)"):
            call()


def test_what_hash_and_equality_raise_comes_out() -> None:
    cache = opened()
    cache[Key(1)] = 1
    for key in (Key(1, on_hash=refuse), Key(1, on_eq=refuse)):
        for call in (
            lambda key=key: cache.get(key),
            lambda key=key: cache[key],
            lambda key=key: key in cache,
            lambda key=key: cache.set(key, 1),
            lambda key=key: cache.get_or_load(key, refuse),
        ):
            with pytest.raises(ZeroDivisionError, match="on purpose"):
                call()
    assert cache[Key(1)] == 1


def test_keys_of_int64_caches_are_ints_only() -> None:
    cache = opened(keys="int64")
    cache[1] = "one"
    for key in (True, "1", 1.0, 2**63):
        with pytest.raises(KeyKindError):
            cache.get(key)
    assert cache.get(-1) is None
    cache[-1] = cache[2**63 - 1] = cache[-(2**63)] = "edge"
    assert cache[-1] == cache[2**63 - 1] == cache[-(2**63)] == "edge"


def test_a_missing_tuple_is_named_whole() -> None:
    cache = opened()
    with pytest.raises(KeyError) as caught:
        cache[(1, 2)]
    assert caught.value.args == ((1, 2),)


# ---------------------------------------------------------------------- code in between


@pytest.mark.parametrize("where", ["on_eq", "on_hash"])
@pytest.mark.parametrize(
    "change",
    [
        lambda cache: cache.clear(),
        lambda cache: cache.pop(Key(1), None),
        lambda cache: cache.set(Key(1), "other"),
        lambda cache: cache.resize(50 if cache.capacity == 100 else 100),
        lambda cache: [cache.set(number, number) for number in range(1000)],
        lambda cache: [cache.get(Key(1)), gc.collect()],
        lambda cache: cache.add_removal_listener(lambda removals: None),
    ],
    ids=["clear", "pop", "set", "resize", "evict", "get", "listen"],
)
def test_keys_may_change_the_cache_that_compares_them(
    where: str, change: Callable[[Cache], object]
) -> None:
    for call in (
        lambda cache, key: cache.get(key),
        lambda cache, key: key in cache,
        lambda cache, key: cache.set(key, "fresh"),
        lambda cache, key: cache.get_or_load(key, lambda _: "loaded"),
        lambda cache, key: cache.__setitem__(key, "fresh"),
    ):
        cache = opened(clock=predis.ManualClock())
        left = [3]

        def act(cache: Cache = cache, left: list[int] = left) -> None:
            if left[0]:
                left[0] -= 1
                change(cache)

        cache[Key(1)] = "first"
        result = call(cache, Key(1, **{where: act}))
        assert result in ("first", "other", "fresh", "loaded", True, False, None)
        assert left[0] < 3
        cache.check_invariants()
        cache[Key(1)] = "last"
        assert cache[Key(1)] == "last"


def test_keys_may_close_the_cache_that_compares_them() -> None:
    for where in ("on_eq", "on_hash"):
        cache = opened()
        cache[Key(1)] = 1
        with pytest.raises(CacheClosed):
            cache.get(Key(1, **{where: cache.close}))  # type: ignore[arg-type]


def test_keys_may_close_the_cache_and_raise() -> None:
    def close_and_raise(cache: Cache) -> None:
        cache.close()
        raise TypeError("on purpose")

    cache = opened()
    cache[Key(1)] = 1
    with pytest.raises(CacheClosed):
        cache.get(Key(1, on_hash=lambda: close_and_raise(cache)))
    cache = opened()
    cache[Key(1)] = 1
    with pytest.raises(TypeError, match="on purpose"):
        cache.get(Key(1, on_eq=lambda: close_and_raise(cache)))


def test_values_that_leave_may_use_the_cache() -> None:
    cache, said = opened(28), []

    def last_words() -> None:
        said.append(len(cache))
        cache[len(said) % 7] = Dying(last_words) if len(said) < 200 else None
        cache.get(3)

    for number in range(100):
        cache[number] = Dying(last_words)
    assert len(said) > 50
    cache.check_invariants()
    cache.clear()
    cache.check_invariants()


def test_a_clock_may_be_anything() -> None:
    class Odd(predis.Clock):
        says: Any = 5

        def monotonic(self) -> Any:
            return self.says() if callable(self.says) else self.says

    clock = Odd()
    cache = opened(clock=clock, ttl=10)
    cache.set(1, 2, ttl=20)
    assert cache[1] == 2
    clock.says = refuse
    with pytest.raises(ZeroDivisionError):
        cache.get(1)
    clock.says = "soon"
    with pytest.raises(TypeError):
        cache.get(1)
    clock.says = 30 * 10**9
    assert cache.get(1) is None
    cache[3] = 4
    assert cache.ttl_left(3) == 10


# ---------------------------------------------------------------------- who else takes part


def test_listeners_are_told_from_when_they_come_until_they_go() -> None:
    cache, told = opened(), []
    cache[1] = "a"
    cache[1] = "b"
    listener = told.append
    cache.add_removal_listener(listener)
    cache[1] = "c"
    assert cache.remove_removal_listener(listener)
    cache[1] = "d"
    assert [removals.values for removals in told] == [["b"]]


def test_a_set_during_a_load_wins_over_it() -> None:
    cache = opened()

    def loader(key: int) -> str:
        cache[key] = "set"
        return "loaded"

    assert cache.get_or_load(1, loader) == "loaded"
    assert cache[1] == "set"


def test_pinned_entries_stay() -> None:
    cache = opened(28)
    for number in range(28):
        cache[number] = number
    with cache.pinned(list(cache)):
        with pytest.raises(CacheFull, match="no entry may leave to make room for 'new'"):
            cache["new"] = 1
        assert not cache.set("new", 1)
    cache["new"] = 1
    assert cache["new"] == 1


def test_blobs_that_never_fit_are_refused() -> None:
    cache = opened(value=predis.Blobs(), memory=20_000)
    with pytest.raises(CacheFull, match="no entry may leave to make room for 7"):
        cache[7] = b"x" * 100_000
    assert not cache.set(7, b"x" * 100_000)
    assert cache.set(7, b"x" * 100)
    cache[8] = bytearray(b"other")
    assert (cache[7], cache[8], cache.get(9)) == (b"x" * 100, b"other", None)
    assert cache.stats().hit_bytes == 105


def test_a_cache_that_was_resized_is_machine_code_again() -> None:
    cache = opened()
    cache[1] = 2
    cache.resize(200)
    assert not any(verbs(cache))
    cache[1] = 3
    assert cache[1] == 3
    assert verbs(cache) == [True, True, True, False, True, True, True]


def test_closed_caches_say_so() -> None:
    cache = opened()
    cache[1] = 2
    cache.close()
    for call in (
        lambda: cache.get(1),
        lambda: cache[1],
        lambda: 1 in cache,
        lambda: cache.set(1, 2),
        lambda: cache.get_or_load(1, refuse),
    ):
        with pytest.raises(CacheClosed):
            call()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_caches_say_so() -> None:
    cache = opened()
    cache[1] = 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads may be running
        child = os.fork()
    if child == 0:
        try:
            cache.get(1)
        except ForkedCache:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert cache[1] == 2


# ---------------------------------------------------------------------- references and threads


@pytest.mark.watches_lifetime
def test_no_reference_is_lost_and_none_is_kept() -> None:
    keys = [f"key {number}" for number in range(200)] + [(number,) for number in range(200)]
    values, default, none = [object() for _ in range(50)], object(), None
    cache = opened(60, loader=lambda ids: [default for _ in ids])

    def counts() -> list[int]:
        gc.collect()
        return [sys.getrefcount(each) for each in (*keys, *values, default)]

    def use(cache: Cache, times: int) -> None:
        for number in range(times):
            key, value = keys[number * 7 % 400], values[number % 50]
            match number % 8:
                case 0 | 1:
                    cache[key] = value
                case 2:
                    cache.set(key, value)
                case 3:
                    cache.get(key, default)
                case 4:
                    cache.get(key)
                case 5:
                    _ = key in cache
                case 6:
                    cache.get_or_load(key)
                case 7:
                    with pytest.raises(KeyError):
                        cache[(number, key)]
        cache.clear()

    use(cache, 2_000)  # kernels that are loaded between the counts would keep references to None
    before, nones = counts(), sys.getrefcount(none)
    use(cache, 100_000)
    assert counts() == before
    assert abs(sys.getrefcount(none) - nones) < 100
    del cache
    assert counts() == before


def test_threads_call_at_a_time() -> None:
    cache = opened(500)
    failures: list[BaseException] = []
    done = threading.Event()

    def work(number: int) -> None:
        try:
            for turn in range(20_000):
                key = (turn * (number + 3)) % 900
                cache[key] = key
                # whoever finds a key evicted loads it as a text, for every thread to see
                assert cache.get(key + 1, key + 1) in (key + 1, str(key + 1))
                assert cache.get_or_load(key, str) in (key, str(key))
        except BaseException as error:
            failures.append(error)

    def resize() -> None:
        while not done.is_set():
            cache.resize(500 if cache.capacity == 700 else 700)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    resizer = threading.Thread(target=resize)
    for each in (*threads, resizer):
        each.start()
    for each in threads:
        each.join()
    done.set()
    resizer.join()
    assert failures == []
    cache.check_invariants()


_DEBUGGED = """
import predis_core as predis
from predis_core import native
cache = predis.Cache(60, seed=5)
for part in (native.READS, native.WRITES):
    cache._scalars.bind(cache, part)
for turn in range(20_000):
    key = ("key", turn % 200) if turn % 3 else str(turn % 200)
    cache[key] = [turn]
    assert cache[key] == [turn]
    cache.get(turn % 300)
cache.check_invariants()
cache.close()
print("done")
"""


def test_with_a_debugging_allocator() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", _DEBUGGED],
        env=os.environ | {"PYTHONMALLOC": "debug"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_the_words_of_a_context_do_not_overlap() -> None:
    log_words = 8 + 8 * words.LOG_ENTRIES
    assert words.VERBS <= words.HEADER
    assert words.SLOT < words.LOG
    assert words.LOG + log_words <= words.SCRATCH
    assert words.SCRATCH < words.WORDS


def test_methods_taken_while_they_were_plain_python_get_to_machine_code() -> None:
    cache: Cache = predis.Cache(100)
    get, store = cache.get, cache.set
    compiled(cache)
    assert store("a", 1) is True
    assert (get("a"), get("b", 7), get("b", default=8)) == (1, 7, 8)
    assert store("a", 2, ttl=60) is True
    left = dict(cache._scalars._left)
    assert (get("a"), store("b", 3), get("b")) == (2, True, 3)
    assert cache._scalars._left == left  # no call was counted as one in plain Python
