"""What a slot holds: Python objects, rows of a fixed dtype and shape, or bytes of any length."""

from __future__ import annotations

from predis_core.stores.base import Holding, Store
from predis_core.stores.blobs import Blobs
from predis_core.stores.objects import Objects
from predis_core.stores.rows import Rows

__all__ = ["Blobs", "Holding", "Objects", "Rows", "Store"]
