"""The rooms of the house: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import predis_core

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "predis_core"
PLUGINS = {path.parent.name: path.parent for path in ROOT.glob("plugins/*/src/*/__init__.py")}

# Only these may know CuPy.
KNOW_CUPY = ("table/cuda/", "stores/rows.py")

# What a plugin may import besides `predis_core` itself.
PUBLIC_MODULES = {
    "predis_core",
    "predis_core.adapt",
    "predis_core.clock",
    "predis_core.errors",
    "predis_core.pages",
    "predis_core.plugin",
    "predis_core.policies",
    "predis_core.processes",
    "predis_core.replaying",
    "predis_core.table",
    "predis_core.telemetry",
    "predis_core.testing",
    "predis_core.tiers",
    "predis_core.types",
}


def imports(source: Path) -> Iterator[tuple[str, str | None]]:
    """Yield (module, imported name or None) for each import anywhere in a file."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                # A package that is copied whole under another name imports its own by dots.
                assert "kernels" in source.parts, f"{source}: relative import"
                continue
            for alias in node.names:
                yield node.module or "", alias.name


def test_an_import_only_points_to_a_lower_floor() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_no_room_imports_the_facade() -> None:
    """Rooms name each other; `predis_core` itself is for users (it would hide a climb)."""
    offenders = [
        source.relative_to(ROOT)
        for source in CORE.rglob("*.py")
        for module, name in imports(source)
        if module == "predis_core" and (name is None or not _is_module(f"predis_core.{name}"))
    ]
    assert not offenders


def test_only_the_designated_modules_know_cupy() -> None:
    offenders = [
        source.relative_to(ROOT)
        for folder in (CORE, *PLUGINS.values())
        for source in folder.rglob("*.py")
        for module, _ in imports(source)
        if module.partition(".")[0] == "cupy"
        and not source.relative_to(folder).as_posix().startswith(KNOW_CUPY)
    ]
    assert not offenders


def test_plugins_import_only_the_public_surface_of_the_core() -> None:
    offenders = []
    for package, folder in PLUGINS.items():
        for source in folder.rglob("*.py"):
            for module, name in imports(source):
                if module.partition(".")[0] != "predis_core":
                    continue
                imported = module if name is None else f"{module}.{name}"
                if not _is_public(module, name):
                    offenders.append(f"{package}: {source.name} imports {imported}")
    assert not offenders


def test_plugins_never_import_each_other() -> None:
    offenders = [
        f"{package}: {source.name} imports {module}"
        for package, folder in PLUGINS.items()
        for source in folder.rglob("*.py")
        for module, _ in imports(source)
        if module.partition(".")[0] in PLUGINS.keys() - {package}
    ]
    assert not offenders


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _is_public(module: str, name: str | None) -> bool:
    if module not in PUBLIC_MODULES:
        return module.startswith("predis_core.testing.")
    if name is None:
        return True
    if module == "predis_core":
        return name in predis_core.__all__ or f"{module}.{name}" in PUBLIC_MODULES
    return not name.startswith("_")
