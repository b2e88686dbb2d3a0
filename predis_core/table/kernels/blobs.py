"""Blobs in an arena: pieces of a few sizes, cut from pages that go to whichever size needs them.

A value of up to a block less its head lies in one piece, a longer one in a chain of blocks and a
last piece. A piece begins with its owner, the slot whose value it holds, so that it can be moved;
in a block the address of the next piece follows. A free piece holds the next and the previous free
one of its class, the first as -2 - next, so that it is told from an owner by its sign; -1 is none.

When a class has no free piece and there is no free page, a class that has as many free pieces as a
page holds gives one up: the values in its emptiest page move into its other pages. So whether a
value fits depends on how many pieces are free, never on where they are; `arena.Ledger` has the
same rules in plain Python.
"""

from __future__ import annotations

from predis_core.table import header as H
from predis_core.table.intrinsics import called, copy_bytes, inlined, load8, load64, store64

from .places import get

PIECE_HEAD = 8
BLOCK_HEAD = 16
GRAIN_BITS = 4

_NONE = -1
_FREE = -2

_BYTES, _PER_PAGE, _UNUSED, _FIRST = range(4)
_CLASS, _USED = range(2)


@inlined
def _class_at(head, number):
    return get(head, H.CLASSES) + 32 * number


@inlined
def _page_at(head, number):
    return get(head, H.PAGES) + 16 * number


@inlined
def _class_of(head, size):
    return load8(get(head, H.CLASS_OF) + ((size + (1 << GRAIN_BITS) - 1) >> GRAIN_BITS))


@inlined
def _block_bytes(head):
    return get(_class_at(head, 0), _BYTES)


@called
def blocks_of(head, length):
    """How many whole blocks a value of some length fills before its last piece."""
    rest = length + PIECE_HEAD - _block_bytes(head)
    if rest <= 0:
        return 0
    payload = _block_bytes(head) - BLOCK_HEAD
    return (rest + payload - 1) // payload


@inlined
def _tail_class(head, length, blocks):
    return _class_of(head, length - blocks * (_block_bytes(head) - BLOCK_HEAD) + PIECE_HEAD)


# ---------------------------------------------------------------------- what would fit


@called
def _count(head, length, sign):
    """Count the pieces of a value as free (sign 1), or no longer (-1), where they do not move."""
    blocks = blocks_of(head, length)
    tail = _class_at(head, _tail_class(head, length, blocks))
    first = _class_at(head, 0)
    store64(first + 8 * _UNUSED, get(first, _UNUSED) + sign * blocks)
    store64(tail + 8 * _UNUSED, get(tail, _UNUSED) + sign)


@called
def fits(head, length, instead):
    """Whether a value fits, once one of the length `instead` is gone (-1 for none)."""
    if instead >= 0:
        _count(head, instead, 1)
    found = _fits_now(head, length)
    if instead >= 0:
        _count(head, instead, -1)
    return found


@called
def _fits_now(head, length):
    blocks = blocks_of(head, length)
    tail = _tail_class(head, length, blocks)
    pages = 0
    unused, unused_blocks = get(_class_at(head, tail), _UNUSED), get(_class_at(head, 0), _UNUSED)
    if unused == 0:
        pages, unused = 1, get(_class_at(head, tail), _PER_PAGE)
    if tail == 0:
        unused_blocks = unused - 1
    per_page = get(_class_at(head, 0), _PER_PAGE)
    if blocks > unused_blocks:
        pages += (blocks - unused_blocks + per_page - 1) // per_page
    if pages <= get(head, H.FREE_PAGES):
        return True
    # What the value itself takes of a class cannot be given up as well.
    found = get(head, H.FREE_PAGES) + max(unused_blocks - blocks, 0) // per_page
    for number in range(1, get(head, H.CLASS_COUNT)):
        here = _class_at(head, number)
        found += (unused - 1 if number == tail else get(here, _UNUSED)) // get(here, _PER_PAGE)
    return pages <= found


@called
def can_ever_fit(head, length):
    """Whether a value fits into an arena that holds nothing else."""
    blocks = blocks_of(head, length)
    per_page = get(_class_at(head, 0), _PER_PAGE)
    if _tail_class(head, length, blocks) == 0:
        return (blocks + per_page) // per_page <= get(head, H.PAGE_COUNT)
    return (blocks + per_page - 1) // per_page + 1 <= get(head, H.PAGE_COUNT)


# ---------------------------------------------------------------------- pieces


@called
def _link(head, piece, number):
    """Put a piece at the beginning of what is free of its class."""
    here = _class_at(head, number)
    first = get(here, _FIRST)
    store64(piece, _FREE - first)
    store64(piece + 8, _NONE)
    if first != _NONE:
        store64(first + 8, piece)
    store64(here + 8 * _FIRST, piece)
    store64(here + 8 * _UNUSED, get(here, _UNUSED) + 1)


@called
def _unlink(head, piece, number):
    here = _class_at(head, number)
    following, before = _FREE - load64(piece), load64(piece + 8)
    if following != _NONE:
        store64(following + 8, before)
    if before == _NONE:
        store64(here + 8 * _FIRST, following)
    else:
        store64(before, _FREE - following)
    store64(here + 8 * _UNUSED, get(here, _UNUSED) - 1)


@inlined
def _page_of(head, piece):
    return (piece - get(head, H.ARENA)) // get(head, H.PAGE_BYTES)


@called
def _take(head, number, owner):
    """Take a piece of a class, free or to be had."""
    if get(_class_at(head, number), _UNUSED) == 0:
        if get(head, H.FREE_PAGES) == 0:
            _give_up_page(head)
        _open_page(head, number)
    return _take_free(head, number, owner)


@called
def _take_free(head, number, owner):
    piece = get(_class_at(head, number), _FIRST)
    _unlink(head, piece, number)
    store64(piece, owner)
    used = _page_at(head, _page_of(head, piece)) + 8 * _USED
    store64(used, load64(used) + 1)
    return piece


@called
def _put_back(head, piece):
    page = _page_at(head, _page_of(head, piece))
    store64(page + 8 * _USED, get(page, _USED) - 1)
    _link(head, piece, get(page, _CLASS))


@called
def _open_page(head, number):
    """Cut a free page into pieces of a class."""
    here, free = _class_at(head, number), get(head, H.FREE_PAGE)
    page = _page_at(head, free)
    store64(head + 8 * H.FREE_PAGE, get(page, _USED))
    store64(head + 8 * H.FREE_PAGES, get(head, H.FREE_PAGES) - 1)
    store64(page + 8 * _CLASS, number)
    store64(page + 8 * _USED, 0)
    start = get(head, H.ARENA) + free * get(head, H.PAGE_BYTES)
    # Backwards, so that pieces that follow each other are taken one after the other.
    for place in range(get(here, _PER_PAGE) - 1, -1, -1):
        _link(head, start + place * get(here, _BYTES), number)


@called
def _give_up_page(head):
    """Have the class with the most free bytes, of those with a page's worth, give up a page."""
    chosen, most = -1, 0
    for number in range(get(head, H.CLASS_COUNT)):
        here = _class_at(head, number)
        unused = get(here, _UNUSED)
        if unused >= get(here, _PER_PAGE) and unused * get(here, _BYTES) > most:
            chosen, most = number, unused * get(here, _BYTES)
    emptiest, least = -1, get(head, H.PAGE_BYTES)
    for number in range(get(head, H.PAGE_COUNT)):
        page = _page_at(head, number)
        if get(page, _CLASS) == chosen and get(page, _USED) < least:
            emptiest, least = number, get(page, _USED)
    _empty(head, emptiest, chosen)
    page = _page_at(head, emptiest)
    store64(page + 8 * _CLASS, _NONE)
    store64(page + 8 * _USED, get(head, H.FREE_PAGE))
    store64(head + 8 * H.FREE_PAGE, emptiest)
    store64(head + 8 * H.FREE_PAGES, get(head, H.FREE_PAGES) + 1)


@called
def _empty(head, page, number):
    """Move what a page holds into other pages of its class."""
    size, count = get(_class_at(head, number), _BYTES), get(_class_at(head, number), _PER_PAGE)
    start = get(head, H.ARENA) + page * get(head, H.PAGE_BYTES)
    for place in range(count):
        if load64(start + place * size) < 0:
            _unlink(head, start + place * size, number)
    for place in range(count):
        piece = start + place * size
        owner = load64(piece)
        if owner >= 0:
            target = _take_free(head, number, owner)
            copy_bytes(target + 8, piece + 8, size - 8)
            _redirect(head, owner, piece, target)


@called
def _redirect(head, owner, piece, target):
    """Have whatever led to a piece lead to another one."""
    link = get(head, H.SIZES) + 16 * owner
    while load64(link) != piece:
        link = load64(link) + 8
    store64(link, target)


# ---------------------------------------------------------------------- values


@called
def write_blob(head, slot, source, length):
    """Store a value that fits at a slot that has none."""
    handle = get(head, H.SIZES) + 16 * slot
    blocks = blocks_of(head, length)
    payload = _block_bytes(head) - BLOCK_HEAD
    number = _tail_class(head, length, blocks)
    store64(handle + 8, length)
    # The last piece first: what it has been promised must not become blocks.
    last = _take(head, number, slot)
    store64(handle, last)
    rest = length - blocks * payload
    copy_bytes(last + PIECE_HEAD, source + blocks * payload, rest)
    for place in range(blocks - 1, -1, -1):
        # Taking a block may move what there is of this value already.
        block = _take(head, 0, slot)
        store64(block + 8, load64(handle))
        store64(handle, block)
        copy_bytes(block + BLOCK_HEAD, source + place * payload, payload)


@called
def copy_blob(head, slot, target):
    """Copy the value at a slot to an address."""
    handle = get(head, H.SIZES) + 16 * slot
    piece, length = load64(handle), load64(handle + 8)
    blocks = blocks_of(head, length)
    payload = _block_bytes(head) - BLOCK_HEAD
    for _ in range(blocks):
        following = load64(piece + 8)
        copy_bytes(target, piece + BLOCK_HEAD, payload)
        piece, target = following, target + payload
    copy_bytes(target, piece + PIECE_HEAD, length - blocks * payload)


@called
def release_blob(head, slot):
    """Give back the pieces of the value at a slot, which then has none."""
    handle = get(head, H.SIZES) + 16 * slot
    piece = load64(handle)
    for _ in range(blocks_of(head, load64(handle + 8))):
        following = load64(piece + 8)
        _put_back(head, piece)
        piece = following
    _put_back(head, piece)
    store64(handle + 8, 0)
