"""The pages under docs/ say what is so: their code runs, their links lead somewhere, and the
reference pages name exactly what exists."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import predis_core as predis
from predis_core import cli, errors
from tests.support.pages import (
    PAGES,
    ROOT,
    anchors,
    fenced,
    links,
    name_of,
    read,
    run_as_it_stands,
    snippets,
)

DOCS = [page for page in PAGES if page.is_relative_to(ROOT / "docs")]
WITH_CODE = [page for page in DOCS if snippets(read(page))]
LINKS = [(name_of(page), link) for page in PAGES for link in dict.fromkeys(links(read(page)))]
ROOMS = sorted(
    path.relative_to(ROOT).as_posix() + ("/" if path.is_dir() else "")
    for path in (ROOT / "predis_core").iterdir()
    if path.stem != "__init__" and (path.suffix == ".py" or (path / "__init__.py").exists())
)


def test_there_are_pages_with_code() -> None:
    assert len(WITH_CODE) >= 5


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_snippets_of_a_page_run_in_order_in_one_namespace(page: Path, tmp_path: Path) -> None:
    run_as_it_stands("\n\n".join(snippets(read(page))), tmp_path)


@pytest.mark.parametrize(("page", "link"), LINKS, ids=lambda part: str(part))
def test_link_leads_somewhere(page: str, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    assert target.exists()
    if anchor:
        assert anchor in anchors(read(target))


def test_the_map_of_the_docs_names_every_page() -> None:
    index = read("docs/index.md")
    here = ROOT / "docs"
    others = [page.relative_to(here).as_posix() for page in DOCS if page.name != "index.md"]
    assert [page for page in others if f"]({page})" not in index] == []


def test_architecture_names_every_room() -> None:
    text = read("docs/explanation/architecture.md")
    rooms = [room.removeprefix("predis_core/") for room in ROOMS]
    assert [room for room in rooms if f"`{room}`" not in text] == []


# ------------------------------------------------------------------ commands


def documented_commands() -> list[tuple[str, ...]]:
    """Return (page, command, options …) of each line of a shell block that begins with predis."""
    found = []
    for page in PAGES:
        for block in fenced(read(page), "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["predis"]:
                    options = [word for word in words[2:] if word.startswith("--")]
                    found.append((name_of(page), words[1], *options))
    return found


def test_documented_commands_and_options_exist() -> None:
    group: Any = cli.build()
    lines = documented_commands()
    assert lines
    for page, name, *options in lines:
        command = group.get_command(None, name)
        assert command is not None, f"{page}: no command {name}"
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(options) <= known | {"--help"}, f"{page}: {name}"


# ------------------------------------------------------------------ the reference


def first_column(page: str, heading: str | None = None) -> list[str]:
    """Return the code in the first column of a page's tables, or of the one under a heading."""
    text = read(page)
    if heading is not None:
        text = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def call_of(name: str, method: Any) -> str:
    """Return how a method is called, without types; a default without a name of its own is `…`."""
    parts, keyword_only = [], False
    parameters = list(inspect.signature(method).parameters.values())[1:]
    for at, parameter in enumerate(parameters):
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            parts.append("*")
        text = f"**{parameter.name}" if parameter.kind is parameter.VAR_KEYWORD else parameter.name
        if parameter.default is not parameter.empty:
            shown = repr(parameter.default)
            text += "=…" if "object at" in shown else f"={shown}"
        parts.append(text)
        following = parameters[at + 1].kind if at + 1 < len(parameters) else None
        if parameter.kind is parameter.POSITIONAL_ONLY is not following:
            parts.append("/")
    return f"{name}({', '.join(parts)})"


def test_reference_of_the_cache_names_exactly_its_public_methods() -> None:
    methods = {
        name: member
        for name, member in inspect.getmembers(predis.Cache, callable)
        if not name.startswith("_")
    }
    documented = [
        call
        for heading in ("The batch face", "The dict face", "The whole")
        for call in first_column("docs/reference/cache.md", heading)
    ]
    assert sorted(documented) == sorted(call_of(name, member) for name, member in methods.items())


def test_reference_of_the_cache_names_exactly_its_public_attributes() -> None:
    cache: predis.Cache[Any, Any] = predis.Cache(1)
    attributes = {
        name
        for name in dir(cache)
        if not name.startswith("_") and not callable(getattr(cache, name))
    }
    assert set(first_column("docs/reference/cache.md", "Attributes")) == attributes


def test_reference_of_the_cache_names_exactly_the_arguments_of_its_construction() -> None:
    arguments = list(inspect.signature(predis.Cache).parameters)
    assert first_column("docs/reference/cache.md", "Construction") == arguments


def test_reference_of_errors_names_exactly_the_error_classes() -> None:
    classes = {
        name
        for name, member in vars(errors).items()
        if inspect.isclass(member) and issubclass(member, errors.PredisError)
    }
    documented = first_column("docs/reference/errors.md")
    assert sorted(documented) == sorted(classes)


def test_reference_of_errors_names_their_built_in_bases() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`(\w+)`|–) \|", read("docs/reference/errors.md"), re.M)
    assert rows
    for name, base in rows:
        family = getattr(errors, name).__mro__
        built_in = [c for c in family if c.__module__ == "builtins" and c is not object]
        assert built_in[0].__name__ == (base or "Exception"), name


def test_reference_of_stats_names_exactly_the_fields_and_properties() -> None:
    properties = [
        name for name, member in vars(predis.Stats).items() if isinstance(member, property)
    ]
    documented = first_column("docs/reference/stats.md")
    assert sorted(documented) == sorted([*predis.Stats.__struct_fields__, *properties])
