"""The rules that load what is missing."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from predis_core.errors import LoaderError, MissingKeys
from predis_core.testing.faces import FaceRules
from predis_core.testing.known import as_list, same_keys
from predis_core.testing.rules import (
    ABSENT,
    BATCH,
    ENTRIES,
    KEY,
    LIFE,
    LIVES_OF_BATCH,
    VALUE,
    spread,
)
from predis_core.testing.searching import rule, st


class LoadRules(FaceRules):
    """Calls with loaders: those that know all ids or some, that fail, or that meddle."""

    @rule(
        entries=ENTRIES,
        life=LIVES_OF_BATCH,
        unknown=st.none() | st.lists(KEY, max_size=3),
        mask=st.booleans(),
        meanwhile=st.sampled_from((None, None, None, "set", "delete", "clear")),
    )
    def get_or_load_many(
        self,
        entries: tuple[list[Any], list[Any]],
        life: Any,
        unknown: list[Any] | None,
        mask: bool,
        meanwhile: str | None,
    ) -> None:
        """Load what a batch misses; `unknown` ids are lacking in the loader's mapping.

        With `unknown` None the loader returns aligned values. `meanwhile`, the loader itself sets,
        deletes or clears the first id that it was asked for, and that wins.
        """
        keys, values = entries
        ttl = spread(life, len(keys))
        first = {key: at for at, key in reversed(list(enumerate(keys)))}
        lost = dict.fromkeys(unknown or ())
        source = {key: values[at] for key, at in first.items() if key not in lost}
        asked: list[Any] = []
        available: dict[Any, Any] = {}

        def loader(ids: Any) -> Any:
            assert not asked, "load: the loader was called twice by one call"
            asked.extend(as_list(ids))
            available.update(self.model.expect_asked(keys, asked))
            if meanwhile is not None:
                self._meddle(meanwhile, asked[0], values[first[asked[0]]])
            if unknown is None:
                return self.as_values([source[key] for key in asked])
            return {key: source[key] for key in asked if key in source}

        lacking = self._load(keys, loader, ttl, mask, asked, available, source)
        overruled = asked if meanwhile == "clear" else asked[:1] if meanwhile else []
        skipped = dict.fromkeys([*overruled, *lacking])
        kept = [key for key in asked if key not in skipped]
        lives = ttl[[first[key] for key in kept]] if isinstance(ttl, np.ndarray) else ttl
        refusals = self.cache.stats().refusals - self.model.refusals
        self.expect_batch_stored(kept, [source[key] for key in kept], refusals, ttl=lives)

    @rule(keys=BATCH, unfit=st.sampled_from(("raises", "none", "too many", "unasked")))
    def load_in_vain(self, keys: list[Any], unfit: str) -> None:
        """Ask a loader that fails: the error names the ids, and nothing is cached."""
        asked: list[Any] = []

        def loader(ids: Any) -> Any:
            asked.extend(as_list(ids))
            if unfit == "raises":
                raise RuntimeError("in vain")
            if unfit == "none":
                return None
            if unfit == "unasked":
                return {ABSENT: self.blank()}
            return [self.blank()] * (len(asked) + 1)

        try:
            self.cache.get_or_load_many(self.as_keys(keys), loader)
        except LoaderError as error:
            assert asked, "load: an error although nothing was to be loaded"
            assert same_keys(error.ids, asked), f"load: {error.ids!r} instead of {asked!r} failed"
            self.model.note_failed_loads(len(asked))
        else:
            assert not asked, f"load: an unfit loader ({unfit}) goes unnoticed"
        self.model.expect_asked(keys, asked)

    def _meddle(self, verb: str, key: Any, value: Any) -> None:
        """Write to the cache from inside a loader."""
        if verb == "set":
            self.model.expect_set([key], [value], [self.cache.set(key, value)])
            self.model.expect_stats(self.cache.stats())
        elif verb == "delete":
            self.model.expect_delete([key], self.cache.delete_many(self.as_keys([key])))
        else:
            self.clear()

    def _load(
        self,
        keys: list[Any],
        loader: Any,
        ttl: Any,
        mask: bool,
        asked: list[Any],
        available: dict[Any, Any],
        source: dict[Any, Any],
    ) -> list[Any]:
        """Call `get_or_load_many`, check what it returns; return the ids that nobody knows."""
        missing: Literal["mask", "raise"] = "mask" if mask else "raise"
        unknown: list[Any] | None = None
        try:
            result = self.cache.get_or_load_many(
                self.as_keys(keys), loader, ttl=ttl, missing=missing
            )
        except MissingKeys as error:
            assert not mask, "load: missing='mask' raises"
            unknown = error.ids
        if not asked:
            available.update(self.model.expect_asked(keys, []))
        lacking = [key for key in asked if key not in source]
        available.update({key: source[key] for key in asked if key in source})
        if unknown is not None or (lacking and not mask):
            alike = unknown is not None and same_keys(unknown, lacking)
            assert alike, f"load: MissingKeys of {unknown!r} instead of {lacking!r}"
        else:
            values, found = result if mask else (result, [True] * len(keys))
            self.model.expect_filled(keys, values, found, available)
        return lacking

    @rule(key=KEY, value=VALUE, life=LIFE)
    def get_or_load(self, key: Any, value: Any, life: Any) -> None:
        """Read one entry, or load it with a loader of one key."""
        asked: list[Any] = []

        def loader(asked_key: Any) -> Any:
            asked.append(asked_key)
            return value

        got = self.cache.get_or_load(key, loader, ttl=life)
        available = self.model.expect_asked([key], asked) | dict.fromkeys(asked, value)
        self.model.expect_filled([key], [got], [True], available)
        refusals = self.cache.stats().refusals - self.model.refusals
        self.expect_batch_stored(asked, [value] * len(asked), refusals, ttl=life)
