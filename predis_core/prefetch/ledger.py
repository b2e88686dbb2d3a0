"""What became of guesses: the one place that knows who guessed what, and how that turned out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

_NEVER = 1 << 62
"""The number of a batch that is still to come, for a guess that is still being loaded."""

_ELSEWHERE = _NEVER + 1
"""The same, for a guess that somebody else has loaded or is loading."""


class Outcome(IntEnum):
    """What became of a guess."""

    USED = 0
    """It was asked for, and was there."""

    LATE = 1
    """It was asked for while it was being loaded; who asked waited for that load."""

    UNUSED = 2
    """It left, was there for long, or could not be had, and was not asked for."""

    MOOT = 3
    """It was there already, or loading failed: nobody's guess was wrong."""

    SHADOW_USED = 4
    """It was not loaded, was asked for, and was not there."""

    SHADOW_UNUSED = 5
    """It was not loaded, and not asked for."""


class Verdict(NamedTuple):
    """What became of one guess, whose it was, and of which key."""

    owner: int
    outcome: Outcome
    word: int


class _Guess:
    """A guess that nobody has asked for yet.

    Attributes:
        owner: whose it is.
        made: the access after which it was made.
        stored: what batches that began later have as their number at least; None for a shadow.
    """

    __slots__ = ("made", "owner", "stored")

    def __init__(self, owner: int, made: int, stored: int | None) -> None:
        self.owner, self.made, self.stored = owner, made, stored


class Ledger:
    """The guesses of one cache that nothing became of yet, and what left to make room for some.

    Args:
        horizon: accesses after which a guess that was not asked for is unused, and what left for
            one is forgotten.

    Attributes:
        accesses: looked-up keys so far.
        pending: guesses that are being loaded, or in the cache and unused.
        shadows: proposals that were not loaded, and nothing became of yet.
    """

    def __init__(self, horizon: int) -> None:
        self.accesses = 0
        self.pending = 0
        self._horizon = horizon
        # In the order in which they were made, so that the oldest ones come first.
        self._guesses: dict[int, _Guess] = {}
        self._victims: dict[int, tuple[int, int]] = {}

    @property
    def shadows(self) -> int:
        return len(self._guesses) - self.pending

    def __contains__(self, word: int) -> bool:
        return word in self._guesses

    def is_pending(self, word: int) -> bool:
        """Return whether a key is being loaded as a guess, or is one that nobody asked for yet."""
        guess = self._guesses.get(word)
        return guess is not None and guess.stored is not None

    # ------------------------------------------------------------------ from guess to entry

    def shadow(self, owner: int, words: Iterable[int]) -> None:
        """Note proposals that are not loaded."""
        for word in words:
            self._guesses[word] = _Guess(owner, self.accesses, None)

    def load(self, owners: Iterable[int], words: Iterable[int]) -> None:
        """Note guesses that are being loaded; a shadow of the same key goes."""
        for owner, word in zip(owners, words, strict=True):
            self._guesses.pop(word, None)
            self._guesses[word] = _Guess(owner, self.accesses, _NEVER)
            self.pending += 1

    def stored(self, words: Iterable[int], batch: int) -> None:
        """Guesses are in the cache, for batches of that number and later ones."""
        for word in words:
            guess = self._guesses.get(word)
            if guess is not None:
                guess.stored = batch

    def elsewhere(self, words: Iterable[int]) -> None:
        """Guesses came after somebody else began to load them, or set them.

        Who asked for one is in a batch that is still to be taken note of, which makes it late.
        """
        for word in words:
            guess = self._guesses.get(word)
            if guess is not None:
                guess.stored = _ELSEWHERE

    def drop(self, words: Iterable[int], outcome: Outcome = Outcome.MOOT) -> Iterator[Verdict]:
        """Guesses were not loaded, or not stored."""
        for word in words:
            guess = self._guesses.get(word)
            if guess is not None:
                yield self._close(word, guess, outcome)

    def left(self, words: Iterable[int], owners: Iterable[int]) -> Iterator[Verdict]:
        """Entries left to make room for guesses, each for one of an owner."""
        for word, owner in zip(words, owners, strict=True):
            guess = self._guesses.get(word)
            if guess is None:
                self._victims.pop(word, None)
                self._victims[word] = (owner, self.accesses)
            elif guess.stored is not None:
                yield self._close(word, guess, Outcome.UNUSED)

    # ------------------------------------------------------------------ what is asked for

    def settle(self, words: list[int], hits: list[bool], batch: int) -> Iterator[Verdict]:
        """Take note of a batch of look-ups; yield what it says of guesses."""
        guesses = self._guesses
        if guesses:
            for word, hit in [pair for pair in zip(words, hits, strict=True) if pair[0] in guesses]:
                guess = guesses.get(word)
                if guess is not None:  # not twice in one batch
                    yield self._close(word, guess, _outcome(guess, hit, batch))
        self.accesses += len(words)

    def harmed(self, words: list[int], hits: list[bool]) -> Iterator[int]:
        """Yield the owners of guesses for which something left that a batch missed."""
        victims = self._victims
        if victims:
            for word, hit in [pair for pair in zip(words, hits, strict=True) if pair[0] in victims]:
                owner, _ = victims.pop(word, (-1, 0))
                if owner >= 0 and not hit:
                    yield owner

    def age(self) -> Iterator[Verdict]:
        """Yield what is given up: guesses that nobody asked for in a long time."""
        oldest = self.accesses - self._horizon
        while self._guesses:
            word, guess = next(iter(self._guesses.items()))
            if guess.made >= oldest:
                break
            yield self._close(word, guess, _given_up(guess))
        while self._victims:
            word, (_, when) = next(iter(self._victims.items()))
            if when >= oldest:
                break
            del self._victims[word]

    def _close(self, word: int, guess: _Guess, outcome: Outcome) -> Verdict:
        del self._guesses[word]
        self.pending -= guess.stored is not None
        return Verdict(guess.owner, outcome, word)


def _outcome(guess: _Guess, hit: bool, batch: int) -> Outcome:
    """Return what it says of a guess that a batch asked for it."""
    if guess.stored is None:
        return Outcome.MOOT if hit else Outcome.SHADOW_USED
    if hit:  # while it is being loaded, what was hit came from elsewhere
        return Outcome.MOOT if guess.stored >= _NEVER else Outcome.USED
    return Outcome.LATE if batch < guess.stored else Outcome.UNUSED


def _given_up(guess: _Guess) -> Outcome:
    """Return what it says of a guess that nobody asked for it in a long time."""
    if guess.stored is None:
        return Outcome.SHADOW_UNUSED
    return Outcome.MOOT if guess.stored == _ELSEWHERE else Outcome.UNUSED
