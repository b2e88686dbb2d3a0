"""The scalar methods of the class: each asks the cache for the function of its own kernels.

These are C functions as method descriptors call them (METH_FASTCALL | METH_KEYWORDS, or METH_O).
Whatever they do not do goes to the same method in plain Python, with the very arguments.
"""

from __future__ import annotations

from numba import types

from predis_core.table import context as C
from predis_core.table.intrinsics import attribute, call_at, inlined, load64, own, release
from predis_core.table.machine_code import cfunc

from .constants import CACHED, HOLDER

_FAST = types.int64(types.int64, types.int64, types.int64, types.int64)
_ONE = types.int64(types.int64, types.int64)

_call = types.ExternalFunction(
    "PyObject_Vectorcall", types.int64(types.int64, types.int64, types.int64, types.int64)
)
_call_with = types.ExternalFunction("PyObject_CallOneArg", types.int64(types.int64, types.int64))
_raise = types.ExternalFunction("PyErr_SetObject", types.void(types.int64, types.int64))
_boolean = types.ExternalFunction("PyBool_FromLong", types.int64(types.int64))

_plain_get = attribute("_plain_get")
_plain_get_item = attribute("_plain_get_item")
_plain_contains = attribute("_plain_contains")
_plain_set = attribute("_plain_set")
_plain_set_item = attribute("_plain_set_item")
_plain_hit = attribute("_plain_hit")
_plain_get_or_load = attribute("_plain_get_or_load")
_refuse = attribute("_refuse")


@inlined
def _context(cache):
    """Address of a cache's context; 0 if it has none yet."""
    native = load64(cache + HOLDER)
    return load64(native + C.ARRAY_DATA) if native else 0


@inlined
def _function(context, verb):
    return load64(context + 8 * verb) if context else 0


@inlined
def _leave(method, args, count, names):
    """Have the method in plain Python do it."""
    if method == 0:
        return 0
    result = _call(method, args, count, names)
    release(method)
    return result


@inlined
def _leave_one(method, key):
    if method == 0:
        return 0
    result = _call_with(method, key)
    release(method)
    return result


@cfunc(_FAST, cache=CACHED)
def get(cache, args, count, names):
    """get(key, default=None)."""
    context = _context(cache)
    function = _function(context, C.GET)
    if function and names == 0 and (count == 1 or count == 2):
        none = load64(context + 8 * C.NONE)
        value = call_at(function, cache + HOLDER, load64(args), 0)
        if value == C.MISSING:
            value = load64(args + 8) if count == 2 else none
            own(value)
        if value != C.SLOW:
            return value
    return _leave(_plain_get(cache), args, count, names)


@cfunc(_FAST, cache=CACHED)
def hit(cache, args, count, names):
    """_hit(key, default)."""
    function = _function(_context(cache), C.HIT)
    if function and names == 0 and count == 2:
        value = call_at(function, cache + HOLDER, load64(args), 1)
        if value == C.SLOW:
            value = load64(args + 8)
            own(value)
        return value
    return _leave(_plain_hit(cache), args, count, names)


@cfunc(_ONE, cache=CACHED)
def get_item(cache, key):
    """__getitem__(key)."""
    context = _context(cache)
    function = _function(context, C.GET)
    if function:
        error = load64(context + 8 * C.KEY_ERROR)
        value = call_at(function, cache + HOLDER, key, 0)
        if value == C.MISSING:
            value = _call_with(error, key)
            if value:
                _raise(error, value)
                release(value)
            return 0
        if value != C.SLOW:
            return value
    return _leave_one(_plain_get_item(cache), key)


@cfunc(_ONE, cache=CACHED)
def contains(cache, key):
    """__contains__(key)."""
    function = _function(_context(cache), C.HAS)
    if function:
        status = call_at(function, cache + HOLDER, key, 0)
        if status == C.FAILED:
            return 0
        if status != C.SLOW:
            return _boolean(status == C.DONE)
    return _leave_one(_plain_contains(cache), key)


@cfunc(_FAST, cache=CACHED)
def set_(cache, args, count, names):
    """set(key, value, *, ttl=None)."""
    function = _function(_context(cache), C.SET)
    if function and names == 0 and count == 2:
        status = call_at(function, cache + HOLDER, load64(args), load64(args + 8))
        if status == C.FAILED:
            return 0
        if status != C.SLOW:
            return _boolean(status == C.DONE)
    return _leave(_plain_set(cache), args, count, names)


@cfunc(_FAST, cache=CACHED)
def set_item(cache, args, count, names):
    """__setitem__(key, value)."""
    context = _context(cache)
    function = _function(context, C.SET_ITEM)
    if function and names == 0 and count == 2:
        none = load64(context + 8 * C.NONE)
        status = call_at(function, cache + HOLDER, load64(args), load64(args + 8))
        if status == C.FAILED:
            return 0
        if status == C.MISSING:
            return _leave_one(_refuse(cache), load64(args))
        if status != C.SLOW:
            own(none)
            return none
    return _leave(_plain_set_item(cache), args, count, names)


@cfunc(_FAST, cache=CACHED)
def get_or_load(cache, args, count, names):
    """get_or_load(key, loader=None, *, ttl=None)."""
    context = _context(cache)
    if context and names == 0 and (count == 1 or count == 2):
        verb = C.GET_OR_LOAD
        if count == 2 and load64(args + 8) != load64(context + 8 * C.NONE):
            verb = C.GET_OR_LOAD_WITH
        function = load64(context + 8 * verb)
        if function:
            value = call_at(function, cache + HOLDER, load64(args), 1)
            if value != C.SLOW:
                return value
    return _leave(_plain_get_or_load(cache), args, count, names)
