"""A policy's functions say the same in C++ as they do in Python."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import predis_core.table.cuda
from predis_core import policies
from predis_core.errors import PolicyError
from predis_core.policies import Policy, contract
from predis_core.policies.contract import ARGUMENTS
from predis_core.table.cuda.translate import translated
from tests.support.counterparts import counterpart
from tests.support.depth import search
from tests.support.policies import NARROW, NRU, VALUED, WIDE
from tests.support.wrapping import Int64, wrapped

_THIRD, _TABLE = np.int64(3), (1, 2, 3)


def _floors(a: int, b: int = -7, *, c: int = 5) -> int:
    return a // b + a % c


def _swapped(a: int, b: int) -> tuple[int, int]:
    a, b = b, a
    return a, b


def _varied_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Every form that is translated, here and in the functions below."""
    low: int = tick % 1000
    high = total // (frequency or 1)
    if 0 <= low < 10 or not tag:
        low += 1
    elif low == high != state:
        low -= parameters[1]
    else:
        pass
    low, high = _swapped(low, high)
    first = second = abs(low) ^ ~high
    return (first, second) if tag > 0 else _swapped(first >> 1, second << 2)


def _varied_rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    found = min(meta, tick, state) - max(total, parameters[0] // 3)
    found *= -_THIRD + (1 << 4) * contract.HOT_BITS
    found = found and (meta or state)
    return found if (meta < tick) == (state < total) else -(meta > 0) + _shifts(meta, parameters)


def _shifts(meta: int, numbers: Any) -> int:
    meta ^= +numbers[1]
    meta |= -(2**63)
    return int(meta) >> (meta & 127) | 1 << (meta & 127)


def _varied_on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    return _floors(meta) + _floors(tick, b=state) + bool(meta & 2)


VARIED = Policy(
    "varied",
    slot_bits=40,
    on_insert=_varied_insert,
    rank=_varied_rank,
    on_hit=_varied_on_hit,
    tally=lambda meta: meta & 5 and meta - 1,
    parameters=(7, 11),
)
ALL = [*(policies.get(name) for name in policies.names()), WIDE, NARROW, NRU, VALUED, VARIED]

EDGES = (0, 1, -1, 2, 7, 28, 63, 64, 2**31, 2**32 - 1, 2**62, -(2**62), 2**63 - 1, -(2**63))
INT64 = st.sampled_from(EDGES) | st.integers(0, 2**20) | st.integers(-(2**63), 2**63 - 1)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Every function of every policy, compiled by the host's compiler."""
    compiler = counterpart("g++")
    folder = tmp_path_factory.mktemp("translated")
    prelude = Path(predis_core.table.cuda.__file__).with_name("arithmetic.cuh").read_text()
    (folder / "all.cpp").write_text(prelude + "".join(map(_namespace, ALL)), "utf-8")
    command = [
        compiler,
        "-O1",
        "-w",
        "-shared",
        "-fPIC",
        "-D__device__=",
        "-D__forceinline__=inline",
    ]
    subprocess.run([*command, "-o", "all.so", "all.cpp"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "all.so"))


def _namespace(policy: Policy) -> str:
    calls = ""
    for name, arguments in ARGUMENTS.items():
        given = ", ".join(
            "parameters" if argument == "parameters" else f"given[{at}]"
            for at, argument in enumerate(arguments)
        )
        call = f"{policy.name}_space::policy_{name}({given})"
        body = f"auto two = {call}; found[0] = two.at[0]; found[1] = two.at[1];"
        if name not in ("on_insert", "on_evict"):
            body = f"found[0] = {call};"
        head = f"{policy.name}_{name}(const i64* given, const i64* parameters, i64* found)"
        calls += f'extern "C" void {head} {{ {body} }}\n'
    return f"namespace {policy.name}_space {{\n{translated(policy)}}}\n{calls}"


@pytest.mark.parametrize("policy", ALL, ids=lambda policy: policy.name)
@given(given=st.lists(INT64, min_size=6, max_size=6), offset=st.integers(0, 3))
@search(examples=150)
def test_translated_functions_equal_the_python_functions(
    library: ctypes.CDLL, policy: Policy, given: list[int], offset: int
) -> None:
    parameters = [parameter + offset for parameter in policy.parameters]
    vector = (ctypes.c_int64 * max(1, len(parameters)))(*parameters)
    for name, arguments in ARGUMENTS.items():
        words = (ctypes.c_int64 * 6)(*given)
        found = (ctypes.c_int64 * 2)()
        getattr(library, f"{policy.name}_{name}")(words, vector, found)
        scalars = [
            [Int64(each) for each in parameters] if argument == "parameters" else Int64(number)
            for argument, number in zip(arguments, given, strict=False)
        ]
        expected = getattr(policy, name)(*scalars)
        expected = expected if isinstance(expected, tuple) else (expected,)
        assert [wrapped(each) for each in expected] == list(found)[: len(expected)], name


def _policy(on_insert: Callable[..., Any]) -> Policy:
    return Policy("odd", 8, on_insert=on_insert, rank=policies.get("lru").rank)


def _loops(tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any) -> Any:
    for _ in range(3):
        state += 1
    return tick, state


def _divides(tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any) -> Any:
    return tick / 2, state


def _takes(tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any) -> Any:
    return _TABLE[tag], state


def _ends(tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any) -> Any:
    if tag:
        return tick, state


def _calls(tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any) -> Any:
    return len(parameters), state


def _recurs(tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any) -> Any:
    return _recurs(tick, frequency, tag, state, total, parameters)


def _too_large(tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any) -> Any:
    return tick + 2**63, state


def _differs(tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any) -> Any:
    if tag:
        return tick
    return tick, state


def _passes_on(tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any) -> Any:
    return _floors(tick, parameters, 1), state


def _unknown(tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any) -> Any:
    return tick, nowhere  # noqa: F821


@pytest.mark.parametrize(
    ("function", "offset", "problem"),
    [
        (_loops, 1, "has a statement that is not translated (For)"),
        (_divides, 1, "has an expression that is not translated (BinOp)"),
        (_takes, 1, "takes an item of something other than parameters"),
        (_ends, 0, "can end without returning a value"),
        (_calls, 1, "calls len, which is no plain function"),
        (_recurs, 1, "calls _recurs again from within it"),
        (_too_large, 1, "has 9223372036854775808, which is no int64"),
        (_differs, 3, "returns 2 values where another line returns 1"),
        (_unknown, 1, "uses 'nowhere', which is no int"),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_what_cannot_be_translated_is_named_with_its_line_and_the_fix(
    function: Any, offset: int, problem: str
) -> None:
    line = function.__code__.co_firstlineno + offset
    message = (
        f"policy 'odd': {function.__name__} cannot run on the GPU: line {line} of {__file__} "
        f"{problem}; a policy for the GPU is int64 arithmetic, comparisons, branches and calls of "
        "functions of the same kind; rewrite the line with these, or use device='cpu'"
    )
    with pytest.raises(PolicyError, match=f"^{re.escape(message)}$"):
        translated(_policy(function))


def test_a_call_with_other_arguments_than_the_helper_has_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"calls _floors with other arguments than it has \(too"):
        translated(_policy(_passes_on))


def test_a_function_without_source_is_refused() -> None:
    space: dict[str, Any] = {}
    exec("def made(tick, frequency, tag, state, total, parameters): return tick, state", space)
    message = (
        "policy 'odd': made cannot run on the GPU: its source is not to be found at line 1 of "
        "<string>; define it with def, in a file"
    )
    with pytest.raises(PolicyError, match=f"^{re.escape(message)}$"):
        translated(_policy(space["made"]))
