"""What a slot holds: Python objects, or rows of a fixed dtype and shape."""

from __future__ import annotations

from predis_core.stores.base import Store
from predis_core.stores.objects import Objects
from predis_core.stores.rows import Rows

__all__ = ["Objects", "Rows", "Store"]
