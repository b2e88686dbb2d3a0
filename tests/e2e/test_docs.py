"""The pages under docs/ say what is so: their code runs, their links lead somewhere, the site that
is built from them is whole, and its reference has all that is public."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest

import predis_core as predis
from predis_core import cli, config, errors, hookspecs, plugin, telemetry, testing
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
SPHINX = ("-m", "sphinx", "-q", "-E", "-W", "--keep-going")
PAIR = '</span> <span class="pre">'  # between the words of inline code
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


def test_configurations_in_the_pages_are_valid() -> None:
    blocks = [(name_of(page), block) for page in DOCS for block in fenced(read(page), "toml")]
    assert blocks
    for page, block in blocks:
        settings = tomllib.loads(block)
        if "cache" in settings:
            assert config.load(settings).cache.capacity > 0, page


# ------------------------------------------------------------------ the site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs` does; a warning is an error."""
    built = tmp_path_factory.mktemp("site")
    result = subprocess.run(
        [sys.executable, *SPHINX, "-d", built / ".doctrees", ROOT / "docs", built],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == ""
    assert result.returncode == 0
    return built


def test_make_docs_builds_the_site_as_it_is_tested() -> None:
    assert f"$(BIN)/python {' '.join(SPHINX)} -d build/doctrees docs build/docs" in read("Makefile")


def test_site_needs_nothing_from_elsewhere(site: Path) -> None:
    loaded = re.compile(
        r"""<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=["']([^"']+)"""
    )
    imported = re.compile(r"""(?:@import\s+|url\()\s*["']?([^"')\s]+)""")
    found = {
        (file.relative_to(site).as_posix(), target)
        for pattern, kind in ((loaded, "*.html"), (imported, "*.html"), (imported, "*.css"))
        for file in site.rglob(kind)
        for target in pattern.findall(file.read_text(encoding="utf-8"))
        if re.match(r"(?:[a-z]+:)?//", target)
    }
    assert found == set()
    assert len(list(site.rglob("*.html"))) > len(DOCS)


def test_links_inside_the_site_lead_somewhere(site: Path) -> None:
    texts = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    names = {page: set(re.findall(r' (?:id|name)="([^"]+)"', text)) for page, text in texts.items()}
    broken = set()
    for page, text in texts.items():
        for link in re.findall(r'<a\b[^>]*? href="([^":]*)"', text):
            path, _, anchor = unquote(link).partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in names.get(target, {anchor})):
                broken.add((page.relative_to(site).as_posix(), link))
    assert broken == set()


def test_examples_and_plugins_have_pages(site: Path) -> None:
    sources = [*ROOT.glob("examples/*.py"), *(p.parent for p in ROOT.glob("plugins/*/README.md"))]
    assert sources
    for source in sources:
        page = site / source.relative_to(ROOT).with_suffix(".html")
        assert f"<title>{source.name} - Predis" in page.read_text(encoding="utf-8")


# ------------------------------------------------------------------ the reference


@pytest.fixture(scope="module")
def documented(site: Path) -> set[str]:
    """Return the full names of all that the site documents."""
    packed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split()[0] for line in zlib.decompress(packed).decode().splitlines()}


def public_members(thing: Any) -> list[str]:
    return [
        name
        for name, member in inspect.getmembers(thing)
        if not name.startswith("_") and (callable(member) or isinstance(member, property))
    ]


PUBLIC = [
    *(
        f"{module.__name__}.{name}"
        for module in (predis, plugin, testing)
        for name in module.__all__
        if not inspect.ismodule(getattr(module, name))
    ),
    *(f"predis_core.Cache.{name}" for name in (*public_members(predis.Cache), "name")),
    *(f"predis_core.policies.{name}" for name in ("as_policy", "get", "names")),
    *(
        f"predis_core.{kind.__name__}.{name}"
        for kind in (predis.Clock, predis.Policy)
        for name in public_members(kind)
        if name not in getattr(kind, "__dataclass_fields__", ())
    ),
    *(
        f"predis_core.plugin.{kind.__name__}.{name}"
        for kind in (
            *(plugin.CacheView, plugin.Registry),
            *(plugin.Observer, plugin.Sampler, plugin.Exporter),
        )
        for name in public_members(kind)
    ),
    *(
        f"predis_core.errors.{name}"
        for name, member in vars(errors).items()
        if inspect.isclass(member) and issubclass(member, errors.PredisError)
    ),
    *(
        f"predis_core.hookspecs.{name}"
        for name, member in vars(hookspecs).items()
        if hasattr(member, f"{hookspecs.PROJECT}_spec")
    ),
]


def test_every_public_name_is_in_the_reference(documented: set[str]) -> None:
    # `predis_core.plugin` hands on what is documented where it belongs.
    missing = [name for name in PUBLIC if not {name, name.replace(".plugin.", ".")} & documented]
    assert missing == []
    assert len(PUBLIC) > 50


def test_a_field_without_a_word_in_the_docstring_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs" / "_ext")
    generated = importlib.import_module("generated")

    class Half(msgspec.Struct):
        """Half of it is explained.

        Attributes:
            left: this one.
        """

        left: int
        right: int

    with pytest.raises(Exception, match=r"^Half: the docstring's 'Attributes:' lacks right$"):
        generated.struct_markdown(Half, generated.type_text)


def test_reference_has_every_field_metric_and_command(site: Path) -> None:
    pages = {
        "stats": (*predis.Stats.__struct_fields__, "requests", "hit_ratio", "miss_ratio"),
        "metrics": [metric.name for metric in telemetry.CATALOGUE],
        "configuration": (
            *config.HostConfig.__struct_fields__,
            *config.CacheConfig.__struct_fields__,
        ),
        "commands": [f"predis {name}" for name in ("check", "plugins", "warmup")],
    }
    for page, names in pages.items():
        text = (site / "reference" / f"{page}.html").read_text(encoding="utf-8")
        shown = set(re.findall(r'<span class="pre">([^<]+)</span>', text.replace(PAIR, " ")))
        assert [name for name in names if name not in shown] == [], page
