"""The contract between a table and an eviction policy.

A policy is a handful of scalar functions over int64. A table keeps, for each slot, `slot_bits` bits
of metadata and, for each set, `set_bits` bits of state; the functions map old to new. The same
functions run as they are in `table/reference.py` (which defines what they mean together) and
compiled on every other backend.

The functions, in the order in which the insertion of an absent key calls them:

`tally(meta) -> int`
    Summed over the live ways of the set into `total`, before anything else. Default: 0.
`on_insert(tick, frequency, tag, state, total, parameters) -> (meta, state)`
    Metadata of the key that comes in. `tag` is 0 if the set's ghosts do not know the key; else its
    lowest two bits are what `on_evict` left (1 to 3), and above them is the ghost's place among
    them (0 for the newest). `frequency` is the key's count in the table's sketch (0 to 15), or 0
    without one.
`rank(meta, tick, state, total, parameters) -> int`
    Only if no way is free or expired: the way with the lowest rank leaves, ties by lowest way.
`segment(meta) -> 0 or 1` and `admit(frequency_0, frequency_1) -> 0 or 1`
    Optional, together. If both segments hold ways, the lowest rank of each is nominated, and
    `admit`, given the sketch's counts of both, names the segment whose nominee leaves.
`passes(victim_meta, tick, state, total, parameters) -> 0 or 1`
    Once, after the choice: whether `on_pass` is called at all. Default: 1.
`on_pass(meta, victim_meta, tick, state, total, parameters) -> meta`
    Of every other live way, after the choice. Default: unchanged.
`on_evict(meta, tick, state) -> (state, tag)`
    Of the victim. A tag of 1 to 3 is kept with a fingerprint of its key among the set's ghosts, if
    the policy asked for `ghosts`; 0 leaves none. Default: `(state, 0)`.

and of a resident one, found by a lookup, a touch or an insert:

`on_hit(meta, tick, state, parameters) -> meta`
    Sees and changes only the lowest `hit_bits` of `meta`. It must be idempotent within a tick,
    because a batch may hold a key twice and all of it has the tick of its beginning. Default:
    unchanged.

and of either, once `on_insert` or `on_hit` is done with it, if a set wrote its value:

`on_value(meta, size, cost, parameters) -> meta`
    What the value takes and what it cost. `size`: the bytes of a blob or of a row; what the weigher
    said of an object; 0 for an object that is not weighed. `cost`: the nanoseconds that a loader
    took for it, or 0 if nobody knows. A policy keeps what it needs of both in the bits of `meta`.
    Whatever replays `on_insert` replays this too, with what the table knows by then: the first use
    of a guess, a change of policy, the move into a table of another size. Default: unchanged, and a
    policy without it costs nothing.

Rules that make this run at native speed and alike everywhere:

* Arguments and results are int64. Shift, mask, add, compare, `//` by what is not zero; no constant
  or intermediate result may leave int64. Branches, and helper functions of the same kind at the top
  level of the module, are fine; loops, floats and objects are not.
* `tick` is a logical clock: a batch advances it by its length; the key at position `i` of an
  inserting batch has the tick of the batch plus `i`. It never repeats for two insertions, and may
  run backwards a little between calls that overlap.
* A table keeps only the lowest `slot_bits` of a returned `meta`, `set_bits` of a `state` and two
  bits of a `tag`.
* The lowest `HOT_BITS` bits of `meta` live beside the keys, where a hit has them at hand; what lies
  above has a column of its own. A policy with `hit_bits <= HOT_BITS` hits in one cache line.
* Expiry, deletion and clearing call nothing.
* `parameters` is an int64 vector that a tuner may replace between two batches.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from predis_core.errors import PolicyError

HOT_BITS = 7
MAX_SLOT_BITS = HOT_BITS + 56
MAX_SET_BITS = 63
TAG_BITS = 2
MAX_FREQUENCY = 15

ARGUMENTS = {
    "tally": ("meta",),
    "on_insert": ("tick", "frequency", "tag", "state", "total", "parameters"),
    "rank": ("meta", "tick", "state", "total", "parameters"),
    "segment": ("meta",),
    "admit": ("frequency_0", "frequency_1"),
    "passes": ("victim_meta", "tick", "state", "total", "parameters"),
    "on_pass": ("meta", "victim_meta", "tick", "state", "total", "parameters"),
    "on_evict": ("meta", "tick", "state"),
    "on_hit": ("meta", "tick", "state", "parameters"),
    "on_value": ("meta", "size", "cost", "parameters"),
}
"""The functions of a policy and the names of their arguments, in order."""


def no_tally(meta: int) -> int:
    """Sum nothing."""
    return 0


def one_segment(meta: int) -> int:
    """Put every way into one segment."""
    return 0


def no_admission(frequency_0: int, frequency_1: int) -> int:
    """Never asked, because there is one segment."""
    return 0


def always_passes(victim_meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Have `on_pass` called after every choice."""
    return 1


def unchanged_on_pass(
    meta: int, victim_meta: int, tick: int, state: int, total: int, parameters: Any
) -> int:
    """Leave the ways that stay as they are."""
    return meta


def forget(meta: int, tick: int, state: int) -> tuple[int, int]:
    """Keep the state, leave no ghost."""
    return state, 0


def unchanged_on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Take no note of a hit."""
    return meta


def unchanged_on_value(meta: int, size: int, cost: int, parameters: Any) -> int:
    """Take all values for equal."""
    return meta


@dataclass(frozen=True)
class Policy:
    """An eviction policy: how much it remembers, and the functions described above.

    Args:
        name: how users and metrics call it.
        slot_bits: bits of metadata per slot, 0 to 63.
        on_insert, rank: required functions.
        hit_bits: how many of the lowest bits `on_hit` sees; all of `slot_bits` by default.
        set_bits: bits of state per set, 0 to 63.
        ghosts: whether sets remember fingerprints of keys that left.
        sketch: whether the table counts how often keys are asked for (count-min, 4 bits, ageing).
        parameters: the default parameter vector.
        tally, segment, admit, passes, on_pass, on_evict, on_hit, on_value: optional functions.

    Raises:
        PolicyError: naming the policy, the field and the fix.
    """

    name: str
    slot_bits: int
    on_insert: Callable[..., tuple[int, int]]
    rank: Callable[..., int]
    hit_bits: int | None = None
    set_bits: int = 0
    ghosts: bool = False
    sketch: bool = False
    parameters: tuple[int, ...] = ()
    tally: Callable[[int], int] = no_tally
    segment: Callable[[int], int] = one_segment
    admit: Callable[[int, int], int] = no_admission
    passes: Callable[..., int] = always_passes
    on_pass: Callable[..., int] = unchanged_on_pass
    on_evict: Callable[..., tuple[int, int]] = forget
    on_hit: Callable[..., int] = unchanged_on_hit
    on_value: Callable[..., int] = unchanged_on_value

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name):
            raise PolicyError(f"policy: name must be a non-empty str, got {self.name!r}")
        for field, value, limit in (
            ("slot_bits", self.slot_bits, MAX_SLOT_BITS),
            ("set_bits", self.set_bits, MAX_SET_BITS),
            ("hit_bits", self.visible_bits, self.slot_bits),
        ):
            if isinstance(value, bool) or not (isinstance(value, int) and 0 <= value <= limit):
                raise self._error(field, f"must be an int from 0 to {limit}, got {value!r}")
        if not all(isinstance(p, int) and -(2**63) <= p < 2**63 for p in self.parameters):
            raise self._error("parameters", f"must be int64 values, got {self.parameters!r}")
        for function, names in ARGUMENTS.items():
            self._check_function(function, names)
        if (self.segment is one_segment) != (self.admit is no_admission):
            missing = "admit" if self.admit is no_admission else "segment"
            raise self._error(missing, "is missing: segment and admit only work together")
        if self.has_segments and not self.sketch:
            raise self._error("sketch", "must be True, because admit compares its counts")

    def _check_function(self, function: str, names: tuple[str, ...]) -> None:
        call = getattr(self, function)
        if not inspect.isfunction(call):
            raise self._error(function, f"must be a plain Python function, got {call!r}")
        found = tuple(inspect.signature(call).parameters)
        if found != names:
            raise self._error(
                function, f"must take ({', '.join(names)}), but takes ({', '.join(found)})"
            )

    def _error(self, field: str, text: str) -> PolicyError:
        return PolicyError(f"policy {self.name!r}: {field} {text}")

    @property
    def has_segments(self) -> bool:
        """Whether `segment` and `admit` take part in the choice of a victim."""
        return self.segment is not one_segment

    @property
    def sees_values(self) -> bool:
        """Whether sizes and costs of values count."""
        return self.on_value is not unchanged_on_value

    @property
    def visible_bits(self) -> int:
        """How many of the lowest bits of a slot's metadata `on_hit` sees."""
        return self.slot_bits if self.hit_bits is None else self.hit_bits


_FIELDS = tuple(field.name for field in fields(Policy))


def as_policy(source: Any) -> Policy:
    """Return `source` as a Policy.

    Args:
        source: a Policy, or any object, class or module with a Policy's fields as attributes; its
            functions are plain functions or static methods.

    Raises:
        PolicyError: if a required field is missing or one breaks the contract.
    """
    if isinstance(source, Policy):
        return source
    found = {name: getattr(source, name) for name in _FIELDS if hasattr(source, name)}
    missing = [name for name in ("name", "slot_bits", "on_insert", "rank") if name not in found]
    if missing:
        raise PolicyError(
            f"policy: {source!r} lacks {', '.join(missing)}; pass a policy's name, a Policy, or an "
            "object with these attributes (functions as static methods)"
        )
    if not isinstance(found.setdefault("parameters", ()), tuple | list):
        raise PolicyError(f"policy: parameters must be a tuple, got {found['parameters']!r}")
    found["parameters"] = tuple(found["parameters"])
    return Policy(**found)
