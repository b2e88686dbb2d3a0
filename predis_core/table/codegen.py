"""Generated kernels: the package `kernels`, its constants and a policy's functions, on disk.

Numba reloads compiled functions from disk only if they live in a file; closures over other compiled
functions never qualify. So the template package is copied, with its constants filled in and the
policy's functions in place of its own, under a name that is a hash of all that it depends on; a
warm start then compiles nothing.

The copies go to `$PREDIS_CACHE_DIR`, else the user's cache folder, else a private folder among the
system's temporary files; where none can be written, kernels live in memory only.
"""

from __future__ import annotations

import builtins
import dis
import hashlib
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any, cast

from predis_core.errors import PolicyError

_TEMPLATE = Path(__file__).with_name("kernels")
_loaded: dict[str, SimpleNamespace] = {}
_loading = threading.RLock()


def load(
    constants: Mapping[str, Any], functions: Mapping[str, FunctionType], *modules: str
) -> SimpleNamespace:
    """Return the kernels of a template's modules, made for these constants and functions.

    Nothing is compiled before it is first called.

    Args:
        constants: values for names of `kernels/constants.py`; the rest stays as it is there.
        functions: the policy's functions by name; none leaves the template's own.
        modules: which modules of the package; their public functions become attributes.
    """
    import numba

    sources = {path.name: path.read_text("utf-8") for path in sorted(_TEMPLATE.glob("*.py"))}
    if functions:
        sources["policy.py"] = '"""Put in place by codegen."""\n'
    digest = hashlib.sha256()
    for part in (
        sys.version,
        platform.machine(),
        numba.__version__,
        *sources.values(),
        repr(sorted(constants.items())),
        *_depends_on(functions),
    ):
        digest.update(part.encode() + b"\0")
    name = f"predis_kernels_{digest.hexdigest()[:24]}"
    with _loading:
        if name not in _loaded:
            _loaded[name] = _materialise(name, sources, constants, functions, modules)
        return _loaded[name]


def _materialise(
    name: str,
    sources: dict[str, str],
    constants: Mapping[str, Any],
    functions: Mapping[str, FunctionType],
    modules: tuple[str, ...],
) -> SimpleNamespace:
    for folder in _folders():
        try:
            if not (folder / name).exists():
                _write(folder / name, sources | {"constants.py": _filled(sources, constants)})
        except OSError:
            continue
        return _import(name, folder / name, functions, modules)
    # Nothing can be written where it would be found again: compile for this process only.
    folder = Path(tempfile.mkdtemp(prefix="predis-kernels-"))
    try:
        filled = _filled(sources, {**constants, "CACHED": False})
        _write(folder / name, sources | {"constants.py": filled})
        return _import(name, folder / name, functions, modules)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _filled(sources: Mapping[str, str], constants: Mapping[str, Any]) -> str:
    """Return the template's constants with new values."""
    lines, left = [], dict(constants)
    for line in sources["constants.py"].splitlines():
        name = line.split(" = ")[0]
        lines.append(f"{name} = {left.pop(name)!r}" if name in left else line)
    if left:
        raise AssertionError(f"kernels/constants.py does not declare {sorted(left)}")
    return "\n".join(lines) + "\n"


def _write(folder: Path, sources: Mapping[str, str]) -> None:
    """Write a package in one step: another process may be at the same one."""
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}."))
    try:
        for name, source in sources.items():
            (temporary / name).write_text(source, "utf-8")
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _import(
    name: str, folder: Path, functions: Mapping[str, FunctionType], modules: tuple[str, ...]
) -> SimpleNamespace:
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    # Numba asks sys.modules for a function's module when it reloads it from disk.
    sys.modules[name] = package
    spec.loader.exec_module(package)
    if functions:
        policy = ModuleType(f"{name}.policy")
        compiled = {given: compile_function(function) for given, function in functions.items()}
        policy.__dict__.update(compiled)
        sys.modules[policy.__name__] = policy
    found = SimpleNamespace()
    for module in modules:
        members = importlib.import_module(f"{name}.{module}").__dict__
        found.__dict__.update({k: v for k, v in members.items() if not k.startswith("_")})
    return found


def _folders() -> Iterator[Path]:
    """Folders for generated modules that exist, belong to us and can be written, best first."""
    for folder in (_configured_folder(), _temporary_folder()):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            owned = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
        except OSError:
            continue
        if owned and os.access(folder, os.W_OK):
            yield folder


def _configured_folder() -> Path:
    if configured := os.environ.get("PREDIS_CACHE_DIR"):
        return Path(configured)
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA", str(Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        root = str(Path.home() / "Library" / "Caches")
    else:
        root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "predis" / "kernels"


def _temporary_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"predis-kernels-{user}"


# ------------------------------------------------------------- a policy's functions


def compile_function(source: Callable[..., Any]) -> Any:
    """Return a scalar function compiled by Numba, with the helper functions that it calls."""
    from numba import njit

    function = cast(FunctionType, source)
    scope = dict(function.__globals__)
    for name, value in _references(function).items():
        if isinstance(value, FunctionType):
            scope[name] = compile_function(value)
    twin = FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
    )
    twin.__module__ = function.__module__
    return njit(twin, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


def _references(function: FunctionType) -> dict[str, Any]:
    """What a function's code names: globals and closed-over variables."""
    found = {
        name: function.__globals__[name]
        for name in function.__code__.co_names
        if name in function.__globals__
    }
    cells = function.__closure__ or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        found[name] = cell.cell_contents
        if isinstance(found[name], FunctionType):
            raise PolicyError(
                f"policy: {function.__qualname__} closes over function {name!r}; "
                "move it to the module's top level"
            )
    return found


def _depends_on(functions: Mapping[str, FunctionType]) -> Iterator[str]:
    for name in sorted(functions):
        yield name
        yield from _parts(functions[name], set())


def _parts(function: FunctionType, seen: set[CodeType]) -> Iterator[str]:
    """Everything that decides what a function computes, as text."""
    if function.__code__ in seen:
        raise PolicyError(f"policy: {function.__qualname__} calls itself; policies cannot recurse")
    _check_code(function)
    yield _code_text(function.__code__)
    yield repr(function.__defaults__)
    for name, value in sorted(_references(function).items()):
        yield name
        if isinstance(value, FunctionType):
            yield from _parts(value, seen | {function.__code__})
        elif isinstance(value, bool | int):
            if not _fits(value):
                raise PolicyError(
                    f"policy: {function.__qualname__} refers to {name!r}, which does not fit int64"
                )
            yield repr(value)
        elif isinstance(value, BuiltinFunctionType) or value is bool or value is int:
            yield value.__name__
        else:
            raise PolicyError(
                f"policy: {function.__qualname__} refers to {name!r}, a {type(value).__name__}; "
                "policy functions may use ints and functions at the top level of their module only"
            )


def _check_code(function: FunctionType) -> None:
    """Refuse what the plain Python of the reference and machine code would do differently."""
    known = {*function.__globals__, *vars(builtins)}
    for step in dis.get_instructions(function.__code__):
        problem = ""
        if step.opname == "LOAD_GLOBAL" and step.argval not in known:
            problem = f"uses {step.argval!r}, which is defined nowhere"
        elif step.opname == "LOAD_CONST" and isinstance(step.argval, float | complex):
            problem = f"uses {step.argval!r}; policies are int64 arithmetic"
        elif step.opname == "LOAD_CONST" and not _fits(step.argval):
            problem = f"uses {step.argval!r}, which does not fit int64"
        elif step.argrepr in ("/", "/="):
            problem = "divides with '/'; use '//'"
        if problem:
            raise PolicyError(f"policy: {function.__qualname__} {problem}")


def _fits(constant: Any) -> bool:
    return not isinstance(constant, int) or -(2**63) <= constant < 2**63


def _code_text(code: CodeType) -> str:
    constants = [
        _code_text(item) if isinstance(item, CodeType) else repr(item) for item in code.co_consts
    ]
    return f"{code.co_code.hex()} {constants} {code.co_names} {code.co_varnames} {code.co_freevars}"
