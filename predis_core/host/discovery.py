"""Finds installed plugins without importing them, and loads those that are asked for."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, metadata
from typing import Any, NamedTuple

import msgspec
import pluggy

from predis_core import hookspecs
from predis_core.config import PluginSection, decode_section
from predis_core.errors import ConfigurationError, PluginError
from predis_core.hookspecs import HOOK_API, PROJECT
from predis_core.plugin import PluginSpec

GROUP_STEM = "predis.plugins.v"
PLUGIN_GROUP = f"{GROUP_STEM}{HOOK_API}"
"""The entry-point group of plugins for this core."""

HOOKS = tuple(sorted(name for name in vars(hookspecs) if name.startswith("predis_")))
"""The names of all hooks."""

_CORE = "predis-core"


class Installed(NamedTuple):
    """A plugin as its distribution declares it, not imported.

    Attributes:
        name: of the entry point, and of the plugin's section.
        distribution, version: what it comes with; "" if that is unknown.
        entry: the entry point.
        api: the major version of the hooks that it was built for.
    """

    name: str
    distribution: str
    version: str
    entry: EntryPoint
    api: int

    def __str__(self) -> str:
        whose = f"{self.distribution} {self.version}" if self.distribution else "unknown"
        return f'distribution {whose}, entry point "{self.name} = {self.entry.value}"'


Available = Mapping[str, Sequence[Installed]]
"""Installed plugins by name."""


class Loaded(NamedTuple):
    """A plugin that was imported and whose section fits, not constructed yet.

    Attributes:
        installed: where it comes from.
        kind: the plugin's class.
        options: its section, decoded.
    """

    installed: Installed
    kind: type[Any]
    options: msgspec.Struct

    def construct(self) -> Any:
        """Return a plugin.

        Raises:
            PluginError: if its construction raises.
        """
        try:
            return self.kind(self.options)
        except Exception as error:
            raise fault(self.installed, f"could not be started: {reason_of(error)}") from error


def fault(installed: Installed, reason: str) -> PluginError:
    """Return the error for a plugin that cannot be enabled."""
    return PluginError(f"plugin {installed.name!r} ({installed}): {reason}")


def reason_of(error: BaseException) -> str:
    """Return an error as text; the core's own speak for themselves."""
    if isinstance(error, ConfigurationError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def installed_plugins() -> dict[str, list[Installed]]:
    """Return the installed plugins for any version of the hooks by name, importing none.

    More than one under a name: distributions disagree about it, or it is there for more than one
    version.
    """
    found: dict[str, list[Installed]] = {}
    for group in entry_points().groups:
        version = group.removeprefix(GROUP_STEM)
        if version == group or not version.isdecimal():
            continue
        for entry in entry_points(group=group):
            dist = entry.dist
            owner = ("", "") if dist is None else (dist.name, dist.version)
            found.setdefault(entry.name, []).append(
                Installed(entry.name, *owner, entry, int(version))
            )
    return dict(sorted(found.items()))


def load(section: PluginSection, available: Available) -> Loaded:
    """Import the plugin of a section and decode the section for it.

    Args:
        section: the plugin's section of the configuration.
        available: what `installed_plugins` returned; looking through all that is installed takes
            milliseconds, and once will do for all sections.

    Raises:
        PluginError: not installed, claimed by two distributions, built for another version of the
            hooks, not importable, or not a plugin; the message says whose it is.
        ConfigurationError: if the section does not fit.
    """
    installed = _the_one(section.name, available)
    spec = _imported(installed, installed.entry.value)
    if not isinstance(spec, PluginSpec):
        raise fault(installed, f"it names a {type(spec).__name__}, not a PluginSpec")
    options = decode_section(section, spec.config)
    kind = _imported(installed, spec.plugin)
    if not isinstance(kind, type):
        raise fault(installed, f"its spec names {spec.plugin!r}, which is not a class")
    _check_hooks(installed, kind)
    return Loaded(installed, kind, options)


def _the_one(name: str, available: Available) -> Installed:
    candidates = available.get(name, ())
    fit = [candidate for candidate in candidates if candidate.api == HOOK_API]
    if len(fit) == 1:
        return fit[0]
    if fit:
        claims = "; ".join(map(str, fit))
        raise PluginError(f"plugin {name!r} is claimed by {claims}; uninstall all but one")
    if candidates:
        other = candidates[0]
        raise fault(
            other,
            f"it is built for version {other.api} of Predis' hooks, and this predis-core has "
            f"version {HOOK_API}; "
            + ("update predis-core" if other.api > HOOK_API else f"update {other.distribution}"),
        )
    raise PluginError(f"plugin {name!r} is not installed; {_way_out(name, list(available))}")


def _way_out(name: str, known: Sequence[str]) -> str:
    if name in _extras():
        return f'run: pip install "{_CORE}[{name}]"'
    near = difflib.get_close_matches(name, [*known, *_extras()], n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"installed: {', '.join(known) or 'none'}"


def _extras() -> list[str]:
    """The extras of the core that are plugins."""
    try:
        declared = metadata(_CORE)
    except PackageNotFoundError:
        return []
    requirements = declared.get_all("Requires-Dist") or []
    plugins = re.findall(r"^predis-([a-z0-9-]+)\b.*extra *== *['\"]", "\n".join(requirements), re.M)
    return [extra for extra in declared.get_all("Provides-Extra") or [] if extra in plugins]


def _imported(installed: Installed, path: str) -> Any:
    """Return what "module:name" names."""
    module_name, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name.strip())
        for part in name.strip().split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        own = module_name.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] == own:
            raise fault(installed, f"cannot be imported: {error}") from error
        raise fault(
            installed,
            f"it needs the module {error.name!r}, which is not installed; "
            f"run: pip install --force-reinstall {installed.distribution or installed.name}",
        ) from error
    except Exception as error:
        raise fault(installed, f"cannot be imported: {reason_of(error)}") from error
    return found


def _check_hooks(installed: Installed, kind: type[Any]) -> None:
    """Refuse names that look like hooks and are none, which pluggy would pass over in silence."""
    for name in dir(kind):
        if not name.startswith("predis_"):
            continue
        if name not in HOOKS:
            near = difflib.get_close_matches(name, HOOKS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"hooks: {', '.join(HOOKS)}"
            raise fault(installed, f"there is no hook {name!r}; {hint}")
        marks = getattr(getattr(kind, name), f"{PROJECT}_impl", None)
        if marks is None:
            raise fault(installed, f"{name!r} is not marked; put @hookimpl above it")
        if marks.get("wrapper") or marks.get("hookwrapper"):
            raise fault(installed, f"{name!r} is a wrapper; hooks of Predis cannot be wrapped")
    try:
        hook_caller().register(kind)
    except pluggy.PluginValidationError as error:
        told = str(error).splitlines()[-1]
        raise fault(installed, f"a hook has arguments that it does not get: {told}") from error


def hook_caller() -> pluggy.PluginManager:
    """Return a manager that knows the hooks, and no plugin yet."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager
