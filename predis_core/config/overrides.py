"""Environment variables that overrule a configuration: `PREDIS_CACHE__CAPACITY=5000`.

`__` separates the names that lead to a field; their case does not matter, nor whether `_` or `-` is
written. The text is read as the field's own type, lists and tables in TOML notation.
"""

from __future__ import annotations

import enum
import logging
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

import msgspec

from predis_core.config.decoding import Origins, dotted, nearest
from predis_core.config.fields import entries_of, is_list, is_struct, is_table, members, tag_of
from predis_core.errors import ConfigurationError

PREFIX = "PREDIS_"

logger = logging.getLogger("predis")


@dataclass(frozen=True, slots=True)
class Override:
    """A variable that sets what is at a path.

    Attributes:
        variable: its name.
        path: the names that lead to the field, in lower case.
        text: its value, which may be a secret.
    """

    variable: str
    path: tuple[str, ...]
    text: str = field(repr=False)


def find_overrides(environ: Mapping[str, str], known: Iterable[tuple[str, ...]]) -> list[Override]:
    """Return the overrides of an environment, those of a table before those of what is in it.

    Args:
        environ: the environment.
        known: paths of fields; their first names are the sections.

    Raises:
        ConfigurationError: naming a variable of another section, or one of two for one field.
    """
    spellings = _spellings(known)
    sections = {path[0] for path in known}
    found: dict[tuple[str, ...], Override] = {}
    for variable in sorted(environ):
        rest = variable.removeprefix(PREFIX)
        if rest == variable or "__" not in rest:
            continue
        path = tuple(rest.lower().split("__"))
        if path[0] not in sections:
            guess = nearest(path[0], sections)
            meant = spellings.get(_squeezed(variable)) or (
                guess and variable_for((guess, *path[1:]))
            )
            hint = f"; did you mean {meant}?" if meant else ""
            listed = ", ".join(sorted(sections))
            raise ConfigurationError(
                f"{variable}: unknown section {path[0]!r}{hint} (known: {listed})"
            )
        if path in found:
            raise ConfigurationError(f"{variable}: {found[path].variable} sets the same; keep one")
        found[path] = Override(variable, path, environ[variable])
    return [found[path] for path in sorted(found)]


def warn_of_mistyped(
    environ: Mapping[str, str], known: Iterable[tuple[str, ...]], plugins: Iterable[str]
) -> None:
    """Log each variable that would be an override if it had `__` where it has `_`.

    Args:
        environ: the environment.
        known: paths of the core's own fields.
        plugins: names of plugins, whose fields are not known yet.
    """
    spellings = _spellings(known)
    prefixes = [variable_for(("plugins", name)) for name in plugins]
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or "__" in variable:
            continue
        right = spellings.get(variable)
        for prefix in sorted(prefixes, key=len):
            start = f"{_squeezed(prefix)}_"
            if variable.startswith(start):
                right = f"{prefix}__{variable.removeprefix(start)}"
        if right:
            logger.warning("%s sets nothing; to overrule the field, write %s", variable, right)


def field_paths(struct: Any) -> Iterator[tuple[str, ...]]:
    """Yield the path of each field of a Struct, and of the Structs in it."""
    tag_field, _ = tag_of(struct)
    if tag_field:
        yield (tag_field,)
    for one in msgspec.structs.fields(struct):
        yield (one.encode_name,)
        for member in filter(is_struct, members(one.type)):
            yield from ((one.encode_name, *path) for path in field_paths(member))


def variable_for(path: Iterable[str]) -> str:
    """Return the variable that overrules what is at a path."""
    return PREFIX + "__".join(path).upper().replace("-", "_")


def folded(name: str) -> str:
    """Return a name as it is compared with those in variables."""
    return name.lower().replace("-", "_")


def matching(name: str, names: Iterable[Any]) -> str | None:
    """Return the one of some names that a name in a variable stands for."""
    return next(
        (one for one in names if isinstance(one, str) and folded(one) == folded(name)), None
    )


def overrule(
    values: Mapping[str, Any],
    struct: Any,
    overrides: Iterable[Override],
    origins: Origins,
    place: tuple[str, ...] = (),
) -> Mapping[str, Any]:
    """Return a table with what some variables set in it, and note them in `origins`.

    Args:
        values: the table; it is not changed.
        struct: what it will be decoded to.
        overrides: those that begin with `place`.
        origins: gets the variable of each place that was set.
        place: where the table is.

    Raises:
        ConfigurationError: naming a variable that is not TOML, or goes through what is no table.
    """
    for override in overrides:
        values = _with(override, values, [struct], origins, place)
    return values


def _with(
    override: Override,
    table: Mapping[str, Any],
    annotations: list[Any],
    origins: Origins,
    place: tuple[str, ...],
) -> Mapping[str, Any]:
    """Return a table, of one of some types, with what an override sets in it."""
    name, *deeper = override.path[len(place) :]
    key, inner = _slot(table, annotations, name)
    here = (*place, key)
    # A section stands for itself: what it lacks is no single variable's fault.
    if not deeper or (key not in table and place):
        origins.variables[here] = override.variable
    if not deeper:
        return {**table, key: _read(override, inner)}
    below = table.get(key, {})
    if not isinstance(below, Mapping) or not any(
        option is Any or is_struct(option) or is_table(option) for option in inner
    ):
        raise ConfigurationError(f"{override.variable}: {dotted(here)} is not a table")
    return {**table, key: _with(override, below, inner, origins, here)}


def _slot(table: Mapping[str, Any], options: list[Any], name: str) -> tuple[str, list[Any]]:
    """Return the key in a table that a name stands for, and the `members` of its annotation."""
    inner: dict[str, list[Any]] = {}
    for option in options:
        if is_struct(option):
            tag_field, _ = tag_of(option)
            kinds = {one.encode_name: one.type for one in msgspec.structs.fields(option)}
            kinds |= {tag_field: str} if tag_field else {}
            if key := matching(name, kinds):
                inner.setdefault(key, []).extend(members(kinds[key]))
        elif is_table(option):
            key = matching(name, table) or name
            inner.setdefault(key, []).extend(members(entries_of(option)[1]))
    key = next(iter(inner), matching(name, table) or name)
    return key, inner.get(key, [Any])


def _read(override: Override, options: list[Any]) -> Any:
    """Return a variable's text as one of the types that its field admits; unread if it is none."""
    text = override.text
    containers = any(is_struct(one) or is_table(one) or is_list(one) for one in options)
    if containers and text.lstrip().startswith(("[", "{")):
        try:
            return _toml(text)
        except ValueError as error:
            problem = str(error).partition(" (at ")[0]  # the place would count what we put before
        raise ConfigurationError(f"{override.variable}: not valid TOML: {problem}")
    for option in options:
        for read in _readers(option):
            with suppress(ValueError):
                return read(text)
    return text


def _readers(option: Any) -> list[Callable[[str], Any]]:
    """Return what may read a text as a type, other than text itself."""
    kinds = {option}
    if get_origin(option) is Literal:
        kinds = {type(value) for value in get_args(option)}
    elif isinstance(option, type) and issubclass(option, enum.Enum):
        kinds = {type(member.value) for member in option}
    return [read for kind, read in _READERS.items() if kind in kinds]


def _truth(text: str) -> bool:
    """Return the bool that a text stands for."""
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise ValueError


def _toml(text: str) -> Any:
    """Return what a text stands for as a value in TOML; ValueError if for none, or more."""
    try:
        table = tomllib.loads(f"value = {text.strip()}")
    except RecursionError:
        table = {}
    if table.keys() != {"value"}:
        raise ValueError("expected one value")
    return table["value"]


_READERS: dict[Any, Callable[[str], Any]] = {bool: _truth, int: int, float: float, Any: _toml}


def _spellings(known: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """Return the variable of each field by how it looks with single underscores."""
    right = [variable_for(path) for path in known if len(path) > 1]
    return {_squeezed(variable): variable for variable in right}


def _squeezed(variable: str) -> str:
    """Return a variable's name with one underscore wherever it has several."""
    return re.sub("_+", "_", variable)
