"""A history of what a cache measured, exported and compared with what it counted.

`predis export history.db --metric "predis.cache.*"` prints the same table to a terminal.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import predis_core as predis

configuration: dict[str, Any] = {
    "cache": {"name": "shop", "capacity": 2_000, "policy": "lru"},
    "plugins": {"history": {"path": "history.db", "interval": "20ms"}},
}
with predis.open(configuration) as cache:
    for _ in range(10):  # ever more of what is asked for is there
        for first in range(0, 1_000, 100):
            cache.get_or_load_many(range(first, first + 100), lambda ids: ids)
        time.sleep(0.02)
    hits, misses = cache.stats().hits, cache.stats().misses

command = [sys.executable, "-c", "from predis_core.cli import main; main()", "export", "history.db"]
options = ["--format", "json", "--since", "1h", "--metric", "predis.cache.*"]
text = subprocess.run([*command, *options], capture_output=True, check=True).stdout
table = json.loads(text)

series: dict[str, dict[str, float]] = {}
for row in table:
    if row["statistic"] == "value":
        series.setdefault(row["metric"], {})[row["time"]] = row["value"]
found, lacking = series["predis.cache.hits"], series["predis.cache.misses"]

# The last snapshot is that of closing: what was counted, to the unit.
last = max(found)
assert (found[last], lacking[last]) == (hits, misses) == (9_000, 1_000)
assert list(found.values()) == sorted(found.values())
print(f"{hits:,} hits and {misses:,} misses, as the cache counted them")
print(f"{hits / (hits + misses):.0%} of what was asked for was there")
