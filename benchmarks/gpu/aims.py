"""What is aimed at on an H100, and what was measured of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.gpu.calls import GOT
from benchmarks.gpu.others import SELECT
from benchmarks.gpu.plan import Point
from benchmarks.gpu.session import Row, Session
from benchmarks.gpu.verbs import GET, INSERT, LOOKUP

LOADS = (0.5, 1.0)
HITS = 1_000


@dataclass(frozen=True, slots=True)
class Aim:
    """An aim and its figure.

    Attributes:
        what: in words, with the bound.
        figure: as it is shown; empty where it was not measured.
        is_met: None where it was not measured.
    """

    what: str
    figure: str = ""
    is_met: bool | None = None

    @property
    def standing(self) -> str:
        """In a word or two."""
        return {True: "met", False: "missed", None: "not measured"}[self.is_met]


def aims_of(session: Session) -> list[Aim]:
    """Return every aim, with its figure at the centre of the plan."""
    centre, rows = session.plan.points[0], session.rows
    lookup, insert = _find(rows, LOOKUP, centre), _find(rows, INSERT, centre)
    get, select = _find(rows, GET, centre), _find(rows, SELECT, centre)
    call = _find(rows, GOT, replace(centre, batch=HITS))
    loads = [_change(rows, verb, centre) for verb in (LOOKUP, GET)]
    change = None if None in loads else max(each for each in loads if each is not None)
    share = get.rate / select.rate if get and select else None
    return [
        _aim(
            "lookup ≥ 4 G keys/s", lookup.rate if lookup else None, _giga, lambda rate: rate >= 4e9
        ),
        _aim("get_many ≥ 80 % of torch.index_select", share, _percent, lambda found: found >= 0.8),
        _aim(
            "insert, evicting ≥ 1 G pairs/s",
            insert.rate if insert else None,
            _giga,
            lambda r: r >= 1e9,
        ),
        _aim("lookup, get_many: load 0.5 to 1 changes < 5 %", change, _percent, lambda c: c < 0.05),
        _aim(
            f"{HITS:,} hits from Python < 25 µs",
            call.timing.median if call else None,
            _micro,
            lambda seconds: seconds < 25e-6,
        ),
        _aim(
            "a batch of hits waits for nothing",
            session.waits,
            lambda waits: f"{waits:g} waits",
            lambda waits: waits == 0,
        ),
    ]


def _aim(
    what: str,
    figure: float | None,
    shown: Callable[[float], str],
    is_met: Callable[[float], bool],
) -> Aim:
    return Aim(what) if figure is None else Aim(what, shown(figure), is_met(figure))


def _find(rows: list[Row], what: str, point: Point) -> Row | None:
    return next((row for row in rows if (row.what, row.point) == (what, point)), None)


def _change(rows: list[Row], verb: str, centre: Point) -> float | None:
    """By which share a verb's rate differs between the loads."""
    points = [replace(centre, shape=replace(centre.shape, load=load)) for load in LOADS]
    low, high = (_find(rows, verb, point) for point in points)
    return abs(high.rate / low.rate - 1) if low and high else None


def _giga(rate: float) -> str:
    return f"{rate / 1e9:.2f} G/s"


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs"
