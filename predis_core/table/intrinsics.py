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

from predis_core.policies.contract import HOT_BITS
from predis_core.table.compiling import HelperCompiler
from predis_core.table.cpython import PLAIN_COUNTS
from predis_core.table.keys import MIX_FACTORS, MIX_SHIFTS

# Only kernels are called from Python; without its wrappers a helper compiles in half the time.
_INNER = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": HelperCompiler,
}

called = njit(**_INNER)
"""Compile a helper that kernels call."""

inlined = njit(forceinline=True, **_INNER)
"""Compile a helper into its callers: the hot path has no calls."""

_I1, _I8, _I16, _I32, _I64, _I128 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64, 128))
_WORDS = 8
_WORD_BYTES = 8


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


def _spread(builder: Any, value: Any, lanes: int) -> Any:
    """A vector of so many times a value."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, value, _I32(0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    )


def _comparer(lanes: int) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(_I64, lanes)
        words = builder.load(_pointer(builder, arguments[0], vector), align=8)
        equal = builder.icmp_unsigned("==", words, _spread(builder, arguments[1], lanes))
        return builder.zext(builder.bitcast(equal, ir.IntType(lanes)), _I64)

    return generate


def _lane_loader(bits: int) -> Any:
    kind = ir.IntType(bits)

    @intrinsic
    def item(typing_context: Any, address: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            base = _pointer(builder, arguments[0], kind)
            value = builder.load(builder.gep(base, [arguments[1]]), align=bits // 8)
            return value if bits == 64 else builder.zext(value, _I64)

        return types.int64(types.int64, types.int64), generate

    return item


def _lane_storer(bits: int) -> Any:
    kind = ir.IntType(bits)

    @intrinsic
    def put_item(typing_context: Any, address: Any, index: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            base = _pointer(builder, arguments[0], kind)
            stored = arguments[2] if bits == 64 else builder.trunc(arguments[2], kind)
            builder.store(stored, builder.gep(base, [arguments[1]]), align=bits // 8)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), generate

    return put_item


item32, item64 = (_lane_loader(bits) for bits in (32, 64))
"""itemN(address, index) -> int64: one of some uintN, in a form in which loops become vectors."""

put_item32, put_item64 = (_lane_storer(bits) for bits in (32, 64))
"""put_itemN(address, index, value): as loops that become vectors store one of some intN."""


def _gatherer(bits: int, together: Any) -> Any:
    kind = types.Integer.from_bitwidth(bits)

    @intrinsic
    def gather(typing_context: Any, gathered: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = arguments[1] if bits == 64 else builder.trunc(arguments[1], _I32)
            return together(builder, arguments[0], value)

        return kind(kind, types.int64), generate

    return gather


def _lower(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


least32, least64 = (_gatherer(bits, _lower) for bits in (32, 64))
plus32, plus64 = (_gatherer(bits, lambda builder, a, b: builder.add(a, b)) for bits in (32, 64))
either32, either64 = (_gatherer(bits, lambda builder, a, b: builder.or_(a, b)) for bits in (32, 64))
"""(a, b) -> intN: of an intN and the lowest N bits of an int64 the lower, the sum, all bits set."""


@intrinsic
def equal_words(typing_context: Any, address: Any, word: Any) -> Any:
    """equal_words(address, word) -> int64: bit i is set if the i-th of 8 int64 equals word."""
    return types.int64(types.int64, types.int64), _comparer(_WORDS)


@intrinsic
def equal_set(typing_context: Any, address: Any, word: Any) -> Any:
    """equal_set(address, word) -> int64: bit i is set if the i-th of 32 int64 equals word."""
    return types.int64(types.int64, types.int64), _comparer(4 * _WORDS)


def _any(builder: Any, compared: list[Any], lanes: int, bits: int) -> Any:
    """Whether any lane of some comparisons is true: one test, where a mask takes a dozen steps."""
    kind = ir.VectorType(ir.IntType(bits), lanes)
    together = builder.sext(compared[0], kind)
    for other in compared[1:]:
        together = builder.or_(together, builder.sext(other, kind))
    whole = ir.IntType(lanes * bits)
    return builder.icmp_unsigned("!=", builder.bitcast(together, whole), whole(0))


@intrinsic
def any_word(typing_context: Any, address: Any, word: Any) -> Any:
    """any_word(address, word) -> bool: whether one of 32 int64 equals word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = _WORDS // 2
        vector, compared = ir.VectorType(_I64, lanes), []
        wanted = _spread(builder, arguments[1], lanes)
        for first in range(0, 4 * _WORDS, lanes):
            at = builder.add(arguments[0], _I64(_WORD_BYTES * first))
            words = builder.load(_pointer(builder, at, vector), align=8)
            compared.append(builder.icmp_unsigned("==", words, wanted))
        return _any(builder, compared, lanes, 64)

    return types.boolean(types.int64, types.int64), generate


@intrinsic
def any_short(typing_context: Any, address: Any, mask: Any, value: Any) -> Any:
    """any_short(address, mask, value) -> bool: whether one of 28 uint16 & mask equals value.

    It reads no byte beyond them.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = 2 * _WORDS
        vector, compared = ir.VectorType(_I16, lanes), []
        mask, wanted = (
            _spread(builder, builder.trunc(argument, _I16), lanes) for argument in arguments[1:]
        )
        for first in (0, 28 - lanes):
            at = builder.add(arguments[0], _I64(2 * first))
            shorts = builder.load(_pointer(builder, at, vector), align=2)
            compared.append(builder.icmp_unsigned("==", builder.and_(shorts, mask), wanted))
        return _any(builder, compared, lanes, 16)

    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic
def as_narrow(typing_context: Any, value: Any) -> Any:
    """as_narrow(value) -> int64: the lowest 32 bits of it, which the compiler knows for as many.

    Otherwise it would take what it knows to fit for 64 bits again, and with it whole vectors.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_I32, [_I32])
        # No instruction: a value in a register that is another one's for all that is known of it.
        opaque = builder.asm(kind, "", "=r,0", [builder.trunc(arguments[0], _I32)], False)
        return builder.sext(opaque, _I64)

    return types.int64(types.int64), generate


def _line_widener(bits: int, lane: int) -> Any:
    column = ir.VectorType(ir.IntType(bits), _WORDS) if bits else None

    @intrinsic
    def widen(typing_context: Any, target: Any, low: Any, high: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = ir.VectorType(ir.IntType(lane), _WORDS)
            small = ir.VectorType(_I8, _WORDS)
            loaded = builder.load(_pointer(builder, arguments[1], small), align=8)
            hot = builder.and_(
                builder.zext(loaded, vector), ir.Constant(vector, [(1 << HOT_BITS) - 1] * _WORDS)
            )
            if column is not None:
                above = builder.load(_pointer(builder, arguments[2], column), align=1)
                if bits != lane:
                    above = (builder.zext if bits < lane else builder.trunc)(above, vector)
                shift = ir.Constant(vector, [HOT_BITS] * _WORDS)
                hot = builder.or_(hot, builder.shl(above, shift))
            builder.store(hot, _pointer(builder, arguments[0], vector), align=lane // 8)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), generate

    return widen


_WIDTHS = [(bits, lane) for bits in (0, 8, 16, 32, 64) for lane in (32, 64)]
WIDENERS = {widths: _line_widener(*widths) for widths in _WIDTHS}
"""By N and M, (target, low, high): write 8 intM: HOT_BITS of a byte and, above, an N-bit int."""


def _line_narrower(bits: int, lane: int) -> Any:
    column = ir.VectorType(ir.IntType(bits), _WORDS) if bits else None
    later = ir.Constant(ir.VectorType(_I1, _WORDS), [0] + [1] * (_WORDS - 1))

    @intrinsic
    def narrow(typing_context: Any, source: Any, low: Any, high: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = ir.VectorType(ir.IntType(lane), _WORDS)
            small = ir.VectorType(_I8, _WORDS)
            wide = builder.load(_pointer(builder, arguments[0], vector), align=lane // 8)
            pointer = _pointer(builder, arguments[1], small)
            old = builder.load(pointer, align=8)
            hot = builder.and_(
                builder.trunc(wide, small), ir.Constant(small, [(1 << HOT_BITS) - 1] * _WORDS)
            )
            kept = builder.and_(old, ir.Constant(small, [1 << HOT_BITS] * _WORDS))
            builder.store(builder.select(later, builder.or_(hot, kept), old), pointer, align=8)
            if column is not None:
                pointer = _pointer(builder, arguments[2], column)
                above = builder.lshr(wide, ir.Constant(vector, [HOT_BITS] * _WORDS))
                if bits != lane:
                    above = (builder.trunc if bits < lane else builder.zext)(above, column)
                old = builder.load(pointer, align=1)
                builder.store(builder.select(later, above, old), pointer, align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), generate

    return narrow


NARROWERS = {widths: _line_narrower(*widths) for widths in _WIDTHS}
"""By N and M, (source, low, high): what was read, back, but for the first and bytes' top bits."""


@intrinsic
def lowest_bit(typing_context: Any, value: Any) -> Any:
    """lowest_bit(value) -> int64: the number of the lowest set bit; 64 for zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], _I1(0))

    return types.int64(types.int64), generate


@intrinsic
def count_bits(typing_context: Any, value: Any) -> Any:
    """count_bits(value) -> int64: how many bits are set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

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
def move_bytes(typing_context: Any, target: Any, source: Any, count: Any) -> Any:
    """move_bytes(target, source, count): memmove; a constant count is expanded in place."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointers = [_pointer(builder, argument, _I8) for argument in arguments[:2]]
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I8.as_pointer(), _I64, _I1])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.memmove.p0.p0.i64")
        builder.call(function, [*pointers, arguments[2], _I1(0)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def stream_bytes(typing_context: Any, target: Any, source: Any) -> Any:
    """stream_bytes(target, source): copy 64 bytes past the caches; target at a multiple of 16.

    A `fence` has to follow before other threads read them.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(_I64, 2)
        loads = []
        for piece in range(4):
            at = builder.add(arguments[1], _I64(16 * piece))
            loads.append(builder.load(_pointer(builder, at, vector), align=1))
        for piece, loaded in enumerate(loads):
            at = builder.add(arguments[0], _I64(16 * piece))
            stored = builder.store(loaded, _pointer(builder, at, vector), align=16)
            stored.set_metadata("nontemporal", builder.module.add_metadata([_I32(1)]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def fence(typing_context: Any) -> Any:
    """fence(): what was stored before is seen before what is stored after."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


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

_count_up = types.ExternalFunction("Py_IncRef", types.void(types.int64))
_count_down = types.ExternalFunction("Py_DecRef", types.void(types.int64))


@inlined
def own(thing):
    """Take a reference to the Python object at an address; the caller holds the GIL."""
    if PLAIN_COUNTS:
        store64(thing, load64(thing) + 1)
    else:
        _count_up(thing)


@inlined
def disown(none):
    """Give a reference back; only ever used for None, which no count can destroy."""
    if PLAIN_COUNTS:
        store64(none, load64(none) - 1)
    else:
        _count_down(none)


@inlined
def release(thing):
    """Give up a reference; if it was the last one, any code may run: no lock is held, and nothing
    that was read still holds.
    """
    if PLAIN_COUNTS and load64(thing) > 1:
        store64(thing, load64(thing) - 1)
    else:
        _count_down(thing)


python_hash = types.ExternalFunction("PyObject_Hash", types.int64(types.int64))
"""`hash()` of a str, bytes or int at an address: that runs no Python code, and cannot fail."""

new_bytes = types.ExternalFunction(
    "PyBytes_FromStringAndSize", types.int64(types.int64, types.int64)
)
"""A new bytes object of so many bytes at an address; 0, and an error set, if it cannot be."""

new_text = types.ExternalFunction(
    "PyUnicode_DecodeUTF8", types.int64(types.int64, types.int64, types.int64)
)
"""A new str of so many bytes of UTF-8 at an address, the last argument 0; or 0 and an error."""

new_text_of = types.ExternalFunction(
    "PyUnicode_FromKindAndData", types.int64(types.int32, types.int64, types.int64)
)
"""A new str of characters of a width (4, say) at an address, so many; or 0 and an error."""

clear_error = types.ExternalFunction("PyErr_Clear", types.void())


def _symbol(name: str) -> Any:
    @intrinsic
    def symbol(typing_context: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            # Resolved when the code is loaded: what is kept on disk knows no address.
            return builder.ptrtoint(context.get_c_value(builder, _I8, name, dllimport=True), _I64)

        return types.int64(), generate

    return symbol


str_type, bytes_type, int_type, list_type = (
    _symbol(f"Py{name}_Type") for name in ("Unicode", "Bytes", "Long", "List")
)
"""The addresses of types, as objects have them."""

none_object = _symbol("_Py_NoneStruct")
"""The address of None."""


def words_at(count: int) -> Any:
    """Return what loads `count` int64 from an address, as a tuple."""

    @intrinsic
    def load(typing_context: Any, address: Any) -> Any:
        kind = types.UniTuple(types.int64, count)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            starts = [builder.add(arguments[0], _I64(_WORD_BYTES * i)) for i in range(count)]
            words = [builder.load(_pointer(builder, start, _I64)) for start in starts]
            return context.make_tuple(builder, kind, words)

        return kind(types.int64), generate

    return load


@intrinsic
def call_at(typing_context: Any, function: Any, a: Any, b: Any, c: Any) -> Any:
    """call_at(function, a, b, c) -> int64: call the C function at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_I64, [_I64] * 3)
        return builder.call(_pointer(builder, arguments[0], kind), arguments[1:])

    return types.int64(*[types.int64] * 4), generate


def attribute(name: str) -> Any:
    """Return what gets a new reference to an attribute of an object at an address; 0: it raised."""

    @intrinsic
    def get(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            text = context.insert_const_string(builder.module, name)
            kind = ir.FunctionType(_I64, [_I64, _I8.as_pointer()])
            called = cgutils.get_or_insert_function(builder.module, kind, "PyObject_GetAttrString")
            return builder.call(called, [arguments[0], text])

        return types.int64(types.int64), generate

    return get


_SHIFT_0, _SHIFT_1, _SHIFT_2 = (np.uint64(shift) for shift in MIX_SHIFTS)
_FACTOR_0, _FACTOR_1 = (np.uint64(factor) for factor in MIX_FACTORS)


@inlined
def mix(word, seed):
    """keys.mix in machine code: int64, int64 -> uint64."""
    x = np.uint64(word) ^ np.uint64(seed)
    x = (x ^ (x >> _SHIFT_0)) * _FACTOR_0
    x = (x ^ (x >> _SHIFT_1)) * _FACTOR_1
    return x ^ (x >> _SHIFT_2)
