"""A scan of a slow table, row by row: loaded ahead by a prefetcher, in half the time or less.

The prefetcher comes from a plugin, the folder prefetcher_plugin beside this file. Each query takes
a millisecond, as over a network.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import predis_core as predis

PROJECT = Path(__file__).parent / "prefetcher_plugin"
ROWS = 2_000
database = sqlite3.connect(":memory:", check_same_thread=False)
database.execute("CREATE TABLE prices (id INTEGER PRIMARY KEY, cents INTEGER)")
database.executemany("INSERT INTO prices VALUES (?, ?)", ((n, n * n % 9_973) for n in range(ROWS)))


def load(ids: Any) -> dict[int, int]:
    """Ask for the rows of distinct ids; a prefetch may name some that are not there."""
    time.sleep(0.001)
    query = f"SELECT * FROM prices WHERE id IN ({', '.join('?' * len(ids))})"
    return dict(database.execute(query, ids.tolist()))


def scan(plugins: dict[str, Any]) -> tuple[int, int]:
    """Return how many rows a scan waited for, and their sum."""
    section = {"capacity": 1_000, "value": {"kind": "rows", "dtype": "int64"}}
    with predis.open({"cache": section, "plugins": plugins}, loader=load) as prices:
        begin = time.perf_counter()
        total = sum(int(prices.get_or_load(number)) for number in range(ROWS))
        loads, seconds = prices.stats().loads, time.perf_counter() - begin
    print(f"{loads} of {ROWS} rows waited for, {seconds:.2f} s")
    return loads, total


def pretend_to_install(project: Path, folder: str) -> None:
    """Write the entry point where Python looks for it, as pip does; nothing is downloaded."""
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    (info := Path(folder, "plugin.dist-info")).mkdir()
    (info / "METADATA").write_text("Name: {name}\nVersion: {version}\n".format_map(declared))
    ((group, names),) = declared["entry-points"].items()
    ((name, module),) = names.items()
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
    sys.path += [folder, str(project / "src")]


with tempfile.TemporaryDirectory() as folder:
    pretend_to_install(PROJECT, folder)
    (all_of_them, expected), (waited_for, total) = scan({}), scan({"strides": {}})
assert total == expected
assert waited_for < all_of_them / 2
