"""The caches that a demo puts its workloads through, and the slow store behind each of them."""

from __future__ import annotations

import threading
import time
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import predis_core as predis
from predis_core.errors import ConfigurationError
from predis_core.plugin import Snapshot
from predis_lab.peers import DictLike
from predis_lab.recording import recording_of
from predis_lab.workloads import Ids

Rows = npt.NDArray[np.float32]

WIDTH = 32
SHIPPED = "demo.toml"
# What the core's messages call a configuration that is no file.
IN_PLACE_OF_A_FILE = "<dict>"


@dataclass(frozen=True, slots=True)
class Setting:
    """What the Predis caches of a demo are opened with.

    Attributes:
        source: what it was read from.
        document: what the file says.
    """

    source: str
    document: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path | None = None) -> Setting:
        """Read a TOML file, or the one that comes with this package.

        Raises:
            ConfigurationError: if it cannot be read.
        """
        if path is None:
            shipped = (files("predis_lab") / SHIPPED).read_text(encoding="utf-8")
            return cls(f"{SHIPPED} of predis-lab", tomllib.loads(shipped))
        try:
            return cls(str(path), tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigurationError(f"{path}: not valid TOML: {error}") from error

    def with_plugin(self, name: str) -> Setting:
        """Return a setting with one more plugin, as it is without options."""
        plugins = {**self.document.get("plugins", {}), name: {}}
        return Setting(self.source, {**self.document, "plugins": plugins})

    def of(self, name: str, policy: str, capacity: int) -> dict[str, Any]:
        """Return the document for one cache; what the demo has to know is the demo's choice."""
        section = self.document.get("cache", {})
        if not isinstance(section, dict):
            raise ConfigurationError(f"{self.source}: cache: expected a table [cache]")
        value = {"kind": "rows", "dtype": "float32", "shape": [WIDTH]}
        own = {"name": name, "policy": policy, "capacity": capacity, "keys": "int64"}
        return {**self.document, "cache": {**section, **own, "value": value}}


class Store:
    """The slow thing behind the cache: every fetch costs a round trip, whatever it brings."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._lock = threading.Lock()
        self.loaded = 0

    def fetch(self, ids: Ids) -> Rows:
        """The rows of `ids`, float32[n, WIDTH], after a round trip of `latency` seconds."""
        time.sleep(self._latency)
        with self._lock:
            self.loaded += len(ids)
        return rows_of(ids)


def rows_of(ids: Ids) -> Rows:
    """What the store holds for each id; different ids nearly always differ."""
    mixed = (ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(42)
    rows: Rows = np.add(
        mixed.astype(np.float32)[:, None], np.arange(WIDTH, dtype=np.float32), dtype=np.float32
    )
    return rows


class Counts(NamedTuple):
    """What a cache did since the beginning.

    Attributes:
        requests, hits: rows asked for, and those that were there.
        saved: rows that waited for another's fetch; None where there is no single flight.
        demanded, used: rows fetched as they were asked for, and those that were asked for after
            they had been fetched ahead; None where nothing is fetched ahead.
    """

    requests: int
    hits: int
    saved: int | None
    demanded: int | None = None
    used: int | None = None


class Contender(ABC):
    """A cache in front of a store, by the name it has in the table."""

    def __init__(self, name: str, store: Store) -> None:
        self.name = name
        self.store = store

    @abstractmethod
    def rows(self, ids: Ids) -> Rows:
        """The rows of `ids`, out of the cache or fetched; called by many threads."""

    @abstractmethod
    def counts(self) -> Counts:
        """Rows asked for, hits, and loads saved by single flight; called by many threads."""

    def snapshot(self) -> Snapshot | None:
        """All that is measured about the cache; None if nothing is."""
        return None

    def prepare(self) -> None:
        """Do what happens once per machine or process, and is not to be timed."""
        return None

    def close(self) -> None:
        """Give up what the cache holds."""
        return None


class Predis(Contender):
    """A Predis cache of rows, opened with its plugins: one call per batch.

    Args:
        policy, capacity, store, setting: what it is made of.
        also: another plugin, whose name is in the cache's.
    """

    def __init__(
        self, policy: str, capacity: int, store: Store, setting: Setting, also: str = ""
    ) -> None:
        super().__init__(" + ".join(filter(None, (f"predis {policy}", also))), store)
        setting = setting.with_plugin(also) if also else setting
        name = "-".join(filter(None, ("demo", policy, also)))
        self._document = setting.of(name, policy, capacity)
        try:
            self._cache = predis.open(self._document, loader=store.fetch)
        except ConfigurationError as error:
            raise type(error)(str(error).replace(IN_PLACE_OF_A_FILE, setting.source, 1)) from error

    def rows(self, ids: Ids) -> Rows:
        """One call: look up, fetch what is missing and nobody fetches yet, wait for the rest."""
        found: Rows = self._cache.get_or_load_many(ids)
        return found

    def counts(self) -> Counts:
        """Out of the cache's own statistics."""
        stats, ahead = self._cache.stats(), getattr(self._cache, "prefetch_stats", None)
        counts = Counts(stats.requests, stats.hits, stats.loads_saved)
        if ahead is None:
            return counts
        used = sum(prefetcher.used for prefetcher in ahead())
        return counts._replace(demanded=stats.loads, used=used)

    def snapshot(self) -> Snapshot | None:
        """As the lab's own plugin sees it, if the configuration has it."""
        try:
            return recording_of(self._cache.name).snapshot()
        except LookupError:
            return None

    def prepare(self) -> None:
        """Let a cache like this one load its kernels, or compile them if it is the first ever."""
        section = {**self._document["cache"], "capacity": 1}
        with predis.open({"cache": section}, loader=rows_of) as twin:
            twin.get_or_load_many(np.zeros(1, dtype=np.int64))

    def close(self) -> None:
        """Close the cache; its plugins take leave."""
        self._cache.close()


class Peer(Contender):
    """Another cache that looks like a dict of single keys, used as safely as it has to be."""

    def __init__(self, name: str, cache: DictLike, store: Store) -> None:
        super().__init__(name, store)
        self._cache = cache
        self._lock = threading.Lock()
        self._requests = self._hits = 0

    def rows(self, ids: Ids) -> Rows:
        """Look up each key; fetch those that missed at once; store them one by one."""
        keys = ids.tolist()
        with self._lock:
            get = self._cache.get
            found = [get(key) for key in keys]
            missing = {key for key, row in zip(keys, found, strict=True) if row is None}
            self._requests += len(keys)
            self._hits += sum(row is not None for row in found)
        if missing:
            asked = list(missing)
            fetched = dict(zip(asked, self.store.fetch(np.array(asked)), strict=True))
            with self._lock:
                for key, row in fetched.items():
                    self._cache[key] = row
            found = [
                fetched[key] if row is None else row for key, row in zip(keys, found, strict=True)
            ]
        return np.stack(found)

    def counts(self) -> Counts:
        """As they were seen here; each thread fetches for itself."""
        with self._lock:
            return Counts(self._requests, self._hits, None)
