"""Machine code of the ledger: what became of guesses, and what that earns and costs.

`machine` copies this module under a name that is a hash of all that it depends on, and only there
is what Numba compiles kept. A *book* is a dictionary that keeps the order in which words were put
into it: `nodes`, a list of them, whose first row is no word but the list's ends and what is free,
and `places`, a hash table (open addressing, linear probing) of their numbers. Who calls makes sure
of room.
"""

from __future__ import annotations

import numpy as np

from predis_core.prefetch.credit import LEFT, MOST, PENALTY, REWARD, SHADOW
from predis_core.prefetch.credit import WORDS as CREDIT_WORDS
from predis_core.prefetch.outcomes import (
    LATE,
    MOOT,
    OUTCOMES,
    SHADOW_UNUSED,
    SHADOW_USED,
    UNUSED,
    USED,
)
from predis_core.table.intrinsics import called, inlined
from predis_core.table.machine_code import njit

CACHED = not __name__.startswith("predis_core.")

WORD, OWNER, MADE, STORED, BEFORE, AFTER, COLUMNS = range(7)
"""Columns of a node: a key's word, whose guess it is or was, the access after which it came into
the book, and, of a guess, what batches that began later have as their number at least; the nodes
that came before and after it."""

SIZE, FREE = WORD, OWNER
"""Columns of the first row: how many words there are, and the first free node."""

IS_SHADOW = -1
"""What a guess that is not being loaded has as `STORED`."""

NEVER = 1 << 62
"""The number of a batch that is still to come, for a guess that is still being loaded."""

ELSEWHERE = NEVER + 1
"""The same, for a guess that somebody else has loaded or is loading."""

ACCESSES, PENDING, HORIZON, COUNTS = range(4)
"""Words of `state`: looked-up keys so far; guesses that are being loaded, or in the cache and
unused; accesses after which a guess is given up; and what each owner's guesses came to."""

LOADS, HARMFUL, COUNTED = OUTCOMES, OUTCOMES + 1, OUTCOMES + 2
"""Behind its outcomes, what an owner had loaded, and for what something left that was missed."""

WASTED, NEEDED, CREDITS = range(3)
"""Words of `amounts`: guesses that were not used, of late; loads that the backend had to do anyhow,
of late: misses, and guesses that were used in place of some; and each owner's credit."""

WINDOW = 65_536
"""Loads over which the two are compared: what is older counts half, and half of that, and so on."""

_FACTOR = np.uint64(0x9E3779B97F4A7C15)


# ------------------------------------------------------------------ books


@inlined
def _home(places, word):
    """Where a word is looked for first (Fibonacci hashing, Knuth)."""
    mixed = np.uint64(word) * _FACTOR
    return np.int64(mixed >> np.uint64(32)) & (places.size - 1)


@inlined
def _place(nodes, places, word):
    """Where a word is, or is to be."""
    place = _home(places, word)
    while places[place] and nodes[places[place], WORD] != word:
        place = (place + 1) & (places.size - 1)
    return place


@inlined
def _find(nodes, places, word):
    """The node of a word; 0: there is none."""
    return places[_place(nodes, places, word)]


@called
def _put(nodes, places, word, owner, made, stored):
    """Put a word that is not there behind all others."""
    node = nodes[0, FREE]
    nodes[0, FREE] = nodes[node, AFTER]
    nodes[0, SIZE] += 1
    last = nodes[0, BEFORE]
    nodes[node, WORD] = word
    nodes[node, OWNER] = owner
    nodes[node, MADE] = made
    nodes[node, STORED] = stored
    nodes[node, BEFORE] = last
    nodes[node, AFTER] = 0
    nodes[last, AFTER] = node
    nodes[0, BEFORE] = node
    places[_place(nodes, places, word)] = node


@called
def _remove(nodes, places, node):
    """Remove a node, and close the hole in the hash table (Knuth's algorithm 6.4 R)."""
    mask = places.size - 1
    hole = _place(nodes, places, nodes[node, WORD])
    place = hole
    while True:
        place = (place + 1) & mask
        if not places[place]:
            break
        home = _home(places, nodes[places[place], WORD])
        if (place - home) & mask >= (place - hole) & mask:
            places[hole] = places[place]
            hole = place
    places[hole] = 0
    before, after = nodes[node, BEFORE], nodes[node, AFTER]
    nodes[before, AFTER] = after
    nodes[after, BEFORE] = before
    nodes[node, AFTER] = nodes[0, FREE]
    nodes[0, FREE] = node
    nodes[0, SIZE] -= 1


@njit(nogil=True, cache=CACHED)
def begin(nodes):
    """Make an empty book of zeros: have all nodes free."""
    for node in range(1, len(nodes)):
        nodes[node, AFTER] = node + 1 if node + 1 < len(nodes) else 0
    nodes[0, FREE] = 1


@njit(nogil=True, cache=CACHED)
def copy(nodes, new_nodes, new_places):
    """Put all of a book into an empty, larger one."""
    node = nodes[0, AFTER]
    while node:
        _put(
            new_nodes, new_places, nodes[node, WORD], nodes[node, OWNER], nodes[node, MADE],
            nodes[node, STORED],
        )  # fmt: skip
        node = nodes[node, AFTER]


# ------------------------------------------------------------------ what is earned


@inlined
def _earn(amounts, owner, much):
    credit = CREDITS + owner * CREDIT_WORDS
    amounts[credit + LEFT] = min(amounts[credit + MOST], amounts[credit + LEFT] + much)


@inlined
def _pay(amounts, owner, much):
    credit = CREDITS + owner * CREDIT_WORDS
    amounts[credit + LEFT] = max(0.0, amounts[credit + LEFT] - much)


@inlined
def _need(amounts, loads):
    """Count loads that had to be done, or would have had to be."""
    amounts[NEEDED] += loads
    if amounts[NEEDED] > WINDOW:
        amounts[NEEDED] /= 2
        amounts[WASTED] /= 2


@called
def _close(nodes, places, state, amounts, node, outcome):
    """Count what became of a guess, have it paid, and forget it."""
    owner = nodes[node, OWNER]
    state[PENDING] -= nodes[node, STORED] != IS_SHADOW
    _remove(nodes, places, node)
    state[COUNTS + owner * COUNTED + outcome] += 1
    credit = CREDITS + owner * CREDIT_WORDS
    if outcome == USED:
        _earn(amounts, owner, amounts[credit + REWARD])
        _need(amounts, 1.0)
    elif outcome == UNUSED:
        amounts[WASTED] += 1
    elif outcome == SHADOW_USED:
        _earn(amounts, owner, SHADOW)
    elif outcome == SHADOW_UNUSED:
        _pay(amounts, owner, amounts[credit + PENALTY])
    elif outcome == LATE:  # it wasted nothing, and would have been used
        _earn(amounts, owner, 1.0 + SHADOW)
    else:  # it wasted nothing
        _earn(amounts, owner, 1.0)


# ------------------------------------------------------------------ what is asked for


@inlined
def _outcome(stored, hit, number):
    """What it says of a guess that a batch of a number asked for it."""
    if stored == IS_SHADOW:
        return MOOT if hit else SHADOW_USED
    if hit:  # while it is being loaded, what was hit came from elsewhere
        return MOOT if stored >= NEVER else USED
    return LATE if number < stored else UNUSED


@inlined
def _given_up(stored):
    """What it says of a guess that nobody asked for it in a long time."""
    if stored == IS_SHADOW:
        return SHADOW_UNUSED
    return MOOT if stored == ELSEWHERE else UNUSED


@njit(nogil=True, cache=CACHED)
def settle(
    nodes, places, victims, victim_places, state, amounts, words, hits, number, used, late
):  # fmt: skip
    """Take note of a batch of look-ups; return how much was used, and how much was late.

    Args:
        nodes, places: the guesses that nothing became of yet.
        victims, victim_places: what left to make room for guesses.
        state, amounts: int64 and float64, as above.
        words, hits: int64[n] and bool[n].
        number: of the batch.
        used, late: bool[n], written.
    """
    misses = 0
    for at in range(words.size):
        misses += not hits[at]
    _need(amounts, float(misses))
    if victims[0, SIZE]:
        for at in range(words.size):
            node = _find(victims, victim_places, words[at])
            if node:
                owner = victims[node, OWNER]
                _remove(victims, victim_places, node)
                if not hits[at]:
                    state[COUNTS + owner * COUNTED + HARMFUL] += 1
                    _pay(amounts, owner, 1.0)
    were_used = were_late = 0
    if nodes[0, SIZE]:
        for at in range(words.size):
            used[at] = late[at] = False
            node = _find(nodes, places, words[at])
            if not node:
                continue
            outcome = _outcome(nodes[node, STORED], hits[at], number)
            _close(nodes, places, state, amounts, node, outcome)
            used[at], late[at] = outcome == USED, outcome == LATE
            were_used += outcome == USED
            were_late += outcome == LATE
    state[ACCESSES] += words.size
    _age(nodes, places, victims, victim_places, state, amounts)
    return were_used, were_late


@called
def _age(nodes, places, victims, victim_places, state, amounts):
    """Give up guesses that nobody asked for in a long time, and forget what left as long ago."""
    oldest = state[ACCESSES] - state[HORIZON]
    while nodes[0, SIZE]:
        node = nodes[0, AFTER]
        if nodes[node, MADE] >= oldest:
            break
        _close(nodes, places, state, amounts, node, _given_up(nodes[node, STORED]))
    while victims[0, SIZE]:
        node = victims[0, AFTER]
        if victims[node, MADE] >= oldest:
            break
        _remove(victims, victim_places, node)


# ------------------------------------------------------------------ from proposal to entry


@njit(nogil=True, cache=CACHED)
def choose(nodes, places, state, amounts, words, owners, room, most_shadows, chosen):
    """Choose what is loaded, and note some of the rest as shadows; return how much was chosen.

    Args:
        nodes, places: the guesses that nothing became of yet.
        state, amounts: int64 and float64, as above.
        words, owners: int64[m], distinct proposals, best first, and whose they are.
        room: how many may be loaded at most.
        most_shadows: how many shadows there may be.
        chosen: int64[m], their places, written.
    """
    count = 0
    for at in range(words.size):
        node = _find(nodes, places, words[at])
        if node and nodes[node, STORED] != IS_SHADOW:
            continue  # it is on its way
        credit = CREDITS + owners[at] * CREDIT_WORDS + LEFT
        if count < room and amounts[credit] >= 1:
            amounts[credit] -= 1
            state[COUNTS + owners[at] * COUNTED + LOADS] += 1
            chosen[count] = at
            count += 1
        elif not node and nodes[0, SIZE] - state[PENDING] < most_shadows:
            _put(nodes, places, words[at], owners[at], state[ACCESSES], IS_SHADOW)
    for number in range(count):
        at = chosen[number]
        node = _find(nodes, places, words[at])
        if node:  # no shadow any longer
            _remove(nodes, places, node)
        _put(nodes, places, words[at], owners[at], state[ACCESSES], NEVER)
    state[PENDING] += count
    return count


@njit(nogil=True, cache=CACHED)
def mark(nodes, places, words, stored):
    """Have guesses that are loaded be there for batches of a number and later ones."""
    for at in range(words.size):
        node = _find(nodes, places, words[at])
        if node and nodes[node, STORED] != IS_SHADOW:
            nodes[node, STORED] = stored


@njit(nogil=True, cache=CACHED)
def drop(nodes, places, state, amounts, words, outcome):
    """Guesses were not loaded, or not stored."""
    for at in range(words.size):
        node = _find(nodes, places, words[at])
        if node and nodes[node, STORED] != IS_SHADOW:
            _close(nodes, places, state, amounts, node, outcome)


@njit(nogil=True, cache=CACHED)
def leave(nodes, places, victims, victim_places, state, amounts, words, owners):
    """Entries left to make room, each for a guess of an owner."""
    for at in range(words.size):
        node = _find(nodes, places, words[at])
        if not node:
            victim = _find(victims, victim_places, words[at])
            if victim:
                _remove(victims, victim_places, victim)
            _put(victims, victim_places, words[at], owners[at], state[ACCESSES], 0)
        elif nodes[node, STORED] != IS_SHADOW:
            _close(nodes, places, state, amounts, node, UNUSED)


@njit(nogil=True, cache=CACHED)
def are_pending(nodes, places, words, pending):
    """Write which keys are guesses that are being loaded, or that nobody asked for yet: bool[n]."""
    for at in range(words.size):
        node = _find(nodes, places, words[at])
        pending[at] = node != 0 and nodes[node, STORED] != IS_SHADOW
