"""The gate on instructions: what it compares and says. Nothing here is counted under valgrind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.instructions import __main__ as gate
from benchmarks.instructions import baseline, callgrind, counting, verbs
from benchmarks.instructions.baseline import Baseline, Comparison, Count

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = {**baseline.environment(), "numba": "0.1"}
SKIPPED = (
    "instructions: NOT COMPARED, the baseline is for others: "
    f"numba 0.1 on record, {baseline.environment()['numba']} here\n"
)

DUMP = """\
desc: Trigger: Client Request: 10 get_many, hits

positions: line
events: Ir
summary: 470

ob=/lib/python.so
fl=a.c
fn=evaluate
12 200
cfi=???
cob=???
cfn=0x1000
calls=10 0
13 160
+1 40
* 10

ob=???
fl=???
fn=0x1000
0 150
cob=/lib/libc.so
cfn=memcpy
calls=10 0
0 70

ob=/lib/libc.so
fn=memcpy
0 70
"""


def compared(recorded: dict[str, int], now: dict[str, int]) -> Comparison:
    return Comparison(*({n: Count(c, c // 2) for n, c in x.items()} for x in (recorded, now)))


# ------------------------------------------------------------------ comparing


def test_three_per_cent_more_pass_and_more_than_that_fail() -> None:
    recorded = {"equal": 1_000, "three": 1_000, "more": 1_000}
    found = compared(recorded, {"equal": 1_000, "three": 1_030, "more": 1_031})
    assert (found.slower, found.faster, found.unmatched) == (["more"], [], [])


def test_over_three_per_cent_less_is_worth_recording() -> None:
    found = compared({"three": 1_000, "less": 1_000}, {"three": 970, "less": 969})
    assert (found.slower, found.faster, found.unmatched) == ([], ["less"], [])


def test_the_table_has_a_line_per_verb_and_marks_what_got_slower() -> None:
    recorded = {"get": 1_000, "set, evicting": 2_000}
    found = compared(recorded, {"get": 1_100, "set, evicting": 2_000, "new": 10})
    assert found.table() == (
        "instructions per call   baseline        now      ratio   compiled        now\n"
        "get                        1,000      1,100      1.100        500        550  !\n"
        "set, evicting              2,000      2,000      1.000      1,000      1,000\n"
        "new                            -         10          -          -          5"
    )


def test_a_slower_verb_fails_with_the_table_and_says_how_to_record(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = compared({"get": 1_000}, {"get": 1_031})
    assert gate.judge(found) == 1
    assert capsys.readouterr().out == (
        f"{found.table()}\n\n"
        "1 verb takes over 3% more instructions than on record.\n"
        "Find out what they do. Where they are the price of something that is wanted, and no way "
        "around\nthem was found, record the new counts in the same change, and say so in its "
        "message:\n    make instructions RECORD=1\n"
    )


def test_a_faster_verb_passes_and_suggests_to_record(capsys: pytest.CaptureFixture[str]) -> None:
    found = compared({"get": 1_000, "set": 1_000}, {"get": 500, "set": 600})
    assert gate.judge(found) == 0
    assert capsys.readouterr().out == (
        f"{found.table()}\n\n"
        "2 verbs take over 3% fewer instructions; record that, lest it be lost again:\n"
        "    make instructions RECORD=1\n"
        "2 verbs, none over 3% above its baseline.\n"
    )


@pytest.mark.parametrize(("recorded", "now"), [({"a": 1}, {"a": 1, "b": 1}), ({"b": 1}, {})])
def test_a_verb_without_a_baseline_and_one_not_counted_fail(
    recorded: dict[str, int], now: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate.judge(compared(recorded, now)) == 1
    assert capsys.readouterr().out.endswith(
        "\n\nOnly on record or only counted: b. Record again:\n    make instructions RECORD=1\n"
    )


# ------------------------------------------------------------------ another environment


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A baseline of another environment, and nothing that could be counted."""
    path = tmp_path / "baseline.json"
    Baseline(ELSEWHERE, {"get": Count(2, 1)}).write(path)
    monkeypatch.setattr(gate, "RECORDED", path)
    monkeypatch.setattr(gate, "count", lambda: pytest.fail("counted for nothing"))
    monkeypatch.delenv("PREDIS_COUNTERPARTS", raising=False)


@pytest.mark.usefixtures("elsewhere")
def test_a_baseline_of_another_environment_is_not_compared_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert gate.check() == 0
    assert capsys.readouterr().out == SKIPPED


@pytest.mark.usefixtures("elsewhere")
def test_a_baseline_of_another_environment_fails_where_a_comparison_is_required(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREDIS_COUNTERPARTS", "required")
    assert gate.check() == 1
    assert capsys.readouterr().out == (
        f"{SKIPPED}PREDIS_COUNTERPARTS=required asks for a comparison; record a baseline here:\n"
        "    make instructions RECORD=1\n"
    )


def test_environments_differ_by_what_one_lacks_too() -> None:
    assert baseline.differences({"a": "1", "b": "2"}, {"a": "1", "c": "3"}) == [
        "b 2 on record, unknown here",
        "c unknown on record, 3 here",
    ]


# ------------------------------------------------------------------ counting


def test_a_dump_is_read_without_what_callees_took() -> None:
    assert callgrind.read(DUMP) == ("get_many, hits", Count(call=47, compiled=15))


def test_a_missing_valgrind_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gate", "--record"])
    monkeypatch.setattr("shutil.which", lambda program: None)
    assert gate.main() == 1
    assert capsys.readouterr().err == (
        "instructions: valgrind is not installed (Debian, Ubuntu: apt install valgrind)\n"
    )


def test_a_process_that_fails_shows_what_it_wrote() -> None:
    command = ("sh", "-c", "echo out; echo err >&2; exit 3")
    with pytest.raises(callgrind.CountingFailed) as raised:
        callgrind.run(command)
    assert str(raised.value) == f"exit 3: {' '.join(command)}\nout\nerr\n"


def test_what_is_recorded_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "baseline.json"
    monkeypatch.setattr("sys.argv", ["gate", "--record"])
    monkeypatch.setattr(gate, "RECORDED", path)
    monkeypatch.setattr(gate, "count", lambda: {"get": Count(2, 1)})
    assert gate.main() == 0
    assert Baseline.read(path) == Baseline(baseline.environment(), {"get": Count(2, 1)})
    assert capsys.readouterr().out == "instructions: 1 verb recorded in baseline.json\n"


def test_without_valgrind_its_requests_do_nothing() -> None:
    requests = counting.Callgrind()
    requests.start()
    requests.zero()
    requests.dump("1 nothing")


# ------------------------------------------------------------------ what is committed


def test_the_committed_baseline_has_the_verbs_and_the_pinned_versions() -> None:
    recorded = Baseline.read(baseline.RECORDED)
    assert list(recorded.verbs) == [verb.name for verb in verbs.VERBS]
    assert recorded.environment["target"] == baseline.TARGET
    pins = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    for name in ("numpy", "numba", "llvmlite"):
        assert recorded.environment[name] == pins[name], "make instructions RECORD=1"


# What a task's calls do, in all: by the start of the verb's name.
DOES: dict[str, dict[str, int]] = {
    "get_many, hits": {"hits": 20_000},
    "get_many, misses": {"misses": 20_000},
    "get_or_load_many, hits": {"hits": 20_000},
    "contains_many": {},
    "touch_many": {},
    "set_many, updates": {"updates": 20_000},
    "set_many, evicting": {"insertions": 20_000, "evictions": 20_000},
    "delete_many and set_many": {"insertions": 20_000, "deletions": 20_000},
    "get, one": {"hits": 200},
    "set, one, evicting": {"insertions": 200, "evictions": 200},
    "set, one": {"updates": 200},
    "memoize, one hit": {"hits": 200},
}


@pytest.mark.parametrize("verb", verbs.VERBS, ids=lambda verb: verb.name)
def test_a_verb_does_what_its_name_says_each_time(verb: verbs.Verb) -> None:
    expected = next(does for start, does in DOES.items() if verb.name.startswith(start))
    task = verb.prepare()
    task.warm_up()
    before = counted(task)
    task.run()
    after = counted(task)
    assert {n: after[n] - before[n] for n in after if after[n] != before[n]} == expected


def counted(task: verbs.Task) -> dict[str, int]:
    stats = task.cache.stats()
    others = {"conflicts", "bytes", "hit_bytes", "inserted_bytes"}
    return {name: getattr(stats, name) for name in stats.__struct_fields__ if name not in others}
