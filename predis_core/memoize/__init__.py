"""Faces over loading: functions whose results are cached, and functions that compute only what a
batch lacks. What is cached, and who computes it, is the cache's business alone.
"""

from __future__ import annotations

from predis_core.memoize.batches import Batched, batched
from predis_core.memoize.face import FunctionFace
from predis_core.memoize.functions import Memoized, memoized
from predis_core.memoize.keys import CacheInfo

__all__ = ["Batched", "CacheInfo", "FunctionFace", "Memoized", "batched", "memoized"]
