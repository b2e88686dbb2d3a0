"""A cache whose eviction policy comes from a plugin: as fast as the built-in lru, fewer misses.

The plugin is the folder policy_plugin beside this file, ready for `pip install`. The policy is LFU
with dynamic ageing: what is used often stays, and what is used no longer leaves after a while.
"""

from __future__ import annotations

import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import predis_core as predis
from predis_lab.workloads import Zipf

PROJECT = Path(__file__).parent / "policy_plugin"
VALUE = {"kind": "rows", "dtype": "int64"}
REQUESTS = Zipf(requests=300_000).ids().reshape(-1, 1_000)


def pretend_to_install(project: Path, folder: str) -> None:
    """Write the entry points where Python looks for them, as pip does; nothing is downloaded."""
    declared: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    info = Path(folder, "plugin.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Name: {name}\nVersion: {version}\n".format_map(declared))
    groups = declared["entry-points"].items()
    lines = [f"[{g}]\n" + "\n".join(f"{k} = {v}" for k, v in e.items()) for g, e in groups]
    (info / "entry_points.txt").write_text("\n".join(lines))
    sys.path += [folder, str(project / "src")]


def run(policy: str) -> tuple[float, float]:
    """Return seconds and miss ratio of a run through all requests."""
    section = {"capacity": 5_000, "policy": policy, "value": VALUE, "seed": 7}
    with predis.open({"cache": section, "plugins": {"lfuda": {}}}) as cache:
        begin = time.perf_counter()
        for ids in REQUESTS:
            missing = ids[~cache.get_many(ids)[1]]
            cache.set_many(missing, missing)
        return time.perf_counter() - begin, cache.stats().miss_ratio


with tempfile.TemporaryDirectory() as folder:
    pretend_to_install(PROJECT, folder)
    runs = [(run("lru"), run("lfuda")) for _ in range(6)][1:]  # the first two may compile

(lru, lru_missed), (lfuda, lfuda_missed) = (min(results) for results in zip(*runs, strict=True))
print(f"lru: {lru_missed:.1%} misses, {lru / REQUESTS.size * 1e9:.0f} ns per request")
print(f"lfuda: {lfuda_missed:.1%} misses, {lfuda / lru:.2f} times as long")
assert lfuda_missed < lru_missed
assert lfuda < 10 * lru  # it is compiled: as plain Python it would take hundreds of times as long
