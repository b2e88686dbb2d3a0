"""What a cache does for functions; it adds to a cache, and does nothing past it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast, overload

from predis_core.memoize.batches import Batched, batched
from predis_core.memoize.functions import Memoized, P, R, memoized
from predis_core.memoize.keys import Target


class FunctionFace:
    """Functions whose results are cached."""

    @overload
    def memoize(self, fn: Callable[P, R], /) -> Memoized[P, R]: ...

    @overload
    def memoize(
        self,
        fn: None = None,
        /,
        *,
        ttl: str | float | timedelta | None = None,
        key: Callable[..., Any] | None = None,
        typed: bool = False,
        name: str | None = None,
        cache_exceptions: type[Exception] | tuple[type[Exception], ...] = (),
    ) -> Callable[[Callable[P, R]], Memoized[P, R]]: ...

    def memoize(
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        ttl: str | float | timedelta | None = None,
        key: Callable[..., Any] | None = None,
        typed: bool = False,
        name: str | None = None,
        cache_exceptions: type[Exception] | tuple[type[Exception], ...] = (),
    ) -> Any:
        """Decorate a function, method or coroutine function so that its results are cached.

        Of equal calls at a time one runs the function, and the others wait for it.

        Args:
            fn: the function; without it, a decorator is returned.
            ttl: time to live of results: seconds, a timedelta or text such as "5m"; None: the
                cache's default.
            key: gets the arguments and returns what tells calls apart; by default all arguments,
                which have to be hashable. Caches of other keys than "any" need one.
            typed: whether arguments of different types differ although they are equal.
            name: stands for the function in its keys. Functions of one name share results; without
                one, nothing is shared, not even with what decorates the same function again.
            cache_exceptions: exceptions that are cached and raised again, as results are returned;
                others are not cached.

        Returns:
            A `Memoized` function, which raises what `fn` raises.

        Raises:
            ConfigurationError: naming the argument that does not fit.
        """
        decorate = functools.partial(
            memoized,
            cast(Target, self),
            ttl=ttl,
            key=key,
            typed=typed,
            name=name,
            cache_exceptions=cache_exceptions,
        )
        return decorate if fn is None else decorate(fn)

    def batch(
        self,
        fn: Callable[[Any], Any],
        *,
        key: Callable[[Any], Any] | None = None,
        ttl: str | float | timedelta | None = None,
        name: str | None = None,
        max_batch: int | None = None,
    ) -> Batched:
        """Return a function over a batch of items that computes only those that are not cached.

        Args:
            fn: gets the distinct missing items in order of first appearance (int64[m] where they
                are int64 keys themselves, else a list) and returns values aligned with them, or a
                mapping from item to value. It may be a coroutine function.
            key: gets an item and returns its key; by default the item itself, which has to be
                hashable.
            ttl: as for `memoize`; each call may give its own, also one per item.
            name: as for `memoize`: the model, say, that `fn` computes with.
            max_batch: how many items `fn` gets at a time at most; None: all in one call.

        Returns:
            A `Batched` function, which raises as `get_or_load_many` does, with items as ids.

        Raises:
            ConfigurationError: naming the argument that does not fit.
        """
        return batched(cast(Target, self), fn, key=key, ttl=ttl, name=name, max_batch=max_batch)
