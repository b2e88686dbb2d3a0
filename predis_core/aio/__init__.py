"""The asyncio face: what takes long for a large batch, or waits for a loader, can be awaited."""

from __future__ import annotations

from predis_core.aio.face import AsyncFace

__all__ = ["AsyncFace"]
