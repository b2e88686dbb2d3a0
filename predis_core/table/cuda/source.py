"""The program of a table: its constants, its policy and the kernels, as one CUDA C++ text.

A kernel takes two structs of eight-byte words, which are declared here once for both sides: the
table and the region at hand, and the batch.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import numpy as np

from predis_core.policies.contract import HOT_BITS, MAX_FREQUENCY, TAG_BITS, Policy
from predis_core.table import layout, sketch
from predis_core.table.constants import of_policy
from predis_core.table.cuda.translate import translated
from predis_core.table.interface import Counter, Int64s, Reason, Status
from predis_core.table.keys import MIX_FACTORS, MIX_SHIFTS, SAMPLE_SHIFT, SAMPLE_SPACE
from predis_core.table.layout import Record, record_of

TABLE = {
    "lines": "i64*",
    "records": "u8*",
    "values": "u8*",
    "deadlines": "i64*",
    "costs": "i64*",
    "pins": "i32*",
    "claims": "u32*",  # per slot, the latest batch that noted a use
    "idents": "i64*",  # per slot, which of the keys that share a word it has
    "sketch": "u8*",
    "sketch_bits": "i64",
    "sketch_limit": "i64",
    "samples": "i64*",  # a ring of sampled lookups, two words each
    "samples_mask": "i64",
    "sample_below": "i64",
    "sampled": "i64*",  # how many were, so far
    "parameters": "const i64*",
    "state": "i64*",  # see STATE_WORDS
    "seed": "i64",
    "counters": "i64*",  # of the region, as all that follow
    "base": "i64",
    "sets": "i64",
    "quotient": "i64",
    "remainder": "i64",
    "first_slot": "i64",
    "capacity": "i64",
}
BATCH = {
    "n": "i64",
    "now": "i64",
    "tick": "i64",
    "claim": "i64",
    "mode": "i64",  # see MODES
    "words": "const i64*",
    "idents": "const i64*",  # as the table has them; none: words will do
    "skips": "const i64*",  # ways with its word before the one that `locate` is to find
    "values": "u8*",
    "deadlines": "i64*",
    "costs": "i64*",
    "veto": "u8*",
    "slots": "i64*",
    "found": "u8*",
    "status": "u8*",
    "last": "u32*",
    "places": "u32*",
    "places_mask": "i64",
    "order": "u64*",
    "reasons": "u8*",  # of what leaves, two places per position: 0 for none, or Reason + 1
    "held": "i64*",
    "whose": "i64*",
    "spent": "i64*",
    "rows": "u8*",
    "live": "u8*",
    "metas": "i64*",
    "guesses": "u8*",
    "until": "i64*",
    "sums": "i64*",
    "missed": "i64*",
    "levels": "u8*",
    "carried": "i64*",  # of a batch that comes from another table; see `moving.cuh`
    "taken": "u8*",
}
STATE_WORDS = ("WAS_FULL", "ADDITIONS", "SIZE_BEFORE")
MODES = {"COUNTED": 1, "ABSENT_ONLY": 2, "GUESSED": 4, "FIRST": 8, "ZEROED": 16}
THREADS = 256
"""Threads of a block."""
WARP = 32
"""Threads of a warp, which may own a set."""
LANES_PER_KEY = 8
"""Threads that look one key up, or copy a row, together."""
PIECE = 1024
"""Positions that a warp counts, or lists, in one go; see `compacting.cuh`."""

_UNITS = {1: "u8", 2: "u16", 4: "u32", 8: "u64", 16: "uint4"}
_DEVICE = f"""
#define OTHERS_MAY_GO_ON()
#define KERNEL(NAME) \\
    extern "C" __global__ void __launch_bounds__({THREADS}) predis_##NAME( \\
        const __grid_constant__ Table table, const __grid_constant__ Batch batch)
"""


def place_of(fields: dict[str, str]) -> dict[str, int]:
    """Return which word each field is."""
    return {name: at for at, name in enumerate(fields)}


def words_of(fields: dict[str, str], **values: int) -> Int64s:
    """Return a struct's words, int64[len(fields)]; what is not given is 0.

    Raises:
        KeyError: if there is no such field.
    """
    words = np.zeros(len(fields), np.int64)
    at = place_of(fields)
    for name, value in values.items():
        words[at[name]] = value
    return words


def unit_of(row_bytes: int) -> int:
    """Return how many bytes of a row are copied at once: the widest unit that divides it."""
    return next(unit for unit in (16, 8, 4, 2, 1) if row_bytes % unit == 0)


def source(
    policy: Policy,
    row_bytes: int,
    record: Record | None = None,
    *,
    has_idents: bool = False,
    host: bool = False,
) -> str:
    """Return the program of a table.

    Args:
        policy: of the table.
        row_bytes: of a value; 0 for a table without values.
        record: of a set; the policy's own by default.
        has_idents: whether keys have them, beside their words.
        host: for the host's compiler, with CUDA made of fibers, instead of NVRTC.

    Raises:
        PolicyError: if the policy cannot be translated; see `translate`.
    """
    constants = {
        **_fixed(),
        **of_policy(policy, record or record_of(policy)),
        "VISIBLE": (1 << policy.visible_bits) - 1,
        "ROW_BYTES": row_bytes,
        "HAS_IDENTS": has_idents,
    }
    return "\n".join(
        (
            _file("host_shim.h") if host else _DEVICE,
            _file("arithmetic.cuh"),
            f"typedef {_UNITS[unit_of(row_bytes)]} Unit;",
            *(f"constexpr {_typed(name, value)};" for name, value in constants.items()),
            _struct("Table", TABLE),
            _struct("Batch", BATCH),
            translated(policy),
            _file("table.cu"),
        )
    )


def _typed(name: str, value: int) -> str:
    if value >= 2**63:
        return f"u64 {name} = {value}ull"
    return f"i64 {name} = {value}ll" if value >= 2**31 else f"i32 {name} = {int(value)}"


def _struct(name: str, fields: dict[str, str]) -> str:
    lines = "".join(f"    {kind} {field};\n" for field, kind in fields.items())
    return f"struct {name} {{\n{lines}}};"


@cache
def _file(name: str) -> str:
    """Return a file of this folder, with those that it includes in place of their names."""
    text = files(__package__).joinpath(name).read_text("utf-8")
    return re.sub(r'^#include "(.*)"$', lambda found: _file(found[1]), text, flags=re.MULTILINE)


@cache
def _fixed() -> dict[str, int]:
    """Constants of every table."""
    numbers = {
        **{each.name: int(each) for each in (*Status, *Reason, *Counter) if each.name != "BYTES"},
        **{name: at for at, name in enumerate(STATE_WORDS)},
        **MODES,
        **{f"MIX_SHIFT_{at}": shift for at, shift in enumerate(MIX_SHIFTS)},
        **{f"MIX_FACTOR_{at}": factor for at, factor in enumerate(MIX_FACTORS)},
        **{f"SKETCH_MULTIPLIER_{at}": each for at, each in enumerate(sketch.MULTIPLIERS)},
        "PIECE": PIECE,
        "CONFLICTS_COUNT": int(Counter.CONFLICTS),
        "SKETCH_ROWS": sketch.ROWS,
        "SAMPLE_SHIFT": SAMPLE_SHIFT,
        "SAMPLE_SPACE": SAMPLE_SPACE,
        "DEADLINE_BIT": layout.WAYS_PER_LINE,
        "HOT_BITS": HOT_BITS,
        "TAG_BITS": TAG_BITS,
        "MAX_FREQUENCY": MAX_FREQUENCY,
    }
    for name in ("WAYS", "LINES", "WAYS_PER_LINE", "FINGERPRINT_BITS", "GUESS_SHARE"):
        numbers[name] = getattr(layout, name)
    return numbers
