"""Generated kernels: the package `kernels`, its constants and a policy's functions, on disk.

Compiled functions can be reloaded from disk only if they live in a module; closures over others
never qualify. So the template package is copied, with its constants filled in and the policy's
functions in place of its own, under a name that is a hash of all that it depends on; a warm start
then compiles nothing. `packages` has the folders; where none can be written, kernels live in memory
only. `machine_code` keeps what was compiled.
"""

from __future__ import annotations

import builtins
import dis
import functools
import hashlib
import importlib.util
import inspect
import platform
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any, cast

from predis_core.errors import PolicyError
from predis_core.policies import contract
from predis_core.table import packages

_TEMPLATE = Path(__file__).with_name("kernels")
_INCLUDED = (
    "columns",
    "context",
    "cpython",
    "header",
    "interface",
    "intrinsics",
    "keys",
    "layout",
    "sketch",
)
"""Modules beside this one from which kernels take constants and intrinsics."""

_loaded: dict[str, dict[tuple[str, ...], Kernels]] = {}
"""By package, then by modules."""

_loading = threading.RLock()


def load(
    constants: Mapping[str, Any], functions: Mapping[str, FunctionType], *modules: str
) -> Kernels:
    """Return the kernels of a template's modules, made for these constants and functions.

    Nothing is imported before one of its names is needed, or compiled before it is first called.

    Args:
        constants: values for names of `kernels/constants.py`; the rest stays as it is there.
        functions: the policy's functions by name; none leaves the template's own.
        modules: which modules of the package; their public functions become attributes.
    """
    sources = dict(_sources(_TEMPLATE))
    if functions:
        sources["policy.py"] = '"""Put in place by codegen."""\n'
    made_of = (*sources.values(), *_included(), repr(sorted(constants.items())))
    name = package_name(*made_of, *_depends_on(functions))
    with _loading:
        if name not in _loaded:
            _materialise(name, sources, constants, functions)
        found = _loaded.setdefault(name, {})
        if modules not in found:
            found[modules] = Kernels(name, modules)
        return found[modules]


def load_module(file: Path, package: str, used: Iterable[Path]) -> Kernels:
    """Return the kernels of one module, which is the same for every table.

    Args:
        file: the module.
        package: which it is of.
        used: modules of the core from which it takes constants and intrinsics.
    """
    sources = [path.read_text("utf-8") for path in (file, *used)]
    name = package_name(*sources)
    folder = packages.provide(name, {"__init__.py": "", file.name: sources[0]})
    if folder is None:
        # Nothing can be kept: as it stands there, it is compiled in each process.
        return Kernels(package, (file.stem,))
    import_folder(name, folder)
    return Kernels(name, (file.stem,))


def package_name(*parts: str) -> str:
    """Return the name of a package of kernels that is made of these texts, by this compiler."""
    import llvmlite
    import numba

    compiler = (sys.version, platform.machine(), numba.__version__, llvmlite.__version__)
    digest = hashlib.sha256()
    for part in (*compiler, *parts):
        digest.update(part.encode() + b"\0")
    return f"{packages.PREFIX}{digest.hexdigest()[:24]}"


def import_folder(name: str, folder: Path) -> None:
    """Import a package of kernels from where it lies."""
    _import(
        importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
    )


def _import(spec: ModuleSpec | None) -> None:
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    # Numba asks sys.modules for a function's module when it reloads it from disk.
    sys.modules[spec.name] = package
    spec.loader.exec_module(package)


@functools.cache
def _sources(folder: Path) -> dict[str, str]:
    """Return the modules of a template by name: what this process once read is what it is."""
    return {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.py"))}


@functools.cache
def _included() -> tuple[str, ...]:
    """Return what else kernels are made of."""
    beside = (Path(__file__).with_name(f"{name}.py") for name in _INCLUDED)
    return (*(path.read_text("utf-8") for path in beside), inspect.getsource(contract))


class Kernels(SimpleNamespace):
    """The public names of a package's modules, each of which is imported when one is needed.

    Attributes:
        dispatchers: Numba's, by the names of the kernels.
    """

    def __init__(self, package: str, modules: tuple[str, ...]) -> None:
        super().__init__()
        self.dispatchers: dict[str, Any] = {}
        self._package = package
        self._modules = list(modules)

    def __getattr__(self, name: str) -> Any:
        with _loading:
            while name not in self.__dict__:
                if not self._modules or name.startswith("_"):
                    raise AttributeError(f"the modules of {self._package} have no {name!r}")
                module = importlib.import_module(f"{self._package}.{self._modules.pop(0)}")
                public = {k: v for k, v in vars(module).items() if not k.startswith("_")}
                verbs = {k: v for k, v in public.items() if _is_verb(v)}
                self.dispatchers.update(verbs)
                self.__dict__.update(public)
                self.__dict__.update({k: direct(self, v) for k, v in verbs.items()})
        return self.__dict__[name]

    def compile_like(self, others: Kernels) -> None:
        """Have those verbs compiled, or loaded, that are in kernels of the same modules."""
        for name, verb in list(others.dispatchers.items()):
            for types in list(verb.overloads):
                getattr(self, name)  # its module is imported now
                self.dispatchers[name].compile(types)


@functools.cache
def shared() -> Kernels:
    """Return the kernels that are the same for every table: they hash, pack and make keys."""
    return load({}, {}, "hashing", "packing", "columns")


def _materialise(
    name: str,
    sources: dict[str, str],
    constants: Mapping[str, Any],
    functions: Mapping[str, FunctionType],
) -> None:
    """Write a package, if there is none, and have its modules importable."""
    kept = sources | {"constants.py": _filled(sources, constants)}
    folder = packages.provide(name, kept)
    if folder is None:
        filled = _filled(sources, {**constants, "CACHED": False})
        sys.meta_path.append(_InMemory(name, sources | {"constants.py": filled}))
        _import(importlib.util.find_spec(name))
    else:
        import_folder(name, folder)
    if functions:
        policy = ModuleType(f"{name}.policy")
        compiled = {given: compile_function(function) for given, function in functions.items()}
        policy.__dict__.update(compiled)
        sys.modules[policy.__name__] = policy


class _InMemory(InspectLoader, MetaPathFinder):
    """Imports a package that could not be written anywhere."""

    def __init__(self, name: str, sources: Mapping[str, str]) -> None:
        self._name = name
        self._sources = sources

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Return how a module of the package is imported; None for all others."""
        if self._file(name) not in self._sources:
            return None
        return ModuleSpec(name, self, is_package=name == self._name)

    def get_source(self, fullname: str) -> str:
        return self._sources[self._file(fullname)]

    def _file(self, name: str) -> str:
        if name == self._name:
            return "__init__.py"
        package, _, module = name.rpartition(".")
        return f"{module}.py" if package == self._name else ""


def _filled(sources: Mapping[str, str], constants: Mapping[str, Any]) -> str:
    """Return the template's constants with new values."""
    lines, left = [], dict(constants)
    for line in sources["constants.py"].splitlines():
        name = line.split(" = ")[0]
        lines.append(f"{name} = {left.pop(name)!r}" if name in left else line)
    if left:
        raise AssertionError(f"kernels/constants.py does not declare {sorted(left)}")
    return "\n".join(lines) + "\n"


def _is_verb(member: Any) -> bool:
    """Whether a kernel may be called from Python."""
    options: dict[str, Any] = getattr(member, "targetoptions", {"no_cpython_wrapper": True})
    return not options.get("no_cpython_wrapper")


def direct(kernels: Kernels, verb: Any) -> Callable[..., Any]:
    """Return a kernel that, once it is compiled or loaded, is called without being chosen.

    Numba chooses by the types of the arguments, which takes longer than a small batch. Tables
    always pass the same ones.
    """

    def first(*arguments: Any) -> Any:
        result = verb(*arguments)
        if len(verb.overloads) == 1:
            (only,) = verb.overloads.values()
            setattr(kernels, verb.__name__, only.entry_point)
        return result

    return first


# ------------------------------------------------------------- a policy's functions


def compile_function(source: Callable[..., Any]) -> Any:
    """Return a scalar function compiled by Numba, with the helper functions that it calls."""
    from numba import njit

    from predis_core.table.compiling import HelperCompiler

    function = cast(FunctionType, source)
    scope = dict(function.__globals__)
    for name, value in _references(function).items():
        if isinstance(value, FunctionType):
            scope[name] = compile_function(value)
    twin = FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
    )
    twin.__module__ = function.__module__
    # Into the loop over a set's ways, so that it becomes one over vectors.
    return njit(
        twin,
        error_model="numpy",
        forceinline=True,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        pipeline_class=HelperCompiler,
    )


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


def functions_of(policy: contract.Policy) -> dict[str, FunctionType]:
    """Return a policy's functions by name."""
    return {name: getattr(policy, name) for name in contract.ARGUMENTS}


@functools.lru_cache(maxsize=64)
def identity(policy: contract.Policy) -> int:
    """Return a number, 1 to 2**62, that only policies with the same functions have."""
    text = "\0".join(_depends_on(functions_of(policy)))
    return 1 + (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 2)


def _depends_on(functions: Mapping[str, FunctionType]) -> Iterator[str]:
    for name in sorted(functions):
        yield name
        yield from _parts(functions[name], set())


def _parts(function: FunctionType, seen: set[CodeType]) -> Iterator[str]:
    """Everything that decides what a function computes, as text."""
    if function.__code__ in seen:
        raise PolicyError(f"policy: {function.__qualname__} calls itself; policies cannot recurse")
    _check_code(function)
    # Numba imports the module of a function that it loads from disk.
    yield function.__module__
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
