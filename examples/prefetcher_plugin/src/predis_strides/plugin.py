"""A prefetcher of scans with a constant stride, and the plugin that offers it."""

from typing import Any

import numpy as np

from predis_core.plugin import AccessBatch, CacheView, NoOptions, hookimpl

DEPTH = 100  # keys ahead of the scan


class Stride:
    """Once three keys are equally far apart, expects the next ones to be so too."""

    name = "stride"

    def __init__(self) -> None:
        self.recent = np.empty(0, np.int64)
        self.step = self.upto = 0

    def observe(self, batch: AccessBatch) -> None:
        self.recent = np.concatenate([self.recent, batch.keys])[-3:]
        steps = np.diff(self.recent).tolist()
        self.step = steps[0] if len(steps) == 2 and steps[0] == steps[1] else 0

    def predict(self, limit: int) -> tuple[Any, Any]:
        if not self.step:
            return [], []
        last = int(self.recent[-1])
        ahead = (self.upto - last) // self.step  # of the scan, what was proposed already
        first = ahead + 1 if 0 < ahead <= DEPTH else 1
        keys = last + self.step * np.arange(first, min(first + limit, DEPTH + 1))
        self.upto = int(keys[-1]) if len(keys) else self.upto
        return keys, np.full(len(keys), 0.9)


class Strides:
    """Offers the prefetcher to every cache of int64 keys."""

    def __init__(self, options: NoOptions) -> None: ...

    @hookimpl
    def predis_prefetchers(self, cache: CacheView) -> list[Stride]:
        return [Stride()] if cache.config.key_kind == "int64" else []
