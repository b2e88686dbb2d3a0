"""What the annotation of a Struct's field admits, as types and in words."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import inspect

from predis_core.config.quantities import Secret

HIDDEN = msgspec.Meta(extra={"hidden": True})
"""Annotates what may hold secrets whose place nobody knows yet: errors do not show the value."""

_LISTS = {
    list, tuple, set, frozenset, collections.abc.Collection, collections.abc.Sequence,
    collections.abc.MutableSequence, collections.abc.Set, collections.abc.MutableSet,
}  # fmt: skip
_TABLES = {dict, collections.abc.Mapping, collections.abc.MutableMapping}

_NOUNS: dict[type[inspect.Type], str] = {
    inspect.BoolType: "true or false",
    inspect.IntType: "an integer",
    inspect.FloatType: "a number",
    inspect.DecimalType: "a decimal number",
    inspect.StrType: "text",
    inspect.BytesType: "base64 text",
    inspect.UUIDType: "a UUID",
    inspect.DateTimeType: "a date and time",
    inspect.DateType: "a date",
    inspect.TimeType: "a time",
    inspect.TimeDeltaType: 'an ISO 8601 duration such as "PT5M"',
    inspect.ListType: "a list",
    inspect.VarTupleType: "a list",
    inspect.SetType: "a list",
    inspect.FrozenSetType: "a list",
    inspect.NamedTupleType: "a list",
    inspect.DictType: "a table",
    inspect.StructType: "a table",
    inspect.DataclassType: "a table",
    inspect.TypedDictType: "a table",
}


def members(annotation: Any) -> list[Any]:
    """Return the types, None aside, of which a field's annotation admits one."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin is Union or origin is UnionType:
        return [member for one in get_args(annotation) for member in members(one)]
    for aliased in ("__supertype__", "__value__"):  # of a NewType, of a `type` statement
        if hasattr(annotation, aliased):
            return members(getattr(annotation, aliased))
    return [] if annotation is NoneType or annotation is None else [annotation]


def is_struct(member: Any) -> bool:
    """Say whether one of `members` is a Struct that is written as a table."""
    kind = get_origin(member) or member
    return (
        isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and not kind.__struct_config__.array_like
    )


def is_table(member: Any) -> bool:
    """Say whether one of `members` is a dict."""
    return (get_origin(member) or member) in _TABLES


def is_list(member: Any) -> bool:
    """Say whether one of `members` is written as a list."""
    return (get_origin(member) or member) in _LISTS


def tag_of(struct: Any) -> tuple[str | None, Any]:
    """Return the key and the value by which a Struct is told from others, (None, None) if none."""
    config = (get_origin(struct) or struct).__struct_config__
    return config.tag_field, config.tag


def has_positions(member: Any) -> bool:
    """Say whether one of `members` is a tuple whose positions have types of their own."""
    kinds = get_args(member)
    return get_origin(member) is tuple and bool(kinds) and kinds[-1] is not Ellipsis


def items_of(member: Any, count: int) -> list[Any]:
    """Return the annotation of each of `count` items of a list."""
    kinds = get_args(member)
    if has_positions(member):
        return [*kinds, *[Any] * count][:count]
    return [kinds[0] if kinds else Any] * count


def entries_of(member: Any) -> tuple[Any, Any]:
    """Return the annotations of a table's keys and values."""
    key, value = get_args(member) or (Any, Any)
    return key, value


def alternatives(values: Iterable[Any]) -> str:
    """Return values as a choice: `'a', 'b' or 'c'`."""
    *first, last = map(repr, values)
    return f"{', '.join(first)} or {last}" if first else last


def described(annotation: Any) -> str:
    """Return in words what a field takes, such as "an integer >= 1"."""
    return _in_words(inspect.type_info(annotation))


def conceals(annotation: Any) -> bool:
    """Say whether a secret may be in what a field takes."""
    return _conceals(inspect.type_info(annotation), set())


def _conceals(part: Any, seen: set[int]) -> bool:
    """Say whether a type, or one inside it, is a Secret or annotated as `HIDDEN`."""
    if isinstance(part, tuple):
        return any(_conceals(one, seen) for one in part)
    if not isinstance(part, inspect.Type | inspect.Field) or id(part) in seen:
        return False
    seen.add(id(part))
    if isinstance(part, inspect.CustomType):
        return issubclass(get_origin(part.cls) or part.cls, Secret)
    if isinstance(part, inspect.Metadata) and (part.extra or {}).get("hidden"):
        return True
    return _conceals(msgspec.structs.astuple(part), seen)


def _in_words(node: inspect.Type) -> str:
    match node:
        case inspect.Metadata():
            return str((node.extra or {}).get("expected") or _in_words(node.type))
        case inspect.UnionType():
            words = [_in_words(one) for one in node.types if type(one) is not inspect.NoneType]
            return " or ".join(dict.fromkeys(words))
        case inspect.LiteralType():
            return alternatives(node.values)
        case inspect.EnumType():
            return alternatives(member.value for member in node.cls)
        case inspect.CustomType():
            return getattr(node.cls, "expected", f"a {node.cls.__name__}".lower())
        case inspect.TupleType():
            return f"a list of {_counted(len(node.item_types), 'item')}"
        case inspect.StrType() if node.pattern:
            return f"text that matches {node.pattern!r}"
    return _NOUNS.get(type(node), "another value") + _bounds(node)


def _bounds(node: inspect.Type) -> str:
    """Return the limits of a number, or of a length, that follow its noun."""
    noun = "character" if isinstance(node, inspect.StrType) else "item"
    texts: dict[str, Callable[[Any], str]] = {
        "ge": lambda bound: f">= {bound}",
        "gt": lambda bound: f"> {bound}",
        "le": lambda bound: f"<= {bound}",
        "lt": lambda bound: f"< {bound}",
        "multiple_of": lambda bound: f"divisible by {bound}",
        "min_length": lambda bound: f"of at least {_counted(bound, noun)}",
        "max_length": lambda bound: f"of at most {_counted(bound, noun)}",
    }
    bounds = ((text, getattr(node, name, None)) for name, text in texts.items())
    found = [text(bound) for text, bound in bounds if bound is not None]
    return f" {' and '.join(found)}" if found else ""


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
