"""The dict face and time to live, with a clock that the program moves by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import predis_core as predis

clock = predis.ManualClock()
sessions: predis.Cache[str, dict[str, Any]] = predis.Cache(1_000, ttl=300.0, clock=clock)

sessions["ada"] = {"cart": 3}  # five minutes, the cache's default
sessions.set("bob", {"cart": 1}, ttl=timedelta(minutes=1))
sessions.set("root", {"cart": 0}, ttl=float("inf"))  # does not expire
assert sessions["ada"]["cart"] == 3
assert "bob" in sessions
assert sessions.ttl_left("bob") == 60.0
assert sessions.ttl_left("root") is None

clock.advance(60)
assert sessions.get("bob") is None  # expired: a miss on every face
assert sorted(sessions) == ["ada", "root"]  # and not iterated
assert len(sessions) == 3  # but its slot is not reclaimed yet

# Reading does not renew an entry, setting does.
assert sessions["ada"] == {"cart": 3}
assert sessions.ttl_left("ada") == 240.0
sessions["ada"] = {"cart": 4}
assert sessions.ttl_left("ada") == 300.0

# One lifetime per key of a batch.
sessions.set_many(["eve", "kim"], [{}, {}], ttl=[10.0, 20.0])
clock.advance(10)
assert sessions.contains_many(["eve", "kim"]).tolist() == [False, True]

assert sessions.pop("kim") == {}
assert sessions.pop("kim", None) is None
assert sessions.get_or_load("lea", lambda key: {"name": key}, ttl=5) == {"name": "lea"}
sessions.check_invariants()

live = {key: sessions.ttl_left(key) for key in sorted(sessions)}
print(f"live: {live}")
stats = sessions.stats()
print(f"{stats.requests} look-ups, {stats.hits} hits, {stats.size} slots in use")
