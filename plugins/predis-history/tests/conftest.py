"""What the tests of the plugin share: snapshots made by hand, writers, what a file holds."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from predis_core.clock import NANOSECONDS
from predis_core.config import PluginSection, decode_section
from predis_core.plugin import Distribution, Sample, Snapshot
from predis_core.telemetry import BATCH_SECONDS, COUNTERS, GAUGES
from predis_history.config import HistoryConfig
from predis_history.database import open_to_read
from predis_history.reading import Choice, Row, rows_of
from predis_history.writing import Origin, Writer

PATIENCE = 120.0
"""Seconds for which a test waits for what another process does."""

BEGAN = 1_800_000_000 * NANOSECONDS


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Waits until a function returns something true, and returns that."""

    def wait(look: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while not (found := look()) and time.monotonic() < end:
            time.sleep(0.005)
        assert found, f"not within {PATIENCE:.0f} s"
        return found

    return wait


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
def origin() -> Origin:
    return Origin(b"0123456789abcdef", "shop", "machine", 42, BEGAN)


@pytest.fixture
def snapshot() -> Callable[..., Snapshot]:
    """Makes a snapshot of so many seconds after opening."""

    def make(seconds: float, hits: float = 0, *more: Sample, cache: str = "shop") -> Snapshot:
        found = (
            Sample(COUNTERS["hits"], (cache,), hits),
            Sample(GAUGES["size"], (cache,), 7),
            *more,
        )
        return Snapshot(cache, BEGAN + round(seconds * NANOSECONDS), found)

    return make


@pytest.fixture
def latency() -> Callable[..., Sample]:
    """Makes a sample of batches' durations: how many to 0.1 s, to 0.2 s, and above."""

    def make(*counts: int, operation: str = "get", cache: str = "shop") -> Sample:
        value = Distribution((0.1, 0.2), counts, sum(counts) * 0.05)
        return Sample(BATCH_SECONDS, (cache, operation), value)

    return make


@pytest.fixture
def writing(path: Path) -> Iterator[Callable[..., Writer]]:
    """Starts writers with a section of the given fields, and closes them."""
    with contextlib.ExitStack() as stack:

        def start(**fields: Any) -> Writer:
            section = PluginSection("history", {"path": str(path), **fields})
            made = Writer(decode_section(section, HistoryConfig))
            return stack.enter_context(contextlib.closing(made))

        yield start


@pytest.fixture
def held(path: Path) -> Callable[..., list[Row]]:
    """Returns the rows that the file holds, by default of hits."""

    def read(metrics: tuple[str, ...] = ("predis.cache.hits",), **choice: Any) -> list[Row]:
        with contextlib.closing(open_to_read(path)) as connection:
            return list(rows_of(connection, Choice(metrics=metrics, **choice)))

    return read


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else who has opened the file."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection
