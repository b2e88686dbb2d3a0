"""Size and documentation of the core. (Modules, classes and functions inside it: ruff.)"""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import predis_core

CORE = Path(predis_core.__file__).parent
LINES_AT_MOST = 600
PUBLIC = sorted(getattr(predis_core, "__all__", ()))


def test_no_file_of_the_core_is_longer_than_600_lines() -> None:
    lengths = {
        source.relative_to(CORE).as_posix(): len(source.read_text(encoding="utf-8").splitlines())
        for source in CORE.rglob("*.py")
    }
    assert len(lengths) > 10
    assert {name: lines for name, lines in lengths.items() if lines > LINES_AT_MOST} == {}


def test_the_core_lists_what_it_exports() -> None:
    assert {"Cache", "Objects", "Rows"} <= set(PUBLIC)
    assert set(PUBLIC) <= set(dir(predis_core))


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_and_its_members_have_docstrings(name: str) -> None:
    thing = getattr(predis_core, name)
    if inspect.isclass(thing) or inspect.isroutine(thing) or inspect.ismodule(thing):
        assert (thing.__doc__ or "").strip()
    else:
        assert name == "__version__", f"{name}: a public constant has nowhere to be documented"
    if inspect.isclass(thing):
        members = [
            member
            for member, value in vars(thing).items()
            if not member.startswith("_")
            and (inspect.isfunction(_unwrapped(value)) or isinstance(value, property))
        ]
        assert [member for member in members if not _described(thing, member)] == []


def _unwrapped(member: object) -> object:
    """Return the function inside a class method or static method."""
    return getattr(member, "__func__", member)


def _described(owner: type, member: str) -> bool:
    """Say whether a class, or a base of it, documents a member."""
    return any(
        (getattr(vars(base).get(member), "__doc__", None) or "").strip() for base in owner.__mro__
    )
