"""Generated kernels: named by all they depend on, reloaded from disk, usable without a disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from predis_core import policies
from predis_core.policies import Policy
from predis_core.table import codegen

REUSES = """
import numpy as np
import predis_core as predis
cache = predis.Cache(100, value=predis.Rows("int64"), policy="fifo")
cache.set_many([1, 2], [3, 4])
assert cache.get_many([1, 2])[0].tolist() == [3, 4]
stats = cache._table._kernels.lookup.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def run(code: str, folder: Path, **more: str) -> str:
    environment = {**os.environ, "PREDIS_CACHE_DIR": str(folder), **more}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    assert run(REUSES, tmp_path) == "0 1"
    packages = sorted(path.name for path in tmp_path.iterdir())
    assert run(REUSES, tmp_path) == "1 0"
    assert sorted(path.name for path in tmp_path.iterdir()) == packages


def digest(policy: Policy) -> str:
    parts = codegen._depends_on({"on_insert": policy.on_insert, "rank": policy.rank})
    return "\n".join(parts)


def test_the_name_follows_the_policy() -> None:
    assert digest(policies.get("fifo")) == digest(policies.get("fifo"))
    assert digest(policies.get("fifo")) != digest(policies.get("lru"))


SHIFT = 3


def shifted(meta: int) -> int:
    return meta >> SHIFT


def test_the_name_follows_constants_and_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    def parts() -> list[str]:
        return list(codegen._depends_on({"tally": shifted}))  # type: ignore[dict-item]

    before = parts()
    assert parts() == before
    monkeypatch.setitem(globals(), "SHIFT", 4)
    assert parts() != before


def test_a_folder_that_cannot_be_written_is_passed_over(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    spare = tmp_path / "spare"
    spare.mkdir()
    assert run(REUSES, blocked / "kernels", TMPDIR=str(spare)) == "0 1"
    assert [path.name for path in spare.iterdir() if path.name.startswith("predis-kernels-")]


def test_an_unknown_constant_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="NO_SUCH"):
        codegen._filled({"constants.py": "A = 1\n"}, {"NO_SUCH": 2})
