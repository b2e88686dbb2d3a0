"""Other caches of Python, as far as they are installed: what Predis is shown beside."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Protocol

NAMES = ("cachetools", "cachebox")


class DictLike(Protocol):
    """A cache of single keys that is used like a dict."""

    def get(self, key: int, /) -> Any: ...

    def __setitem__(self, key: int, value: Any, /) -> None: ...

    def __contains__(self, key: int, /) -> bool: ...


def installed(capacity: int) -> dict[str, DictLike]:
    """An empty LRU cache of `capacity` entries of each peer that is installed, by its name."""
    peers: dict[str, DictLike] = {}
    if find_spec("cachetools"):
        import cachetools

        peers["cachetools LRU"] = cachetools.LRUCache(capacity)
    if find_spec("cachebox"):
        import cachebox

        peers["cachebox LRU"] = cachebox.LRUCache(capacity)
    return peers


def absent() -> list[str]:
    """The peers that are not installed."""
    return [name for name in NAMES if not find_spec(name)]
