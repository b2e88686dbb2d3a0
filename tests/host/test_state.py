"""Plugins' sections in snapshots: kept, given back, and never in the way of the entries."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

import predis_core as predis
from predis_core.errors import SnapshotError
from predis_core.snapshot import describe
from predis_core.snapshot.sections import Section, payload_of, section_of
from tests.support.crew import PATIENCE, wait_until
from tests.support.shelf import Shelf

KEEPING = """
EVENTS = []
GOT = []
THREADS = []

class Section:
    def __init__(self, name):
        self.name = name

    def save(self):
        THREADS.append(threading.current_thread().name)
        {save}

    def restore(self, data):
        {restore}
        GOT.append((self.name, data))

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_state(self, cache):
        return [Section(name) for name in {names}]

    @hookimpl
    def predis_event(self, event):
        EVENTS.append(event)
"""


def keeper(
    shelf: Shelf,
    name: str = "keeper",
    *,
    names: str = "('sums', 'größe')",
    save: str = "return b'kept ' + self.name.encode()",
    restore: str = "pass",
) -> Any:
    return shelf.module(shelf.put(name, KEEPING.format(names=names, save=save, restore=restore)))


def opened(*plugins: str, **host: Any) -> predis.Cache[Any, Any]:
    return predis.open(
        {
            "host": {"deadline": PATIENCE} | host,
            "cache": {"capacity": 100, "keys": "int64", "policy": "fifo"},
            "plugins": {name: {} for name in plugins},
        }
    )


def test_predis_state_is_kept_in_snapshots_and_given_back(shelf: Shelf, tmp_path: Path) -> None:
    module = keeper(shelf)
    path = tmp_path / "cache.predis"
    with opened("keeper") as cache:
        cache.set_many([1, 2], ["one", "two"])
        cache.snapshot(path)
        assert module.GOT == []
    with opened("keeper") as cache:
        assert cache.restore(path).restored == 2
        assert cache.get_many([1, 2])[0] == ["one", "two"]
    assert [("sums", b"kept sums"), ("größe", "kept größe".encode())] == module.GOT
    assert module.THREADS == ["predis-keeper"] * 2
    assert describe(path).entries == 2


def test_a_plugin_that_is_not_there_leaves_its_sections_in_the_file(
    shelf: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper(shelf, names="('sums',)")
    other = keeper(shelf, "other", names="()")
    path = tmp_path / "cache.predis"
    with opened("keeper") as cache:
        cache.set_many([1], ["one"])
        cache.snapshot(path)
    with caplog.at_level(logging.WARNING, "predis"), opened("other") as cache:
        assert cache.restore(path).restored == 1
        wait_until(lambda: bool(other.EVENTS))
    told = (
        "cache 'default': section 'sums' of plugin 'keeper' was not restored: the cache has no "
        "plugin 'keeper'; enable it, and restore again"
    )
    assert caplog.messages == [told]
    (event,) = other.EVENTS
    assert (event.kind, event.severity, event.message) == ("snapshot.section", "warning", told)
    assert event.data == {"plugin": "keeper", "section": "sums"}
    with caplog.at_level(logging.WARNING, "predis"), opened("keeper") as cache:
        caplog.clear()
        assert cache.restore(path).restored == 1
    assert caplog.messages == []


def test_a_cache_without_plugins_says_what_it_does_not_restore(
    shelf: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper(shelf)
    path = tmp_path / "cache.predis"
    with opened("keeper") as cache:
        cache.set_many([1], ["one"])
        cache.snapshot(path)
    plain = predis.Cache[Any, Any](100, keys="int64", policy="fifo")
    with plain, caplog.at_level(logging.WARNING, "predis"):
        assert plain.restore(path).restored == 1
    assert caplog.messages == [
        f"cache 'default': what {path} keeps of plugins keeper was not restored: it has no plugins "
        "of its own"
    ]


@pytest.mark.parametrize(
    ("save", "reason"),
    [
        ("raise OSError('full')", "OSError: full"),
        ("return 7", "TypeError: save() has to return bytes, got int"),
        (
            "return bytes((64 << 20) + 1)",
            "ValueError: save() returned 67,108,865 bytes, at most 67,108,864 are kept",
        ),
    ],
)
def test_what_cannot_be_saved_is_left_out(
    shelf: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture, save: str, reason: str
) -> None:
    keeper(shelf, names="('sums',)", save=save)
    with opened("keeper") as cache, caplog.at_level(logging.WARNING, "predis"):
        cache.set_many([1], ["one"])
        assert cache.snapshot(tmp_path / "cache.predis").entries == 1
    assert f"section 'sums' of plugin 'keeper' is not in the snapshot: {reason}" in caplog.text


def test_what_cannot_be_restored_is_left_out(
    shelf: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = keeper(shelf, restore="if self.name == 'sums': raise ValueError('of another version')")
    with opened("keeper") as cache, caplog.at_level(logging.WARNING, "predis"):
        cache.set_many([1], ["one"])
        cache.snapshot(tmp_path / "cache.predis")
        assert cache.restore(tmp_path / "cache.predis").present == 1
    assert [("größe", "kept größe".encode())] == module.GOT
    assert "section 'sums' of plugin 'keeper' was not restored: ValueError: of another" in (
        caplog.text
    )


def test_a_plugin_that_hangs_keeps_nothing(
    shelf: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = keeper(shelf, names="('sums',)", save="RELEASE.wait(); return b''")
    module.RELEASE = threading.Event()
    try:
        with opened("keeper", deadline="50ms") as cache, caplog.at_level(logging.WARNING, "predis"):
            cache.set_many([1], ["one"])
            assert cache.snapshot(tmp_path / "cache.predis").entries == 1
            module.RELEASE.set()
        assert "is not in the snapshot: the plugin does not answer" in caplog.text
    finally:
        module.RELEASE.set()


def test_strict_raises_what_a_section_raises(shelf: Shelf, tmp_path: Path) -> None:
    keeper(shelf, save="raise OSError('full')")
    with opened("keeper", strict=True) as cache, pytest.raises(OSError, match="full"):
        cache.snapshot(tmp_path / "cache.predis")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("('same', 'same')", "'same' is that of two sections; give each its own"),
        ("('',)", "name: expected 1 to 100 characters, got ''"),
        ("(7,)", "name: expected 1 to 100 characters, got 7"),
    ],
)
def test_sections_whose_names_do_not_fit_are_not_taken(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, names: str, reason: str
) -> None:
    keeper(shelf, names=names)
    with caplog.at_level(logging.WARNING, "predis"), opened("keeper"):
        pass
    assert reason in caplog.text


def test_a_namespace_keeps_nothing_of_plugins(shelf: Shelf, tmp_path: Path) -> None:
    module = keeper(shelf)
    with opened("keeper") as cache:
        space = cache.namespace("acme", capacity=10)
        space.set_many([1], ["one"])
        space.snapshot(tmp_path / "acme.predis")
    assert module.THREADS == []


def test_sections_as_bytes() -> None:
    section = Section("drift", "größe", b"\x00data")
    assert section_of(payload_of(section)) == section
    for broken in (b"", b"\x01\x00", b"\x01\x00\x02\x00ab", b"\x01\x00\x01\x00\xff\xfe"):
        with pytest.raises(ValueError):
            section_of(broken)


def test_a_section_that_names_no_plugin_is_damage(shelf: Shelf, tmp_path: Path) -> None:
    from predis_core.snapshot import files
    from predis_core.snapshot.format import HEADER_KIND, SectionWriter

    keeper(shelf)
    path = tmp_path / "cache.predis"
    header = (
        b'{"library":"0","name":"x","keys":"int64","value":"Objects()","row_bytes":0,'
        b'"byteorder":"little","policy":"fifo","capacity":1,"wall":1}'
    )
    with files.replacing(path) as sink:
        sections = SectionWriter(sink)
        sections.add(HEADER_KIND, header)
        sections.add(b"STAT", b"\x09\x00\x09\x00")
        sections.end(0)
    with pytest.raises(SnapshotError, match=r"names no plugin: names of 9 and 9 bytes in 4"):
        describe(path)
