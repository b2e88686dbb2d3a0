"""What NumPy cannot say to a processor: prefetch, whole-line compares, aligned memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LINE = 64  # bytes

_I1, _I8, _I32, _I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))
_LANES = ir.VectorType(_I64, 8)


@intrinsic
def prefetch(typing: Any, address: Any) -> Any:
    """Ask for the line at `address` (uint64), for reading, into all levels."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        pointer = builder.inttoptr(arguments[0], _I8.as_pointer())
        builder.call(function, [pointer, _I32(0), _I32(3), _I32(1)])
        return context.get_dummy_value()

    return types.void(types.uint64), generate


@intrinsic
def equal_lanes(typing: Any, address: Any, key: Any) -> Any:
    """Bit i of the result: the i-th int64 of the line at `address` equals `key`; uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        line = builder.load(builder.inttoptr(arguments[0], _LANES.as_pointer()), align=LINE)
        one = builder.insert_element(ir.Constant(_LANES, ir.Undefined), arguments[1], _I32(0))
        zeros = ir.Constant(ir.VectorType(_I32, 8), [0] * 8)
        equal = builder.icmp_unsigned("==", line, builder.shuffle_vector(one, one, zeros))
        return builder.zext(builder.bitcast(equal, _I8), _I64)

    return types.uint64(types.uint64, types.int64), generate


@intrinsic
def load_word(typing: Any, address: Any) -> Any:
    """The 64-bit word at `address` (uint64)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], _I64.as_pointer()), align=8)

    return types.uint64(types.uint64), generate


@intrinsic
def store_word(typing: Any, address: Any, word: Any) -> Any:
    """Write a 64-bit word at `address` (uint64)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _I64.as_pointer())
        builder.store(arguments[1], pointer, align=8)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), generate


@intrinsic
def first_bit(typing: Any, mask: Any) -> Any:
    """Number of zero bits below the lowest set bit of a uint64; 64 for 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], _I1(0))

    return types.uint64(types.uint64), generate


@intrinsic
def high_product(typing: Any, left: Any, right: Any) -> Any:
    """The upper 64 bits of a product of two uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(a, wide) for a in arguments))
        return builder.trunc(builder.lshr(product, wide(64)), _I64)

    return types.uint64(types.uint64, types.uint64), generate


def aligned_words(words: int) -> np.ndarray:
    """int64[words] of zeros that begins at a multiple of 256 bytes, every page touched."""
    raw = np.zeros(words * 8 + 256, np.uint8)
    raw[::4096] = 0
    offset = -raw.ctypes.data % 256
    return raw[offset : offset + words * 8].view(np.int64)
