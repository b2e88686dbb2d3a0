"""The rules for what a cache goes through: pins, snapshots, other sizes, namespaces."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from predis_core.cache import Cache
from predis_core.errors import CacheBusy, ConfigurationError
from predis_core.testing.departures import Held
from predis_core.testing.known import Pin
from predis_core.testing.loads import LoadRules
from predis_core.testing.model import CacheModel
from predis_core.testing.rules import BATCH, ENTRIES, LIVES_OF_BATCH, STEPS, ways_of
from predis_core.testing.searching import invariant, rule, st

_CAPACITIES = st.sampled_from((1, 2, 7, 30, 60, 95))
_PINNED_AT_MOST = 4
_LIVES_CHECKED = 8
_SNAPSHOTS = 3
_ROOT = ""
Entries = tuple[list[Any], list[Any]]
_NAMES = st.sampled_from(("acme", "globex"))


class LifeRules(LoadRules):
    """What happens to the cache as a whole; the cache itself is one of its rooms.

    Attributes:
        rooms: the cache and its namespaces, each with its model, by name; the cache's is "".
    """

    def __init__(self) -> None:
        super().__init__()
        self.rooms: dict[str, tuple[Cache[Any, Any], CacheModel]] = {}
        self.listening = False
        self._contexts: list[tuple[Any, list[Pin]]] = []
        self._images: list[tuple[Path, dict[Any, Held]]] = []
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def enter(self, name: str, cache: Cache[Any, Any], model: CacheModel) -> None:
        """Take a new room, and check that one."""
        if self.listening:
            cache.add_removal_listener(model.listen())
        self.rooms[name] = cache, model
        self.cache, self.model = cache, model

    def teardown(self) -> None:
        """Close the cache."""
        if _ROOT in self.rooms:
            self.rooms[_ROOT][0].close()
        if self._directory is not None:
            self._directory.cleanup()
        super().teardown()

    @invariant()
    def owes_nothing(self) -> None:
        """Check the invariants, the counters, the length, what is there and for how long."""
        for cache, model in self.rooms.values():
            cache.check_invariants()
            stats = cache.stats()
            model.expect_stats(stats)
            model.expect_len(len(cache))
            pairs = list(cache.items())
            model.expect_items(pairs)
            model.expect_told(stats.size, [key for key, _ in pairs])
            model.expect_bytes(stats.bytes)
            for key, _ in pairs[:_LIVES_CHECKED]:
                model.expect_ttl_left(key, cache.ttl_left(key))

    # ------------------------------------------------------------------ pins

    @rule(keys=BATCH)
    def pin(self, keys: list[Any]) -> None:
        """Enter a context in which some entries stay."""
        if len(self._contexts) == _PINNED_AT_MOST:
            self.unpin(0, by_exit=True)
        context = self.cache.pinned(self.as_keys(keys))
        values = context.__enter__()
        pins = self.model.expect_pinned(keys, values, context.hit, blank=self.blank())
        self._contexts.append((context, pins))

    @rule(which=st.integers(0, _PINNED_AT_MOST - 1), by_exit=st.booleans())
    def unpin(self, which: int, by_exit: bool) -> None:
        """Leave such a context, or lose it."""
        if which < len(self._contexts):
            context, pins = self._contexts.pop(which)
            if by_exit:
                context.__exit__(None, None, None)
            del context
            self.model.note_unpinned(pins)

    @rule(entries=ENTRIES, more=ENTRIES, then=st.sampled_from(("stay", "again", "leave")))
    def fill_and_pin(self, entries: Entries, more: Entries, then: str) -> None:
        """Have so much pinned that others may be refused; pinned twice and left once; or left."""
        self.set_many(entries, None, named=True)
        keys = list(self.cache)
        self.model.expect_keys(keys)
        self.pin(keys)
        if then == "again":
            self.pin(keys)
            self.unpin(len(self._contexts) - 2, by_exit=True)
        elif then == "leave":
            self._unpin_all()
        for key, value in zip(*more, strict=True):
            self.setitem(key, value)

    def _unpin_all(self) -> None:
        while self._contexts:
            self.unpin(0, by_exit=True)

    # ------------------------------------------------------------------ snapshots

    @rule()
    def snapshot(self) -> None:
        """Write everything to a file."""
        if not self.takes_snapshots:
            return
        if self._directory is None:
            self._directory = tempfile.TemporaryDirectory()
        path = Path(self._directory.name) / f"{len(self._images) % _SNAPSHOTS}.predis"
        report = self.cache.snapshot(path, codec=self.codec())
        self._images = [image for image in self._images if image[0] != path]
        self._images.append((path, self.model.expect_snapshot(report.entries)))

    @rule(which=st.integers(0, _SNAPSHOTS - 1))
    def restore(self, which: int) -> None:
        """Restore a file into the cache, which may hold other entries, and newer ones."""
        if not 0 <= which < len(self._images):
            return
        path, image = self._images[which]
        evictions = self.cache.stats().evictions
        report = self.cache.restore(path, codec=self.codec())
        there = self.cache.contains_many(self.as_keys(list(image)))
        stats = self.cache.stats()
        gone = stats.evictions - evictions
        assert not gone, f"restore: {gone} entries were evicted for those that were restored"
        self.model.expect_restored(image, report, there, stats.refusals - self.model.refusals)

    @rule(entries=ENTRIES, more=ENTRIES, lives=LIVES_OF_BATCH, seconds=st.sampled_from(STEPS))
    def snapshot_and_restore(
        self, entries: Entries, more: Entries, lives: Any, seconds: float
    ) -> None:
        """Restore what was written before others were stored and some time went by."""
        self.set_many(entries, lives, named=False)
        self.owes_nothing()
        self.snapshot()
        self.set_many(more, None, named=False)
        self.owes_nothing()
        self.clock.advance(seconds)
        self.restore(len(self._images) - 1)

    @rule(which=st.integers(0, _SNAPSHOTS - 1), capacity=_CAPACITIES)
    def move_out(self, which: int, capacity: int) -> None:
        """Close the cache, and restore a file into a new one of another capacity."""
        if which >= len(self._images):
            return
        cache = self.make_another(capacity)
        if cache is None:
            return
        self._unpin_all()
        for held, model in self.rooms.values():
            model.expect_clear(len(held))
        self.rooms[_ROOT][0].close()
        for _, model in self.rooms.values():
            model.expect_told(0, ())
        self.rooms.clear()
        self.enter(_ROOT, cache, self.make_model(cache, None))
        self.restore(which)

    # ------------------------------------------------------------------ sizes and namespaces

    @rule(capacity=_CAPACITIES)
    def resize(self, capacity: int) -> None:
        """Make the cache larger or smaller, as far as it has a method for that."""
        if not self.can_resize or not hasattr(self.cache, "resize"):
            return
        self._unpin_all()
        before = self.cache.capacity, self.model.evictions
        try:
            report = _without_pins(lambda: self.cache.resize(capacity))
        except ConfigurationError:
            assert self.cache is not self.rooms[_ROOT][0], "resize: refused by the cache itself"
            assert self.cache.capacity == before[0], "resize: refused, and yet done"
            return
        self._note_sizes()
        gone = self.cache.stats().evictions - before[1]
        assert report.evicted == gone, f"resize: {report.evicted} evicted, but {gone} are counted"

    @rule(name=st.just(_ROOT) | _NAMES)
    def visit(self, name: str) -> None:
        """Go on with a namespace, which is made if there is none of that name, or the cache."""
        root: Any = self.rooms[_ROOT][0]
        if not self.can_resize or not hasattr(root, "namespace"):
            return
        self._unpin_all()
        if name in self.rooms:
            self.cache, self.model = self.rooms[name]
        elif root.capacity > 2:
            made = _without_pins(lambda: root.namespace(name, capacity=root.capacity // 3))
            assert root.namespaces()[name] is made, f"namespaces: {name} is another cache"
            self._note_sizes()
            self.enter(name, made, self.make_model(made, None))

    @rule(name=_NAMES)
    def drop_namespace(self, name: str) -> None:
        """Give up a namespace, with what it holds."""
        if name not in self.rooms:
            return
        self._unpin_all()
        dropped, model = self.rooms.pop(name)
        model.expect_clear(len(dropped))
        root: Any = self.rooms[_ROOT][0]
        _without_pins(lambda: root.drop_namespace(name))
        model.expect_told(0, ())
        assert name not in root.namespaces(), f"drop_namespace: {name} is still there"
        self._note_sizes()
        self.cache, self.model = self.rooms[_ROOT]

    def _note_sizes(self) -> None:
        for cache, model in self.rooms.values():
            model.note_resized(cache.capacity, ways_of(cache.capacity))


def _without_pins(change: Callable[[], Any]) -> Any:
    """Do what is refused while something is pinned, after all pins were left."""
    try:
        return change()
    except CacheBusy as error:
        raise AssertionError(f"pins: all contexts were left, and yet: {error}") from error
