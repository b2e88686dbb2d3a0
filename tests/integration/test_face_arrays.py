"""Arrays and tensors in, out and in place: whatever speaks DLPack or the array interface.

Rows are 8 bytes wide wherever their width does not matter: kernels are made per width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import ConfigurationError, KeyKindError, ValueShapeError
from tests.support.combinations import plain


class SpeaksDlpack:
    """Has the two methods of DLPack and nothing else."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


class HasInterface:
    """Has the attribute of the array interface and nothing else."""

    def __init__(self, array: Any) -> None:
        self.__array_interface__ = array.__array_interface__
        self._array = array


class OnlyConverts:
    """Can be converted to a new array, as a data frame can."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self._array.astype(dtype or self._array.dtype, copy=True)


def tensor(array: Any) -> Any:
    torch = pytest.importorskip("torch")
    return torch.from_numpy(np.ascontiguousarray(array))


FORMS: dict[str, Callable[[Any], Any]] = {
    "numpy": lambda array: array,
    "strided": lambda array: np.repeat(array, 2, axis=0)[::2],
    "reversed": lambda array: array[::-1].copy()[::-1],
    "read-only": lambda array: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape),
    "dlpack": SpeaksDlpack,
    "interface": HasInterface,
    "converts": OnlyConverts,
    "torch": tensor,
    "torch strided": lambda array: tensor(np.repeat(array, 2, axis=0))[::2],
    "memoryview": memoryview,
    "list": lambda array: array.tolist(),
}
PLACES = ("numpy", "dlpack", "interface", "torch")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_keys_in_every_form_of_array(form: Callable[[Any], Any]) -> None:
    cache = predis.Cache(100, value=predis.Rows("int64", ()))
    keys = np.array([7, -3, 0, 2**62], np.int64)
    cache.set_many(form(keys), [1, 2, 3, 4])
    values, hit = cache.get_many(form(keys))
    assert hit.all()
    assert values.tolist() == [1, 2, 3, 4]
    assert cache.contains_many(form(keys)).all()
    assert cache.touch_many(form(keys)).all()
    loaded = cache.get_or_load_many(form(keys + 100), lambda ids: ids * 2)
    assert loaded.tolist() == ((keys + 100) * 2).tolist()
    assert cache.delete_many(form(keys)).all()


def test_no_form_of_keys_compiles_kernels_anew() -> None:
    """Read-only and unaligned arrays are other types to Numba."""
    cache = predis.Cache(100, value=predis.Rows("int64", ()))
    keys = np.array([7, -3, 0])
    unaligned = np.frombuffer(b"." + keys.tobytes(), np.uint8)[1:].view(np.int64)
    assert not unaligned.flags.aligned
    for given in (keys, FORMS["read-only"](keys), unaligned, keys[::-1], tuple(keys.tolist())):
        cache.set_many(given, [1, 2, 3])
        assert cache.get_many(given)[0].tolist() == [1, 2, 3]
        assert cache.contains_many(given).all()
        assert cache.delete_many(given).all()
    dispatchers = cache._table._kernels.dispatchers
    for verb in ("insert", "lookup", "contains", "delete"):
        assert len(dispatchers[verb].signatures) == 1


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_numbers_in_every_form_of_array_are_keys_of_kind_any(form: Callable[[Any], Any]) -> None:
    cache = predis.Cache[int, str](100)
    cache.set_many(form(np.array([7, 8, 9])), ["a", "b", "c"])
    assert [cache[key] for key in (7, 8, 9)] == ["a", "b", "c"]
    assert cache.contains_many(form(np.array([9, 7, 1]))).tolist() == [True, True, False]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "uint64"])
def test_keys_of_every_integer_type(dtype: str) -> None:
    cache = predis.Cache(100, value=predis.Rows("int64", ()))
    keys = np.array([0, 1, 127], dtype)
    cache.set_many(keys, [1, 2, 3])
    assert cache.get_many([0, 1, 127])[0].tolist() == [1, 2, 3]
    assert cache.get_many(keys.astype(">i8"))[1].all()
    assert cache[keys[2]] == 3
    assert sorted(cache) == [0, 1, 127]


def test_extreme_int64_keys() -> None:
    cache = predis.Cache(100, value=predis.Rows("int64", ()))
    keys = [-(2**63), 2**63 - 1, -1, 0]
    cache.set_many(keys, [1, 2, 3, 4])
    assert [cache[key] for key in keys] == [1, 2, 3, 4]
    assert cache.get_many(np.array([2**63 - 1], np.uint64))[0].tolist() == [2]
    for unfit in (np.array([1, 2**63], np.uint64), [2**63], [-(2**63) - 1], [1, 2**64]):
        with pytest.raises(KeyKindError, match="does not fit int64"):
            cache.get_many(unfit)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_rows_come_in_every_form_of_array(form: Callable[[Any], Any]) -> None:
    cache = predis.Cache(100, value=predis.Rows("float32", (2,)))
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    cache.set_many(range(4), form(rows))
    assert cache.get_many(range(4))[0].tolist() == rows.tolist()
    loaded = cache.get_or_load_many(range(10, 14), lambda ids: form(rows))
    assert loaded.tolist() == rows.tolist()
    assert cache.get_many(range(10, 14))[0].tolist() == rows.tolist()
    for key, row in enumerate(rows, 20):
        cache[key] = form(row)
        assert cache[key].tolist() == row.tolist()


@pytest.mark.parametrize("place", PLACES)
def test_out_is_written_in_place(place: str) -> None:
    cache = predis.Cache(100, value=predis.Rows("float32", (2,)))
    cache.set_many([1, 2], [[1, 2], [3, 4]])
    under = np.full((3, 2), 9, np.float32)
    out = FORMS[place](under)
    given, hit = cache.get_many([1, 5, 2], out=out)
    assert given is out
    assert hit.tolist() == [True, False, True]
    assert under.tolist() == [[1, 2], [9, 9], [3, 4]]
    assert np.asarray(given.tolist() if place == "torch" else under).tolist() == under.tolist()


def test_out_may_be_a_part_of_something_larger() -> None:
    cache = predis.Cache(100, value=predis.Rows("int64", ()))
    cache.set_many([1, 2], [10, 20])
    whole = np.zeros(6, np.int64)
    cache.get_many([1, 2], out=whole[2:4])
    assert whole.tolist() == [0, 0, 10, 20, 0, 0]
    cache.get_many([], out=whole[:0])
    assert whole.tolist() == [0, 0, 10, 20, 0, 0]


def read_only() -> Any:
    array = np.zeros((2, 2), np.float32)
    array.flags.writeable = False
    return array


OUTS: dict[str, tuple[Callable[[], Any], str]] = {
    "read-only": (read_only, "read-only"),
    "read-only dlpack": (lambda: SpeaksDlpack(read_only()), "read-only|cannot be read"),
    "not contiguous": (lambda: np.zeros((2, 4), np.float32)[:, ::2], "C-contiguous"),
    "fortran": (lambda: np.zeros((2, 2), np.float32, order="F"), "C-contiguous"),
    "wrong dtype": (lambda: np.zeros((2, 2)), "float32"),
    "wrong byte order": (lambda: np.zeros((2, 2), ">f4"), "float32"),
    "too many": (lambda: np.zeros((3, 2), np.float32), r"\(2, 2\)"),
    "too few": (lambda: np.zeros((1, 2), np.float32), r"\(2, 2\)"),
    "wrong shape": (lambda: np.zeros((2, 3), np.float32), r"\(2, 2\)"),
    "list": (lambda: [[0.0, 0.0], [0.0, 0.0]], "array or tensor"),
    "number": (lambda: 5, "array or tensor"),
    "converts to a copy": (lambda: OnlyConverts(np.zeros((2, 2), np.float32)), "in place|copy|arr"),
}


@pytest.mark.parametrize(("make", "message"), OUTS.values(), ids=OUTS)
def test_an_out_that_cannot_be_written_in_place_is_refused(
    make: Callable[[], Any], message: str
) -> None:
    cache = predis.Cache(100, value=predis.Rows("float32", (2,)))
    cache.set_many([1, 2], [[1, 2], [3, 4]])
    with pytest.raises(ValueShapeError, match=f"out: .*({message})"):
        cache.get_many([1, 2], out=make())
    assert cache.stats().requests == 0


def test_objects_know_no_out() -> None:
    cache = predis.Cache[int, int](10)
    with pytest.raises(ValueShapeError, match=r"out: .*Rows"):
        cache.get_many([1], out=np.zeros(1, object))


ROWS: list[tuple[Any, tuple[int, ...], Any]] = [
    ("int64", (), [1, 2]),
    ("float64", (), [1.5, -2.5]),
    ("float32", (2,), [[1.5, 2], [3, 4]]),
    ("uint8", (8,), [[0, 1, 2, 3, 4, 5, 6, 255], [9] * 8]),
    ("uint64", (), [2**64 - 1, 0]),
    ("int16", (2, 2), [[[1, 2], [3, -4]], [[5, 6], [7, 8]]]),
    ("bool", (8,), [[True, False] * 4, [False] * 8]),
    ("complex64", (), [1 + 2j, -1j]),
    ("float16", (4,), [[1, 2, 3, 4], [0.5, 0, 0, 0]]),
    (">i4", (2,), [[1, 2], [3, 4]]),
    ("datetime64[s]", (), np.array(["2020-01-01", "1970-01-01"], "datetime64[s]")),
    ("timedelta64[ms]", (), np.array([5, 6], "timedelta64[ms]")),
    ("S8", (), [b"abc", b"12345678"]),
    ("U2", (), ["ab", "ß"]),
    (np.dtype([("a", "i4"), ("b", "f4")]), (), np.array([(1, 2.5), (3, 4)], "i4,f4")),
]


@pytest.mark.parametrize(("dtype", "shape", "given"), ROWS, ids=lambda part: str(part)[:20])
def test_rows_of_any_dtype_and_shape(dtype: Any, shape: tuple[int, ...], given: Any) -> None:
    if isinstance(given, np.ndarray) and given.dtype.names:
        given = given.astype(dtype)
    cache = predis.Cache(100, value=predis.Rows(dtype, shape))
    cache.set_many([1, 2], given)
    rows, hit = cache.get_many([1, 3, 2])
    expected = np.zeros((3, *shape), dtype)
    expected[[0, 2]] = given
    assert hit.tolist() == [True, False, True]
    assert rows.dtype == np.dtype(dtype)
    assert rows.shape == (3, *shape)
    assert rows.tobytes() == expected.tobytes()
    assert cache[2].tobytes() == expected[2].tobytes()
    assert dict(cache.items())[1].tobytes() == expected[0].tobytes()
    assert cache.pop(1).tobytes() == expected[0].tobytes()
    loaded = cache.get_or_load_many([2, 4], lambda ids: given[:1])
    assert loaded.tobytes() == expected[[2, 0]].tobytes()


def test_values_become_the_dtype_if_their_kind_allows() -> None:
    cache = predis.Cache(100, value=predis.Rows("float32", (2,)))
    for values in ([[1, 2]], np.array([[1, 2]]), np.array([[1, 2]], np.float64), [[True, 2]]):
        cache.set_many([1], values)
        assert cache[1].tolist() == [1, 2]
    unsigned = predis.Cache(100, value=predis.Rows("uint8", (8,)))
    unsigned[1] = [255, 0, 1, 2, 3, 4, 5, 6]
    assert unsigned[1].tolist() == [255, 0, 1, 2, 3, 4, 5, 6]
    unsigned[1] = np.array([7] * 8, np.int64)
    assert unsigned[1].tolist() == [7] * 8


VALUES: list[tuple[str, tuple[int, ...], Any]] = [
    ("int64", (), [1.5]),
    ("int64", (), ["1"]),
    ("int64", (), [None]),
    ("int64", (), [1 + 2j]),
    ("int64", (), [2**63]),
    ("int32", (2,), [[2**31, 1]]),
    ("int32", (2,), np.array([[1, -(2**31) - 1]])),
    ("uint8", (8,), [[256] * 8]),
    ("uint8", (8,), [[-1] * 8]),
    ("float32", (2,), [[1j, 0]]),
    ("float32", (2,), [[1, 2, 3]]),
    ("float32", (2,), [1, 2]),
    ("float32", (2,), [[1, 2], [3, 4]]),
    ("float32", (2,), [[1], [2]]),
    ("float32", (2,), []),
    ("float32", (2,), [[1, 2], [3]]),
    ("float32", (2,), 5),
    ("float32", (2,), None),
    ("float32", (2,), {1: [1, 2]}),
    ("float32", (2,), "ab"),
]


@pytest.mark.parametrize(("dtype", "shape", "values"), VALUES, ids=str)
def test_values_that_do_not_fit_are_refused(dtype: str, shape: Any, values: Any) -> None:
    cache = predis.Cache(100, value=predis.Rows(dtype, shape))
    with pytest.raises(ValueShapeError, match="values: "):
        cache.set_many([1], values)
    assert len(cache) == 0


@pytest.mark.parametrize(
    "dtype", ["O", "U", "S", "V", np.dtype(("f4", (2,))), "no such", int | str]
)
def test_rows_without_a_fixed_plain_dtype_are_refused(dtype: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"value: Rows: .*dtype"):
        predis.Rows(dtype)


@pytest.mark.parametrize("shape", [(0,), (-1,), (2.0,), ("2",), (2, 0), "ab", (None,)])
def test_rows_without_a_fixed_shape_are_refused(shape: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"value: Rows: shape"):
        predis.Rows("int64", shape)


def test_what_goes_out_is_a_copy() -> None:
    cache = predis.Cache(100, value=predis.Rows("float32", (2,)))
    given = np.array([[1, 2]], np.float32)
    cache.set_many([1], given)
    given[:] = 9
    cache.get_many([1])[0][:] = 8
    cache[1][:] = 7
    for _, row in cache.items():
        row[:] = 6
    cache.get_or_load_many([1], lambda ids: given)[:] = 5
    assert cache[1].tolist() == [1, 2]
    loaded = cache.get_or_load_many([2], lambda ids: given)
    given[:] = 4
    loaded[:] = 3
    assert cache[2].tolist() == [9, 9]


def test_a_loader_may_write_into_its_ids() -> None:
    cache = predis.Cache(100, value=predis.Rows("int64", ()))

    def loader(ids: Any) -> Any:
        values = ids * 2
        ids[:] = 0
        return values

    keys = np.array([5, 6])
    assert cache.get_or_load_many(keys, loader).tolist() == [10, 12]
    assert keys.tolist() == [5, 6]
    assert cache.get_many([5, 6])[1].all()


def test_torch_tensors_all_the_way() -> None:
    torch = pytest.importorskip("torch")
    cache = predis.Cache(100, value=predis.Rows("float32", (2,)))
    keys = torch.tensor([3, 1, 2])
    rows = torch.arange(6, dtype=torch.float32).reshape(3, 2)
    assert cache.set_many(keys, rows).all()
    out = torch.full((3, 2), -1.0)
    given, hit = cache.get_many(keys, out=out)
    assert given is out
    assert torch.equal(out, rows)
    assert hit.all()
    assert torch.equal(torch.from_dlpack(cache.get_many(keys)[0]), rows)
    assert torch.equal(torch.as_tensor(cache.get_many(keys)[0]), rows)
    loaded = cache.get_or_load_many(
        torch.tensor([9, 1]), lambda ids: torch.from_numpy(ids)[:, None] * torch.ones(2)
    )
    assert loaded.tolist() == [[9, 9], [2, 3]]
    assert cache.delete_many(torch.tensor([1], dtype=torch.int32)).all()

    with pytest.raises(ValueShapeError, match="out: "):
        cache.get_many(keys, out=torch.zeros(3, 2, requires_grad=True))
    with pytest.raises(ValueShapeError, match="out: "):
        cache.get_many(keys, out=torch.zeros(2, 3).t())
    with pytest.raises(ValueShapeError, match="values: "):
        cache.set_many(keys, torch.zeros(3, 2, device="meta"))
    with pytest.raises(KeyKindError, match="keys: "):
        cache.get_many(torch.tensor([1.0]))


def test_torch_tensors_as_objects() -> None:
    torch = pytest.importorskip("torch")
    cache = predis.Cache[str, Any](10)
    tensors = [torch.zeros(2), torch.ones(3)]
    cache.set_many(["a", "b"], tensors)
    assert cache["a"] is tensors[0]
    assert cache.get_or_load("c", lambda key: tensors[1]) is tensors[1]
    assert plain(cache.get_many(["b"])[0])[0] is tensors[1]
