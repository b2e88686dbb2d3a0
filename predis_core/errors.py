"""Every error that Predis raises on purpose.

::

    PredisError
    ├── ConfigurationError (ValueError)      a cache that cannot be built as asked
    │   ├── PolicyError                      a policy that breaks the contract
    │   └── PluginError                      a plugin that cannot be enabled
    ├── KeyKindError       (TypeError)       a key that this cache's `keys=` does not take
    ├── ValueShapeError    (ValueError)      values whose shape, dtype or count does not fit
    ├── CacheFull                            the dict face could not store an entry
    ├── CacheUnusable      (RuntimeError)
    │   ├── CacheClosed                      used after close()
    │   └── ForkedCache                      used in a child process after fork()
    ├── CacheBusy          (RuntimeError)    resize() within a snapshot(), say, of the same cache
    ├── NotPicklable       (TypeError)       a cache was pickled or copied
    ├── UnsupportedRuntime (RuntimeError)    free-threaded build or sub-interpreter
    ├── DeviceError        (RuntimeError)    a GPU, its driver or its compiler fails or is missing
    ├── LoaderError                          a loader failed or returned what does not fit
    │   └── LoaderDeadlock                   a loader waits for an id that waits for it
    ├── MissingKeys        (KeyError)        a loader does not know some ids
    ├── CurveError         (ValueError)      a miss-ratio curve cannot tell what is asked
    ├── SnapshotError      (ValueError)      a snapshot cannot be written or restored
    └── InvariantError     (AssertionError)  check_invariants() found a broken promise

Each also derives from the built-in exception that a caller of a plain dict or array would expect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

_SHOWN_IDS = 10


def shown(ids: Iterable[Any], limit: int = _SHOWN_IDS) -> str:
    """Return the first `limit` ids as text, and how many more there are."""
    listed = list(ids)
    text = ", ".join(map(repr, listed[:limit]))
    more = len(listed) - limit
    return f"[{text}, … {more} more]" if more > 0 else f"[{text}]"


class PredisError(Exception):
    """Base of every error that Predis raises on purpose."""


class ConfigurationError(PredisError, ValueError):
    """A cache cannot be built as asked; the message names the field and the fix."""


class PolicyError(ConfigurationError):
    """An eviction policy breaks the contract of `predis_core.policies`."""


class PluginError(ConfigurationError):
    """A plugin cannot be enabled; the message names it, its distribution and the fault."""


class KeyKindError(PredisError, TypeError):
    """A key is not of the kind that this cache was built for (`keys=`)."""


class ValueShapeError(PredisError, ValueError):
    """Values do not have the shape, dtype or count that the cache's store holds."""


class CacheFull(PredisError):
    """The dict face could not store an entry: nothing may leave, or not enough, to make room."""


class CacheUnusable(PredisError, RuntimeError):
    """The cache can no longer be used in this process."""


class CacheClosed(CacheUnusable):
    """The cache was used after `close()`."""


class ForkedCache(CacheUnusable):
    """The cache was built before `fork()` and used in the child process."""


class CacheBusy(PredisError, RuntimeError):
    """A thread began what waits for what the same thread is in; nothing was done."""


class NotPicklable(PredisError, TypeError):
    """A cache was pickled or copied."""


class UnsupportedRuntime(PredisError, RuntimeError):
    """This interpreter (free-threaded build, sub-interpreter) is not supported yet."""


class DeviceError(PredisError, RuntimeError):
    """A GPU, its driver or its compiler fails or is missing, or a cache on one lacks a verb."""


class LoaderError(PredisError):
    """A loader raised, or returned too little, too much, or the wrong dtype or shape.

    Attributes:
        ids: the ids that could not be loaded, in the order the loader got them.
    """

    def __init__(self, message: str, ids: Sequence[Any]) -> None:
        super().__init__(f"{message}; ids {shown(ids)}")
        self.ids = list(ids)
        self._message = message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._message, self.ids)


class LoaderDeadlock(LoaderError):
    """A loader waits for an id whose own load waits, directly or not, for that loader."""


class MissingKeys(PredisError, KeyError):
    """A loader returned a mapping that lacks some of the ids it was asked for.

    Attributes:
        ids: the absent ids, distinct, in order of first appearance.
    """

    def __init__(self, ids: Sequence[Any]) -> None:
        super().__init__(
            f"the loader has no value for {shown(ids)}; pass missing='mask' to get a mask instead"
        )
        self.ids = list(ids)

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.ids,)


class CurveError(PredisError, ValueError):
    """A miss-ratio curve cannot tell what is asked: too little was sampled, or no size does it."""


class SnapshotError(PredisError, ValueError):
    """A cache cannot be written to a file, or a file cannot be restored into it."""


class InvariantError(PredisError, AssertionError):
    """`check_invariants()` found a broken promise; the message lists each."""
