"""Directives that write the reference from the code, while the site is built.

    {struct} package.module:Struct           a Struct of the API: what it is, and its fields
    {section-table} package.module:Struct    a section of a configuration: its fields, in words
    {plugin-sections}                        the sections of the plugins in plugins/
    {metrics-table} package.module:METRICS   metrics: name, kind, unit, help and labels
    {hook-list} package.module               the hooks that a module specifies
    {command-list}                           the commands of `predis`, with their options

Fields are explained by the `Attributes:` section of their class's docstring; a field that it leaves
out is an error.
"""

from __future__ import annotations

import importlib
import inspect
import re
import tomllib
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any

import click
import msgspec
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from predis_core import cli
from predis_core.config import fields

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
ENTRY_POINTS = "predis.plugins.v1"


def named(reference: str) -> Any:
    """Return what "module:name" or "module" names."""
    module, _, name = reference.partition(":")
    found = importlib.import_module(module)
    return getattr(found, name) if name else found


# ------------------------------------------------------------------ docstrings


def explained(thing: Any) -> dict[str, str]:
    """Return what the `Attributes:` section of a docstring says of each name, in order."""
    _, _, section = (inspect.getdoc(thing) or "").partition("\nAttributes:\n")
    pairs = entries(inspect.cleandoc("\n" + section))
    return {name: text for names, text in pairs for name in names.split(", ")}


def prose(thing: Any) -> str:
    """Return a docstring up to its `Attributes:` section."""
    return (inspect.getdoc(thing) or "").partition("\nAttributes:\n")[0].strip()


def entries(text: str) -> Iterator[tuple[str, str]]:
    """Yield (title, text) of lines "title: text" and the indented ones that continue them."""
    for entry in re.split(r"\n(?=\S)", text.strip()):
        title, _, said = entry.partition(":")
        yield title, " ".join(said.split())


def hook_markdown(module: ModuleType, hook: Any) -> str:
    """Return a hook as a Markdown directive: its call, its summary, a list of what is promised."""
    text, _, promises = (inspect.getdoc(hook) or "").partition("\n\n")
    arguments = ", ".join(inspect.signature(hook).parameters)
    return "\n".join(
        (
            f"::::{{py:function}} {hook.__name__}({arguments})",
            f":module: {module.__name__}",
            "",
            f"{text}\n",
            *(f"- **{title}:** {said}" for title, said in entries(promises)),
            "::::\n",
        )
    )


# ------------------------------------------------------------------ types and defaults


def type_text(kind: Any) -> str:
    """Return a type as a programmer writes it, as Markdown."""
    return " or ".join(f"`{part}`" for part in alternatives(kind))


def alternatives(kind: Any) -> Iterator[str]:
    """Yield the types, or the values, of which a field takes one."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        yield from alternatives(arguments[0])
    elif origin in (typing.Union, UnionType):
        for part in arguments:
            yield from alternatives(part)
    elif origin is typing.Literal:
        yield from (toml(value) for value in arguments)
    elif origin is None:
        yield "None" if kind is NoneType else getattr(kind, "__name__", str(kind))
    else:
        inside = ", ".join("…" if a is ... else " | ".join(alternatives(a)) for a in arguments)
        yield f"{origin.__name__}[{inside}]"


def in_words(kind: Any) -> str:
    """Return what a field of a configuration takes, in words."""
    words = fields.described(kind).replace("text of at least 1 character", "text")
    return " or ".join(dict.fromkeys(words.split(" or ")))


def toml(value: Any) -> str:
    """Return a value as a configuration spells it."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml(one)}' for key, one in value.items())} }}"
    return msgspec.json.encode(value).decode()


def default_text(field: msgspec.structs.FieldInfo) -> str:
    """Return a field's default as a configuration spells it, as Markdown."""
    if field.required:
        return "required"
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory()
    if isinstance(value, type):
        return f"`{value.__name__}`"
    return "–" if value is None else f"`{toml(msgspec.to_builtins(value, enc_hook=str))}`"


# ------------------------------------------------------------------ tables


def struct_rows(
    struct: type[msgspec.Struct], spell: Callable[[Any], str]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield (name, type, default, text) of the tag, of each field, of each property."""
    texts = explained(struct)
    members = msgspec.structs.fields(struct)
    if missing := [field.name for field in members if field.name not in texts]:
        raise ExtensionError(
            f"{struct.__name__}: the docstring's 'Attributes:' lacks {', '.join(missing)}"
        )
    tag, value = fields.tag_of(struct)
    if tag:
        yield f"`{tag}`", f"`{toml(value)}`", "required", "what tells it from the others."
    for field in members:
        text = texts[field.name]
        yield f"`{field.encode_name}`", spell(field.type), default_text(field), text
    for name, member in vars(struct).items():
        if isinstance(member, property):
            kind = typing.get_type_hints(member.fget)["return"]
            yield f"`{name}`", spell(kind), "computed", texts.get(name) or prose(member)


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; bars inside cells are escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def struct_markdown(struct: type[msgspec.Struct], spell: Callable[[Any], str]) -> str:
    """Return the table of a Struct, "" if it has no fields; defaults only where there are some."""
    heads = ("field", "type", "default", "what it is")
    rows = list(struct_rows(struct, spell))
    if not rows:
        return ""
    if all(default in ("required", "computed") for _, _, default, _ in rows):
        return markdown_table((*heads[:2], heads[3]), [(*row[:2], row[3]) for row in rows])
    return markdown_table(heads, rows)


# ------------------------------------------------------------------ directives


class Struct(SphinxDirective):
    """`{struct} module:Struct`, with the module in which users find it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the Struct as a class: its prose and the table of its fields."""
        module, _, name = self.arguments[0].partition(":")
        struct = named(self.arguments[0])
        lines = [f"::::{{py:class}} {name}", f":module: {module}"]
        if struct.__module__ != module:
            lines.append(f":canonical: {struct.__module__}.{name}")
        lines += ["", prose(struct), "", struct_markdown(struct, type_text), "::::"]
        return self.parse_text_to_nodes("\n".join(lines))


class SectionTable(SphinxDirective):
    """`{section-table} module:Struct`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the table of the section's fields."""
        return self.parse_text_to_nodes(struct_markdown(named(self.arguments[0]), in_words))


class PluginSections(SphinxDirective):
    """`{plugin-sections}`."""

    def run(self) -> list[nodes.Node]:
        """Write what each plugin is, and the table of its section's fields."""
        parts = []
        for project in sorted(PLUGINS.glob("*/pyproject.toml")):
            settings = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
            for name, spec in settings.get("entry-points", {}).get(ENTRY_POINTS, {}).items():
                struct = named(spec).config
                readme = f"/../plugins/{project.parent.name}/README.md"
                parts.append(
                    f"`[plugins.{name}]` of [{settings['name']}]({readme}): "
                    f"{settings['description']}\n\n{struct_markdown(struct, in_words)}\n"
                )
        return self.parse_text_to_nodes("\n".join(parts)) if parts else []


class MetricsTable(SphinxDirective):
    """`{metrics-table} module:METRICS`, a sequence of metrics."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the table of the metrics."""
        rows = (
            (
                f"`{metric.name}`",
                metric.kind,
                "–" if metric.unit == "1" else metric.unit,
                f"{metric.help} By {', '.join(f'`{label}`' for label in metric.labels)}.",
            )
            for metric in named(self.arguments[0])
        )
        heads = ("metric", "kind", "unit", "what it is, and its labels")
        return self.parse_text_to_nodes(markdown_table(heads, rows))


class HookList(SphinxDirective):
    """`{hook-list} module`, in the order of the source."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write every hook: how it is called, when, what it returns."""
        module = named(self.arguments[0])
        mark = f"{module.PROJECT}_spec"
        hooks = [thing for thing in vars(module).values() if hasattr(thing, mark)]
        if not hooks:
            raise self.error(f"{module.__name__} specifies no hook")
        return self.parse_text_to_nodes("\n".join(hook_markdown(module, hook) for hook in hooks))


class CommandList(SphinxDirective):
    """`{command-list}`: what is installed with the developer's environment."""

    def run(self) -> list[nodes.Node]:
        """Write what `--help` says of each command."""
        group = cli.build()
        parts = []
        for name in group.list_commands(click.Context(group, info_name="predis")):
            context = click.Context(group, info_name="predis", terminal_width=88)
            command = group.get_command(context, name)
            if command is None:
                raise self.error(f"predis {name} is listed and cannot be loaded")
            help_text = command.get_help(click.Context(command, context, info_name=name))
            parts.append(f"## `predis {name}`\n\n```text\n{help_text}\n```\n")
        return self.parse_text_to_nodes("\n".join(parts), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("struct", Struct)
    app.add_directive("section-table", SectionTable)
    app.add_directive("plugin-sections", PluginSections)
    app.add_directive("metrics-table", MetricsTable)
    app.add_directive("hook-list", HookList)
    app.add_directive("command-list", CommandList)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
