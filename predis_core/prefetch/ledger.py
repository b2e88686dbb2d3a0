"""What became of guesses: the one place that knows who guessed what, and how that turned out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predis_core.prefetch import credit
from predis_core.prefetch.machine import kernels
from predis_core.prefetch.outcomes import LATE, OUTCOMES, UNUSED, USED
from predis_core.table.interface import Bools, Int64s

_FIRST_ROOM = 512
"""Words for which a book has room at first."""


class Book:
    """A dictionary in order, as `kernels` describes it: a guess, or what left for one, by word."""

    def __init__(self) -> None:
        self._make(_FIRST_ROOM)

    def __len__(self) -> int:
        return int(self.nodes[0, kernels().SIZE])

    def make_room(self, words: int) -> None:
        """Have room for so many more."""
        wanted = len(self) + words
        if wanted < len(self.nodes):
            return
        before = self.nodes
        self._make(2 * wanted)
        kernels().copy(before, self.nodes, self.places)

    def _make(self, room: int) -> None:
        self.nodes = np.zeros((1 + room, kernels().COLUMNS), np.int64)
        self.places = np.zeros(1 << (2 * room).bit_length(), np.int64)
        kernels().begin(self.nodes)


class Ledger:
    """The guesses of one cache that nothing became of yet, and what left to make room for some.

    Args:
        owners: how many prefetchers there are, whose numbers are 0, 1, ….
        precision: the share of guesses that have to be used.
        most_credit: what a prefetcher may have at most.
        horizon: accesses after which a guess that was not asked for is unused, and what left for
            one is forgotten.
    """

    def __init__(self, owners: int, precision: float, most_credit: float, horizon: int) -> None:
        self._kernels = k = kernels()
        self._guesses, self._victims = Book(), Book()
        self._state = np.zeros(k.COUNTS + owners * k.COUNTED, np.int64)
        self._state[k.HORIZON] = horizon
        self._amounts = np.zeros(k.CREDITS + owners * credit.WORDS)
        self._counts = self._state[k.COUNTS :].reshape(owners, k.COUNTED)
        self._credits = self._amounts[k.CREDITS :].reshape(owners, credit.WORDS)
        self._credits[:] = credit.opening(precision, most_credit)

    # ------------------------------------------------------------------ what there is

    @property
    def accesses(self) -> int:
        """Looked-up keys so far."""
        return int(self._state[self._kernels.ACCESSES])

    @property
    def pending(self) -> int:
        """Guesses that are being loaded, or in the cache and unused."""
        return int(self._state[self._kernels.PENDING])

    @property
    def shadows(self) -> int:
        """Proposals that were not loaded, and nothing became of yet."""
        return len(self._guesses) - self.pending

    @property
    def wasted(self) -> float:
        """Guesses that were not used, of late."""
        return float(self._amounts[self._kernels.WASTED])

    @property
    def needed(self) -> float:
        """Loads that the backend had to do anyhow, of late: misses, and guesses that were used."""
        return float(self._amounts[self._kernels.NEEDED])

    @property
    def credits(self) -> list[float]:
        """What each owner has left."""
        left: list[float] = self._credits[:, credit.LEFT].tolist()
        return left

    @property
    def asked_for(self) -> int:
        """How many guesses of all were asked for so far, in time or late."""
        return int(self._counts[:, (USED, LATE)].sum())

    def counts(self, owner: int) -> list[int]:
        """Return what became of an owner's guesses, by outcome."""
        counts: list[int] = self._counts[owner, :OUTCOMES].tolist()
        return counts

    def loads(self, owner: int) -> int:
        """Return how many guesses were loaded for an owner."""
        return int(self._counts[owner, self._kernels.LOADS])

    def harmful(self, owner: int) -> int:
        """Return for how many guesses of an owner something left that was asked for soon after."""
        return int(self._counts[owner, self._kernels.HARMFUL])

    def worth(self, owner: int) -> float:
        """Return the share of an owner's guesses that came true, as far as is known (Laplace)."""
        counts = self.counts(owner)
        true = counts[USED] + counts[LATE]
        return (true + 1) / (true + counts[UNUSED] + 2)

    def are_pending(self, words: Int64s) -> Bools:
        """Return which keys are being loaded as guesses, or are ones that nobody asked for yet."""
        pending = np.empty(len(words), bool)
        self._kernels.are_pending(self._guesses.nodes, self._guesses.places, words, pending)
        return pending

    # ------------------------------------------------------------------ what is asked for

    def settle(self, words: Int64s, hits: Bools, number: int) -> tuple[Bools | None, Bools | None]:
        """Take note of a batch of look-ups.

        Returns:
            bool[n], which were guesses and there, and bool[n], which were guesses and late; None
            instead of a mask without any.
        """
        used, late = np.empty(len(words), bool), np.empty(len(words), bool)
        were_used, were_late = self._kernels.settle(
            *self._books(), self._state, self._amounts, words, hits, number, used, late
        )
        return used if were_used else None, late if were_late else None

    # ------------------------------------------------------------------ from proposal to entry

    def choose(self, words: Int64s, owners: Int64s, room: int, most_shadows: int) -> Int64s:
        """Choose which proposals are loaded, and follow some of the rest as shadows.

        Args:
            words: int64[m], distinct, best first.
            owners: int64[m], whose they are.
            room: how many may be loaded at most.
            most_shadows: how many shadows there may be.

        Returns:
            where those are that are loaded now, for which their owners have paid.
        """
        chosen = np.empty(len(words), np.int64)
        guesses = self._guesses
        guesses.make_room(len(words))
        count = self._kernels.choose(
            guesses.nodes, guesses.places, self._state, self._amounts,
            words, owners, room, most_shadows, chosen,
        )  # fmt: skip
        return chosen[:count]

    def stored(self, words: Int64s, batch: int) -> None:
        """Guesses are in the cache, for batches of that number and later ones."""
        self._kernels.mark(self._guesses.nodes, self._guesses.places, words, batch)

    def elsewhere(self, words: Int64s) -> None:
        """Guesses came after somebody else began to load them, or set them.

        Who asked for one is in a batch that is still to be taken note of, which makes it late.
        """
        self.stored(words, self._kernels.ELSEWHERE)

    def drop(self, words: Int64s, outcome: int) -> None:
        """Guesses were not loaded, or not stored."""
        guesses = self._guesses
        self._kernels.drop(
            guesses.nodes, guesses.places, self._state, self._amounts, words, outcome
        )

    def left(self, words: Int64s, owners: Int64s) -> None:
        """Entries left to make room for guesses, each for one of an owner."""
        self._victims.make_room(len(words))
        words = np.ascontiguousarray(words)  # they may be a column
        self._kernels.leave(*self._books(), self._state, self._amounts, words, owners)

    def _books(self) -> Sequence[Int64s]:
        guesses, victims = self._guesses, self._victims
        return guesses.nodes, guesses.places, victims.nodes, victims.places
