"""Rows beside a Redis server that is started for them, on a Unix socket of its own."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predis_lab.bench import material
from predis_lab.bench.batches import filled
from predis_lab.bench.machine import all_cores, stay_on
from predis_lab.bench.material import Keys, Sizes, batches, over
from predis_lab.bench.measuring import OURS, Row, Unavailable, faster_than

if TYPE_CHECKING:
    from redis import Redis

MGET, MSET = "redis-py MGET", "redis-py MSET"
SECONDS_TO_START = 10.0


def reading(sizes: Sizes) -> Row:
    """Look-ups that hit, in the same batches."""
    client = _client()
    keys, cache = filled(sizes.entries)
    _set(client, keys.all.tolist())
    queries = keys.with_absent(keys.stored[keys.slots(sizes.entries)])
    parts = batches(queries, sizes.batch)
    contenders = {
        OURS: over(cache.get_many, parts),
        MGET: over(client.mget, [part.tolist() for part in parts]),
    }
    return Row(
        f"get_many, hits, {sizes.batch:,} per batch, {sizes.entries:,} entries, beside a server",
        len(queries),
        contenders,
        bars=(faster_than(MGET, 30, 60),),
    )


def writing(sizes: Sizes) -> Row:
    """The same keys again and again; nothing leaves."""
    client = _client()
    keys = Keys(sizes.entries).all
    cache = material.table(2 * sizes.entries)
    parts = batches(keys, sizes.batch)
    pairs = [dict(zip(part, part, strict=True)) for part in map(_listed, parts)]
    contenders = {
        OURS: over(lambda part: cache.set_many(part, part), parts),
        MSET: over(client.mset, pairs),
    }
    return Row(f"set_many, {sizes.batch:,} per batch, beside a server", len(keys), contenders)


def _listed(part: Any) -> list[int]:
    listed: list[int] = part.tolist()
    return listed


def _set(client: Redis, keys: list[Any]) -> None:
    for first in range(0, len(keys), material.FILLED):
        client.mset({key: key for key in keys[first : first + material.FILLED]})


@functools.cache
def _client() -> Redis:
    """Return a client of a server that ends with this process.

    Raises:
        Unavailable: if there is no server or no client.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise Unavailable("redis-server is not installed (Debian: apt install redis-server)")
    try:
        import redis
    except ImportError as error:
        raise Unavailable("redis-py is not installed (pip install redis)") from error
    folder = tempfile.mkdtemp(prefix="predis-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    socket = Path(folder, "redis.sock")
    server = subprocess.Popen(
        [program, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    atexit.register(_end, server)
    # It shares no core with whoever asks it, if there is another.
    if free := all_cores():
        stay_on(free, server.pid)
    client = redis.Redis(unix_socket_path=str(socket))
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            client.ping()
        except redis.ConnectionError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"redis-server does not answer: {error}") from error
            time.sleep(0.02)
        else:
            return client


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.wait()
