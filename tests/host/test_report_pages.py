"""Pages that plugins add to reports: registered by name, drawn in their threads, under guard."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import predis_core as predis
from predis_core import pages
from predis_core.errors import PluginError
from tests.support.shelf import Shelf

PAGING = """
from predis_core import pages
VIEWS = []
THREADS = []

def page(cache):
    THREADS.append(threading.current_thread().name)
    {body}

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_register(self, registry):
        registry.add_report_page({name}, {page})

    @hookimpl
    def predis_cache_opened(self, cache):
        VIEWS.append(cache)
"""
GOOD = "return pages.ReportPage(f'About {cache}', (pages.Text(('All is well.',)),))"


def pager(
    shelf: Shelf, name: str = "pager", body: str = GOOD, title: str = "'about'", page: str = "page"
) -> Any:
    return shelf.module(shelf.put(name, PAGING.format(body=body, name=title, page=page)))


def opened(*plugins: str) -> predis.Cache[Any, Any]:
    return predis.open(
        {
            "cache": {"name": "shop", "capacity": 100, "keys": "int64", "policy": "fifo"},
            "plugins": {name: {} for name in plugins},
        }
    )


def test_add_report_page_is_found_through_the_view_of_any_plugin(shelf: Shelf) -> None:
    module = pager(shelf)
    other = pager(shelf, "other", title="'more'", body="return None")
    with opened("pager", "other"):
        (page,) = other.VIEWS[0].report_pages()
    assert page == pages.ReportPage("About shop", (pages.Text(("All is well.",)),))
    assert module.THREADS == ["predis-pager"]
    assert other.THREADS == ["predis-other"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("return '<b>no</b>'", "expected a ReportPage or None, got str"),
    ],
)
def test_a_page_that_fails_is_left_out(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, body: str, reason: str
) -> None:
    module = pager(shelf, body=body)
    with caplog.at_level(logging.WARNING, "predis"), opened("pager"):
        assert module.VIEWS[0].report_pages() == []
    assert reason in caplog.text


def test_a_name_is_taken_once_and_given_back(shelf: Shelf) -> None:
    pager(shelf, "first")
    pager(shelf, "second")
    with pytest.raises(PluginError, match="'first' and 'second' both offer a report page 'about'"):
        opened("first", "second")
    with opened("second"):
        pass


def test_what_cannot_be_called_is_no_page(shelf: Shelf) -> None:
    pager(shelf, page="7")
    with pytest.raises(PluginError, match="report page 'about': expected a callable, got 7"):
        opened("pager")


def test_blocks_whose_parts_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rows: expected 2 cells, got \('a',\)"):
        pages.Grid("Grid", ("one", "two"), (("a",),))
    with pytest.raises(ValueError, match="series: 'now': expected 2 values, got 1"):
        pages.Plot("Plot", "", "bars", (pages.Series("now", (1.0,)),), "x", "y", ("a", "b"))
    with pytest.raises(ValueError, match="series: 'now': expected 0 values, got 1"):
        pages.Plot("Plot", "", "lines", (pages.Series("now", (1.0,)),), "x", "y")
