"""Every row of `predis bench` by its name. Building one fills its caches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from predis_lab.bench import (
    batches,
    faces,
    gathers,
    limits,
    policies,
    scalars,
    server,
    strings,
)
from predis_lab.bench.material import Sizes
from predis_lab.bench.measuring import Row

SIZES = Sizes()
ZIPF = 0.99


def rows(sizes: Sizes | None = None) -> dict[str, Callable[[], Row]]:
    """Return what builds each row: those that have a bar, other faces, physical limits."""
    sizes = sizes or SIZES
    builders: dict[str, Callable[[Sizes], Row]] = {
        "get": batches.get,
        "rows-1m": partial(gathers.rows, entries=sizes.many, bar=0.75, aim=1.5),
        "rows-1m-zipf": partial(gathers.rows, entries=sizes.many, exponent=ZIPF, bar=0.9, aim=1.5),
        "rows-100k": partial(gathers.rows, entries=sizes.entries, bar=1.1, aim=2.5),
        "rows-100k-zipf": partial(
            gathers.rows, entries=sizes.entries, exponent=ZIPF, bar=1.1, aim=2.5
        ),
        "set": batches.evicting,
        "contains-1m": batches.contains,
        "threads": gathers.threads,
        "scalar-get": scalars.integers,
        "scalar-get-hot": scalars.hot,
        "scalar-get-str": scalars.strings,
        "scalar-set": scalars.evicting,
        "hash": strings.hashing,
        "blobs-str": strings.blobs,
        "redis-get": server.reading,
        "policy": policies.default,
        "policy-own": policies.own,
        "policy-auto": policies.auto,
        "policy-auto-1m": partial(policies.auto, entries=sizes.many),
        "redis-set": server.writing,
        "get-ttl": faces.expiring,
        "get-sampled": faces.sampled,
        "contains": faces.contains,
        "load": faces.loads,
        "blobs": faces.blobs,
        "namespaces": faces.namespaces,
        "memoize": faces.memoized,
        "await": faces.awaited,
        "memoize-await": faces.memoized_coroutines,
        "limit-lines": limits.random_lines,
        "limit-copy": limits.row_copies,
        "limit-call": limits.empty_calls,
    }
    return {name: partial(build, sizes) for name, build in builders.items()}
