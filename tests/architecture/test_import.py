"""What `import predis_core` costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numba", "llvmlite", "click", "rich", "hypothesis", "matplotlib", "predis_lab")
IMPORT_BUDGET = 0.3  # seconds, warm


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


# What most programs never use, and what only compiling takes.
RARE = ("asyncio", "tomllib", "predis_core.config.configuration", "numba.np.linalg")


@pytest.mark.parametrize("module", HEAVY)
def test_import_predis_core_does_not_import(module: str) -> None:
    assert run(f"import sys, predis_core; print({module!r} in sys.modules)") == "False"


def test_a_first_look_up_does_not_import_what_few_need() -> None:
    used = "import sys, predis_core; predis_core.Cache(100, policy='fifo').get(7); "
    run(used)  # the first may compile
    assert run(f"{used}print([name for name in {RARE!r} if name in sys.modules])") == "[]"


def test_import_predis_core_takes_under_three_tenths_of_a_second_warm() -> None:
    measure = (
        "import time; start = time.perf_counter(); import predis_core; "
        "print(time.perf_counter() - start)"
    )
    run(measure)  # the first may write byte code
    # What others do to the machine meanwhile is no cost of the import.
    assert any(float(run(measure)) < IMPORT_BUDGET for _ in range(20))


def test_the_command_line_module_imports_without_click() -> None:
    code = "import sys; sys.modules['click'] = None; import predis_core.cli; print('imported')"
    assert run(code) == "imported"
