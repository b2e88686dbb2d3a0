"""One key at a time, as the interpreter calls it: the lookups of scalar methods.

Each function does to the table what its batch kernel does for a batch of one, or it does nothing
and says `SLOW`, and the method in plain Python does all of it. The interpreter's GIL is held; where
kernels run without it, their lock is taken, too. No word of a context or a table that was read
before Python code could run is used after it: `holder`, the address of the slot in which the cache
has its context, tells whether it still has the same one.
"""

from __future__ import annotations

import numpy as np
from numba import types

from predis_core.table import context as C
from predis_core.table import header as H
from predis_core.table.intrinsics import (
    atomic_add,
    called,
    equal_words,
    inlined,
    load8,
    load32,
    load64,
    lowest_bit,
    mix,
    own,
    prefetch,
    release,
    store64,
)
from predis_core.table.layout import LINE_BYTES, SET_BYTES, WAYS_PER_LINE
from predis_core.table.machine_code import cfunc

from .blobs import copy_blob
from .constants import (
    BLOBS,
    CACHED,
    HAS_SKETCH,
    HOLDS_GIL,
    KEY_REFS,
    STRIDE,
    VALUE_REFS,
    WEIGHED,
)
from .hashing import hash_object
from .lock import lock_exclusive, lock_shared, unlock_exclusive, unlock_shared
from .lookups import note_access
from .metadata import GUESS, note_hit, parameters_at
from .orders import is_steady
from .places import (
    FLAGS,
    HAS_DEADLINE,
    HIT_BYTES,
    HITS,
    LIVE,
    MISSES,
    get,
    is_expired,
    lines_of,
    locate,
    next_line,
    region_block,
    sample_of,
    way_at,
)
from .removals import size_at
from .sketch import halve, increment

ABSENT, RAISED, CHANGED = -1, -2, -3
"""What `seek` returns where it found no place: there is none; an exception is set; Python code ran,
and what was found before it means nothing."""

_EQUAL = 2  # Py_EQ

_hash_of = types.ExternalFunction("PyObject_Hash", types.int64(types.int64))
_is_equal = types.ExternalFunction(
    "PyObject_RichCompareBool", types.int32(types.int64, types.int64, types.int32)
)
_to_int64 = types.ExternalFunction("PyLong_AsLongLong", types.int64(types.int64))
_call = types.ExternalFunction("PyObject_CallNoArgs", types.int64(types.int64))
_raised = types.ExternalFunction("PyErr_Occurred", types.int64())
_has_raised = types.ExternalFunction("PyErr_ExceptionMatches", types.int32(types.int64))
_forget_raised = types.ExternalFunction("PyErr_Clear", types.void())
_new_bytes = types.ExternalFunction(
    "PyBytes_FromStringAndSize", types.int64(types.int64, types.int64)
)
bytes_at = types.ExternalFunction("PyBytes_AsString", types.int64(types.int64))

_METHOD = types.int64(types.int64, types.int64, types.int64)


@inlined
def type_of(thing):
    return load64(thing + C.OBJECT_TYPE)


@inlined
def context_of(native):
    return load64(native + C.ARRAY_DATA)


@called
def refused(error):
    """Leave an exception of a type to plain Python, which raises it anew, better; or let it be."""
    if not _has_raised(error):
        return C.FAILED
    _forget_raised()
    return C.SLOW


@inlined
def small_of(context, number):
    """Return the value of an int of one or two digits above zero, or -1 for any other.

    It is also its hash.
    """
    tag = load64(number + C.INT_TAG)
    if tag == get(context, C.ONE_DIGIT):
        return load32(number + C.INT_DIGITS)
    if tag == get(context, C.TWO_DIGITS):
        low, high = load32(number + C.INT_DIGITS), load32(number + C.INT_DIGITS + 4)
        return low | high << C.DIGIT_BITS
    return -1


@inlined
def known_word_of(context, key):
    """Return the hash of a key if it can be seen from outside, or -1."""
    kind = type_of(key)
    if kind == get(context, C.INT):
        return small_of(context, key)
    return load64(key + C.STR_HASH) if kind == get(context, C.STR) else -1


@inlined
def word_of(context, key):
    """Return (a key's word, DONE); or else what to return of it. Its `__hash__` may run."""
    if get(context, C.HASHED):
        word, error = known_word_of(context, key), get(context, C.TYPE_ERROR)
        if word == -1:
            word = _hash_of(key)
        if word == -1:
            return 0, refused(error)
        return word, C.DONE
    if KEY_REFS:
        if type_of(key) != get(context, C.CONTENT):
            return 0, C.SLOW
        word, is_known = hash_object(key, get(get(context, C.HEADER), H.SEED))
        return word, C.DONE if is_known else C.SLOW
    if type_of(key) != get(context, C.INT):
        return 0, C.SLOW
    word = small_of(context, key)
    if word >= 0:
        return word, C.DONE
    word = _to_int64(key)
    if word == -1 and _raised():
        _forget_raised()  # it is too large
        return 0, C.SLOW
    return word, C.DONE


@called
def time_now(context):
    """Return (the time, DONE); or (0, FAILED). The clock may be anybody's code."""
    clock = get(context, C.CLOCK)
    own(clock)
    asked = _call(clock)
    release(clock)
    if asked == 0:
        return 0, C.FAILED
    now = _to_int64(asked)
    release(asked)
    return now, C.FAILED if now == -1 and _raised() else C.DONE


@inlined
def begin(holder, key):
    """Do what comes before the table is touched; return (context, word, time, DONE).

    The time is that of the clock only if some entry may ever expire.
    """
    context = context_of(load64(holder))
    word, status = word_of(context, key)
    now = 0
    # If its words lie where these lay, they are those of the present context.
    if status == C.DONE and context_of(load64(holder)) != context:
        status = C.SLOW
    if status == C.DONE and get(get(context, C.HEADER), H.DEADLINES):
        now, status = time_now(context)
        if status == C.DONE and context_of(load64(holder)) != context:
            status = C.SLOW
    return context, word, now, status


# ---------------------------------------------------------------------- finding a key


@inlined
def _is_plain(context, thing):
    """Whether to compare it with others of these types runs no Python code."""
    kind = type_of(thing)
    return (
        kind == get(context, C.STR)
        or kind == get(context, C.INT)
        or kind == get(context, C.BYTES)
        or kind == get(context, C.FLOAT)
    )


@inlined
def _are_small(context, one, other):
    """Whether both are ints whose hash is their value: then they are equal if their words are."""
    kind = get(context, C.INT)
    if type_of(one) != kind or type_of(other) != kind:
        return False
    return small_of(context, one) >= 0 and small_of(context, other) >= 0


@called
def _compare(holder, context, held_at, word_at, flags_at, bit, key):
    """Return 1 if the key held at an address equals another, 0 if not; or RAISED, or CHANGED."""
    held = load64(held_at)
    if _is_plain(context, held) and _is_plain(context, key):
        return _is_equal(held, key, _EQUAL)
    native, word = load64(holder), load64(word_at)
    own(native)
    own(held)
    equal = _is_equal(held, key, _EQUAL)
    answer = RAISED
    if equal >= 0:
        answer = CHANGED
        if equal and load64(holder) == native and not get(get(context, C.HEADER), H.SEALED):
            same = load64(held_at) == held and load64(word_at) == word and load8(flags_at) & bit
            answer = 1 if same else CHANGED
    # If it is still there, these are not the last references to it.
    release(held)
    release(native)
    return answer


@inlined
def seek(holder, context, head, group, ways, slot, line, word, key):
    """Return the place of a key in its set, see `places.find_place`; or a reason, below zero."""
    refs = get(head, H.REFS)
    for _ in range(lines_of(ways)):
        here = group + line * LINE_BYTES
        equal = equal_words(here, word) & load8(here + FLAGS) & LIVE
        while equal:
            lowest = lowest_bit(equal)
            place = (line << 3) + lowest
            if not KEY_REFS:
                return place
            held_at = refs + 8 * (slot + way_at(place))
            held = load64(held_at)
            if held == key or _are_small(context, held, key):
                return place
            same = _compare(
                holder, context, held_at, here + 8 * lowest, here + FLAGS, 1 << lowest, key
            )
            if same:
                return place if same > 0 else same
            equal &= equal - 1
        line = next_line(line, ways)
    return ABSENT


@inlined
def status_of(place):
    """What to return where `seek` found no place, and did find a reason."""
    return C.FAILED if place == RAISED else C.SLOW


# ---------------------------------------------------------------------- looking up


@inlined
def advance(address, amount):
    """Add, and return what was there before: only the GIL's holder does, where that is the lock."""
    if HOLDS_GIL:
        before = load64(address)
        store64(address, before + amount)
        return before
    return atomic_add(address, amount)


@inlined
def parameters_of(head):
    return parameters_at(get(head, H.PARAMETERS))


@inlined
def _ask_early(head, group, slot, line):
    """Ask for all that a hit in the first line touches, before it is known which way it is."""
    prefetch(group + line * LINE_BYTES)
    first = 8 * (slot + line * WAYS_PER_LINE)
    if KEY_REFS:
        prefetch(get(head, H.REFS) + first)
        prefetch(get(head, H.REFS) + first + 8 * (WAYS_PER_LINE - 1))
    if VALUE_REFS:
        prefetch(get(head, H.VALUES) + first)
        prefetch(get(head, H.VALUES) + first + 8 * (WAYS_PER_LINE - 1))


@inlined
def _take_value(head, block, slot):
    """Return a new reference to the value at a slot; 0 if there is no memory for one."""
    if VALUE_REFS:
        value = load64(get(head, H.VALUES) + 8 * slot)
        own(value)
        return value
    size = size_at(head, slot)
    value = _new_bytes(0, size)
    if value:
        copy_blob(head, slot, bytes_at(value))
    return value


@called
def _note_lookup(head, word, found, tick):
    """Note an access of a key that may be one of those sampled."""
    if sample_of(mix(word, get(head, H.SEED))) < get(head, H.SAMPLE_BELOW):
        note_access(head, word, found, tick)


@called
def count_use(head, word):
    """Count a word in the sketch as `sketch.count_in_sketch` does."""
    increment(head, word)
    if atomic_add(head + 8 * H.ADDITIONS, 1) + 1 >= get(head, H.SKETCH_LIMIT):
        lock_exclusive(head)
        halve(head)
        unlock_exclusive(head)


if VALUE_REFS or BLOBS:

    @cfunc(_METHOD, cache=CACHED)
    def get_one(holder, key, hits_only):
        """Return a new reference to a key's value, having noted its use; or a status.

        With `hits_only`, a miss is SLOW, and not counted.
        """
        context, word, now, status = begin(holder, key)
        if status != C.DONE:
            return status
        head = get(context, C.HEADER)
        block = region_block(head, 0)
        number, ways, slot, line, _ = locate(head, block, word)
        lines = get(head, H.LINES)
        group = lines + number * SET_BYTES
        _ask_early(head, group, slot, line)
        lock_shared(head)
        if get(head, H.SEALED):
            unlock_shared(head)
            return C.SLOW
        place = seek(holder, context, head, group, ways, slot, line, word, key)
        if place < ABSENT:
            return status_of(place)  # there is no lock where keys are references
        value = C.MISSING
        if place >= 0:
            way = way_at(place)
            flags_address = group + ((place & ~7) << 3) + FLAGS
            hot_address = flags_address + 1 + (place & 7)
            if load8(flags_address) & HAS_DEADLINE and is_expired(head, group, slot, way, now):
                place = ABSENT
            elif load8(hot_address) & GUESS:
                unlock_shared(head)
                return C.SLOW
        if place >= 0:
            value = _take_value(head, block, slot + way)
            if value == C.FAILED:
                unlock_shared(head)
                return value
        elif hits_only:
            unlock_shared(head)
            return C.SLOW
        tick = advance(head + 8 * H.TICK, 1)
        if place >= 0:
            record = get(head, H.RECORDS) + number * STRIDE
            if is_steady(head):
                note_hit(hot_address, record, way, tick, parameters_of(head))
            advance(block + 8 * HITS, 1)
            if BLOBS or WEIGHED:
                advance(block + 8 * HIT_BYTES, size_at(head, slot + way))
        else:
            advance(block + 8 * MISSES, 1)
        unlock_shared(head)
        if get(head, H.SAMPLE_BELOW):
            _note_lookup(head, word, np.int64(place >= 0), tick)
        if HAS_SKETCH and place >= 0:
            count_use(head, word)
        return value


@cfunc(_METHOD, cache=CACHED)
def has_one(holder, key, _):
    """Return DONE if a key is there, having noted nothing; or another status."""
    context, word, now, status = begin(holder, key)
    if status != C.DONE:
        return status
    head = get(context, C.HEADER)
    number, ways, slot, line, _ = locate(head, region_block(head, 0), word)
    group = get(head, H.LINES) + number * SET_BYTES
    lock_shared(head)
    if get(head, H.SEALED):
        unlock_shared(head)
        return C.SLOW
    place = seek(holder, context, head, group, ways, slot, line, word, key)
    if place >= 0:
        status = C.MISSING if is_expired(head, group, slot, way_at(place), now) else C.DONE
    else:
        status = C.MISSING if place == ABSENT else status_of(place)
    unlock_shared(head)
    return status
