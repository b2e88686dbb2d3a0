"""One TOML file, decoded to frozen Structs; what it holds is described in `configuration`."""

from __future__ import annotations

from predis_core.config.configuration import (
    CacheConfig,
    Configuration,
    HostConfig,
    ObjectsValue,
    PluginSection,
    RowsValue,
    decode_section,
    encode_hook,
    load,
    redacted,
)
from predis_core.config.quantities import ByteSize, Duration, Secret

__all__ = [
    "ByteSize",
    "CacheConfig",
    "Configuration",
    "Duration",
    "HostConfig",
    "ObjectsValue",
    "PluginSection",
    "RowsValue",
    "Secret",
    "decode_section",
    "encode_hook",
    "load",
    "redacted",
]
