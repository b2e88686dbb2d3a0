"""Scalar methods in machine code, where a method descriptor of C takes the place of plain Python.

A cache that is called with single keys, often enough, gets a *context*: the functions that its
table's kernels have for `get`, `set` and so on, and all that they have to know. It lies in a slot
of the cache, where the class's methods find it; they are C functions, compiled once per interpreter
and put into the class when the first cache gets a context. What these functions do not do exactly
as plain Python does, they leave to it: the same methods, under the names that begin with `_plain_`.

Whatever changes what a context says, takes it away (`Scalars.drop`), and one of the next calls
makes another. That nothing is being loaded, that nobody is told of what leaves, and that entries
are not being moved, the functions ask at every call, where plain Python asks.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from predis_core.arrays import address
from predis_core.clock import Clock, ticking
from predis_core.errors import CacheUnusable
from predis_core.listening import Listeners
from predis_core.loading import Loads
from predis_core.policies import Policy
from predis_core.stores import Blobs, Objects, Store
from predis_core.table import codegen, cpython
from predis_core.table import context as words
from predis_core.table.context import Context
from predis_core.table.cpu import CpuTable
from predis_core.table.interface import Bools, CacheTable
from predis_core.table.keys import KeyCodec

CALLS = 100
"""So many calls a cache does in plain Python before a context is worth it."""

READS, WRITES = "scalars", "scalar_sets"
"""Modules of kernels that are loaded, or compiled, by themselves: reading may be all there is."""

OFF = Context.blank()
"""Leaves all to plain Python."""

_NEVER = 1 << 62
_FAST, _ONE = 0x80 | 0x02, 0x08  # METH_FASTCALL | METH_KEYWORDS, METH_O
_WORD_BYTES = 8


class NativeFace:
    """What has a slot for a context, at the same place in every instance of every subclass."""

    __slots__ = ("_native",)

    _native: Context


class Holder(Protocol):
    """What has a context."""

    _native: Context


class Bound(Holder, Protocol):
    """What a context tells of a cache."""

    _unusable: CacheUnusable | None
    _table: CacheTable
    _fetch: Callable[..., Bools]
    _store: Store
    _codec: KeyCodec
    _clock: Clock
    _ttl: int
    _loader: Any
    _weigher: Any
    _loads: Loads
    _listeners: Listeners


class Verb(NamedTuple):
    """A method's word in a context.

    Attributes:
        word: the word.
        part: the module of kernels that its function is in.
        function: its name there.
        through: the methods that plain Python gets there by: who overrides one wants it called.
    """

    word: int
    part: str
    function: str
    through: tuple[str, ...]


_ALWAYS = ("_one", "_encode", "_check")
_LOADING = ("get_or_load_many", "_demanded", "_filled", "_lifetimes")
_VERBS = (
    Verb(words.GET, READS, "get_one", ("get_many", "_get_one")),
    Verb(words.HAS, READS, "has_one", ("contains_many",)),
    Verb(words.HIT, READS, "get_one", _LOADING),
    Verb(words.GET_OR_LOAD, READS, "get_one", _LOADING),
    Verb(words.GET_OR_LOAD_WITH, READS, "get_one", _LOADING),
    Verb(words.SET, WRITES, "set_one", ("set_many", "_lifetimes")),
    Verb(words.SET_ITEM, WRITES, "set_one", ("set_many", "_lifetimes", "set")),
)

_METHODS = {
    "get": ("get", "_plain_get", _FAST),
    "__getitem__": ("get_item", "_plain_get_item", _ONE),
    "__contains__": ("contains", "_plain_contains", _ONE),
    "set": ("set_", "_plain_set", _FAST),
    "__setitem__": ("set_item", "_plain_set_item", _FAST),
    "get_or_load": ("get_or_load", "_plain_get_or_load", _FAST),
    "_hit": ("hit", "_plain_hit", _FAST),
}
"""By name: the function in `kernels.methods`, what plain Python is called by, how C calls it."""


class Scalars:
    """When the scalar methods of one cache are machine code.

    Args:
        base: the class that gets the methods of C. They work for subclasses, too, a little slower;
            but where one of these overrides what the methods go through, or the cache itself does,
            plain Python calls that.
    """

    def __init__(self, base: type) -> None:
        self._base = base
        self._left = {READS: CALLS, WRITES: CALLS}
        self._parts: set[str] = set()

    def called(self, cache: NativeFace, part: str) -> None:
        """Note a call in plain Python; after many, have machine code take the next ones."""
        self._left[part] -= 1
        if self._left[part] < 0:
            self.bind(cast(Bound, cache), part)

    def bind(self, cache: Bound, part: str) -> None:
        """Have machine code take the calls that a part of the kernels is for, if it can."""
        self._left[part] = CALLS  # first: what compiles may run finalisers, which may call
        table, fetch = cache._table, cache._fetch
        if part in self._parts and any(each is table for each in cache._native.owned):
            return
        found = self._functions(cache, {*self._parts, part}, table.policy)
        if found is None:
            self._left[part] = _NEVER
            return
        self._parts.add(part)
        cache._native = _context(cache, found)
        if cache._table is not table or cache._fetch is not fetch or cache._unusable is not None:
            self.drop(cache)

    def prepare(self, cache: Bound, policy: Policy) -> None:
        """Have compiled, or loaded, what the methods that are machine code need under a policy."""
        self._functions(cache, self._parts, policy)

    def drop(self, cache: Holder) -> None:
        """Have plain Python take all calls, the next of which makes a new context."""
        cache._native = OFF
        for part in self._parts:
            self._left[part] = 0

    def _functions(self, cache: Bound, parts: set[str], policy: Policy) -> dict[int, int] | None:
        """Return addresses of functions, by word of the context; None if there can be none."""
        table = cache._table
        if not isinstance(table, CpuTable):
            return None
        verbs = [verb for verb in _VERBS if verb.part in parts and self._may(cache, verb)]
        if not verbs or not install(self._base):
            return None
        try:
            kernels = table.kernels_for(policy, *sorted(parts))
        except ImportError:
            return None  # they live in memory only, and these would be compiled in every process
        return {verb.word: getattr(kernels, verb.function).address for verb in verbs}

    def _may(self, cache: Bound, verb: Verb) -> bool:
        """Whether kernels do what plain Python would for a verb of this very cache."""
        if cache._codec.kind in _CONTENT and not cpython.is_known():
            return False
        if any(self._is_other(cache, name) for name in (*_ALWAYS, *verb.through)):
            return False
        if verb.word == words.HAS:
            return True
        if verb.part == READS and cache._fetch != cache._table.fetch:
            return False  # somebody is told of look-ups
        if verb.word == words.GET_OR_LOAD and cache._loader is None:
            return False
        if verb.part == WRITES and cache._weigher is not None:
            return False
        return _hands_out_what_it_holds(cache._store, cache._codec, verb.part)

    def _is_other(self, cache: Bound, name: str) -> bool:
        own = getattr(self._base, name)
        # The cache's `__dict__`, once asked for, would make every later attribute slower to get.
        return getattr(type(cache), name) is not own or getattr(cache, name) != own.__get__(cache)


def _hands_out_what_it_holds(store: Store, codec: KeyCodec, part: str) -> bool:
    if type(store) is Blobs:
        # What is displaced beside keys that are references goes to a log of blobs.
        return store.format == "bytes" and (part == READS or not codec.has_refs)
    return type(store) is Objects


def _context(cache: Bound, functions: dict[int, int]) -> Context:
    """Return the context of a cache as it is now."""
    table, clock = cache._table, ticking(cache._clock)
    assert isinstance(table, CpuTable)
    flights, listeners = cache._loads.flights, cache._listeners.told
    displaced = np.empty(2 * words.LOG_ENTRIES, object)
    context = Context.blank()
    context.owned = (table, table.header, clock, flights, listeners, displaced)
    for word, function in functions.items():
        context[word] = function
    context[words.HEADER] = address(table.header)
    context[words.HASHED] = cache._codec.kind == "any"
    context[words.CONTENT] = id(content) if (content := _CONTENT.get(cache._codec.kind)) else 0
    context[words.LIFETIME] = cache._ttl
    for word, thing in (
        (words.CLOCK, clock),
        (words.FLIGHTS, flights),
        (words.LISTENERS, listeners),
        *_KNOWN,
    ):
        context[word] = id(thing)
    context[words.ONE_DIGIT], context[words.TWO_DIGITS] = _digit_tags()
    if type(cache._store) is Objects:
        context[words.LOG + 1 : words.LOG + 3] = words.LOG_ENTRIES, address(displaced)
    return context


_KNOWN: tuple[tuple[int, object], ...] = (
    (words.NONE, None),
    (words.INT, int),
    (words.STR, str),
    (words.BYTES, bytes),
    (words.FLOAT, float),
    (words.TYPE_ERROR, TypeError),
    (words.KEY_ERROR, KeyError),
)

_CONTENT: dict[str, type] = {"str": str, "bytes": bytes}
"""Kinds of keys whose content is hashed, and the one type that machine code does that for."""

_NO_TAG = 1 << 62


# ---------------------------------------------------------------------- methods of the class

_installing = threading.RLock()


def install(base: type) -> bool:
    """Put the methods of C into a class, once; return whether they are there.

    They are not if this interpreter is laid out in another way than kernels take it to be.
    """
    with _installing:
        return _installed(base)


@functools.cache
def _installed(base: type) -> bool:
    holder = _offset_of_slot()
    if holder is None:
        return False
    try:
        kernels = codegen.load({"HOLDER": holder}, {}, "methods")
    except ImportError:
        return False
    functions = {name: getattr(kernels, function) for name, (function, _, _) in _METHODS.items()}
    if not _pass_on(_rehearsal(), functions):
        return False
    _put(base, functions)
    return True


def _offset_of_slot() -> int | None:
    """Return where an object has its context; None if that, or something else, is not as hoped."""
    if sys.implementation.name != "cpython" or struct.calcsize("P") != _WORD_BYTES:
        return None
    probe, context = NativeFace(), Context.blank()
    probe._native = context
    size = NativeFace.__basicsize__ // _WORD_BYTES
    offsets = range(0, _WORD_BYTES * size, _WORD_BYTES)
    found = [offset for offset in offsets if _word_at(probe, offset) == id(context)]
    text = "".join(("text", "of", "which", "nobody", "asked", "the", "hash"))
    unknown = _word_at(text, words.STR_HASH)
    as_hoped = (
        len(found) == 1
        and _word_at(context, words.ARRAY_DATA) == address(context)
        and _word_at(context, words.OBJECT_TYPE) == id(Context)
        and (unknown, hash(text)) == (-1, _word_at(text, words.STR_HASH))
    )
    return found[0] if as_hoped else None


@functools.cache
def _digit_tags() -> tuple[int, int]:
    """Return what ints of one and of two digits above zero have as their tags.

    If they have not just one, or digits lie elsewhere, they get one that no int has.
    """
    bits = words.DIGIT_BITS
    tags = []
    for digits, some in (
        (1, (1, 5, 300, (1 << bits) - 1)),
        (2, (1 << bits, 12345678901234567, (1 << 2 * bits) - 1)),
    ):
        of_some = {_word_at(number, words.INT_TAG) for number in some}
        of_others = {_word_at(number, words.INT_TAG) for number in (0, -1, -(1 << bits), 1 << 60)}
        in_place = all(
            _word_at(number, words.INT_DIGITS) & ((1 << 32 * digits) - 1)
            == number % (1 << bits) | number >> bits << 32
            for number in some
        )
        plain = len(of_some) == 1 and not of_some & of_others and in_place
        tags.append(of_some.pop() if plain else _NO_TAG + digits)
    return tags[0], tags[1]


def _word_at(thing: object, offset: int) -> int:
    return ctypes.c_int64.from_address(id(thing) + offset).value


class _PyMethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_definitions: list[_PyMethodDef] = []
"""They have to be there for as long as their methods."""


def _put(base: type, functions: dict[str, Any]) -> None:
    """Give a class the methods of C, and the present ones the names of plain Python.

    They belong to that very class: for its instances, the interpreter calls them without detours.
    """
    new_method = ctypes.pythonapi["PyDescr_NewMethod"]
    new_method.restype, new_method.argtypes = ctypes.py_object, (ctypes.py_object, ctypes.c_void_p)
    methods = {}
    for name, (_, plain_name, flags) in _METHODS.items():
        shown = getattr(base, name)
        definition = _PyMethodDef(name.encode(), functions[name].address, flags, _doc(name, shown))
        _definitions.append(definition)
        methods[name] = new_method(base, ctypes.addressof(definition))
        setattr(base, plain_name, getattr(base, plain_name, shown))
    for name, method in methods.items():
        setattr(base, name, method)
        if hasattr(base, f"_now_{name}"):
            setattr(base, f"_now_{name}", method)


def _doc(name: str, plain: Any) -> bytes:
    """Return a docstring from which `inspect.signature` reads what plain Python takes."""
    signature = inspect.signature(plain)
    first, *rest = (each.replace(annotation=each.empty) for each in signature.parameters.values())
    takes = str(inspect.Signature([first.replace(name="self"), *rest])).replace("(self", "($self")
    return f"{name}{takes}\n--\n\n{inspect.getdoc(plain) or ''}".encode()


# ---------------------------------------------------------------------- the self-test


def _rehearsal() -> type:
    """Return a class with methods that return what they are given."""

    def method(name: str) -> Callable[..., Any]:
        def plain(self: Any, key: Any, *rest: Any, **named: Any) -> Any:
            return name, key, rest, named

        return plain

    return type("Rehearsal", (NativeFace,), {name: method(name) for name in _METHODS})


def _pass_on(rehearsal: Any, functions: dict[str, Any]) -> bool:
    """Whether all methods hand the very arguments to plain Python, and lose no reference."""
    _put(rehearsal, functions)
    thing = rehearsal()
    key, value = object(), object()
    for context in (None, OFF):
        if context is not None:
            thing._native = context
        before = sys.getrefcount(key), sys.getrefcount(value)
        called = (
            thing.get(key) == ("get", key, (), {})
            and thing.get(key, default=value) == ("get", key, (), {"default": value})
            and thing.set(key, value, ttl=None) == ("set", key, (value,), {"ttl": None})
            and thing.get_or_load(key, value) == ("get_or_load", key, (value,), {})
            and thing._hit(key, value) == ("_hit", key, (value,), {})
            and thing[key] == ("__getitem__", key, (), {})
            and key in thing
            and thing.__setitem__(key, value) == ("__setitem__", key, (value,), {})
        )
        if not called or before != (sys.getrefcount(key), sys.getrefcount(value)):
            return False
    return True
