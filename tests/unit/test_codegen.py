"""Generated kernels: named by all they depend on, reloaded from disk, usable without a disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from predis_core import policies
from predis_core.errors import PolicyError
from predis_core.policies import Policy
from predis_core.table import codegen, packages

# A single kernel, that of hashing strings: quick to compile.
HASHES = """
from predis_core.table import codegen
from predis_core.table.keys import StrKeys
StrKeys(0).encode(["a"])
stats = codegen.shared().dispatchers["take_contents"].stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""

# A cache and all that a first use of its faces calls.
CACHES = """
import predis_core as predis
cache = predis.Cache(100, value=predis.Rows("int64"), policy="fifo")
cache.set_many([1, 2], [3, 4], ttl=1000)
assert cache.get_many([1, 2])[0].tolist() == [3, 4]
assert cache.contains_many([1, 5]).tolist() == [True, False]
assert cache.delete_many([1]).all() and list(cache) == [2]
cache.clear()
stats = [k.stats for k in cache._table._kernels.dispatchers.values()]
used = [s for s in stats if s.cache_hits or s.cache_misses]
print(len(used), sum(sum(s.cache_misses.values()) for s in used))
"""


def run(code: str, **environment: str) -> list[int]:
    """Run code in a process of its own; return the numbers that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()]


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    assert run(HASHES, PREDIS_CACHE_DIR=str(tmp_path)) == [0, 1]
    packages = sorted(path.name for path in tmp_path.iterdir())
    assert run(HASHES, PREDIS_CACHE_DIR=str(tmp_path)) == [1, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == packages


def test_a_second_process_compiles_no_face_of_a_cache() -> None:
    run(CACHES)
    used, compiled = run(CACHES)
    assert used >= 6
    assert compiled == 0


def test_a_folder_that_cannot_be_written_is_passed_over(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    spare = tmp_path / "spare"
    spare.mkdir()
    places = {"PREDIS_CACHE_DIR": str(blocked / "kernels"), "TMPDIR": str(spare)}
    assert run(HASHES, **places) == [0, 1]
    assert [path.name for path in spare.iterdir() if path.name.startswith("predis-kernels-")]
    assert run(HASHES, **places) == [1, 0]


def test_where_nothing_can_be_kept_kernels_are_compiled_for_the_process(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    spare = tmp_path / "spare"
    spare.mkdir()
    nowhere = (
        "from predis_core.table import packages\n"
        f"packages.temporary_folder = lambda: packages.Path({str(blocked)!r})\n"
    )
    places = {"PREDIS_CACHE_DIR": str(blocked), "TMPDIR": str(spare)}
    for _ in range(2):
        assert run(nowhere + HASHES, **places) == [0, 1]
    assert list(spare.iterdir()) == []


@pytest.mark.parametrize("kept", [True, False])
def test_a_package_gives_further_modules_later(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kept:
        monkeypatch.setattr(packages, "provide", lambda name, sources: None)
    monkeypatch.setattr(codegen, "_loaded", {})
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    constants = {"STRIDE": 4_000 + kept}  # of a package that nobody else has imported
    first = codegen.load(constants, {}, "hashing")
    assert first is codegen.load(constants, {}, "hashing")
    assert callable(first.hash_packed)
    with pytest.raises(AttributeError, match="have no 'count_in_sketch'"):
        first.count_in_sketch  # noqa: B018
    assert callable(codegen.load(constants, {}, "sketch").count_in_sketch)


# ------------------------------------------------------------------ names


def name_of(constants: dict[str, Any], functions: dict[str, Any]) -> str:
    """Name of the package that would be made; nothing is compiled."""
    made: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codegen, "_loaded", {})
        patch.setattr(codegen, "_materialise", lambda name, *_: made.append(name))
        codegen.load(constants, functions, "inserts")
    return made[0]


def functions_of(policy: Policy) -> dict[str, Any]:
    return {"on_insert": policy.on_insert, "rank": policy.rank, "tally": policy.tally}


def test_equal_parts_make_equal_names() -> None:
    fifo = functions_of(policies.get("fifo"))
    assert name_of({"ROW_BYTES": 8}, fifo) == name_of({"ROW_BYTES": 8}, dict(fifo))


def test_another_policy_or_constant_makes_another_name() -> None:
    names = {
        name_of({"ROW_BYTES": row_bytes}, functions_of(policies.get(policy)))
        for policy in policies.names()
        for row_bytes in (4, 8)
    }
    assert len(names) == 2 * len(policies.names())


SHIFT = 3


def helper(meta: int) -> int:
    return meta >> SHIFT


def shifted(meta: int) -> int:
    return helper(meta)


def other_helper(meta: int) -> int:
    return meta << SHIFT


@pytest.mark.parametrize(("name", "value"), [("SHIFT", 4), ("helper", other_helper)])
def test_what_a_function_refers_to_is_part_of_the_name(
    name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = name_of({}, {"tally": shifted})
    assert name_of({}, {"tally": shifted}) == before
    monkeypatch.setitem(globals(), name, value)
    assert name_of({}, {"tally": shifted}) != before


def test_the_template_is_part_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = name_of({}, {})
    (tmp_path / "constants.py").write_text("# another template\n")
    monkeypatch.setattr(codegen, "_TEMPLATE", tmp_path)
    assert name_of({}, {}) != before


def test_an_unknown_constant_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="NO_SUCH"):
        codegen._filled({"constants.py": "A = 1\n"}, {"NO_SUCH": 2})


# ------------------------------------------------------------------ refusals


def calls_itself(meta: int) -> int:
    return calls_itself(meta)


FACTOR = 1.5


def refers_to_a_float(meta: int) -> int:
    return int(meta * FACTOR)


def divides(meta: int) -> int:
    return meta / 2  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (calls_itself, r"policy: calls_itself calls itself; policies cannot recurse"),
        (refers_to_a_float, r"policy: refers_to_a_float refers to 'FACTOR', a float; policy func"),
        (divides, r"policy: divides divides with '/'; use '//'"),
    ],
)
def test_a_function_that_cannot_be_compiled_alike_is_refused(function: Any, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        name_of({}, {"tally": function})
