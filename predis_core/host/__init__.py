"""Where plugins live: found, enabled, called with care, and let go."""

from __future__ import annotations

from predis_core.host.host import Host, close, joined, open_sessions, status
from predis_core.host.session import Session

__all__ = ["Host", "Session", "close", "joined", "open_sessions", "status"]
