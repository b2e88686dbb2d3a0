"""Machine operations that Numba does not offer: raw memory, vector compare, atomics, references.

Addresses are int64. Nothing here checks a bound; kernels own that.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from predis_core.table.keys import MIX_FACTORS, MIX_SHIFTS

# Only kernels are called from Python; without its wrappers a helper compiles in half the time.
_INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

called = njit(**_INNER)
"""Compile a helper that kernels call."""

inlined = njit(forceinline=True, **_INNER)
"""Compile a helper into its callers: the hot path has no calls."""

_I1, _I8, _I16, _I32, _I64, _I128 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64, 128))
_WORDS = 8


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _loader(bits: int) -> Any:
    kind = ir.IntType(bits)

    @intrinsic
    def load(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = builder.load(_pointer(builder, arguments[0], kind), align=1)
            return value if bits == 64 else builder.zext(value, _I64)

        return types.int64(types.int64), generate

    return load


def _storer(bits: int) -> Any:
    kind = ir.IntType(bits)

    @intrinsic
    def store(typing_context: Any, address: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            stored = arguments[1] if bits == 64 else builder.trunc(arguments[1], kind)
            builder.store(stored, _pointer(builder, arguments[0], kind), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return store


load8, load16, load32, load64 = (_loader(bits) for bits in (8, 16, 32, 64))
store8, store16, store32, store64 = (_storer(bits) for bits in (8, 16, 32, 64))


@intrinsic
def equal_words(typing_context: Any, address: Any, word: Any) -> Any:
    """equal_words(address, word) -> int64: bit i is set if the i-th of 8 int64 equals word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(_I64, _WORDS)
        line = builder.load(_pointer(builder, arguments[0], vector), align=8)
        undefined = ir.Constant(vector, ir.Undefined)
        first = builder.insert_element(undefined, arguments[1], _I32(0))
        lanes = ir.Constant(ir.VectorType(_I32, _WORDS), [0] * _WORDS)
        spread = builder.shuffle_vector(first, undefined, lanes)
        equal = builder.icmp_unsigned("==", line, spread)
        return builder.zext(builder.bitcast(equal, ir.IntType(_WORDS)), _I64)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def lowest_bit(typing_context: Any, value: Any) -> Any:
    """lowest_bit(value) -> int64: the number of the lowest set bit; 64 for zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], _I1(0))

    return types.int64(types.int64), generate


@intrinsic
def multiply_high(typing_context: Any, a: Any, b: Any) -> Any:
    """multiply_high(a, b) -> uint64: the upper half of the 128-bit product of two uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = [builder.zext(argument, _I128) for argument in arguments]
        return builder.trunc(builder.lshr(builder.mul(*wide), _I128(64)), _I64)

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def prefetch(typing_context: Any, address: Any) -> Any:
    """prefetch(address): ask for a cache line that will be read soon."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(builder, arguments[0], _I8)
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, _I32(0), _I32(3), _I32(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def copy_bytes(typing_context: Any, target: Any, source: Any, count: Any) -> Any:
    """copy_bytes(target, source, count): memcpy; a constant count is expanded in place."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointers = [_pointer(builder, argument, _I8) for argument in arguments[:2]]
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I8.as_pointer(), _I64, _I1])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.memcpy.p0.p0.i64")
        builder.call(function, [*pointers, arguments[2], _I1(0)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def zero_bytes(typing_context: Any, target: Any, count: Any) -> Any:
    """zero_bytes(target, count): memset to zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(builder, arguments[0], _I8)
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I8, _I64, _I1])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.memset.p0.i64")
        builder.call(function, [pointer, _I8(0), arguments[1], _I1(0)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def atomic_add(typing_context: Any, address: Any, amount: Any) -> Any:
    """atomic_add(address, amount) -> int64: add, return what was there before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(builder, arguments[0], _I64)
        return builder.atomic_rmw("add", pointer, arguments[1], "acq_rel")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def atomic_load(typing_context: Any, address: Any) -> Any:
    """atomic_load(address) -> int64, with acquire ordering."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(builder, arguments[0], _I64)
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def atomic_swap_if(typing_context: Any, address: Any, expected: Any, new: Any) -> Any:
    """atomic_swap_if(address, expected, new) -> bool: compare and swap."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(builder, arguments[0], _I64)
        pair = builder.cmpxchg(pointer, arguments[1], arguments[2], "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@inlined
def address(array):
    """Where an array's data begins. NumPy's own is unsigned, and would turn sums into floats."""
    return np.int64(array.ctypes.data)


yield_thread = types.ExternalFunction(
    "SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32()
)
"""Let another thread of the system run."""

own = types.ExternalFunction("Py_IncRef", types.void(types.int64))
"""Take a reference to the Python object at an address; the caller holds the GIL."""

disown = types.ExternalFunction("Py_DecRef", types.void(types.int64))
"""Give a reference back; only ever used for None, which no count can destroy."""

_SHIFT_0, _SHIFT_1, _SHIFT_2 = (np.uint64(shift) for shift in MIX_SHIFTS)
_FACTOR_0, _FACTOR_1 = (np.uint64(factor) for factor in MIX_FACTORS)


@inlined
def mix(word, seed):
    """keys.mix in machine code: int64, int64 -> uint64."""
    x = np.uint64(word) ^ np.uint64(seed)
    x = (x ^ (x >> _SHIFT_0)) * _FACTOR_0
    x = (x ^ (x >> _SHIFT_1)) * _FACTOR_1
    return x ^ (x >> _SHIFT_2)
