"""Arrays that lie on the GPU of a cache: they stay there. The GPU is the host, and so is CuPy."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import Cache
from predis_core.errors import (
    CacheClosed,
    DeviceError,
    KeyKindError,
    MissingKeys,
    ValueShapeError,
)
from predis_core.table.cuda.launch import CupyDevice
from tests.support.cupy import (
    LAUNCHES,
    WAITS,
    Array,
    Event,
    MemoryIsOut,
    RuntimeFailure,
    Stream,
)
from tests.support.cupy import Device as Gpu
from tests.support.gpu import put_cupy_in_place
from tests.support.libraries import STREAM_OF_TORCH, Lent, library, on_gpu
from tests.support.shelf import Shelf


@pytest.fixture(scope="module", autouse=True)
def cupy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        module = put_cupy_in_place(patch, tmp_path_factory.mktemp("cupy"))
        torch, jax = library("torch"), library("jaxlib")
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "jax.dlpack", jax)
        Gpu.current.append(0)  # of these tests, which make arrays themselves
        yield module
        Gpu.current.pop()


@pytest.fixture(autouse=True)
def forget() -> None:
    WAITS.clear()
    LAUNCHES.clear()


@pytest.fixture
def cache() -> Cache[Any, Any]:
    return Cache(100, value=predis.Rows("float64", ()), policy="lru", seed=1, device="cuda:0")


def of_cupy(values: Any, dtype: Any = None) -> Any:
    return on_gpu(values, dtype)


def of_torch(values: Any, dtype: Any = None) -> Any:
    return sys.modules["torch"].Tensor(on_gpu(values, dtype))


def of_jax(values: Any, dtype: Any = None) -> Any:
    return sys.modules["jax.dlpack"].Tensor(on_gpu(values, dtype))


LIBRARIES: dict[str, Callable[..., Any]] = {"cupy": of_cupy, "torch": of_torch, "jax": of_jax}


@pytest.fixture(params=LIBRARIES)
def made(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return LIBRARIES[request.param]


def no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if anything comes to the host, which would have to wait for it."""

    def give(self: CupyDevice, array: Any) -> Any:
        raise AssertionError("the host waits for the GPU")

    monkeypatch.setattr(CupyDevice, "give", give)


def test_what_lies_there_stays_there(
    cache: Cache[Any, Any], made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        no_host(patch)
        keys, values = made([5, 6, 7]), made([0.5, 0.25, 0.125])
        stored = cache.set_many(keys, values)
        rows, hit = cache.get_many(made([7, 9, 5]))
        present = cache.contains_many(made([6, 8]))
        touched = cache.touch_many(made([6, 8]))
        deleted = cache.delete_many(made([6, 8]))
        out = made([9.0, 9.0])
        assert cache.get_many(made([6, 7]), out=out)[0] is out
    for mask, expected in (
        (stored, [True] * 3), (hit, [True, False, True]), (present, [True, False]),
        (touched, [True, False]), (deleted, [True, False]),
    ):  # fmt: skip
        assert type(mask) is type(keys)
        assert mask.tolist() == expected
    assert type(rows) is type(keys)
    assert rows.tolist() == [0.125, 0.0, 0.5]
    assert out.tolist() == [9.0, 0.125]
    assert dict(cache.items()) == {5: 0.5, 7: 0.125}
    assert cache.stats().hits == 3
    cache.check_invariants()


def test_text_leads_to_rows_that_lie_there(made: Any) -> None:
    cache: Cache[Any, Any] = Cache(
        100, value=predis.Rows("float64", ()), policy="lru", keys="str", device="cuda:0"
    )
    values, out = made([0.5, 0.25]), made([9.0, 9.0])
    stored = cache.set_many(["a", "b"], values)
    assert type(stored) is type(values)
    assert stored.tolist() == [True, True]
    rows, hit = cache.get_many(["b", "c"], out=out)
    assert rows is out
    assert (out.tolist(), hit.tolist()) == ([0.25, 9.0], [True, False])
    assert dict(cache.items()) == {"a": 0.5, "b": 0.25}
    message = (
        "keys: this cache takes keys of kind 'str', got an array of the GPU; pass keys of the host"
    )
    for call in (cache.get_many, cache.contains_many, cache.delete_many):
        with pytest.raises(KeyKindError, match=f"^{re.escape(message)}$"):
            call(made([1, 2]))
    cache.check_invariants()


def test_no_copy_is_made_of_keys_and_out(
    cache: Cache[Any, Any], cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = cache._table.device.exchange  # type: ignore[attr-defined]
    array = on_gpu([1, 2])
    with exchange.beside(array):
        assert exchange.take(Lent(array), "keys", KeyKindError).data.ptr == array.data.ptr
    assert exchange.give(array, array) is array
    assert exchange.give(array, of_torch([1])).array is array
    with pytest.raises(ValueShapeError, match="begins at a multiple of 16 bytes"):
        cache.get_many(on_gpu([1]), out=on_gpu([0.0, 0.0])[1:])


def test_host_and_gpu_may_be_mixed(cache: Cache[Any, Any]) -> None:
    assert type(cache.set_many(on_gpu([1, 2]), [0.5, 1.5])) is Array
    assert type(cache.set_many([3, 4], on_gpu([2.5, 3.5]))) is Array
    out = on_gpu([0.0] * 4)
    values, hit = cache.get_many(np.arange(1, 5), out=out)
    assert values is out
    assert type(hit) is Array
    assert out.tolist() == [0.5, 1.5, 2.5, 3.5]
    values, hit = cache.get_many([1, 9])
    assert type(values) is type(hit) is np.ndarray
    assert hit.tolist() == [True, False]
    with pytest.raises(ValueShapeError, match="the keys lie on the GPU and this does not"):
        cache.get_many(on_gpu([1]), out=np.zeros(1))


def test_keys_of_other_widths_and_rows_with_a_shape() -> None:
    cache = Cache[Any, Any](
        9, value=predis.Rows("float32", (2, 2)), policy="lru", seed=1, device="cuda:0"
    )
    rows = np.arange(8, dtype="float32").reshape(2, 2, 2)
    assert cache.set_many(on_gpu([1, 2], "int32"), on_gpu(rows)).all()
    found, hit = cache.get_many(on_gpu([2, 1, 3], "uint8"))
    assert found.tolist() == [*rows[::-1].tolist(), [[0, 0], [0, 0]]]
    assert hit.tolist() == [True, True, False]


def test_what_does_not_fit_is_told(cache: Cache[Any, Any]) -> None:
    elsewhere = of_torch([1])
    taken = elsewhere.array.view(type("Elsewhere", (Array,), {"device": Gpu(1)}))
    elsewhere.array = taken

    class Unlent(Lent):
        def __dlpack__(self, **_: Any) -> Any:
            raise BufferError("requires grad")

    told: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: cache.get_many(on_gpu([[1]])), KeyKindError, "keys: expected one dimension"),
        (lambda: cache.get_many(on_gpu([1.0])), KeyKindError, "keys: this cache takes int64 keys"),
        (lambda: cache.get_many(on_gpu([1], "uint64")), KeyKindError, "keys: this cache takes"),
        (lambda: cache.set_many(on_gpu([1]), on_gpu([1.0, 2.0])), ValueShapeError,
         "values: expected shape (1,), one row per key, got (2,)"),
        (lambda: cache.set_many(on_gpu([1]), on_gpu([1])), ValueShapeError,
         "values: the cache holds float64, got an array of int64 on the GPU"),
        (lambda: cache.get_many(on_gpu([1]), out=on_gpu([1])), ValueShapeError,
         "out: expected a C-contiguous array of float64 (1,), got int64 (1,)"),
        (lambda: cache.get_many(Unlent(on_gpu([1]))), KeyKindError,
         "keys: cannot be read on the GPU: requires grad"),
    ]  # fmt: skip
    for call, error, message in told:
        with pytest.raises(error, match="^" + re.escape(message)):
            call()
    names = Cache[Any, Any](9, value=predis.Rows("U2"), policy="lru", device="cuda:0")
    with pytest.raises(ValueShapeError, match="rows of <U2 do not become arrays on the GPU"):
        names.get_many(on_gpu([1]))
    cache.close()
    for verb in (cache.get_many, cache.contains_many, cache.get_or_load_many):
        with pytest.raises(CacheClosed):
            verb(on_gpu([1]))


def test_an_array_of_another_gpu_is_refused(
    cache: Cache[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Array, "device", Gpu(1))
    with pytest.raises(KeyKindError, match="keys: lie on cuda:1, and the cache on cuda:0"):
        cache.get_many(on_gpu([1]))


def test_lives_and_what_leaves(cache: Cache[Any, Any]) -> None:
    told: list[Any] = []
    cache.add_removal_listener(told.append)
    cache.set_many(on_gpu([1, 2]), on_gpu([1.0, 2.0]), ttl=np.array([5.0, np.inf]))
    assert 0 < (cache.ttl_left(1) or 0) <= 5
    assert cache.ttl_left(2) is None
    stored, evicted = cache.set_many(
        on_gpu(np.arange(10, 310)), on_gpu(np.arange(300.0)), return_evicted=True
    )
    assert stored.all()
    assert len(evicted.keys) == cache.stats().evictions > 0
    assert cache.delete_many(on_gpu([309])).tolist() == [True]
    assert [list(each.reasons) for each in told][-1] == ["deleted"]


# ---- loads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["host", "gpu", "rows of the gpu"])
def test_a_loader_may_return_what_lies_anywhere(
    cache: Cache[Any, Any], made: Any, where: str
) -> None:
    cache.set_many([1], [10.0])
    asked: list[Any] = []

    def load(ids: Any) -> Any:
        asked.append(ids)
        if where == "rows of the gpu":
            return [made(10.0 * each) for each in ids.tolist()]
        return made(10.0 * ids) if where == "gpu" else 10.0 * ids

    keys = made([3, 1, 2, 3])
    rows = cache.get_or_load_many(keys, load)
    assert type(rows) is type(keys)
    assert rows.tolist() == [30.0, 10.0, 20.0, 30.0]
    assert [(type(ids), ids.tolist()) for ids in asked] == [(np.ndarray, [3, 2])]
    assert cache.get_or_load_many(keys, load).tolist() == rows.tolist()
    assert len(asked) == 1
    assert cache.stats().loads == 2
    assert not cache._loads.under_way


def test_what_a_loader_lacks(cache: Cache[Any, Any], made: Any) -> None:
    def load(ids: Any) -> Any:
        return {2: 20.0} if 2 in ids else {}

    with pytest.raises(MissingKeys) as raised:
        cache.get_or_load_many(made([1, 2, 1]), load, ttl=[1.0, 2.0, 3.0])
    assert raised.value.ids == [1]
    assert (cache.ttl_left(2) or 0) <= 2
    rows, found = cache.get_or_load_many(made([1, 2]), load, missing="mask")
    assert type(rows) is type(found) is type(made([1]))
    assert rows.tolist() == [0.0, 20.0]
    assert found.tolist() == [False, True]
    rows, found = cache.get_or_load_many(made([1, 4]), lambda ids: {4: 40.0}, missing="mask")
    assert rows.tolist() == [0.0, 40.0]
    assert found.tolist() == [False, True]


def test_a_set_during_a_load_wins(cache: Cache[Any, Any], made: Any) -> None:
    def load(ids: Any) -> Any:
        cache.set_many(made([1]), made([99.0]))
        assert cache.delete_many(made([2])).tolist() == [False]
        return 10.0 * ids

    assert cache.get_or_load_many(made([1, 2]), load).tolist() == [10.0, 20.0]
    assert cache.get_many([1, 2])[0].tolist() == [99.0, 0.0]


def test_a_cache_on_the_cpu_takes_values_of_a_gpu(made: Any) -> None:
    cache = Cache[int, float](9, value=predis.Rows("float64"), policy="lru", device="cpu")
    assert cache.get_or_load_many([1, 2], lambda ids: made([1.0, 2.0])).tolist() == [1.0, 2.0]
    with pytest.raises(KeyKindError, match="cannot be read as an array"):
        cache.get_many(Lent(on_gpu([1])))


# ---- streams and memory --------------------------------------------------------------------------


def test_work_on_tensors_of_torch_is_on_its_stream(cache: Cache[Any, Any]) -> None:
    cache.set_many([1], [1.0])
    assert set(LAUNCHES) == {7}
    LAUNCHES.clear()
    assert not WAITS
    cache.get_many(of_torch([1]))
    assert set(LAUNCHES) == {STREAM_OF_TORCH}
    assert WAITS == [(STREAM_OF_TORCH, 7)]
    cache.get_many(of_torch([1]))
    assert WAITS == [(STREAM_OF_TORCH, 7)]
    cache.get_many(of_jax([1]))
    assert WAITS == [(STREAM_OF_TORCH, 7), (7, STREAM_OF_TORCH)]
    assert Stream.current == []


def test_torchs_default_stream_is_cudas(
    cache: Cache[Any, Any], cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = sys.modules["torch"]
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda number: type("S", (), {"cuda_stream": 0})
    )
    cache.get_many(of_torch([1]))
    assert set(LAUNCHES) == {cupy.cuda.Stream.null.ptr}


def test_what_other_libraries_lend_is_held_until_it_was_read(
    cache: Cache[Any, Any], cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent = cache._table.device.exchange._lent  # type: ignore[attr-defined]
    keys = of_jax([1])
    monkeypatch.setattr(cupy.cuda.Event, "done", False)
    cache.get_many(keys)
    cache.get_many(of_torch([1]))
    cache.get_many(on_gpu([1]))
    assert [held for _, held in lent] == [[keys]]
    monkeypatch.setattr(cupy.cuda.Event, "done", True)
    cache.get_many(on_gpu([1]))
    assert not lent


def test_each_thread_holds_what_it_was_lent(
    cache: Cache[Any, Any], cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cupy.cuda.Event, "done", False)
    exchange = cache._table.device.exchange  # type: ignore[attr-defined]
    mine, others, finalisers = of_jax([1]), of_jax([2]), of_jax([3])

    def look_up(keys: Any) -> None:
        with exchange.beside(keys):
            exchange.take(keys, "keys", KeyKindError)

    with exchange.beside(mine):
        exchange.take(mine, "keys", KeyKindError)
        other = threading.Thread(target=look_up, args=(others,))
        other.start()
        other.join()
        look_up(finalisers)
        assert [held for _, held in exchange._lent] == [[others], [finalisers]]
    assert [held for _, held in exchange._lent] == [[others], [finalisers], [mine]]


def test_results_for_the_host_lie_in_pinned_memory(
    cache: Cache[Any, Any], cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[int] = []

    def alloc(size: int) -> bytearray:
        pinned.append(size)
        return bytearray(size)

    monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", alloc)
    cache.set_many([1, 2], [1.0, 2.0])
    pinned.clear()
    values, hit = cache.get_many([2, 1])
    assert sorted(pinned) == [2, 16]
    assert values.tolist() == [2.0, 1.0]
    values[0] = 5.0
    hit[0] = False
    assert cache[2] == 2.0


# ---- other kinds of caches -----------------------------------------------------------------------


def test_over_a_tier_they_go_through_the_host_and_come_back(made: Any) -> None:
    cache = Cache[Any, Any](
        5, host_capacity=50, value=predis.Rows("float64", ()), policy="lru", seed=1, device="cuda"
    )
    keys = made(np.arange(20))
    stored, evicted = cache.set_many(keys, made(np.arange(20.0)), return_evicted=True)
    assert type(stored) is type(keys)
    assert stored.tolist() == [True] * 20
    assert len(evicted.keys) == 0
    rows, hit = cache.get_many(keys)
    assert type(rows) is type(hit) is type(keys)
    assert rows.tolist() == list(range(20))
    out = made([9.0] * 3)
    values, hit = cache.get_many(made([3, 99, 4]), out=out)
    assert values is out
    assert out.tolist() == [3.0, 9.0, 4.0]
    assert hit.tolist() == [True, False, True]
    with pytest.raises(ValueShapeError, match="out: expected an array of float64"):
        cache.get_many([1, 2], out=out)
    assert cache.touch_many(made([1, 99])).tolist() == [True, False]
    assert cache.delete_many(made([1, 99])).tolist() == [True, False]
    assert cache.contains_many(made([1, 2])).tolist() == [False, True]
    rows, found = cache.get_or_load_many(made([1, 2]), lambda ids: {}, missing="mask")
    assert type(rows) is type(found) is type(keys)
    assert found.tolist() == [False, True]
    assert cache.get_or_load_many(made([1]), lambda ids: made([7.0])).tolist() == [7.0]
    assert type(cache.get_many([1])[0]) is np.ndarray
    with pytest.raises(KeyKindError, match="keys: expected one dimension"):
        cache.get_many(made([[1]]))
    cache.check_invariants()


def test_caches_with_plugins_take_them_too(shelf: Shelf, made: Any) -> None:
    module = __import__(shelf.put("diary", DIARY))
    section = {"capacity": 50, "device": "cuda:0", "policy": "lru", "name": "rows"}
    rows = {"kind": "rows", "dtype": "float64"}
    with predis.open({"cache": section | {"value": rows}, "plugins": {"diary": {}}}) as cache:
        cache.set_many(made([1]), made([1.0]))
        assert cache.get_many(made([1, 2]))[1].tolist() == [True, False]
        assert module.SEEN == []
        cache.get_many([1])
        assert [stats.operation for stats in module.SEEN] == ["get"]
        assert cache.stats().hits == 2


DIARY = """
SEEN = []

class Observer:
    def on_batch(self, stats):
        SEEN.append(stats)

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_observers(self, cache):
        return [Observer()]
"""


@pytest.mark.parametrize("verb", ["get_many", "set_many", "get_or_load_many", "touch_many"])
@pytest.mark.parametrize("what", ["memory", "event", "lend"])
def test_a_gpu_that_fails_in_the_midst_of_arrays_says_so(
    cache: Cache[Any, Any], monkeypatch: pytest.MonkeyPatch, cupy: Any, verb: str, what: str
) -> None:
    keys = Lent(on_gpu(np.arange(4, dtype=np.int32)))
    call = getattr(cache, verb)
    values: dict[str, list[Any]] = {
        "set_many": [on_gpu(np.ones(4))],
        "get_or_load_many": [lambda ids: ids * 1.0],
    }
    arguments: list[Any] = [keys, *values.get(verb, [])]

    def fail(*_: Any, **__: Any) -> Any:
        raise (MemoryIsOut("used") if what == "memory" else RuntimeFailure("gone"))

    with monkeypatch.context() as patch:
        if what == "event":
            patch.setattr(Event, "record", fail)
        elif what == "lend":
            patch.setattr(cupy, "from_dlpack", fail)
        else:
            patch.setattr(Array, "astype", fail)
        said = "has no room for the arrays of a batch left" if what == "memory" else "the GPU did"
        with pytest.raises(DeviceError, match=said):
            call(*arguments)
    call(*arguments)  # it was not lost after all


ODD = {
    "<U4": ["a", "bcde", "", "ü"],
    "S3": [b"a", b"bcd", b"", b"x"],
    "datetime64[s]": np.arange(4).astype("datetime64[s]"),
    ">i4": np.arange(4, dtype=">i4"),
    "record": np.array([(1, 2.0), (3, 4.0), (5, 6.0), (7, 8.0)], [("a", "i4"), ("b", "f8")]),
}


@pytest.mark.parametrize("dtype", ODD)
def test_rows_of_which_the_gpu_has_no_arrays_are_rows_like_others(dtype: str) -> None:
    rows = np.asarray(ODD[dtype], None if dtype == "record" else dtype)
    store = predis.Rows(rows.dtype)
    with Cache[Any, Any](100, value=store, policy="lru", device="cuda:0") as cache:
        assert cache.set_many([1, 2, 3], rows[:3]).all()
        found, hit = cache.get_many([3, 1, 9, 2])
        assert hit.tolist() == [True, True, False, True]
        assert found[hit].tolist() == rows[[2, 0, 1]].tolist()
        loaded = cache.get_or_load_many([4, 1], lambda ids: rows[3:])
        assert loaded.tolist() == rows[[3, 0]].tolist()
        cache.resize(50)
        assert cache.get_many([4])[0].tolist() == rows[3:].tolist()
