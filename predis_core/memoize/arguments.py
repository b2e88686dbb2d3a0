"""One key for all ways to write a call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from predis_core.errors import ConfigurationError

# Names that nobody gives a parameter, in the function that is made.
_DEFAULTS, _ONE, _SEVERAL, _NAMED = (
    f"_predis_{name}" for name in ("defaults", "one", "several", "named")
)
_ANYTHING = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)


def check_function(fn: Any, key: Any) -> None:
    """Refuse what cannot be wrapped.

    Raises:
        ConfigurationError: if `fn` is no function that returns, or `key` neither one nor None.
    """
    if isinstance(fn, staticmethod | classmethod):
        above = type(fn).__name__
        raise ConfigurationError(f"fn: expected a function, got a {above}; put @{above} above")
    if not callable(fn):
        raise ConfigurationError(f"fn: expected a function, got {fn!r}")
    if inspect.isasyncgenfunction(fn):
        raise ConfigurationError(
            f"fn: {fn.__qualname__} is an async generator, which can be read once; return a list"
        )
    if key is not None and not callable(key):
        raise ConfigurationError(f"key: expected a function, got {key!r}")


def is_coroutine_function(fn: Any) -> bool:
    """Say whether calling something returns a coroutine."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)


def arranger(fn: Callable[..., Any], *, typed: bool) -> Callable[..., tuple[Any, ...]]:
    """Return a function that takes what `fn` takes and returns the arguments as one tuple.

    Each parameter has its place there, however the call names it, and a default stands where
    nothing is given. The function is made with the parameters of `fn`, so that Python itself binds
    a call; `inspect.Signature.bind` takes many times as long.

    Args:
        fn: what is called.
        typed: whether each argument stands beside its type, so that 1, 1.0 and True differ.
    """
    signature = signature_of(fn)
    scope: dict[str, Any] = {_DEFAULTS: {}, _ONE: _typed, _SEVERAL: _typed_each, _NAMED: _pairs}
    if typed:
        scope[_NAMED] = _typed_pairs
    parameters, places = [], []
    for name, parameter in signature.parameters.items():
        scope[_DEFAULTS][name] = parameter.default
        default = parameter.default
        if default is not parameter.empty:
            default = _Text(f"{_DEFAULTS}[{name!r}]")
        parameters.append(parameter.replace(annotation=parameter.empty, default=default))
        if parameter.kind is parameter.VAR_KEYWORD:
            places.append(f"{_NAMED}({name}), ")
        elif not typed:
            places.append(f"{name}, ")
        else:
            several = parameter.kind is parameter.VAR_POSITIONAL
            places.append(f"{_SEVERAL if several else _ONE}({name}), ")
    exec(f"def arrange{inspect.Signature(parameters)}: return ({''.join(places)})", scope)
    arrange: Callable[..., tuple[Any, ...]] = scope["arrange"]
    # What Python says of a call that does not fit names the function that was called.
    arrange.__qualname__ = getattr(fn, "__qualname__", type(fn).__qualname__)
    return arrange


def signature_of(fn: Callable[..., Any]) -> inspect.Signature:
    """Return what a function takes: anything, if it does not say.

    What it wraps may take something else, and is not asked.
    """
    try:
        return inspect.signature(fn, follow_wrapped=False)
    except (TypeError, ValueError):
        return _ANYTHING


class _Text:
    """What a default is written as in the text of a function."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _typed(argument: Any) -> tuple[type, Any]:
    return type(argument), argument


def _typed_each(arguments: Iterable[Any]) -> tuple[tuple[type, Any], ...]:
    return tuple(map(_typed, arguments))


def _pairs(arguments: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(arguments.items()))


def _typed_pairs(arguments: Mapping[str, Any]) -> tuple[tuple[str, type, Any], ...]:
    return tuple((name, *_typed(argument)) for name, argument in sorted(arguments.items()))
