"""What a function raised, on its way through a load and through the cache."""

from __future__ import annotations

import copy
from concurrent.futures import CancelledError
from typing import Any

from predis_core.errors import ConfigurationError, LoaderDeadlock, LoaderError
from predis_core.stores import Objects, Store

# They say how a run met others, not what the function makes of its arguments.
_NEVER_KEPT = (CancelledError, LoaderDeadlock)


class Raised(Exception):
    """Carries what a function raised through the loading, as it is.

    Attributes:
        error: the exception.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Failure:
    """A cached exception."""

    def __init__(self, error: Exception) -> None:
        self._error = copied(error)

    def again(self) -> Exception:
        """Return the exception, to be raised once more."""
        return copied(self._error).with_traceback(None)

    def __repr__(self) -> str:
        return f"<raised {self._error!r}>"


def checked_kinds(kinds: Any, store: Store) -> tuple[type[Exception], ...]:
    """Return the exceptions to be cached.

    Raises:
        ConfigurationError: if one is no class of exceptions, or the store cannot hold any.
    """
    listed = kinds if isinstance(kinds, tuple) else (kinds,)
    for kind in listed:
        if not isinstance(kind, type) or not issubclass(kind, Exception):
            raise ConfigurationError(
                f"cache_exceptions: expected classes of Exception, got {kind!r}"
            )
    if listed and not isinstance(store, Objects):
        raise ConfigurationError(
            f"cache_exceptions: {store} holds no exceptions; build the cache with value=Objects()"
        )
    return listed


def is_kept(error: Exception, kinds: tuple[type[Exception], ...]) -> bool:
    """Say whether an exception is to be cached."""
    return isinstance(error, kinds) and not isinstance(error, _NEVER_KEPT)


def copied(error: Exception) -> Exception:
    """Return a copy without a traceback: an exception keeps the frames alive that it went through,
    which must not last as long as the cache does. One that cannot be copied is returned itself.
    """
    try:
        made = copy.copy(error)
    except Exception:
        return error
    if type(made) is not type(error) or made.args != error.args:
        return error
    made.__cause__, made.__suppress_context__ = error.__cause__, error.__suppress_context__
    return made


def original(error: LoaderError) -> Exception:
    """Return what the function raised, in this thread or where it was waited for; the error itself
    if the function raised nothing.
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, Raised):
        found = found.__cause__
    return error if found is None else found.error
