"""What a cache owes its user, as plain Python: a dict that may forget, but only what it owns up to.

The model knows nothing of sets, policies or kernels. It holds what was stored and has not been
deleted, cleared or evicted, and has not expired. A cache may forget entries, so an entry that the
model holds may turn out to be missing; but every entry that leaves to make room is an eviction, and
evictions are either named (`expect_set(evicted=)`) or counted (`expect_stats`, `note_evictions`).
The model lets as many entries be missing as evictions were counted and not yet named, and no more;
with a listener (`listen`) every one of them must have been told. What it never accepts: a wrong
value; a hit on a key that was never stored, or was deleted, cleared, evicted or has expired; one
key twice; more entries or bytes than fit; that a pinned entry is evicted; that an entry is refused
although nothing is pinned and it fits.

It checks any cache: tell it each call and what the cache answered, and it raises AssertionError
with the key, the reason and both values. Keys are compared as a dict compares them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from predis_core.clock import NANOSECONDS
from predis_core.snapshot import RestoreReport
from predis_core.testing.departures import Held, fail
from predis_core.testing.known import (
    COUNTED,
    NEVER_STORED,
    Known,
    Pin,
    as_list,
    check_lengths,
    same_keys,
    some,
)
from predis_core.types import Stats


class CacheModel(Known):
    """The model of one cache, which starts empty.

    Args:
        capacity: entries that fit.
        clock: the clock that the cache has, too; a `ManualClock` in tests.
        ttl: the cache's default time to live, in seconds or as a timedelta; None for forever.
        same: decides whether two values are alike.
        ways: the fewest places among which a key has to find one: with so many of them pinned, an
            entry may be refused.
        weigh: gets a key and its value and returns the bytes that they count for; None if they are
            not counted.
        limit: what all entries may count for together.
        fits: gets a key and its value and returns whether an empty cache would hold them; by
            default, if they count for no more than the limit.
    """

    # ------------------------------------------------------------------ reading

    def expect_get(self, keys: Any, values: Any, hit: Any, *, blank: Any = ...) -> None:
        """Check `values, hit = cache.get_many(keys)`.

        Args:
            keys: n keys.
            values: n values; those of misses are compared with `blank`, if that is given.
            hit: bool[n].
            blank: what stands in the place of a missed value.
        """
        listed = as_list(keys)
        check_lengths("get", listed, values=values, hit=hit)
        self.expect_present(listed, hit, what="get")
        for key, value, found in zip(listed, values, hit, strict=True):
            if found:
                self._compare("get", key, value, self._held[key].value)
            elif blank is not ... and not self._same(value, blank):
                fail(f"get: the missed key {key!r} came with {value!r} instead of {blank!r}")
        hits = sum(map(bool, hit))
        self._counted["hits"] += hits
        self._counted["misses"] += len(listed) - hits

    def expect_present(self, keys: Any, present: Any, *, what: str = "contains") -> None:
        """Check `present = cache.contains_many(keys)`, or that of `touch_many`."""
        listed = as_list(keys)
        check_lengths(what, listed, present=present)
        self._expire()
        for key, found in zip(listed, present, strict=True):
            if found:
                self._must_hold(what, key)
            else:
                self._may_lack(what, key)

    def expect_ttl_left(self, key: Any, left: float | None) -> None:
        """Check `left = cache.ttl_left(key)`; a KeyError is `expect_present([key], [False])`."""
        self._expire()
        self._must_hold("ttl_left", key)
        deadline = self._held[key].deadline
        expected = (deadline - self._clock.monotonic()) / NANOSECONDS if deadline else None
        if left is None or expected is None:
            alike = left is expected
        else:
            alike = math.isclose(left, expected, rel_tol=1e-9, abs_tol=2e-9)
        if not alike:
            fail(f"ttl_left: {key!r} has {expected} seconds left, the cache says {left}")

    # ------------------------------------------------------------------ writing

    def expect_set(
        self, keys: Any, values: Any, stored: Any, *, ttl: Any = None, evicted: Any = None
    ) -> None:
        """Check and take over `stored = cache.set_many(keys, values, ttl=ttl)`.

        Args:
            keys, values: n each, the values as the cache is to return them; the last of equal keys
                wins.
            stored: bool[n].
            ttl: as it was passed to the cache.
            evicted: (keys, values) of all that the cache says it evicted, in the order in which it
                did; None if it does not say.
        """
        listed = as_list(keys)
        check_lengths("set", listed, values=values, stored=stored)
        self._expire()
        before, refused = dict(self._held), set()
        deadlines = self._deadlines(ttl, len(listed))
        last = {key: position for position, key in enumerate(listed)}
        for position, key in enumerate(listed):
            if bool(stored[position]) != bool(stored[last[key]]):
                fail(f"set: {key!r}, twice in the batch, is stored here and refused there")
        for key, position in last.items():
            if stored[position]:
                self._store(key, Held(values[position], deadlines[position]))
            else:
                refused.add(key)
                self._take_refusal(key, values[position])
        if evicted is not None:
            self._take_evicted(evicted, before, set(last) - refused, refused)
        for key in refused & self._held.keys():
            # What was to be replaced left as well.
            if evicted is not None:
                fail(f"set: {key!r} is refused, and its old value is not among what was evicted")
            self._drop(key, "was evicted")
            self._counted["evictions"] += 1

    def expect_delete(self, keys: Any, deleted: Any, *, values: Any = None) -> None:
        """Check and take over `deleted = cache.delete_many(keys)`.

        `values` are n values that came with it, as `pop` returns one, or None.
        """
        listed = as_list(keys)
        check_lengths("delete", listed, deleted=deleted)
        for position, key in enumerate(listed):
            self.expect_present([key], [deleted[position]], what="delete")
            if deleted[position]:
                if values is not None:
                    self._compare("delete", key, values[position], self._held[key].value)
                self._drop(key, "was deleted")
                self._counted["deletions"] += 1
                if self._departures is not None:
                    self._departures.note_deleted(key)
            self._unreclaimed.pop(key, None)

    def expect_clear(self, held: int) -> None:
        """Take over `cache.clear()`; `held` is `len(cache)` just before it."""
        self.expect_len(held)
        for key in list(self._held):
            self._drop(key, "was cleared")
        self._unreclaimed.clear()
        self._forgotten = 0
        self._counted["deletions"] += held
        if self._departures is not None:
            self._departures.note_cleared()

    # ------------------------------------------------------------------ pins

    def expect_pinned(self, keys: Any, values: Any, hit: Any, *, blank: Any = ...) -> list[Pin]:
        """Check `values` of `cache.pinned(keys)` and its `hit`, as `expect_get` does.

        Returns:
            the pins, for `note_unpinned`.
        """
        self.expect_get(keys, values, hit, blank=blank)
        pins = [
            self._pinned.setdefault(key, Pin())
            for key, found in zip(as_list(keys), hit, strict=True)
            if found
        ]
        for pin in pins:
            pin.count += 1
            self._taken.add(pin)
        return pins

    def note_unpinned(self, pins: Iterable[Pin]) -> None:
        """Take note that the context was left whose entries `expect_pinned` checked."""
        for pin in pins:
            pin.count -= 1
            if pin.count == 0:
                self._taken.discard(pin)
        self._pinned = {key: pin for key, pin in self._pinned.items() if pin.count}

    # ------------------------------------------------------------------ snapshots

    def expect_snapshot(self, entries: int) -> dict[Any, Held]:
        """Check how many entries `cache.snapshot(path)` wrote; return what is in the file."""
        self._expire()
        least, most = len(self._held) - self._forgotten, len(self._held)
        if not least <= entries <= most:
            fail(f"snapshot: {entries} entries were written, of {least} to {most}")
        return dict(self._held)

    def expect_restored(
        self, image: Mapping[Any, Held], report: RestoreReport, there: Any, refusals: int = 0
    ) -> None:
        """Check and take over `report = cache.restore(path)`.

        Args:
            image: what is in the file, as `expect_snapshot` returned it.
            report: what the cache says.
            there: bool[len(image)], which keys are present afterwards, in the image's order.
            refusals: how many entries it counts as refused meanwhile.
        """
        self._expire()
        now = self._clock.monotonic()
        alive = [key for key, held in image.items() if not 0 < held.deadline <= now]
        absent = {key for key in alive if key not in self._held}
        check_lengths("restore", list(image), there=there)
        stored = [key for key, now_there in zip(image, there, strict=True) if now_there]
        stored = [key for key in stored if key in absent]
        expected = {
            "entries": len(image),
            "expired": len(image) - len(alive),
            "present": len(alive) - len(absent),
            "restored": len(stored),
            "did_not_fit": len(absent) - len(stored),
        }
        found = {name: getattr(report, name) for name in expected}
        if found != expected:
            fail(f"restore: the report says {found}, expected {expected}")
        taken = len(self._held) + len(self._unreclaimed) + len(self._taken) + len(stored)
        if report.did_not_fit and self._weigh is None and taken < self.ways:
            fail(f"restore: {report.did_not_fit} did not fit although places are free")
        if refusals > report.did_not_fit:
            fail(f"restore: {refusals} were refused, but {report.did_not_fit} did not fit")
        self._counted["refusals"] += refusals
        for key in stored:
            self._store(key, image[key])

    def note_resized(self, capacity: int, ways: int = 1) -> None:
        """Take note of another capacity and other `ways`; what left for it is evicted."""
        self.capacity, self.ways = capacity, ways
        if self._departures is not None:
            self._departures.note_refused()

    # ------------------------------------------------------------------ loading

    def expect_asked(self, keys: Any, ids: Any) -> dict[Any, Any]:
        """Check what a loader was asked for by `get_or_load_many(keys)`.

        Call it from the loader, or with no ids if the loader was not called. What was loaded is
        stored by a later `expect_set(ids, …)`.

        Returns:
            the values of all the keys that are not to be loaded, by key.
        """
        listed, asked = as_list(keys), as_list(ids)
        wanted = set(asked)
        expected = [key for key in dict.fromkeys(listed) if key in wanted]
        if not same_keys(asked, expected):
            fail(
                f"load: the loader was asked for {some(asked)} instead of the distinct missing "
                f"ids in order of first appearance, {some(expected)}"
            )
        present = [key not in wanted for key in listed]
        self.expect_present(listed, present, what="load")
        self._counted["hits"] += sum(present)
        self._counted["misses"] += len(listed) - sum(present)
        self._counted["loads"] += len(asked)
        return {key: self._held[key].value for key in listed if key not in wanted}

    def expect_filled(
        self, keys: Any, values: Any, found: Any, available: Mapping[Any, Any]
    ) -> None:
        """Check `values, found = cache.get_or_load_many(keys, missing="mask")`.

        `available` holds the values of hits (from `expect_asked`) and those that were loaded.
        """
        listed = as_list(keys)
        check_lengths("load", listed, values=values, found=found)
        for key, value, there in zip(listed, values, found, strict=True):
            if bool(there) != (key in available):
                fail(f"load: {key!r} is{'' if there else ' not'} found, but the loader disagrees")
            if there:
                self._compare("load", key, value, available[key])

    # ------------------------------------------------------------------ the whole

    def expect_len(self, size: int) -> None:
        """Check `size = len(cache)`; expired entries count until they are reclaimed."""
        self._expire()
        if size > self.capacity:
            fail(f"len: {size} entries in a cache of {self.capacity}")
        least = len(self._held) - self._forgotten
        most = len(self._held) + len(self._unreclaimed)
        if not least <= size <= most:
            fail(f"len: {size}, but from {least} to {most} entries are accounted for")

    def expect_keys(self, keys: Iterable[Any]) -> None:
        """Check that `keys` are all the keys of the cache; from now on nothing else is held."""
        self._expire()
        listed = as_list(keys)
        seen: set[Any] = set()
        for key in listed:
            self._must_hold("iteration", key)
            if key in seen:
                fail(f"iteration: {key!r} comes twice")
            seen.add(key)
        missing = [key for key in self._held if key not in seen]
        if len(missing) > self._forgotten:
            fail(
                f"iteration: {some(missing)} are missing, but only {self._forgotten} evictions "
                "are not accounted for"
            )
        for key in missing:
            self._evict("iteration", key)
        self._forgotten = 0

    def expect_items(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """Check that `pairs` are all the entries of the cache; see `expect_keys`."""
        listed = list(pairs)
        self.expect_keys([key for key, _ in listed])
        for key, value in listed:
            self._compare("iteration", key, value, self._held[key].value)

    def expect_stats(self, stats: Stats) -> None:
        """Check the counters of `cache.stats()`, and take note of evictions that are new in them.

        All calls since the cache was opened must have been told to this model.
        """
        counted = self._counted
        for name in COUNTED:
            self._expect_count(name, getattr(stats, name), counted[name])
        stores = stats.insertions + stats.updates
        self._expect_count("insertions + updates", stores, counted["stores"])
        self._expect_count("requests", stats.requests, counted["hits"] + counted["misses"])
        self._expect_count("capacity", stats.capacity, self.capacity)
        left = stats.evictions + stats.expirations + stats.deletions
        self._expect_count("insertions less all that left", stats.insertions - left, stats.size)
        if stats.evictions < counted["evictions"]:
            fail(f"stats: evictions {stats.evictions}, but {counted['evictions']} are known")
        self.note_evictions(stats.evictions - counted["evictions"])
        self.expect_len(stats.size)
        if self._departures is not None:
            told = self._departures.told
            self._expect_count("updates", stats.updates, told["replaced"])
            self._expect_count("evictions", stats.evictions, told["evicted"])
            self._expect_count("all that left", left, told.total() - told["replaced"])

    def expect_bytes(self, held: int) -> None:
        """Check what the entries count for together, `stats.bytes`; call it after `expect_keys`."""
        if self._weigh is None:
            return
        if held > self._limit:
            fail(f"bytes: {held} are held, in a cache that has {self._limit} for values")
        least = sum(self._weigh(key, entry.value) for key, entry in self._held.items())
        most = least + sum(self._weigh(*entry) for entry in self._unreclaimed.items())
        if not least <= held <= most:
            fail(f"bytes: {held}, but from {least} to {most} are accounted for")

    def expect_told(self, size: int, keys: Collection[Any]) -> None:
        """Check that the listener, if there is one, was told of all that left, each once.

        Args:
            size: `len(cache)`.
            keys: those that it iterates over.
        """
        if self._departures is not None:
            self._departures.settle()
            self._departures.expect_there(size, keys)
            self._unreclaimed = {
                key: held.value
                for key, held in self._departures.there.items()
                if key not in self._held
            }

    # ------------------------------------------------------------------ inside

    def _take_evicted(
        self, evicted: Any, before: dict[Any, Held], stored: set[Any], refused: set[Any]
    ) -> None:
        """Drop what the cache says it evicted, each with the value that it had then.

        `before` are the entries before the write, `stored` and `refused` the keys of the write.
        """
        keys, values = as_list(evicted[0]), evicted[1]
        check_lengths("evicted", keys, values=values)
        self._counted["evictions"] += len(keys)
        for key, value in zip(keys, values, strict=True):
            old = key in before and self._same(before[key].value, value)
            new = key in stored and key in self._held and self._same(self._held[key].value, value)
            if not old and not new:
                known = before.get(key, self._held.get(key))
                why = self._reasons.get(key, NEVER_STORED)
                fail(
                    f"evicted: {key!r} came with the value {value!r}, "
                    + (f"expected {known.value!r}" if known else f"but it {why}")
                )
            if key in self._pinned and key not in refused:
                fail(f"evicted: {key!r}, which is pinned")
            if old and new:
                # Before its own turn or after it? Both are possible: it may be missing now.
                self._forgotten += 1
            elif new or key not in stored:
                self._drop(key, "was evicted")
            before.pop(key, None)
