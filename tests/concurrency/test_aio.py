"""The asyncio face: what the batch face does, without standing in the way of an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.aio import face
from predis_core.aio.workers import Workers
from predis_core.errors import CacheClosed, KeyKindError, ValueShapeError
from tests.support.combinations import Combination, plain
from tests.support.crew import PATIENCE, Crew, wait_until

FEW, MANY = 7, 2 * face._KEYS + 3


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a loop of its own; one that hangs fails."""
    return asyncio.run(asyncio.wait_for(work, PATIENCE))


def twins(combination: Combination, capacity: int) -> tuple[predis.Cache[Any, Any], ...]:
    return tuple(combination.open(capacity, seed=1, policy="lru") for _ in range(2))


# ------------------------------------------------------------------ the same as the batch face


@pytest.mark.parametrize("n", [0, 1, FEW, MANY])
def test_batches_give_what_the_batch_face_gives(combination: Combination, n: int) -> None:
    plainly, awaited = twins(combination, 4 * MANY)
    keys, values = combination.keys(range(n)), combination.values(range(n))
    some = combination.keys(range(0, 2 * n, 3))

    async def main() -> None:
        stored = await awaited.aset_many(keys, values)
        assert stored.tolist() == plainly.set_many(keys, values).tolist() == [True] * n
        for asked in (keys, some, tuple(some), iter(some)):
            found, hit = await awaited.aget_many(asked)
            expected, expected_hit = plainly.get_many(some if asked is not keys else keys)
            assert type(found) is type(expected)
            assert plain(found) == plain(expected)
            assert hit.tolist() == expected_hit.tolist()
        present = await awaited.acontains_many(some)
        assert present.tolist() == plainly.contains_many(some).tolist()
        assert (await awaited.atouch_many(some)).tolist() == present.tolist()
        assert (await awaited.adelete_many(some)).tolist() == present.tolist()
        plainly.touch_many(some)
        plainly.delete_many(some)

    run(main())
    assert dict(awaited.items()) == dict(plainly.items())
    mine, theirs = awaited.stats(), plainly.stats()
    assert (mine.insertions, mine.deletions) == (theirs.insertions, theirs.deletions)


def test_what_leaves_for_a_large_batch_is_returned(combination: Combination) -> None:
    cache = combination.open(MANY)
    keys, values = combination.keys(range(3 * MANY)), combination.values(range(3 * MANY))
    cache.set_many(keys[:MANY], values[:MANY])
    before = dict(cache.items())
    new = slice(MANY, 3 * MANY)
    stored, gone = run(cache.aset_many(keys[new], values[new], return_evicted=True))
    assert stored.all()
    left = dict(zip(plain(gone.keys), plain(gone.values), strict=True))
    given = dict(zip(keys[new], values[new], strict=True))
    assert len(left) == len(plain(gone.keys))
    assert (before | given).items() >= left.items()
    assert dict(cache.items()) | left == before | given


@pytest.mark.parametrize("kind", ["int64", "str"])
def test_rows_of_a_large_batch_are_written_into_out(kind: str) -> None:
    combination = Combination("rows", kind)
    cache = combination.open(3 * MANY)
    numbers = range(0, MANY, 2)
    cache.set_many(combination.keys(numbers), combination.values(numbers))
    out = np.full(MANY, -1, np.int64)
    found, hit = run(cache.aget_many(combination.keys(range(MANY)), out=out))
    assert found is out
    assert out[::2].tolist() == combination.values(numbers)
    assert (out[1::2] == -1).all()
    assert hit.tolist() == [n % 2 == 0 for n in range(MANY)]


def test_a_large_batch_may_have_a_time_to_live_per_key(combination: Combination) -> None:
    clock = predis.ManualClock()
    cache = combination.open(3 * MANY, clock=clock)
    keys, values = combination.keys(range(MANY)), combination.values(range(MANY))
    for ttl in (list(range(1, MANY + 1)), np.arange(1, MANY + 1)):
        run(cache.aset_many(keys, values, ttl=ttl))
        assert [cache.ttl_left(keys[n]) for n in (0, 600, MANY - 1)] == [1, 601, MANY]
    run(cache.aset_many(keys, values, ttl=5))
    clock.advance(5)
    assert not run(cache.acontains_many(keys)).any()


def test_a_list_that_changes_while_its_batch_runs_does_no_harm() -> None:
    cache = predis.Cache[Any, int](4 * MANY)
    keys: list[Any] = list(range(MANY))

    async def main() -> None:
        batch = asyncio.create_task(cache.aset_many(keys, range(MANY)))
        await asyncio.sleep(0)
        keys.clear()
        assert (await batch).all()

    run(main())
    assert dict(cache.items()) == {n: n for n in range(MANY)}


@pytest.mark.parametrize("n", [FEW, MANY])
@pytest.mark.parametrize(
    ("built", "keys", "values", "options"),
    [
        ({"keys": "int64"}, lambda n: [*range(n - 1), "x"], None, {}),
        ({"keys": "int64"}, lambda n: np.arange(n) + 0.5, None, {}),
        ({"keys": "int64"}, lambda n: np.zeros((n, 2), int), None, {}),
        ({"keys": "str"}, lambda n: ["a"] * (n - 1) + [5], None, {}),
        ({}, lambda n: [*range(n - 1), []], None, {}),
        ({}, lambda n: "a" * n, None, {}),
        ({}, lambda n: n, None, {}),
        ({}, range, lambda n: range(n - 1), {}),
        ({}, range, lambda n: "a" * n, {}),
        ({}, range, lambda n: [1] * n, {"ttl": [1.0] * 3 + [-1.0]}),
        ({}, range, lambda n: [1] * n, {"ttl": -1}),
        ({"value": predis.Rows("int64")}, range, lambda n: [1] * (n - 1) + ["x"], {}),
        ({"value": predis.Rows("int64")}, range, lambda n: [[1]] * n, {}),
        ({"value": predis.Rows("int64")}, range, lambda n: np.ones(n), {}),
    ],
)
def test_errors_are_those_of_the_batch_face_and_nothing_is_stored(
    built: Any, keys: Any, values: Any, options: Any, n: int
) -> None:
    cache = predis.Cache[Any, Any](10, **built)
    given = [1] * n if values is None else values(n)
    with pytest.raises((KeyKindError, ValueShapeError, ValueError)) as expected:
        cache.set_many(keys(n), given, **options)
    with pytest.raises(type(expected.value)) as caught:
        run(cache.aset_many(keys(n), given, **options))
    assert str(caught.value) == str(expected.value)
    assert len(cache) == 0


# ------------------------------------------------------------------ the loop goes on


async def gaps_during(work: Awaitable[Any]) -> list[float]:
    """Return the CPU time of the loop's thread between the turns of another task, in seconds."""
    gaps: list[float] = []
    running = True

    async def tick() -> None:
        last = time.thread_time()
        while running:
            await asyncio.sleep(0)
            now = time.thread_time()
            gaps.append(now - last)
            last = now

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    await work
    running = False
    await ticking
    return gaps


@contextlib.contextmanager
def frozen_garbage() -> Iterator[None]:
    """Keep collections from going over what other tests left: in whichever thread they come."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("combination", [Combination("objects", "any"), Combination("rows", "str")])
def test_no_batch_of_100_000_blocks_the_loop(combination: Combination) -> None:
    """A gap is a millisecond at most where nothing else runs (`benchmarks/faces`).

    Here others run. So nearly all gaps must be short, and none may be the whole call. Of three
    rounds the best one counts.
    """
    n = 100_000
    cache = combination.open(2 * n)
    keys, values = combination.keys(range(n)), combination.values(range(n))

    async def load(ids: Any) -> Any:
        return values

    verbs: dict[str, Callable[[], Awaitable[Any]]] = {
        "set": lambda: cache.aset_many(keys, values),
        "get": lambda: cache.aget_many(keys),
        "contains": lambda: cache.acontains_many(keys),
        "delete": lambda: cache.adelete_many(keys),
        "load": lambda: cache.aget_or_load_many(keys, load),
    }
    for name, verb in verbs.items():
        rounds = []
        for _ in range(3):
            if name == "load":
                cache.clear()
            with frozen_garbage():
                gaps = sorted(run(gaps_during(verb())))
            assert len(gaps) > n / face._KEYS_WITH_GIL
            rounds.append((gaps[-len(gaps) // 20], gaps[-1]))
        usual, longest = map(min, zip(*rounds, strict=True))
        assert usual < 0.003, f"{name}: {usual * 1e3:.1f} ms"
        assert longest < 0.05, f"{name}: {longest * 1e3:.1f} ms"


class Witness(predis.Cache[Any, Any]):
    """Knows which threads looked up."""

    threads: set[str]

    def get_many(self, keys: Any, *, out: Any = None) -> tuple[Any, Any]:
        self.threads.add(threading.current_thread().name)
        return super().get_many(keys, out=out)


def test_large_batches_of_rows_run_in_a_thread_and_small_ones_where_they_are() -> None:
    cache = Witness(3 * MANY, value=predis.Rows("int64"))
    for n, expected in ((FEW, "MainThread"), (MANY, "predis-kernel-")):
        cache.threads = set()
        run(cache.aget_many(np.arange(n)))
        (thread,) = cache.threads
        assert thread.startswith(expected)


def test_wide_rows_count_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face, "_BYTES", 4 * 8)
    cache = Witness(300, value=predis.Rows("int64"))
    for n, expected in ((4, "MainThread"), (5, "predis-kernel-")):
        cache.threads = set()
        run(cache.aget_many(np.arange(n)))
        (thread,) = cache.threads
        assert thread.startswith(expected)


# ------------------------------------------------------------------ cancelled, closed, forked


def test_nothing_of_a_cancelled_batch_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = predis.Cache[int, int](3 * MANY, value=predis.Rows("int64"))
    begun, release, order = threading.Event(), threading.Event(), []
    insert = cache._table.insert

    def slow(*args: Any, **options: Any) -> Any:
        begun.set()
        assert release.wait(PATIENCE)
        result = insert(*args, **options)
        order.append("stored")
        return result

    monkeypatch.setattr(cache._table, "insert", slow)

    async def main() -> None:
        batch = asyncio.create_task(cache.aset_many(np.arange(MANY), np.arange(MANY)))
        while not begun.is_set():
            await asyncio.sleep(0)
        batch.cancel()
        await asyncio.sleep(0.01)
        assert not batch.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await batch
        order.append("cancelled")

    run(main())
    assert order == ["stored", "cancelled"]


def test_a_cancelled_batch_of_objects_stops_between_its_parts() -> None:
    cache = predis.Cache[int, int](3 * MANY)

    async def main() -> None:
        batch = asyncio.create_task(cache.aset_many(range(MANY), range(MANY)))
        while not len(cache):
            await asyncio.sleep(0)
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch

    run(main())
    assert 0 < len(cache) < MANY
    cache.check_invariants()


def test_a_cache_that_is_closed_while_a_batch_runs_says_so() -> None:
    cache = predis.Cache[int, int](3 * MANY)

    async def main() -> None:
        batch = asyncio.create_task(cache.aset_many(range(MANY), range(MANY)))
        while not len(cache):
            await asyncio.sleep(0)
        cache.close()
        with pytest.raises(CacheClosed):
            await batch
        with pytest.raises(CacheClosed):
            await cache.aget_many([1])

    run(main())


def test_several_loops_in_several_threads_use_one_cache(
    combination: Combination, crew: Crew
) -> None:
    cache = combination.open(4 * MANY)

    async def main(seed: int) -> None:
        numbers = range(seed, MANY, 4)
        keys, values = combination.keys(numbers), combination.values(numbers)
        for _ in range(3):
            assert (await cache.aset_many(keys, values)).all()
            found, hit = await cache.aget_many(keys)
            assert hit.all()
            assert plain(found) == values

    crew.run(*[lambda seed=seed: run(main(seed)) for seed in range(4)])
    assert len(cache) == MANY


FORKS = """
import asyncio, os
import numpy as np
import predis_core as predis

def opened():
    return predis.Cache(20_000, value=predis.Rows("int64"))

async def main(cache):
    await cache.aset_many(np.arange(5000), np.arange(5000))
    rows = await cache.aget_or_load_many(np.arange(4990, 6000), lambda ids: ids)
    return (rows == np.arange(4990, 6000)).all()

parent = opened()
assert asyncio.run(main(parent))
child = os.fork()
if not child:
    try:
        asyncio.run(main(parent))
    except predis.errors.ForkedCache:
        os._exit(0 if asyncio.run(main(opened())) else 1)
    os._exit(2)
assert os.waitpid(child, 0)[1] == 0
assert asyncio.run(main(parent))
"""

HANGS = """
import asyncio, time
import predis_core as predis

cache = predis.Cache(10, loader=lambda ids: time.sleep(600))

async def main():
    async with asyncio.timeout(0.1):
        await cache.aget_or_load_many([1])

try:
    asyncio.run(main())
except TimeoutError:
    print("in time")
"""


def script(text: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.skipif(not hasattr(sys, "getdlopenflags"), reason="this system does not fork")
def test_use_after_fork_raises_and_the_child_has_threads_of_its_own() -> None:
    script(FORKS)


def test_a_loader_that_hangs_does_not_keep_the_process() -> None:
    assert script(HANGS) == "in time\n"


def test_workers_are_made_when_needed_and_no_more_than_allowed() -> None:
    workers, release = Workers("test", 3), threading.Event()
    names: list[str] = []

    def job() -> None:
        names.append(threading.current_thread().name)
        release.wait(PATIENCE)

    for _ in range(10):
        workers.submit(job)
    wait_until(lambda: len(names) == 3)
    release.set()
    wait_until(lambda: len(names) == 10)
    assert set(names) == {"predis-test-0", "predis-test-1", "predis-test-2"}


def test_it_works_under_anyio() -> None:
    anyio = pytest.importorskip("anyio")
    cache = predis.Cache[int, int](4 * MANY)
    release = threading.Event()

    def slow(key: int) -> int:
        assert release.wait(PATIENCE)
        return key

    async def main() -> None:
        assert (await cache.aset_many(range(MANY), range(MANY))).all()
        async with anyio.create_task_group() as group:
            for n in range(5):
                group.start_soon(cache.aget_or_load_many, [MANY + n, 0], lambda ids: ids)
        with anyio.move_on_after(0.01) as scope:
            await cache.aget_or_load(-1, slow)
        assert scope.cancelled_caught

    anyio.run(main)
    assert len(cache) == MANY + 5
    # What was left goes on in its thread: it has to be over before the cache is checked.
    release.set()
    wait_until(lambda: not cache._loads.under_way)
    assert cache[-1] == -1
