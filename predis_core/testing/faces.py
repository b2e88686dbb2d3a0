"""The rules that call the batch face and the dict face."""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.errors import CacheFull
from predis_core.testing.known import same_keys, same_value
from predis_core.testing.rules import (
    ABSENT,
    BATCH,
    ENTRIES,
    KEY,
    LIFE,
    LIVES_OF_BATCH,
    STEPS,
    VALUE,
    Rules,
    or_absent,
    spread,
)
from predis_core.testing.searching import rule, st


class FaceRules(Rules):
    """Calls of the batch face, then those of the dict face."""

    @rule(keys=BATCH)
    def get_many(self, keys: list[Any]) -> None:
        """Look up a batch."""
        values, hit = self.cache.get_many(self.as_keys(keys))
        self.model.expect_get(keys, values, hit, blank=self.blank())

    @rule(keys=BATCH)
    def get_many_into(self, keys: list[Any]) -> None:
        """Look up a batch into a caller's array; missed rows stay as they were."""
        out = self.make_out(len(keys))
        if out is None:
            return
        before = out.copy()
        values, hit = self.cache.get_many(self.as_keys(keys), out=out)
        assert values is out, "get_many: returns something else than the given out="
        self.model.expect_get(keys, out, hit)
        for position in np.flatnonzero(~np.asarray(hit)):
            assert same_value(out[position], before[position]), (
                f"get_many: wrote to row {position} of out=, which was a miss"
            )

    @rule(entries=ENTRIES, life=LIVES_OF_BATCH, named=st.booleans())
    def set_many(self, entries: tuple[list[Any], list[Any]], life: Any, named: bool) -> None:
        """Store a batch, with or without the names of what leaves."""
        keys, values = entries
        ttl = spread(life, len(keys))
        batch, rows, gone = self.as_keys(keys), self.as_values(values), None
        if named:
            stored, gone = self.cache.set_many(batch, rows, ttl=ttl, return_evicted=True)
        else:
            stored = self.cache.set_many(batch, rows, ttl=ttl)
        self.model.expect_set(keys, values, stored, ttl=ttl, evicted=gone)
        if named:
            evictions = self.cache.stats().evictions
            assert evictions == self.model.evictions, (
                f"set_many: named {self.model.evictions} evictions so far, counted {evictions}"
            )

    @rule(keys=BATCH)
    def contains_many(self, keys: list[Any]) -> None:
        """Ask for a batch without using it."""
        self.model.expect_present(keys, self.cache.contains_many(self.as_keys(keys)))

    @rule(keys=BATCH)
    def touch_many(self, keys: list[Any]) -> None:
        """Use a batch without reading it."""
        touched = self.cache.touch_many(self.as_keys(keys))
        self.model.expect_present(keys, touched, what="touch")

    @rule(keys=BATCH)
    def delete_many(self, keys: list[Any]) -> None:
        """Remove a batch."""
        self.model.expect_delete(keys, self.cache.delete_many(self.as_keys(keys)))

    # ------------------------------------------------------------------ the dict face

    @rule(key=KEY)
    def getitem(self, key: Any) -> None:
        """Read by subscript."""
        self.expect_one(key, or_absent(lambda: self.cache[key]))

    @rule(key=KEY)
    def get(self, key: Any) -> None:
        """Read with a default."""
        self.expect_one(key, self.cache.get(key, ABSENT))

    @rule(key=KEY)
    def contains(self, key: Any) -> None:
        """Ask for one key."""
        self.model.expect_present([key], [key in self.cache])

    @rule(key=KEY, value=VALUE, life=LIFE)
    def set(self, key: Any, value: Any, life: Any) -> None:
        """Store one entry."""
        stored = self.cache.set(key, value, ttl=life)
        self.model.expect_set([key], [value], [stored], ttl=life)

    @rule(key=KEY, value=VALUE)
    def setitem(self, key: Any, value: Any) -> None:
        """Store by subscript."""
        try:
            self.cache[key] = value
        except CacheFull:
            self.model.expect_set([key], [value], [False])
        else:
            self.model.expect_set([key], [value], [True])

    @rule(key=KEY)
    def delitem(self, key: Any) -> None:
        """Remove by subscript."""
        try:
            del self.cache[key]
        except KeyError:
            self.model.expect_delete([key], [False])
        else:
            self.model.expect_delete([key], [True])

    @rule(key=KEY, has_default=st.booleans())
    def pop(self, key: Any, has_default: bool) -> None:
        """Remove and return one value."""
        if has_default:
            value = self.cache.pop(key, ABSENT)
        else:
            value = or_absent(lambda: self.cache.pop(key))
        self.model.expect_delete([key], [value is not ABSENT], values=[value])

    @rule()
    def popitem(self) -> None:
        """Remove and return some entry."""
        pair = or_absent(self.cache.popitem)
        if pair is ABSENT:
            self.model.expect_keys([])
        else:
            self.model.expect_delete([pair[0]], [True], values=[pair[1]])

    @rule(entries=ENTRIES, pairs=st.booleans())
    def update(self, entries: tuple[list[Any], list[Any]], pairs: bool) -> None:
        """Store a mapping, or pairs."""
        given = list(zip(*entries, strict=True))
        full = False
        try:
            self.cache.update(given if pairs else dict(given))
        except CacheFull:
            full = True
        refusals = self.cache.stats().refusals - self.model.refusals
        assert full == (refusals > 0), f"update: {refusals} entries were refused silently"
        last = dict(given)
        self.expect_batch_stored(list(last), list(last.values()), refusals)

    @rule(key=KEY, value=VALUE)
    def setdefault(self, key: Any, value: Any) -> None:
        """Read, or store what is missing."""
        was_there = key in self.cache
        try:
            got = self.cache.setdefault(key, value)
        except CacheFull:
            self.expect_one(key, ABSENT)
            self.model.expect_set([key], [value], [False])
            return
        self.expect_one(key, got if was_there else ABSENT)
        if not was_there:
            assert same_value(got, value), f"setdefault: {got!r} instead of {value!r}"
            self.model.expect_set([key], [value], [True])

    @rule(key=KEY)
    def ttl_left(self, key: Any) -> None:
        """Ask how long an entry still lives."""
        left = or_absent(lambda: self.cache.ttl_left(key))
        if left is ABSENT:
            self.model.expect_present([key], [False], what="ttl_left")
        else:
            self.model.expect_ttl_left(key, left)

    @rule()
    def iterate(self) -> None:
        """Iterate over keys and values, each by itself; the invariant does over items."""
        listed = list(self.cache)
        self.model.expect_keys(listed)
        assert same_keys(list(self.cache.keys()), listed), "keys(): differs from iteration"
        self.model.expect_items(zip(listed, self.cache.values(), strict=True))

    @rule()
    def clear(self) -> None:
        """Remove everything."""
        held = len(self.cache)
        self.cache.clear()
        self.model.expect_clear(held)
        self.model.expect_len(len(self.cache))

    @rule(seconds=st.sampled_from(STEPS))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
