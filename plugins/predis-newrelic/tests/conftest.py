"""A server in New Relic's place, and caches that export to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from tests.support.newrelic import KEY, Receiver, running_receiver


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEW_RELIC_LICENSE_KEY", "NEW_RELIC_APP_NAME", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with running_receiver(tmp_path) as running:
        yield running


@pytest.fixture
def opened(receiver: Receiver) -> Iterator[Callable[..., predis.Cache[Any, Any]]]:
    """Opens caches that export to the receiver."""
    with contextlib.ExitStack() as stack:

        def open_(name: str = "main", **section: Any) -> predis.Cache[Any, Any]:
            value = {"kind": "rows", "dtype": "int64"}
            cache = {"name": name, "capacity": 1_000, "policy": "s3fifo", "value": value}
            given = {"license_key": KEY, "host": receiver.host, "ca": str(receiver.ca)}
            given |= {"interval": "100ms", "timeout": "20s"} | section
            host = {"deadline": "60s"}
            opened = predis.open({"host": host, "cache": cache, "plugins": {"newrelic": given}})
            return stack.enter_context(opened)

        yield open_


@pytest.fixture
def traffic() -> Callable[..., None]:
    """Does something of everything that is counted."""

    def use(cache: predis.Cache[Any, Any], seed: int = 1) -> None:
        generator = np.random.default_rng(seed)
        for _ in range(20):
            keys = generator.integers(0, 5_000, 200)
            cache.get_or_load_many(keys, lambda ids: ids * 2)
            cache.set_many(keys[:50], keys[:50])
            cache.get_many(generator.integers(0, 5_000, 300))
            cache.delete_many(keys[:5])

    return use
