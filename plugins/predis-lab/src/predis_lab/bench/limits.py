"""What no cache in Python can go beneath: random lines, copies of rows, a call that does nothing.

Each limit is a contender like any other, compiled, over memory of the size that a row's cache has,
at the very places that its queries lead to.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from predis_lab.bench.material import Keys, Sizes, all_at_once, batches, over, through
from predis_lab.bench.measuring import Row
from predis_lab.workloads import Ids

KEY_LINES = "limit: lines of keys"
COPY, STREAM = "limit: copy of the rows", "limit: copy past the caches"
CALL = "limit: empty compiled method"

LINE_BYTES = 64
KEYS_PER_LINE = 7
"""Of Predis, and of whatever keeps int64 keys and a word of flags in a line."""

AHEAD = 32
"""Lines that are asked for before they are needed."""

_I1, _I8, _I32, _I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))
_WIDE = ir.VectorType(_I64, LINE_BYTES // 8)
_METH_O = 8


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def _ask_for(typing_context: Any, address: Any) -> Any:
    """_ask_for(address): have a line brought near."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        pointer = _pointer(builder, arguments[0], _I8)
        builder.call(function, [pointer, _I32(0), _I32(3), _I32(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def _word(typing_context: Any, address: Any) -> Any:
    """_word(address) -> int64: what lies there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], _I64), align=8)

    return types.int64(types.int64), generate


def _line_copier(past_the_caches: bool) -> Any:
    @intrinsic
    def copy(typing_context: Any, target: Any, source: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            line = builder.load(_pointer(builder, arguments[1], _WIDE), align=LINE_BYTES)
            stored = builder.store(line, _pointer(builder, arguments[0], _WIDE), align=LINE_BYTES)
            if past_the_caches:
                stored.set_metadata("nontemporal", builder.module.add_metadata([_I32(1)]))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return copy


_copy_line, _stream_line = _line_copier(False), _line_copier(True)


@njit(types.int64(types.int64[::1]), nogil=True)
def _touch(addresses: Any) -> Any:
    """Read a word at each address; the sum of all."""
    total, n = np.int64(0), len(addresses)
    for at in range(n):
        _ask_for(addresses[min(at + AHEAD, n - 1)])
        total += _word(addresses[at])
    return total


def _row_copier(copy_line: Any) -> Any:
    @njit(types.void(types.int64, types.int64, types.int64[::1], types.int64), nogil=True)
    def copy(rows: Any, target: Any, slots: Any, lines: Any) -> None:
        """Copy rows of `lines` lines from their slots, one after the other, to `target`."""
        n, stride = len(slots), lines * LINE_BYTES
        rows_ahead = max(1, AHEAD // lines)
        for at in range(n):
            ahead = rows + slots[min(at + rows_ahead, n - 1)] * stride
            row = rows + slots[at] * stride
            for offset in range(0, stride, LINE_BYTES):
                _ask_for(ahead + offset)
                copy_line(target + at * stride + offset, row + offset)

    return copy


_copy_rows, _stream_rows = _row_copier(_copy_line), _row_copier(_stream_line)


def aligned(count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return `count` elements that begin with a line, each page of theirs touched."""
    size = count * np.dtype(dtype).itemsize
    raw = np.ones(size + LINE_BYTES, np.uint8)
    offset = -raw.ctypes.data % LINE_BYTES
    return raw[offset : offset + size].view(dtype)


@dataclass(frozen=True, slots=True)
class Held:
    """A compiled call, and the memory whose addresses it was given: that has to live on."""

    call: Callable[[], object]
    memory: tuple[object, ...]

    def __call__(self) -> object:
        return self.call()


class Lines:
    """Memory in which each key's line is read: one of `entries` keys, seven to a line."""

    def __init__(self, entries: int) -> None:
        self._memory = aligned(-(-entries // KEYS_PER_LINE) * LINE_BYTES, np.uint8)

    def reader(self, slots: Ids) -> Callable[[], object]:
        """Return what reads the line of each of n slots (int64[n], each below `entries`)."""
        addresses = self._memory.ctypes.data + slots // KEYS_PER_LINE * LINE_BYTES
        return Held(functools.partial(_touch, addresses), (self._memory,))


def touching(objects: Sequence[object]) -> Callable[[], object]:
    """Return what reads a word of each of some objects."""
    addresses = np.fromiter(map(id, objects), np.int64, len(objects))
    return Held(functools.partial(_touch, addresses), (objects,))


class Gather:
    """Copies of rows from known slots: what a look-up is once it knows where everything lies.

    Args:
        rows: float32[entries, width], of whole lines.
    """

    def __init__(self, rows: npt.NDArray[np.float32]) -> None:
        self._rows = rows
        self._lines = rows.shape[1] * rows.itemsize // LINE_BYTES

    def copier(
        self, slots: Ids, out: npt.NDArray[np.float32], past_the_caches: bool = False
    ) -> Callable[[], object]:
        """Return what copies the rows of n slots to `out`, float32[n or more, width]."""
        copy = _stream_rows if past_the_caches else _copy_rows
        addresses = self._rows.ctypes.data, out.ctypes.data
        return Held(functools.partial(copy, *addresses, slots, self._lines), (self._rows, out))


def filled_rows(entries: int, width: int) -> npt.NDArray[np.float32]:
    """Return float32[entries, width] whose rows begin with a line."""
    rows: npt.NDArray[np.float32] = aligned(entries * width, np.float32).reshape(entries, width)
    rows[:] = np.arange(entries, dtype=np.float32)[:, None]
    return rows


# ------------------------------------------------------------------ a call that does nothing


class _MethodDefinition(ctypes.Structure):
    """`PyMethodDef` of CPython's C API."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class Empty:
    """Has one compiled method, `get(key)`, which returns None and does nothing else."""

    __slots__ = ()


@functools.cache
def empty_method() -> Callable[[object], None]:
    """Return `Empty().get`: what any compiled method with one argument costs at least."""
    none = id(None)
    own = types.ExternalFunction("Py_IncRef", types.void(types.int64))

    @cfunc(types.int64(types.int64, types.int64))
    def nothing(itself: Any, key: Any) -> Any:
        own(none)
        return none

    definition = _MethodDefinition(b"get", nothing.address, _METH_O, None)
    make = ctypes.pythonapi.PyDescr_NewMethod
    make.restype, make.argtypes = ctypes.py_object, (ctypes.py_object, ctypes.c_void_p)
    Empty.get = make(Empty, ctypes.addressof(definition))  # type: ignore[attr-defined]
    # The interpreter keeps the definition's address and the function's.
    _kept.extend((definition, nothing))
    method: Callable[[object], None] = Empty().get  # type: ignore[attr-defined]
    return method


_kept: list[object] = []


# ------------------------------------------------------------------ rows of limits alone


def random_lines(sizes: Sizes) -> Row:
    """How many random lines of 64 bytes one core reads per second."""
    count = sizes.large_batches * sizes.large_batch
    random = np.random.default_rng(0)
    contenders = {}
    for entries in (sizes.entries, sizes.many):
        lines = Lines(entries)
        contenders[f"a line of seven in {entries:,}"] = all_at_once(
            [lines.reader(random.integers(0, entries, count))]
        )
    return Row("limit: random lines of 64 bytes", count, contenders)


def row_copies(sizes: Sizes) -> Row:
    """How many rows of float32[64] one core copies per second, from slots that are known."""
    count = sizes.large_batches * sizes.large_batch
    random = np.random.default_rng(0)
    out = filled_rows(sizes.large_batch, 64)
    contenders = {}
    for entries in (sizes.entries, sizes.many):
        gather = Gather(filled_rows(entries, 64))
        slots = batches(random.integers(0, entries, count), sizes.large_batch)
        for past_the_caches, way in ((False, ""), (True, ", past the caches")):
            contenders[f"one of {entries:,}{way}"] = all_at_once(
                [gather.copier(part, out, past_the_caches) for part in slots]
            )
    return Row("limit: copies of float32[64] from known slots", count, contenders)


def empty_calls(sizes: Sizes) -> Row:
    """What calling a compiled method that does nothing takes, and one of a built-in type."""
    keys = Keys(sizes.entries).stored.tolist()
    contenders = {CALL: over(empty_method(), keys), "{}.get": over({}.get, keys)}
    return Row("limit: a call with one key", len(keys), contenders, empty=through(keys))
