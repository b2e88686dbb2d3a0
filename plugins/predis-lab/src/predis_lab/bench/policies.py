"""What policies cost: the default, one that a user wrote, and one that is chosen meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from time import perf_counter
from typing import Any

import predis_core as predis
from predis_core.policies import Policy
from predis_lab.bench import material
from predis_lab.bench.batches import filled
from predis_lab.bench.material import Keys, Sizes, batches, over
from predis_lab.bench.measuring import OURS, Prepare, Row, faster_than, time_of
from predis_lab.workloads import Ids

MIB = 1 << 20
_EXPONENT = 0.9
_UNIVERSE = 4
"""Times as many keys as entries are asked for."""


def default(sizes: Sizes) -> Row:
    """The default policy beside the one that does nothing on a hit."""
    contenders = {}
    for name, given in ((OURS, "s3fifo"), (f"{OURS}, fifo", "fifo")):
        keys, cache = filled(sizes.entries, policy=given)
        queries = keys.with_absent(keys.stored[keys.slots(sizes.entries)])
        contenders[name] = over(cache.get_many, batches(queries, sizes.batch))
    return Row(
        f"get_many, hits, policy s3fifo, {sizes.batch:,} per batch, {sizes.entries:,} entries",
        sizes.entries,
        contenders,
        bars=(faster_than(f"{OURS}, fifo", 0.85, 0.97),),
    )


# What a user would write who wants the least recently used entry to leave.
LOW_BITS, HIGH_BITS = 32, 7
LOW, HIGH = (1 << LOW_BITS) - 1, (1 << HIGH_BITS) - 1
ALL = (1 << LOW_BITS + HIGH_BITS) - 1


def noted(tick: int) -> int:
    """Put the upper bits of a time, which seldom change, beside the keys."""
    return ((tick & LOW) << HIGH_BITS) + ((tick >> LOW_BITS) & HIGH)


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Note the time at which an entry comes in."""
    return noted(tick), state


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Note the time at which it is used."""
    return noted(tick)


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Have the one leave that was not used for longest."""
    used = ((meta & HIGH) << LOW_BITS) + (meta >> HIGH_BITS)
    return (used - tick + (ALL >> 1)) & ALL


RECENT = Policy(
    "recent", slot_bits=LOW_BITS + HIGH_BITS, on_insert=on_insert, on_hit=on_hit, rank=rank
)


def own(sizes: Sizes) -> Row:
    """A user's policy that does what lru does, beside lru: look-ups, and sets of what missed."""
    cold, warm = _first_uses()
    asked = _asked(sizes.entries)
    contenders = {
        name: _serving(material.table(sizes.entries, policy=policy), asked, sizes.batch)
        for name, policy in ((OURS, RECENT), ("lru", "lru"))
    }
    return Row(
        "get_many, and set_many of what missed, a policy in Python that does lru's work, "
        f"{sizes.batch:,} per batch, {sizes.entries:,} entries; the first get_many and set_many of "
        f"a process took {cold:.1f} s to compile, {warm:.1f} s from disk",
        len(asked),
        contenders,
        bars=(time_of("lru", 1.05, 1.0),),
    )


_FIRST_USE = """
from time import perf_counter
begin = perf_counter()
from predis_lab.bench.material import table
from predis_lab.bench.policies import RECENT
cache = table(100, policy=RECENT)
cache.get_many([1])
cache.set_many([1], [1])
print(perf_counter() - begin)
"""


def _first_uses() -> tuple[float, float]:
    """Return the seconds of a first use of RECENT: without compiled kernels on disk, and with."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PREDIS_CACHE_DIR": folder}
        command = [sys.executable, "-c", _FIRST_USE]
        cold, warm = (
            float(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
            for _ in range(2)
        )
    return cold, warm


def auto(sizes: Sizes, entries: int | None = None) -> Row:
    """A cache that chooses its policy while it works, beside one that was given that policy.

    What it takes for that is to be 2 % of the other's memory at most, or 1 MiB.
    """
    entries = entries or sizes.entries
    asked = _asked(entries)
    choosing = material.table(entries, policy="auto")
    _settle(choosing, asked, sizes.batch)
    given = material.table(entries, policy=choosing.policy)
    contenders = {
        OURS: _serving(choosing, asked, sizes.batch),
        "by hand": _serving(given, asked, sizes.batch),
    }
    more = choosing.nbytes - given.nbytes
    return Row(
        f"get_many, and set_many of what missed, policy auto ({choosing.policy}), "
        f"{sizes.batch:,} per batch, {entries:,} entries; it takes {more / MIB:.2f} MiB more, "
        f"{more / given.nbytes:.1%}",
        len(asked),
        contenders,
        bars=(time_of("by hand", 1.03, 1.0),),
    )


def _asked(entries: int) -> Ids:
    """Popular keys among `_UNIVERSE` times as many as there are entries."""
    keys = Keys(_UNIVERSE * entries)
    return keys.all[keys.slots(2 * entries, _EXPONENT)]


def _settle(cache: predis.Cache[int, Any], asked: Ids, batch: int) -> None:
    """Use it until it had the time to compile, and to choose."""
    serve = _serving(cache, asked, batch)()
    until = perf_counter() + 2.0
    while perf_counter() < until:
        serve()


def _serving(cache: predis.Cache[int, Any], asked: Ids, batch: int) -> Prepare:
    """What a cache does all day."""
    parts = batches(asked, batch)

    def timed() -> None:
        for part in parts:
            _, hits = cache.get_many(part)
            missed = part[~hits]
            if len(missed):
                cache.set_many(missed, missed)

    def prepare() -> Callable[[], object]:
        return timed

    return prepare
