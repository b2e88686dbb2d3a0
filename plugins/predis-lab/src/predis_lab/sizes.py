"""Cache sizes as a person writes them: entries or bytes, or a share of all there are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from predis_core.plugin import ByteSize

_ENTRIES = re.compile(r"[0-9][0-9_]*")
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*%")


@dataclass(frozen=True, slots=True)
class Size:
    """One of `entries` (at least 1) and `share` (above 0, at most 1) is set."""

    entries: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, size: str | int | Size) -> Size:
        """Read "1%", "0.5%", "1000", "1_000" or 1000. Raises ValueError."""
        if isinstance(size, Size):
            return size
        text = str(size).strip()
        if percent := _PERCENT.fullmatch(text):
            share = float(percent[1]) / 100
            if 0 < share <= 1:
                return cls(share=share)
        elif _ENTRIES.fullmatch(text) and int(text) > 0:
            return cls(entries=int(text))
        raise ValueError(
            f"size {text!r}: write a number of entries such as 1000, or a share of the "
            "distinct keys such as 1% (above 0%, at most 100%)"
        )

    def of(self, distinct: int) -> int:
        """Entries for a trace with so many distinct keys: a share is rounded, at least 1."""
        if self.entries is not None:
            return self.entries
        return max(1, round((self.share or 0.0) * distinct))

    def __str__(self) -> str:
        return f"{self.entries:,}" if self.share is None else f"{self.share * 100:g}%"


@dataclass(frozen=True, slots=True)
class Memory:
    """One of `bytes` (at least 1) and `share` (above 0, at most 1) is set."""

    bytes: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, memory: str | int | Memory) -> Memory:
        """Read "64MiB", 65536 or "1%". Raises ValueError."""
        if isinstance(memory, Memory):
            return memory
        try:
            if isinstance(memory, str) and memory.strip().endswith("%"):
                return cls(share=Size.parse(memory).share)
            if (size := ByteSize.parse(memory)) > 0:
                return cls(bytes=size)
        except ValueError:
            pass
        raise ValueError(
            f"memory {memory!r}: write bytes such as 64MiB, or a share of what the values of all "
            "keys take such as 1% (above 0%, at most 100%)"
        )

    def of(self, total: int) -> int:
        """Bytes where all values take `total`: a share is rounded, at least 1."""
        if self.bytes is not None:
            return self.bytes
        return max(1, round((self.share or 0.0) * total))

    def __str__(self) -> str:
        if self.bytes is not None:
            return str(ByteSize(self.bytes))
        return f"{(self.share or 0.0) * 100:g}% of bytes"
