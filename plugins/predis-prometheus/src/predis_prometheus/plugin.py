"""The plugin: the host's hooks on one side, what Prometheus scrapes on the other."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from predis_core.plugin import CacheView, Exporter, Health, Observer, Snapshot, hookimpl
from predis_core.telemetry import CATALOGUE
from predis_prometheus.app import Application
from predis_prometheus.collector import CacheCollector
from predis_prometheus.config import PrometheusConfig, port_of
from predis_prometheus.exemplars import Exemplars
from predis_prometheus.multiprocess import ProcessFiles
from predis_prometheus.names import Names
from predis_prometheus.server import BusyPort, Server

logger = logging.getLogger("predis.prometheus")

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable of prometheus_client's own multiprocess mode."""


class ScrapeExporter:
    """Has latencies measured; the values are asked for when somebody scrapes."""

    interval = None

    def export(self, snapshot: Snapshot) -> None:
        """Never called, as there is no interval."""


class FileExporter:
    """Leaves the values in files, for another process to serve.

    Args:
        interval: seconds.
        export: takes a snapshot.
    """

    def __init__(self, interval: float, export: Callable[[Snapshot], None]) -> None:
        self.interval = interval
        self.export = export


class Prometheus:
    """Serves what the caches of the process measure; with `multiprocess`, those of all processes.

    Args:
        config: the section `[plugins.prometheus]`.

    Raises:
        ValueError: if it cannot serve as the section says; names the field and the way out.
    """

    def __init__(self, config: PrometheusConfig) -> None:
        self._config = config = _with_environment(config)
        self._names = Names(CATALOGUE)
        self._exemplars = Exemplars() if config.exemplars else None
        self._collector = CacheCollector(self._names, self._exemplars)
        self._files: ProcessFiles | None = None
        self._users: CollectorRegistry | None = None
        self._server: Server | None = None
        if config.multiprocess is not None:
            self._files = _files_in(config.multiprocess, self._names)
            self._served = CollectorRegistry()
            MultiProcessCollector(self._served, config.multiprocess)  # type: ignore[no-untyped-call]
        elif config.registry is not None:
            self._users = self._served = registry_of(config.registry)
            _register(self._collector, self._users, config.registry)
        else:
            self._served = CollectorRegistry()
            self._served.register(self._collector)
        try:
            self._serve()
        except BusyPort:
            if self._files is None:
                self.close()
                raise
            logger.info(
                "port %s of %s is in use, so another process of the service serves; "
                "tried again every %s",
                port_of(config),
                config.address,
                config.interval,
            )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give up the port, and take out of the user's registry what was put there."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._users is not None:
            self._users.unregister(self._collector)
            self._users = None
        if self._files is not None:
            self._files.close()
            self._files = None

    @property
    def url(self) -> str | None:
        """Where the metrics are served; None if this process serves none."""
        return None if self._server is None else self._server.url + self._config.path

    # ------------------------------------------------------------------ hooks

    @hookimpl
    def predis_exporters(self, cache: CacheView) -> Sequence[Exporter]:
        """Have latencies measured, and, with `multiprocess`, every snapshot written."""
        if self._files is None:
            return [ScrapeExporter()]
        return [FileExporter(float(self._config.interval), self._export)]

    @hookimpl
    def predis_observers(self) -> Sequence[Observer]:
        """With `exemplars`, look at the trace that each batch is in."""
        return [] if self._exemplars is None else [self._exemplars]

    @hookimpl
    def predis_cache_opened(self, cache: CacheView) -> None:
        """Serve the cache's metrics from now on."""
        self._collector.add(cache)

    @hookimpl
    def predis_cache_closing(self, cache: CacheView) -> None:
        """Serve them no longer."""
        self._collector.remove(cache)
        if self._exemplars is not None:
            self._exemplars.forget(cache.name)
        if self._files is not None:
            self._files.forget(cache.name)

    @hookimpl
    def predis_health(self) -> Health:
        """Tell of metrics that could not be exposed."""
        left_out = [f"{name} ({reason})" for name, reason in self._names.left_out.items()]
        if left_out:
            return Health("degraded", f"metrics left out: {'; '.join(left_out)}")
        return Health()

    # ------------------------------------------------------------------ serving

    def _serve(self) -> None:
        """Start the server, if the section wants one.

        Raises:
            ValueError: as the constructor; BusyPort if the port is taken.
        """
        config = self._config
        port = port_of(config)
        if port is None:
            return
        application = Application(self._served, config.path, config.basic_auth)
        self._server = Server(application, config.address, port, config.tls)
        logger.info("metrics are served at %s", self.url)
        if config.basic_auth is not None and config.tls is None and not self._server.is_local:
            logger.warning(
                "basic_auth: without `tls` the password crosses the network in clear text"
            )

    def _export(self, snapshot: Snapshot) -> None:
        """Write a cache's values, and take over the port if whoever served has ended."""
        assert self._files is not None
        self._files.write(snapshot)
        self._files.remove_those_of_the_dead()
        if self._server is None:
            try:
                self._serve()
            except BusyPort:
                logger.debug("another process serves at port %s", port_of(self._config))


def registry_of(reference: str) -> CollectorRegistry:
    """Return the registry that "module:attribute" or "default" names.

    Raises:
        ValueError: if it names none.
    """
    if reference == "default":
        return prometheus_client.REGISTRY
    module, colon, name = reference.partition(":")
    if not (module and colon and name):
        raise ValueError(f'registry: expected "module:attribute" or "default", got {reference!r}')
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # the module is the user's: it may raise anything
        raise ValueError(
            f"registry: cannot import {reference!r}: {type(error).__name__}: {error}; "
            'name a registry as "module:attribute"'
        ) from error
    if not isinstance(found, CollectorRegistry):
        raise ValueError(
            f"registry: {reference!r} has the type {type(found).__name__}; "
            "name a prometheus_client.CollectorRegistry"
        )
    return found


def _register(collector: CacheCollector, registry: CollectorRegistry, reference: str) -> None:
    try:
        registry.register(collector)
    except ValueError as error:
        raise ValueError(
            f"registry: {reference!r} has metrics of Predis' names already: {error}; "
            "take those out, or name another registry"
        ) from error


def _with_environment(config: PrometheusConfig) -> PrometheusConfig:
    """Return a section completed by the environment."""
    folder = os.environ.get(VARIABLE)
    if config.multiprocess is None and folder:
        try:
            config = msgspec.structs.replace(config, multiprocess=Path(folder))
        except ValueError as error:
            raise ValueError(
                f"{error} ({VARIABLE} in the environment is `multiprocess`)"
            ) from error
    if port_of(config) is None and config.registry is None and config.multiprocess is None:
        raise ValueError(
            'port: with port = "none" nothing is served; give a `port`, a `registry` or '
            "`multiprocess`"
        )
    return config


def _files_in(folder: Path, names: Names) -> ProcessFiles:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return ProcessFiles(folder, names)
    except OSError as error:
        raise ValueError(
            f"multiprocess: cannot use the folder {str(folder)!r}: {error.strerror}; "
            "name one in which this process may write"
        ) from error
