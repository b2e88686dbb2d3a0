"""The faces of a cache on a GPU that is one. Without a GPU these tests skip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import Cache
from predis_core.errors import DeviceError
from predis_core.table.cuda.launch import CupyDevice
from predis_core.table.cuda.shared import SharedGpuTable
from tests.support.pages import read, snippets

pytestmark = pytest.mark.gpu
N = 100_000


@pytest.fixture(scope="module")
def cupy() -> Any:
    try:
        CupyDevice()
    except DeviceError as error:
        pytest.skip(str(error))
    return pytest.importorskip("cupy")


def opened(**options: Any) -> Cache[Any, Any]:
    rows = predis.Rows("float32", (4,))
    return Cache(options.pop("capacity", 4 * N), value=rows, policy="lru", seed=1, **options)


def rows_of(keys: Any) -> Any:
    return np.stack([keys, keys + 1, keys + 2, keys + 3], 1).astype("float32")


def test_auto_finds_the_gpu(cupy: Any) -> None:
    assert isinstance(opened()._table, SharedGpuTable)


def test_the_snippet_of_the_readme_runs_unchanged(
    cupy: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    exec(snippets(read("README.md"))[0], names)
    assert capsys.readouterr().out.splitlines() == ["[True, False]", "3", "Ada"]
    assert isinstance(names["cache"]._table, SharedGpuTable)


def test_arrays_of_cupy_stay_there(cupy: Any) -> None:
    cache, keys = opened(device="cuda:0"), np.arange(N)
    for stream in (cupy.cuda.Stream.null, cupy.cuda.Stream(non_blocking=True)):
        with stream:
            assert bool(cache.set_many(cupy.asarray(keys), cupy.asarray(rows_of(keys))).all())
            values, hit = cache.get_many(cupy.asarray(keys[::-1].copy()))
            assert isinstance(values, cupy.ndarray)
            assert bool(hit.all())
            assert (cupy.asnumpy(values) == rows_of(keys)[::-1]).all()
    cache.check_invariants()


def test_tensors_of_torch_stay_there(cupy: Any) -> None:
    torch = pytest.importorskip("torch")
    cache, keys = opened(device="cuda:0"), np.arange(N)
    for stream in (torch.cuda.default_stream(), torch.cuda.Stream()):
        with torch.cuda.stream(stream):
            there = torch.from_numpy(keys).cuda()
            assert bool(cache.set_many(there, torch.from_numpy(rows_of(keys)).cuda()).all())
            values, hit = cache.get_many(there.flip(0))
            assert values.is_cuda
            assert bool(hit.all())
            assert (values.cpu().numpy() == rows_of(keys)[::-1]).all()
            loaded = cache.get_or_load_many(
                there + N // 2, lambda ids: torch.from_numpy(rows_of(ids)).cuda()
            )
            assert (loaded.cpu().numpy() == rows_of(keys + N // 2)).all()


def test_arrays_of_jax_stay_there(cupy: Any) -> None:
    jax = pytest.importorskip("jax")
    if jax.default_backend() != "gpu":
        pytest.skip("this jax has no GPU")
    jax.config.update("jax_enable_x64", True)
    cache, keys = opened(device="cuda:0"), np.arange(N)
    assert bool(cache.set_many(jax.numpy.asarray(keys), jax.numpy.asarray(rows_of(keys))).all())
    values, hit = cache.get_many(jax.numpy.asarray(keys))
    assert isinstance(values, jax.Array)
    assert bool(hit.all())
    assert (np.asarray(values) == rows_of(keys)).all()


def test_a_tier_holds_what_does_not_fit(cupy: Any) -> None:
    cache = opened(capacity=N // 10, host_capacity=2 * N, device="cuda:0")
    rng, lost = np.random.default_rng(0), 0
    for _ in range(20):
        keys = rng.integers(0, N, 5_000)
        stored, evicted = cache.set_many(keys, rows_of(keys), ttl=60.0, return_evicted=True)
        assert stored.all()
        lost += len(evicted.keys)
        asked = rng.integers(0, N, 5_000)
        values, hit = cache.get_many(asked)
        assert (values[hit] == rows_of(asked)[hit]).all()
        cache.delete_many(asked[:100])
        assert not cache.get_many(asked[:100])[1].any()
    cache.check_invariants()
    assert cache.stats().evictions == lost
    assert all(tier.hits for tier in cache.tiers())
