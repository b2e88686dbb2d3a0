"""The words of a cache's context: all that a scalar method in machine code knows of the cache.

A context is one int64 array, which the cache has in a slot. Its first words are the functions that
the cache's own kernels have for the methods, 0 where plain Python does the work. Addresses in it
stay valid as long as the array: it owns what they belong to. What a call puts down meanwhile lies
here, too: the GIL is held all the time, and nothing of it outlasts a moment at which Python code
may run.
"""

from __future__ import annotations

from typing import Any

import numpy as np

GET = 0
HAS = 1
SET = 2
GET_OR_LOAD = 3
GET_OR_LOAD_WITH = 4
"""As `GET_OR_LOAD`, where the call names a loader."""
SET_ITEM = 5
HIT = 6
VERBS = 7

HEADER = 8
"""Address of the table's header."""
HASHED = 9
"""Nonzero: a key's word is its `hash()`; zero: the key is its word."""
CLOCK = 10
"""What returns the nanoseconds of the monotonic clock, called without arguments."""
LIFETIME = 11
"""Nanoseconds that entries live by default; 0 for ever."""
FLIGHTS = 12
"""A dict, empty while nothing is being loaded."""
LISTENERS = 13
"""A dict, empty while nobody is told of what leaves."""
NONE = 14
INT = 15
STR = 16
BYTES = 17
FLOAT = 18
TYPE_ERROR = 19
KEY_ERROR = 20
ONE_DIGIT = 21
"""What positive ints of one digit have as their tag: a digit has 30 bits."""
TWO_DIGITS = 22
CONTENT = 23
"""The type of keys whose word is a hash of their content, str or bytes; 0 for other keys."""

GIVEN = 24
"""The key of a `set`."""
VALUE = 25
"""Its value, to be swapped for what the slot holds."""
SIZES = 26
"""Two words: where a blob begins and ends."""
SLOT = 28
LOG = 32
"""A log of `LOG_ENTRIES`; see `kernels.removals`."""
LOG_ENTRIES = 2
SCRATCH = 56
"""See `kernels.victims.scratch`."""
WORDS = 136

FAILED, MISSING, SLOW, DONE = range(4)
"""What a function of the kernels returns besides an object: an exception is set; there is no such
entry, or no room for it; plain Python is to do it all; done."""

OBJECT_TYPE = 8
ARRAY_DATA = 16
INT_TAG = 16
INT_DIGITS = 24
STR_HASH = 24
"""Bytes from where an object is to the address of its type, the address of an array's data, an
int's tag, which tells its sign and its length, its digits, and the hash of a str, which is -1 until
somebody asks for it. `native` verifies them."""
DIGIT_BITS = 30


class Context(np.ndarray[tuple[int], np.dtype[np.int64]]):
    """int64[WORDS] that keeps alive what its words are addresses of.

    Attributes:
        owned: all that.
    """

    owned: tuple[Any, ...]

    @classmethod
    def blank(cls) -> Context:
        """Return one that leaves all methods to plain Python."""
        context = np.zeros(WORDS, np.int64).view(cls)
        context.owned = ()
        return context
