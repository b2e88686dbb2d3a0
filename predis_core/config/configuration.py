"""One TOML file, decoded to frozen Structs.

::

    [host]                      # optional
    deadline = "10s"
    [cache]
    capacity = 1_000_000
    value = { kind = "rows", dtype = "float32", shape = [128] }
    ttl = "5m"
    [cache.namespaces.acme]     # optional
    share = 0.25
    [plugins.prometheus]        # present = enabled; its own keys are decoded by its own Struct
    port = 9464
    required = false            # common to every plugin's section

Environment variables overrule it (`predis_core.config.overrides`). Everything is read when it is
decoded: what changes later in a file, the environment or a dict changes nothing.
"""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, ParamSpec, TypeVar

import msgspec
from msgspec import Meta

from predis_core.config.decoding import Origins, decode
from predis_core.config.fields import HIDDEN
from predis_core.config.overrides import (
    Override,
    field_paths,
    find_overrides,
    matching,
    overrule,
    warn_of_mistyped,
)
from predis_core.config.quantities import ByteSize, Duration, shown
from predis_core.errors import ConfigurationError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=msgspec.Struct)

_NO_FILE = "<dict>"

_Name = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9_.-]+\Z",
        extra={"expected": "a name of letters, digits, '_', '.' and '-'"},
    ),
]
_Device = Annotated[
    str,
    Meta(
        pattern=r"\A(auto|cpu|cuda(:[0-9]+)?)\Z",
        extra={"expected": "'auto', 'cpu', 'cuda' or 'cuda:N'"},
    ),
]
_Text = Annotated[str, Meta(min_length=1)]
_Reference = Annotated[
    str,
    Meta(
        pattern=r"\A\w+(\.\w+)*:\w+\Z",
        extra={"expected": 'a module and a name in it such as "package.module:name"'},
    ),
]


class HostConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for every plugin of the process.

    Attributes:
        strict: re-raise what plugins raise, for tests.
        state_dir: folder of the control socket; None: there is none.
        deadline: how long a plugin's background call may take before it is marked hung.
    """

    strict: bool = False
    state_dir: Path | None = None
    deadline: Duration = Duration(10)


class ObjectsValue(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="objects",
    tag_field="kind",
):
    """Values are Python objects."""


class RowsValue(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="rows",
    tag_field="kind",
):
    """Values are rows of one dtype and shape.

    Attributes:
        dtype: a name that NumPy takes for one.
        shape: lengths, each >= 1; () for scalars.
    """

    dtype: Annotated[str, Meta(min_length=1, extra={"expected": 'a dtype such as "float32"'})]
    shape: tuple[Annotated[int, Meta(ge=1)], ...] = ()


class BlobsValue(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="blobs",
    tag_field="kind",
):
    """Values are byte strings, or become such; the cache needs `memory`.

    Attributes:
        format: how values become bytes: as they are, or by msgspec as JSON or MessagePack.
        type: for "json" and "msgpack", the type to decode to, as "package.module:Name"; None: what
            the format itself knows.
    """

    format: Literal["bytes", "json", "msgpack"] = "bytes"
    type: _Reference | None = None


class NamespaceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the cache with keys of its own.

    Attributes:
        capacity: how many entries fit, of those of the cache; over a tier, of the tier's. There it
            gets as large a share of the copies on the GPU.
        share: how much of the cache's capacity that is, instead; None: a quarter.
        ttl: default time to live; None: forever.
    """

    capacity: Annotated[int, Meta(ge=1)] | None = None
    share: Annotated[float, Meta(gt=0, lt=1)] | None = None
    ttl: Duration | None = None


class PrefetchConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What prefetching may cost, where a plugin offers prefetchers.

    Attributes:
        precision: the share of what a prefetcher gets loaded that has to be asked for; one that
            keeps below it becomes quiet.
        waste: loads that may come to nothing, per load that is needed.
        batch: keys per call of the loader, at most; calls begin with 256, and get larger while
            they are fast.
        loads_per_second: keys that may be loaded ahead per second; None: any number.
        bytes_per_second: bytes of values that may be loaded ahead per second; None: any number.
        cpu: the share of one core that it may use.
        ring: look-ups that may wait for it; more are passed over, and counted.
    """

    precision: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    waste: Annotated[float, Meta(ge=0, le=10)] = 0.2
    batch: Annotated[int, Meta(ge=1, le=65_536)] = 1_024
    loads_per_second: Annotated[float, Meta(gt=0)] | None = None
    bytes_per_second: ByteSize | None = None
    cpu: Annotated[float, Meta(gt=0, le=1)] = 0.5
    ring: Annotated[int, Meta(ge=1)] = 262_144


class CacheConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the cache is built with.

    Attributes:
        capacity: how many entries fit; None, for rows with `memory`: as many as it holds.
        memory: bytes for tables and values; None: no more than the capacity needs.
        name: how it is called where several are shown.
        device: "cpu", "cuda:0" or another GPU, or "auto", a GPU where one can be used.
        host_capacity: for rows, how many entries a tier in host memory holds, `capacity` of which
            have copies on the GPU; None: as many as `host_memory` holds, or there is no tier.
        host_memory: bytes for the tier; None: no more than its capacity needs.
        tier: "memory", or the name of a tier that a plugin registers; None: "memory".
        policy: name of an eviction policy, a built-in's or a plugin's; "auto": chosen meanwhile.
        value: what is held per entry.
        keys: kind of the keys; None: what suits the value.
        ttl: default time to live; None: forever.
        seed: fixes hashing; None: a new one per cache.
        sampling: share of the keys whose lookups are followed, for miss-ratio curves; None: none.
        loader: name of a loader that a plugin registers.
        weigher: for objects with `memory`, the function that gets a key and its value and returns
            the bytes that they count for, as "package.module:name".
        namespaces: parts of the cache with keys of their own, by name.
        prefetch: what prefetching may cost.
    """

    capacity: Annotated[int, Meta(ge=1)] | None = None
    memory: ByteSize | None = None
    name: _Name = "default"
    device: _Device = "auto"
    host_capacity: Annotated[int, Meta(ge=1)] | None = None
    host_memory: ByteSize | None = None
    tier: _Text | None = None
    policy: _Text = "auto"
    value: ObjectsValue | RowsValue | BlobsValue = ObjectsValue()
    keys: Literal["int64", "str", "bytes", "any"] | None = None
    ttl: Duration | None = None
    seed: int | None = None
    sampling: Annotated[float, Meta(gt=0, le=1)] | None = None
    loader: _Text | None = None
    weigher: _Reference | None = None
    namespaces: dict[_Name, NamespaceConfig] = {}
    prefetch: PrefetchConfig = PrefetchConfig()

    @property
    def key_kind(self) -> str:
        """The kind of the keys, also where none is given."""
        return self.keys or ("any" if isinstance(self.value, ObjectsValue) else "int64")


class PluginSection:
    """A plugin's section, not decoded yet: only the plugin's own Struct tells what is secret.

    So its `repr` shows no value, and it cannot be pickled.

    Args:
        name: the plugin's name, from `[plugins.NAME]`.
        values: the section's keys and raw values, without `required`.
        required: whether it is an error if the plugin cannot be loaded.
        origins: where the values come from.
        overrides: variables that overrule fields of it.
        environ: where a Secret's `${NAME}` is looked up.
    """

    __slots__ = ("environ", "name", "origins", "overrides", "required", "values")

    def __init__(
        self,
        name: str,
        values: Mapping[str, Any],
        *,
        required: bool = True,
        origins: Origins | None = None,
        overrides: Sequence[Override] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.values = dict(values)
        self.required = required
        self.origins = origins or Origins(_NO_FILE)
        self.overrides = tuple(overrides)
        self.environ = environ or {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PluginSection):
            return NotImplemented
        mine = (self.name, self.required, self.values, self.overrides)
        return mine == (other.name, other.required, other.values, other.overrides)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        keys = ", ".join(map(str, self.values)) or "none"
        return f"PluginSection({self.name!r}, required={self.required}, keys: {keys})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a PluginSection is not pickled, as it may hold secrets; load the configuration where "
            "it is used"
        )


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration.

    Attributes:
        host: `[host]`.
        cache: `[cache]`.
        plugins: `[plugins.NAME]` by name, in the file's order.
        source: the file's name, "<dict>" for a dict.
    """

    host: HostConfig
    cache: CacheConfig
    plugins: dict[str, PluginSection]
    source: str


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the file."""

    cache: Annotated[
        CacheConfig, Meta(extra={"expected": "a table [cache] with a capacity or memory"})
    ]
    host: HostConfig = HostConfig()
    plugins: Annotated[dict[str, Annotated[dict[str, Any], HIDDEN]], HIDDEN] = {}


class _Common(msgspec.Struct, frozen=True, kw_only=True):
    """What every plugin's section may hold."""

    required: bool = True


_COMMON = _Common.__struct_fields__
_KNOWN = tuple(field_paths(_Document))


def _raising_anew(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function raise its ConfigurationErrors without the frames that led to them.

    Tools that print the variables in each frame of a traceback would print what the file holds.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ConfigurationError as error:
            message = str(error)
        del args, kwargs  # a dict as source, or an environment, may hold secrets as well
        raise ConfigurationError(message)

    return call


@_raising_anew
def load(
    source: str | os.PathLike[str] | Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> Configuration:
    """Read a configuration.

    Args:
        source: a TOML file, or a dict of the same form; in a dict, values may have the type that
            they are decoded to, or a timedelta for a duration.
        environ: variables that overrule the source, and that secrets refer to.

    Raises:
        ConfigurationError: one line that names the file or variable, the field, what is expected
            there and what was found.
    """
    name, document = _read(source)
    environ = dict(environ)
    origins = Origins(name)
    inside: list[Override] = []
    outside: list[Override] = []
    for override in find_overrides(environ, _KNOWN):
        of_plugin = override.path[0] == "plugins" and len(override.path) > 2
        (inside if of_plugin else outside).append(override)
    document = overrule(document, _Document, outside, origins)
    decoded = decode(document, _Document, origins, environ)
    if decoded.cache.capacity is None and decoded.cache.memory is None:
        raise ConfigurationError(
            f"{name}: cache.capacity: missing; expected an integer >= 1, or memory for rows"
        )
    plugins = _sections(decoded.plugins, inside, origins, environ)
    warn_of_mistyped(environ, _KNOWN, plugins)
    return Configuration(host=decoded.host, cache=decoded.cache, plugins=plugins, source=name)


@_raising_anew
def decode_section(section: PluginSection, struct: type[T]) -> T:
    """Return a plugin's section as the plugin's own Struct.

    Args:
        section: the section, from `Configuration.plugins`.
        struct: the Struct; keys that it does not know are refused, whatever it says itself.
            `required` never reaches it.

    Raises:
        ConfigurationError: as for `load`.
    """
    place = ("plugins", section.name)
    origins = Origins(section.origins.source, section.origins.variables)
    values = overrule(section.values, struct, section.overrides, origins, place)
    return decode(values, struct, origins, section.environ, place=place, common=_COMMON)


def redacted(struct: msgspec.Struct) -> dict[str, Any]:
    """Return a Struct as builtins that may be shown: secrets as references or `***`.

    Durations, sizes and paths are text. Of a `PluginSection`, which may hold secrets anywhere, only
    the keys are shown.
    """
    shown_as: dict[str, Any] = msgspec.to_builtins(struct, enc_hook=encode_hook)
    return shown_as


def encode_hook(value: Any) -> Any:
    """Return what msgspec cannot encode by itself as builtins that may be shown (`enc_hook`)."""
    if isinstance(value, PluginSection):
        return {"required": value.required, **dict.fromkeys(value.values, "***")}
    return str(value)


def _read(source: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the name of a source, and what it holds."""
    if isinstance(source, Mapping):
        try:
            return _NO_FILE, {key: _copied(value) for key, value in source.items()}
        except RecursionError:
            raise ConfigurationError(f"{_NO_FILE}: nested too deeply") from None
    try:
        path = os.fsdecode(source)
    except TypeError:
        raise ConfigurationError(
            f"source: expected a path or a dict, got {shown(source)}"
        ) from None
    name = path if path.isprintable() else shown(path)
    try:
        return name, _parsed(_contents(path))
    except ValueError as error:
        raise ConfigurationError(f"{name}: {error}") from None


def _contents(path: str) -> bytes:
    """Return a file's bytes; ValueError says why not."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise ValueError("no such file") from None
    except IsADirectoryError:
        raise ValueError("is a directory; name the file in it") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _parsed(content: bytes) -> dict[str, Any]:
    """Return the tables of a TOML file; ValueError says why not."""
    try:
        return tomllib.loads(content.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text, from byte {error.start} on") from None
    except ValueError as error:
        raise ValueError(f"not valid TOML: {error}") from None


def _copied(value: Any) -> Any:
    """Return tables and lists as others, so that later changes of the caller's are not seen."""
    if isinstance(value, Mapping):
        return {key: _copied(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_copied(one) for one in value]
    return value


def _sections(
    tables: Mapping[str, dict[str, Any]],
    overrides: Iterable[Override],
    origins: Origins,
    environ: Mapping[str, str],
) -> dict[str, PluginSection]:
    """Return the plugins' sections, those that only variables bring last."""
    of_plugin: dict[str, list[Override]] = {name: [] for name in tables}
    for override in overrides:
        name = matching(override.path[1], of_plugin) or override.path[1]
        of_plugin.setdefault(name, []).append(override)
    sections = {}
    for name, own in of_plugin.items():
        place = ("plugins", name)
        common = [override for override in own if override.path[2] in _COMMON]
        values = overrule(tables.get(name, {}), _Common, common, origins, place)
        given = {key: values[key] for key in _COMMON if key in values}
        sections[name] = PluginSection(
            name,
            {key: value for key, value in values.items() if key not in _COMMON},
            required=decode(given, _Common, origins, environ, place=place).required,
            origins=origins,
            overrides=[override for override in own if override not in common],
            environ=environ,
        )
    return sections
