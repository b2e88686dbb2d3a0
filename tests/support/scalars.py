"""Caches whose scalar methods are machine code from the first call on, and caches that never do."""

from __future__ import annotations

from typing import Any, TypeVar

import predis_core as predis
from predis_core import native

C = TypeVar("C", bound=predis.Cache[Any, Any])


def compiled(cache: C, *parts: str) -> C:
    """Have machine code take the calls of a cache that it can take, or those of some parts."""
    for part in parts or (native.READS, native.WRITES):
        cache._scalars.bind(cache, part)
    return cache


def plain(cache: C) -> C:
    """Have plain Python take all calls of a cache, however many."""
    cache._scalars._left = dict.fromkeys(cache._scalars._left, native._NEVER)
    return cache


def verbs(cache: predis.Cache[Any, Any]) -> list[bool]:
    """Return which words of a cache's context are functions, in the order of `table.context`."""
    return (cache._native[: native.words.VERBS] != 0).tolist()
