"""A cache in front of SQLite: one query per batch for what is missing, records as dicts.

The loader returns a mapping, so ids that the database lacks are simply not in it; with
`missing="mask"` the caller learns which ones these are.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import predis_core as predis

database = sqlite3.connect(":memory:")
database.row_factory = sqlite3.Row
database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, visits INTEGER)")
database.executemany(
    "INSERT INTO users VALUES (?, ?, ?)", ((i, f"user {i}", i * i % 97) for i in range(1, 10_001))
)
queries: list[str] = []
database.set_trace_callback(queries.append)


def load(ids: list[int]) -> dict[int, dict[str, Any]]:
    """Read the records of distinct ids; what is not there is left out."""
    marks = ", ".join("?" * len(ids))
    found = database.execute(f"SELECT * FROM users WHERE id IN ({marks})", ids)
    return {record["id"]: dict(record) for record in found}


users: predis.Cache[int, dict[str, Any]] = predis.Cache(1_000, ttl=60.0, loader=load)

records = users.get_or_load_many([42, 7, 42, 99])
assert [record["name"] for record in records] == ["user 42", "user 7", "user 42", "user 99"]
assert len(queries) == 1

# Of the second batch only 100 and the unknown 123,456 are asked for.
asked = [7, 99, 100, 123_456]
records, found = users.get_or_load_many(asked, missing="mask")
unknown = [key for key, there in zip(asked, found, strict=True) if not there]
assert unknown == [123_456]
assert records[3] is None
assert len(queries) == 2

# After a write to the database the entry goes, so that the next reader loads it anew.
database.execute("UPDATE users SET visits = 1000 WHERE id = 7")
del users[7]
assert users.get_or_load(7)["visits"] == 1000

reads = sum(query.startswith("SELECT") for query in queries)
stats = users.stats()
assert (reads, stats.loads, stats.requests) == (3, 6, 9)
print(f"{stats.requests} records asked for, {stats.loads} ids loaded by {reads} queries")
print(f"unknown to the database: {unknown}")
