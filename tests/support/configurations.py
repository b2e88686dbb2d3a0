"""What the tests of configurations share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from predis_core.config import ByteSize, Duration, PluginSection, decode_section, load
from predis_core.errors import ConfigurationError

#: What the message about an unknown key of `[cache]`, and of the top, ends with.
OF_CACHE = (
    "(known: capacity, device, host_capacity, host_memory, keys, loader, memory, name, namespaces, "
    "policy, prefetch, sampling, seed, tier, ttl, value, weigher)"
)
OF_TOP = "(known: cache, host, plugins)"


class Listen(msgspec.Struct, frozen=True):
    """A plugin's section whose Struct forgot `forbid_unknown_fields`."""

    port: Annotated[int, Meta(ge=1, le=65_535)] = 9464
    interval: Duration = Duration(15)
    buffer: ByteSize = ByteSize(1024)
    labels: dict[str, str] = {}


def section(values: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> PluginSection:
    """Return the section of a plugin `x` in a configuration that is otherwise right."""
    return load({"cache": {"capacity": 1}, "plugins": {"x": values}}, environ or {}).plugins["x"]


def problem(source: Any, environ: Mapping[str, str] | None = None) -> str:
    """Return the one line that says what is wrong with a configuration."""
    with pytest.raises(ConfigurationError) as caught:
        load(source, environ or {})
    return _line(caught.value)


def section_problem(
    struct: type[msgspec.Struct],
    values: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
) -> str:
    """Return the one line that says what is wrong with a plugin's section."""
    with pytest.raises(ConfigurationError) as caught:
        decode_section(section(values, environ), struct)
    return _line(caught.value)


def _line(error: ConfigurationError) -> str:
    assert error.__context__ is error.__cause__ is None
    assert str(error).isprintable()
    return str(error)
