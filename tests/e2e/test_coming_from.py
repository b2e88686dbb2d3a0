"""The page for those who come from another cache: what its tables spell, its code has."""

from __future__ import annotations

import re

from tests.support.pages import read, snippets

PAGE = "docs/how-to/coming-from.md"
LIBRARIES = ("functools", "cachetools", "diskcache", "Caffeine")


def spellings() -> list[str]:
    """Return the code of the right columns, as far as it is on this page."""
    rows = re.findall(r"^\| (?!there )[^|]+ \| (.+) \|$", read(PAGE), re.MULTILINE)
    assert len(rows) > 30
    found = [code for row in rows for code in re.findall(r"`([^`]+)`", row)]
    return [code for code in found if code != "MutableMapping"]


def test_every_library_has_its_table() -> None:
    assert re.findall(r"^## (.+)$", read(PAGE), re.MULTILINE)[:4] == list(LIBRARIES)


def test_every_spelling_of_the_tables_is_in_the_code_that_runs() -> None:
    code = "\n".join(snippets(read(PAGE)))
    found = spellings()
    assert len(found) > 30
    assert [spelling for spelling in found if spelling not in code] == []
