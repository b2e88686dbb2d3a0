"""The prefetcher `readahead`: scans go on."""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.plugin import AccessBatch
from predis_prefetch.config import ReadaheadConfig
from predis_prefetch.streams import follow, new_streams, propose

_NONE = np.zeros(0, bool)


class Readahead:
    """Proposes the next keys of scans, of any stride and direction, many at once.

    How many it proposes ahead of a scan grows while they are used, doubles when one comes late, and
    is halved when one has left before it was asked for (Gill and Bathen, AMP, FAST 2007); beyond
    where scans are known to end nothing is proposed.

    Args:
        config: limits.
    """

    name = "readahead"

    def __init__(self, config: ReadaheadConfig) -> None:
        self._config = config
        self._streams = new_streams(config.streams)
        self._keys, self._confidences = np.empty(0, np.int64), np.empty(0)

    def observe(self, batch: AccessBatch) -> None:
        """Take note of a batch of look-ups."""
        follow(
            self._streams,
            np.ascontiguousarray(batch.words),
            np.ascontiguousarray(batch.hits),
            _NONE if batch.late is None else batch.late,
            self._config.window,
            self._config.stride,
        )

    def predict(self, limit: int) -> tuple[Any, Any]:
        """Return the next keys of scans that went on since the last call."""
        if len(self._keys) != limit:
            self._keys, self._confidences = np.empty(limit, np.int64), np.empty(limit)
        count = propose(self._streams, self._config.confidence, self._keys, self._confidences)
        return self._keys[:count].copy(), self._confidences[:count].copy()
