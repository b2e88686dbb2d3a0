"""One TOML file, decoded to frozen Structs; what it holds is described in `configuration`.

What most caches are built without is imported when it is first named.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from predis_core.config.configuration import (
        BlobsValue,
        CacheConfig,
        Configuration,
        HostConfig,
        NamespaceConfig,
        ObjectsValue,
        PluginSection,
        PrefetchConfig,
        RowsValue,
        decode_section,
        encode_hook,
        load,
        redacted,
    )
    from predis_core.config.quantities import ByteSize, Duration, Secret

_QUANTITIES = ("ByteSize", "Duration", "Secret")

__all__ = [
    "BlobsValue",
    "ByteSize",
    "CacheConfig",
    "Configuration",
    "Duration",
    "HostConfig",
    "NamespaceConfig",
    "ObjectsValue",
    "PluginSection",
    "PrefetchConfig",
    "RowsValue",
    "Secret",
    "decode_section",
    "encode_hook",
    "load",
    "redacted",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'predis_core.config' has no attribute {name!r}")
    home = "quantities" if name in _QUANTITIES else "configuration"
    found = getattr(importlib.import_module(f"predis_core.config.{home}"), name)
    globals()[name] = found
    return found
