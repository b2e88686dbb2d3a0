"""Builtin values to msgspec Structs, with errors that say where and what belongs there.

`msgspec.convert` judges every value; the walk around it knows the place of each, finds unknown and
missing keys, and puts what is expected in words.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePath
from types import GenericAlias
from typing import Any, TypeVar, get_origin

import msgspec
from msgspec import inspect
from msgspec.structs import FieldInfo

from predis_core.config.fields import (
    alternatives,
    conceals,
    described,
    entries_of,
    has_positions,
    is_list,
    is_struct,
    is_table,
    items_of,
    members,
    tag_of,
)
from predis_core.config.quantities import ByteSize, Duration, Secret, kind_of, shown
from predis_core.errors import ConfigurationError

Place = tuple[Any, ...]
"""The keys and list positions that lead to a value."""

# The walk does not go into these; msgspec's message, which shows no value, says what is wrong.
_OPAQUE = (inspect.DataclassType, inspect.TypedDictType, inspect.NamedTupleType)

T = TypeVar("T", bound=msgspec.Struct)


class Origins:
    """Where a configuration's values come from: a source, and variables that overrule it.

    Args:
        source: the file's name, or what stands for it.
        variables: the environment variable that gave what is at a place.
    """

    def __init__(self, source: str, variables: Mapping[Place, str] | None = None) -> None:
        self.source = source
        self.variables = dict(variables or {})

    def located(self, place: Place, text: str) -> str:
        """Return what is wrong at a place, preceded by where to correct it."""
        if place in self.variables:
            return f"{self.variables[place]}: {text}"
        above = (self.variables.get(place[:end]) for end in range(len(place), -1, -1))
        source = next(filter(None, above), self.source)
        return f"{source}: {dotted(place)}: {text}" if place else f"{source}: {text}"


def decode(
    values: Mapping[str, Any],
    struct: type[T],
    origins: Origins,
    environ: Mapping[str, str],
    *,
    place: Place = (),
    common: Collection[str] = (),
) -> T:
    """Return a table as an instance of a Struct.

    Args:
        values: what TOML or a dict holds; values that already have the type of their field pass.
        struct: the Struct; keys that it does not know are refused, whatever it says itself.
        origins: where the values come from.
        environ: where a Secret's `${NAME}` is looked up.
        place: where the table itself is.
        common: keys that were taken out before: they are named among the known ones.

    Raises:
        ConfigurationError: one line, with every unknown or missing key and every unfit value.
    """
    decoder = _Decoder(environ, place, common)
    try:
        decoded: T = decoder.value(values, struct, place)
    except RecursionError:
        decoder.problems = [(place, "nested too deeply")]
    except TypeError as error:  # from msgspec, about an annotation
        decoder.problems = [(place, f"{struct.__name__} cannot be decoded to: {error}")]
    if decoder.problems:
        located = (origins.located(*problem) for problem in decoder.problems)
        raise ConfigurationError("; ".join(located))
    return decoded


def dotted(place: Place) -> str:
    """Return a place as text, such as `cache.value.shape[0]`."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = isinstance(part, str) and re.fullmatch(r"[A-Za-z0-9_-]+", part)
            text += f".{part if bare else shown(part)}"
    return text.removeprefix(".")


def nearest(name: Any, known: Iterable[str]) -> str | None:
    """Return the known name that a mistyped one probably stands for."""
    if not isinstance(name, str):
        return None
    return next(iter(difflib.get_close_matches(name.lower(), sorted(known), 1)), None)


class _Decoder:
    """Decodes values, collecting what is wrong with them as (place, text)."""

    def __init__(self, environ: Mapping[str, str], root: Place, common: Collection[str]) -> None:
        self.problems: list[tuple[Place, str]] = []
        self._environ = environ
        self._root = root
        self._common = common
        self._concealing = False
        self._secrets: dict[str, Secret] = {}

    def value(self, value: Any, annotation: Any, place: Place) -> Any:
        """Return a value as its field's type; None, and a problem more, if it does not fit."""
        before = len(self.problems)
        self._check_inside(value, members(annotation), place)
        if len(self.problems) > before:
            return None
        try:
            return msgspec.convert(value, annotation, dec_hook=self._custom, str_keys=True)
        except msgspec.ValidationError as error:
            self._add(place, self._reason(error, value, annotation))
        return None

    def _add(self, place: Place, text: str) -> None:
        self.problems.append((place, text))

    def _check_inside(self, value: Any, options: list[Any], place: Place) -> None:
        """Add what is wrong inside a table or list, before it is judged as a whole."""
        if isinstance(value, Mapping):
            if structs := [option for option in options if is_struct(option)]:
                self._check_table(value, structs, place)
            elif tables := [option for option in options if is_table(option)]:
                self._check_entries(value, *entries_of(tables[0]), place)
        elif isinstance(value, list | tuple | set | frozenset) and (
            lists := [option for option in options if is_list(option)]
        ):
            before = self._concealing
            # Whoever confuses the positions of a tuple has put its secret at another's.
            self._concealing |= has_positions(lists[0]) and conceals(lists[0])
            kinds = items_of(lists[0], len(value))
            for position, (item, kind) in enumerate(zip(value, kinds, strict=True)):
                self.value(item, kind, (*place, position))
            self._concealing = before

    def _check_entries(
        self, table: Mapping[Any, Any], of_keys: Any, of_values: Any, place: Place
    ) -> None:
        only_keys: Any = GenericAlias(dict, (of_keys, None))
        for key, one in table.items():
            try:
                msgspec.convert({key: None}, only_keys, dec_hook=self._custom, str_keys=True)
            except msgspec.ValidationError:
                got = self._shown(key, of_keys)
                self._add(place, f"expected {described(of_keys)} as a key, got {got}")
            self.value(one, of_values, (*place, key))

    def _check_table(self, table: Mapping[Any, Any], structs: list[Any], place: Place) -> None:
        struct = self._chosen(table, structs, place)
        if struct is None:
            return
        fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
        self._check_keys(table, fields, tag_of(struct)[0], place)
        for key, one in table.items():
            if key in fields:
                self.value(one, fields[key].type, (*place, key))

    def _chosen(self, table: Mapping[Any, Any], structs: list[Any], place: Place) -> Any:
        """Return the Struct that a table's tag names; None, and a problem more, if there is none.

        Structs in a union all have tags; msgspec takes no others.
        """
        tag_field, _ = tag_of(structs[0])
        if tag_field is None or (tag_field not in table and len(structs) == 1):
            return structs[0]
        expected = f"expected {alternatives(tag_of(struct)[1] for struct in structs)}"
        at = (*place, tag_field)
        if tag_field not in table:
            self._add(at, f"missing; {expected}")
            return None
        for struct in structs:
            if tag_of(struct)[1] == table[tag_field]:
                return struct
        self._add(at, f"{expected}, got {shown(table[tag_field])}")
        return None

    def _check_keys(
        self,
        table: Mapping[Any, Any],
        fields: Mapping[str, FieldInfo],
        tag_field: str | None,
        place: Place,
    ) -> None:
        """Add the keys that a table should not hold, and those that it lacks."""
        known = {*fields, *([tag_field] if tag_field else ())}
        named = known.union(self._common if place == self._root else ())
        meant = set()
        for key in table:
            if key not in known:
                guess = nearest(key, named)
                meant.add(guess)
                hint = f"; did you mean {guess!r}?" if guess else ""
                listed = ", ".join(sorted(named)) or "none"
                self._add((*place, key), f"unknown key{hint} (known: {listed})")
        for name, field in fields.items():
            # A key that was meant, but mistyped, is not missing as well.
            if field.required and name not in table and name not in meant:
                self._add((*place, name), f"missing; expected {described(field.type)}")

    def _custom(self, kind: Any, value: Any) -> Any:
        """Decode what msgspec leaves to others (its `dec_hook`)."""
        kind = get_origin(kind) or kind
        if isinstance(value, kind):
            return value
        if issubclass(kind, Duration | ByteSize):
            return kind.parse(value)
        if issubclass(kind, Secret):
            return self._secret(value)
        if issubclass(kind, PurePath) and isinstance(value, str) and value:
            return kind(value)
        raise ValueError(f"expected {described(kind)}, got {shown(value)}")

    def _secret(self, value: Any) -> Secret:
        """Return a secret, the same one however often the walk comes by."""
        if not isinstance(value, str):
            return Secret.resolve(value)
        if value not in self._secrets:
            self._secrets[value] = Secret.resolve(value, self._environ)
        return self._secrets[value]

    def _reason(self, error: msgspec.ValidationError, value: Any, annotation: Any) -> str:
        """Return why a value does not fit its field, in words."""
        # The cause is what `_custom` or a Struct's `__post_init__` raised. It may show the value,
        # though never a Secret's.
        if error.__cause__ is not None and (not self._concealing or conceals(annotation)):
            return " ".join(str(error.__cause__).splitlines())
        options, expected = members(annotation), annotation
        if len(options) == 1 and not self._fits(value, options[0]):
            expected = options[0]  # without its bounds: the value is not even of that type
        node = inspect.type_info(expected)
        if isinstance(node, _OPAQUE) or getattr(node, "array_like", False):
            return f"does not fit: {error}"
        return f"expected {described(expected)}, got {self._shown(value, annotation)}"

    def _shown(self, value: Any, annotation: Any) -> str:
        """Return an unfit value as text; only its kind where a secret may be in it."""
        hidden = self._concealing or conceals(annotation)
        return kind_of(value) if hidden else shown(value)

    def _fits(self, value: Any, kind: Any) -> bool:
        try:
            msgspec.convert(value, kind, dec_hook=self._custom, str_keys=True)
        except msgspec.ValidationError:
            return False
        return True
