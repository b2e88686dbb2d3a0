"""Modules that most programs never use, imported when something of them is first named."""

from __future__ import annotations

import importlib
from typing import Any


class Deferred:
    """Stands for a module.

    Args:
        name: the module's.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
