"""Every kernel and every policy compiles for the GPUs that there are, with none at hand."""

from __future__ import annotations

import ctypes
import re
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from predis_core import policies
from predis_core.errors import DeviceError
from predis_core.policies import Policy
from predis_core.table.cuda import (
    batch,
    inspection,
    moving,
    nvrtc,
    referenced,
    sampling,
    switching,
    table,
)
from predis_core.table.cuda.source import source
from predis_core.table.layout import record_of
from tests.support.counterparts import nvrtc_counterpart
from tests.support.policies import NARROW, NRU, VALUED, WIDE

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
# Every policy with rows of one width; widths that are copied in other units, 8 bytes of scalars
# among them; keys with idents; a policy that is told of values.
CASES = [
    *((policies.get(name), 256, False) for name in policies.names()),
    (WIDE, 12, False),
    (NARROW, 0, False),
    (NRU, 6, False),
    (policies.get("lru"), 3, False),
    (WIDE, 256, True),
    (VALUED, 8, True),
]
LAUNCHED = {
    name
    for module in (batch, inspection, moving, referenced, sampling, switching, table)
    for name in re.findall(r'launch\((?:\w+, )?"(\w+)"', Path(module.__file__).read_text("utf-8"))
}


@pytest.mark.parametrize(
    ("policy", "row_bytes", "has_idents"), CASES, ids=lambda each: getattr(each, "name", each)
)
def test_every_kernel_and_policy_compiles(policy: Policy, row_bytes: int, has_idents: bool) -> None:
    compile_everywhere(source(policy, row_bytes, has_idents=has_idents))


def test_a_policy_of_a_choice_compiles_with_the_records_of_all() -> None:
    lru, s3fifo = map(policies.get, ("lru", "s3fifo"))
    record = record_of(policies.auto(lru, s3fifo))
    assert record.stride > record_of(lru).stride
    compile_everywhere(source(lru, 8, record))


def compile_everywhere(text: str) -> None:
    compiler = nvrtc_counterpart()
    kernels = re.findall(r"^KERNEL\((\w+)\)", text, re.MULTILINE)
    assert set(kernels) == LAUNCHED
    for architecture in ARCHITECTURES:
        code = compiler.compile(text, architecture)
        assert code.startswith(b"\x7fELF")
        assert all(f".text.predis_{kernel}\0".encode() in code for kernel in kernels)


def test_what_does_not_compile_is_told_with_the_log_and_the_fix() -> None:
    compiler = nvrtc_counterpart()
    message = (
        f"^the GPU table's program does not compile for sm_90 with NVRTC {compiler.version}; name "
        r"another policy, or use device='cpu':\ntable.cu\(1\): error: "
    )
    with pytest.raises(DeviceError, match=message):
        compiler.compile("int broken(", "sm_90")


def test_the_compiler_of_the_asked_version_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tried: list[str] = []

    def load(name: str) -> None:
        tried.append(name)
        raise OSError

    folder = tmp_path / "cuda_nvrtc" / "lib"
    folder.mkdir(parents=True)
    (folder / "libnvrtc.so.12").touch()
    spec = ModuleSpec("nvidia", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(nvrtc, "find_spec", lambda name: spec)
    monkeypatch.setattr(ctypes, "CDLL", load)
    message = (
        "^NVRTC, which compiles the GPU table, is not installed; install "
        r"predis-core\[cuda13\] or predis-core\[cuda12\]$"
    )
    with pytest.raises(DeviceError, match=message):
        nvrtc.nvrtc.__wrapped__()
    assert tried == ["libnvrtc.so.13", str(folder / "libnvrtc.so.12"), "libnvrtc.so.12"]
