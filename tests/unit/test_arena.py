"""How an arena is cut, what fits into it, and what check_invariants() sees in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import predis_core as predis
from predis_core.errors import ConfigurationError, InvariantError
from predis_core.table import header
from predis_core.table.arena import ARENA_BYTES_AT_LEAST, PIECE_HEAD, Arena, Ledger
from predis_core.table.interface import Counter

SIZES = st.integers(ARENA_BYTES_AT_LEAST, 1 << 27)


@given(SIZES)
def test_an_arena_takes_no_more_than_it_is_given(size: int) -> None:
    arena = Arena(size)
    books = arena.classes.nbytes + arena.class_of.nbytes + 16 * arena.pages
    assert arena.pages >= 1
    assert arena.nbytes == arena.pages * arena.page_bytes
    assert arena.nbytes + books <= size < arena.nbytes + books + arena.page_bytes + 16


@given(SIZES)
def test_pieces_lie_in_pages_and_classes_descend(size: int) -> None:
    arena = Arena(size)
    sizes, per_page, unused, first = arena.classes.T
    assert (np.diff(sizes) < 0).all()
    assert (sizes % 16 == 0).all()
    assert (sizes >= 32).all()
    assert (sizes * per_page <= arena.page_bytes).all()
    assert ((sizes + 16) * per_page > arena.page_bytes - per_page * 16).all()
    assert set(unused.tolist()) == {0}
    assert set(first.tolist()) == {-1}
    assert len(sizes) <= 256  # their numbers are bytes


@given(SIZES, st.integers(0, 1 << 20))
def test_a_value_lies_in_the_smallest_piece_that_holds_it(size: int, length: int) -> None:
    arena = Arena(size)
    blocks, last = arena.pieces(length)
    sizes = arena.classes[:, 0]
    rest = length - blocks * (arena.block_bytes - 16) + PIECE_HEAD
    assert 0 <= rest <= sizes[last]
    assert last == len(sizes) - 1 or sizes[last + 1] < rest
    # A block more is taken only if the value does not end in the last piece.
    assert blocks == 0 or rest > PIECE_HEAD


def test_rounding_loses_at_most_a_sixteenth_and_a_grain() -> None:
    arena = Arena(64 << 20)
    for length in range(256, arena.block_bytes - PIECE_HEAD):
        _, last = arena.pieces(length)
        size, per_page = arena.classes[last, :2].tolist()
        lost = arena.page_bytes / per_page - length - PIECE_HEAD
        assert lost <= (length + PIECE_HEAD) / 16 + 16, (length, size)


def test_an_arena_that_is_too_small_says_what_is_needed() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Arena(4095)
    assert str(caught.value) == (
        "memory: 4095 bytes are left for blobs; give at least 4096 more than the table takes"
    )


# ---------------------------------------------------------------------- the ledger

LENGTHS = st.one_of(st.integers(0, 300), st.integers(0, 5_000))


@given(st.lists(LENGTHS, max_size=300), st.randoms(use_true_random=False))
def test_what_fits_does_not_depend_on_the_order(lengths: list[int], random: Any) -> None:
    arena = Arena(20_000)
    ledger, held = Ledger(arena), []
    for length in lengths:
        if ledger.fits(length):
            ledger.store(length)
            held.append(length)
    random.shuffle(held)
    again = Ledger(arena)
    for length in held:
        assert again.fits(length)
        again.store(length)
    for length in held:
        again.release(length)
    assert [again.fits(length) for length in lengths] == [
        again.can_ever_fit(length) for length in lengths
    ]


def test_a_value_fits_instead_of_another() -> None:
    arena = Arena(20_000)
    ledger = Ledger(arena)
    while ledger.fits(500):
        ledger.store(500)
    assert not ledger.fits(500)
    assert ledger.fits(500, instead=500)
    assert ledger.fits(490, instead=500)
    assert not ledger.fits(5_000, instead=500)
    assert not ledger.fits(500)  # asking changes nothing


@pytest.mark.parametrize("memory", [30_000, 200_000])
@settings(max_examples=25)
@given(seed=st.integers(0, 1 << 32))
def test_a_cache_has_others_leave_exactly_if_the_ledger_says_that_it_must(
    memory: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    cache: predis.Cache[int, bytes] = predis.Cache(
        300, memory=memory, value=predis.Blobs(), policy="lru", seed=1
    )
    most = int(random.choice([60, 700, 6_000]))
    for key in random.integers(0, 60, 150).tolist():
        length = int(random.integers(0, most))
        ledger, before = cache._table.ledger(), cache.stats()
        assert ledger is not None
        held = cache.get(key)
        fits = ledger.fits(length, None if held is None else len(held))
        assert cache.set(key, b"x" * length) == ledger.can_ever_fit(length)
        after = cache.stats()
        assert (after.evictions == before.evictions) == fits
        if random.random() < 0.2:
            cache.pop(key, None)


# ---------------------------------------------------------------------- what may be broken


def full() -> predis.Cache[int, bytes]:
    cache: predis.Cache[int, bytes] = predis.Cache(
        100, memory=60_000, value=predis.Blobs(), policy="lru", seed=7
    )
    for key in range(100):
        cache[key] = b"x" * (key * 4)
    for key in range(0, 100, 3):
        cache.pop(key, None)
    cache.check_invariants()
    return cache


def used(cache: predis.Cache[int, bytes]) -> list[int]:
    """Return the pieces in use, by class."""
    ledger = cache._table.ledger()
    assert ledger is not None
    return ledger._used


def a_live_slot(table: Any) -> int:
    return int(np.flatnonzero(table.dump().live)[0])


def handles(table: Any) -> Any:
    return table._columns[header.SIZES].reshape(-1, 2)


def word_at(table: Any, address: int) -> Any:
    arena = table._columns[header.ARENA]
    start = address - arena.__array_interface__["data"][0]
    return arena[start : start + 8].view(np.int64)


def miscount_bytes(table: Any) -> None:
    table._header[header.REGIONS + header.COUNTERS + Counter.BYTES] += 1


def forget_to_release(table: Any) -> None:
    free = int(np.flatnonzero(~table.dump().live)[0])
    handles(table)[free, 1] = 5


def share_a_piece(table: Any) -> None:
    live = np.flatnonzero(table.dump().live)
    lengths = handles(table)[live, 1]
    one, other = live[np.argsort(lengths)[:2]]
    handles(table)[one, 0] = handles(table)[other, 0]


def change_an_owner(table: Any) -> None:
    word_at(table, handles(table)[a_live_slot(table), 0])[:] = 99


def miscount_a_page(table: Any) -> None:
    pages = table._columns[header.PAGES].reshape(-1, 2)
    pages[np.flatnonzero(pages[:, 0] >= 0)[0], 1] += 1


def miscount_a_class(table: Any) -> None:
    classes = table._columns[header.CLASSES].reshape(-1, 4)
    classes[np.flatnonzero(classes[:, 2])[0], 2] -= 1


def lose_a_free_piece(table: Any) -> None:
    classes = table._columns[header.CLASSES].reshape(-1, 4)
    number = np.flatnonzero(classes[:, 2] > 1)[0]
    word_at(table, classes[number, 3])[:] = -1


def lose_a_free_page(table: Any) -> None:
    table._header[header.FREE_PAGES] -= 1


def leak_a_piece(table: Any) -> None:
    table._lines.view(np.uint8).reshape(-1, 64)[:, 56] = 0


DAMAGE: list[tuple[Callable[[Any], None], str]] = [
    (miscount_bytes, r"blobs are \d+ bytes long, and \d+ is counted"),
    (forget_to_release, r"free slots \[\d+\] still have blobs"),
    (share_a_piece, r"slot \d+: its value of \d+ bytes lies in no piece of its own"),
    (change_an_owner, r"slot \d+: a piece of its value belongs to 99"),
    (miscount_a_page, r"page \d+ counts \d+ pieces in use"),
    (miscount_a_class, r"class \d+ counts \d+ free pieces, links \d+ and has \d+"),
    (lose_a_free_piece, r"class \d+ counts \d+ free pieces, links 1 and has \d+"),
    (lose_a_free_page, r"\d+ free pages are counted, \d+ are linked"),
    (leak_a_piece, r"\d+ pieces are in use, 0 of them by a value"),
]


@pytest.mark.breaks_invariants
@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=lambda x: getattr(x, "__name__", ""))
def test_damage_is_found(damage: Callable[[Any], None], message: str) -> None:
    cache = full()
    damage(cache._table)
    with pytest.raises(InvariantError, match=message):
        cache.check_invariants()


@pytest.mark.breaks_invariants
def test_weights_that_are_miscounted_or_too_much_are_found() -> None:
    cache: predis.Cache[str, str] = predis.Cache(
        100, memory="1MiB", weigher=lambda key, value: len(value), policy="lru"
    )
    cache["a"] = "xxxx"
    miscount_bytes(cache._table)
    with pytest.raises(InvariantError, match="values weigh 4, and 5 is counted"):
        cache.check_invariants()
    cache._table._header[header.LIMIT] = 3
    with pytest.raises(InvariantError, match="values weigh 4 of 3"):
        cache.check_invariants()


def test_what_is_pinned_and_gone_keeps_its_pieces_until_the_last_pin() -> None:
    cache = full()
    before = used(cache)
    keys = [key for key in cache if key <= 10][:2]
    with cache.pinned(keys):
        cache.delete_many(keys)
        cache.check_invariants()
        assert used(cache) == before
    assert sum(used(cache)) == sum(before) - 2
