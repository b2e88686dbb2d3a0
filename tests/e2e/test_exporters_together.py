"""One TOML, one short program, and every system that watches it says the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from predis_core import telemetry
from predis_core.types import Stats
from tests.support.crew import PATIENCE, wait_until
from tests.support.newrelic import KEY, Receiver, running_receiver
from tests.support.ports import find_port
from tests.support.prometheus import Server, running_prometheus
from tests.support.rotel import Rotel, running_rotel, total_of
from tests.support.statsd import Statsd, running_statsd

CONFIGURATION = """\
[cache]
name = "shop"
capacity = 1_000
policy = "s3fifo"
value = {{ kind = "rows", dtype = "int64" }}

[plugins.prometheus]
port = {prometheus}

[plugins.otel]
endpoint = "{otel}"
interval = "1s"

[plugins.datadog]
address = "127.0.0.1"
port = {datadog}
interval = "1s"
service_check = false

[plugins.newrelic]
license_key = "{key}"
host = "{newrelic}"
ca = "{ca}"
interval = "1s"
"""

PROGRAM = """\
import sys

import msgspec
import numpy as np
import predis_core as predis

with predis.open("predis.toml") as cache:
    generator = np.random.default_rng(1)
    for _ in range(50):
        keys = generator.integers(0, 5_000, 300)
        cache.get_or_load_many(keys, lambda ids: 2 * ids)
        cache.get_many(generator.integers(0, 5_000, 300))
        cache.set_many(keys[:20], keys[:20])
        cache.delete_many(keys[:5])
    print(msgspec.json.encode(cache.stats()).decode(), flush=True)
    sys.stdin.readline()  # it lives until it is told to end
"""


def wanted(stats: Stats) -> dict[str, int]:
    """Return what has to arrive: every counter by the name that the catalogue gives it."""
    return {metric.name: getattr(stats, field) for field, metric in telemetry.COUNTERS.items()}


def of_prometheus(server: Server, names: dict[str, int]) -> dict[str, int]:
    found = {}
    for name in names:
        spelled = f"{name.replace('.', '_')}_total"
        for series in server.ask(f'{spelled}{{cache="shop"}}'):
            found[name] = int(float(series["value"][1]))
    return found


def of_rotel(rotel: Rotel, names: dict[str, int]) -> dict[str, int]:
    return {name: total_of(rotel.points(name), "shop") for name in names}


def of_statsd(statsd: Statsd, names: dict[str, int]) -> dict[str, int]:
    counters = statsd.values("counters")
    return {name: int(counters.get(f"{name};cache=shop", 0)) for name in names}


def of_receiver(receiver: Receiver, names: dict[str, int]) -> dict[str, int]:
    sums = receiver.sums("shop")
    return {name: int(sums[name]) for name in names}


def test_every_system_has_the_same_numbers_to_the_unit(tmp_path: Path) -> None:
    port = find_port()
    with (
        running_rotel(tmp_path) as rotel,
        running_statsd(tmp_path) as statsd,
        running_receiver(tmp_path) as receiver,
    ):
        configuration = CONFIGURATION.format(
            prometheus=port,
            otel=rotel.url("grpc"),
            datadog=statsd.port,
            key=KEY,
            newrelic=receiver.host,
            ca=receiver.ca,
        )
        (tmp_path / "predis.toml").write_text(configuration)
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with program, running_prometheus(port, tmp_path) as server:
            assert program.stdout is not None
            told = program.stdout.readline()
            stats = msgspec.json.decode(told, type=Stats)
            names = wanted(stats)
            assert stats.evictions > 0
            assert stats.loads > 0
            wait_until(lambda: of_prometheus(server, names) == names)
            wait_until(lambda: of_rotel(rotel, names) == names)
            wait_until(lambda: of_statsd(statsd, names) == names)
            wait_until(lambda: of_receiver(receiver, names) == names)
            program.communicate("end\n", timeout=PATIENCE)
        assert program.returncode == 0
        # What is sent as the cache closes changes nothing.
        assert of_rotel(rotel, names) == names
        assert of_statsd(statsd, names) == names
        assert of_receiver(receiver, names) == names
        assert receiver.wrong == []
