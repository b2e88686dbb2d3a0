"""Reports through an object mapper: what follows what is loaded ahead, in half the time.

A customer, its orders, the lines of each: every object takes a query of its own, of a millisecond.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import numpy as np

import predis_core as predis

database = sqlite3.connect(":memory:", check_same_thread=False)
database.execute("CREATE TABLE objects (id INTEGER PRIMARY KEY, cents INTEGER, parts TEXT)")
customers, orders, lines = np.split(np.random.default_rng(1).permutation(1_700), [100, 500])


def put(objects: Any, parts: Any) -> None:
    """Put objects there that consist of others."""
    for number, some in zip(objects.tolist(), parts.astype(str), strict=True):
        row = number, number % 997, " ".join(some)
        database.execute("INSERT INTO objects VALUES (?, ?, ?)", row)


put(customers, orders.reshape(100, 4))
put(orders, lines.reshape(400, 3))
put(lines, np.empty((1_200, 0)))


def load(ids: Any) -> dict[int, Any]:
    """Ask for the objects of distinct ids."""
    time.sleep(0.001)
    query = f"SELECT * FROM objects WHERE id IN ({', '.join('?' * len(ids))})"
    return {row[0]: row[1:] for row in database.execute(query, ids.tolist())}


def report(plugins: dict[str, Any]) -> tuple[int, list[int]]:
    """Return for how many objects two reports after the first wait, and all sums."""
    section = {"capacity": 400, "keys": "int64", "device": "cpu"}
    with predis.open({"cache": section, "plugins": plugins}, loader=load) as objects:

        def total(number: int) -> int:
            cents, parts = objects.get_or_load(number)
            return int(cents) + sum(total(int(part)) for part in parts.split())

        sums = [total(number) for number in customers.tolist()]
        loads, begin = objects.stats().loads, time.perf_counter()
        sums += [total(number) for _ in range(2) for number in customers.tolist()]
        loads = objects.stats().loads - loads
    print(f"{loads} objects waited for, {time.perf_counter() - begin:.2f} s")
    return loads, sums


(plain, expected), (ahead, sums) = report({}), report({"prefetch": {}})
assert sums == expected
assert ahead < 0.75 * plain
