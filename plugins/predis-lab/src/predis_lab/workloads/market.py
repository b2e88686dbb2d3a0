"""Market data: ticks of a trading session, and the order-book rows that they touch.

Ticks come in a burst at the open and a smaller one at the close (the U shape of intraday activity,
Admati and Pfleiderer, Review of Financial Studies 1988). A few symbols carry most of the trade,
news makes others hot for a while, and the price levels that matter wander with the price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from predis_lab.workloads.base import (
    Floats,
    Ids,
    Workload,
    generator,
    need,
    need_positive,
)
from predis_lab.workloads.zipf import ranks, zipf_shares

# A row's id: symbol in the upper bits, price in the lower; the opening price is in the middle.
PRICE_BITS = 24
OPENING_PRICE = 1 << (PRICE_BITS - 1)


class Ticks(NamedTuple):
    """Consecutive ticks, one entry each.

    Attributes:
        seconds: float64[n] since the open, ascending.
        symbols: int64[n].
        prices: int64[n], of the order-book row touched, in units of the smallest step.
        mids: int64[n], the middle of the symbol's book at that moment.
        ids: int64[n], of the order-book row: symbol and price.
    """

    seconds: Floats
    symbols: Ids
    prices: Ids
    mids: Ids
    ids: Ids


@dataclass(frozen=True, slots=True)
class Market(Workload):
    """A session of about `ticks` ticks (their number is random) on `symbols` order books.

    session: its length in seconds
    open_burst, close_burst: how many times the quiet rate is added at the open and at the close;
        both fade over `burst_seconds` (to 1/e)
    exponent: of the Zipf popularity of symbols
    hot_symbols, hot_share, hot_seconds: at any time that many symbols are in the news and get that
        share of the ticks, until others replace them
    depth: mean distance of a touched row from the middle of the book, geometric
    moves: the probability that a tick moves its symbol's price by one step
    """

    ticks: int = 1_000_000
    symbols: int = 2_000
    session: float = 23_400.0
    open_burst: float = 15.0
    close_burst: float = 5.0
    burst_seconds: float = 600.0
    exponent: float = 1.0
    hot_symbols: int = 5
    hot_share: float = 0.2
    hot_seconds: float = 300.0
    depth: float = 5.0
    moves: float = 0.1
    batch: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        need_positive(
            ticks=self.ticks,
            symbols=self.symbols,
            session=self.session,
            burst_seconds=self.burst_seconds,
            hot_symbols=self.hot_symbols,
            hot_seconds=self.hot_seconds,
            depth=self.depth,
            batch=self.batch,
        )
        need(
            self.hot_symbols <= self.symbols,
            "hot_symbols",
            self.hot_symbols,
            f"there are {self.symbols} symbols",
        )
        need(self.open_burst >= 0, "open_burst", self.open_burst, "0 is none")
        need(self.close_burst >= 0, "close_burst", self.close_burst, "0 is none")
        need(self.exponent >= 0, "exponent", self.exponent, "0 is uniform, more is more skewed")
        need(0 <= self.hot_share <= 1, "hot_share", self.hot_share, "a share is from 0 to 1")
        need(0 <= self.moves <= 1, "moves", self.moves, "a probability is from 0 to 1")

    def rate(self, seconds: npt.ArrayLike) -> Floats:
        """Expected ticks per second at times since the open, float64 of the same shape."""
        at = np.asarray(seconds, dtype=np.float64)
        fade = self.burst_seconds
        bursts = self.open_burst + self.close_burst
        total = self.session + bursts * fade * -np.expm1(-self.session / fade)
        shape = (
            1.0
            + self.open_burst * np.exp(-at / fade)
            + self.close_burst * np.exp((at - self.session) / fade)
        )
        rate: Floats = self.ticks / total * shape
        return rate

    def news(self) -> Ids:
        """The hot symbols of each period of `hot_seconds`, int64[periods, hot_symbols]."""
        random = generator(self.seed, 1)
        periods = int(self.session // self.hot_seconds) + 1
        return np.stack(
            [random.choice(self.symbols, self.hot_symbols, replace=False) for _ in range(periods)]
        )

    def session_ticks(self) -> Iterator[Ticks]:
        """Yield the ticks in order, `batch` at a time; the last batch may be shorter."""
        names = generator(self.seed, 0).permutation(self.symbols)
        cumulated = np.cumsum(zipf_shares(self.symbols, self.exponent))
        news = self.news()
        random = generator(self.seed, 2)
        mids = np.full(self.symbols, OPENING_PRICE, dtype=np.int64)
        for seconds in self._arrivals():
            count = len(seconds)
            symbols = names[ranks(random, cumulated, count)]
            period = (seconds // self.hot_seconds).astype(np.int64)
            hot = news[period, random.integers(0, self.hot_symbols, count)]
            symbols = np.where(random.random(count) < self.hot_share, hot, symbols)
            steps = _either_way(random, count) * (random.random(count) < self.moves)
            at = mids[symbols] + _walked(symbols, steps)
            np.add.at(mids, symbols, steps)
            distance = random.geometric(1 / (1 + self.depth), count) - 1
            prices = at + _either_way(random, count) * distance
            yield Ticks(seconds, symbols, prices, at, (symbols << PRICE_BITS) + prices)

    def batches(self) -> Iterator[Ids]:
        """Yield the ids of the touched rows, int64[batch]; the last batch may be shorter."""
        return (ticks.ids for ticks in self.session_ticks())

    def _arrivals(self) -> Iterator[Floats]:
        """Times of a Poisson process of rate `rate`, by inverting its integral."""
        random = generator(self.seed, 3)
        grid = np.linspace(0.0, self.session, max(2, int(self.session) + 1))
        rates = self.rate(grid)
        expected = np.concatenate([[0.0], np.cumsum((rates[1:] + rates[:-1]) / 2 * np.diff(grid))])
        passed = 0.0
        while passed < expected[-1]:
            points = passed + np.cumsum(random.exponential(1.0, self.batch))
            passed = float(points[-1])
            inside = points[points < expected[-1]]
            if len(inside):
                yield np.interp(inside, expected, grid)


def _either_way(random: np.random.Generator, count: int) -> Ids:
    """-1 or 1, equally likely, int64[count]."""
    return 2 * random.integers(0, 2, count) - 1


def _walked(symbols: Ids, steps: Ids) -> Ids:
    """The sum of the steps of the same symbol up to each tick, that tick included, int64[n]."""
    order = np.argsort(symbols, kind="stable")
    sums = np.cumsum(steps[order])
    starts = np.flatnonzero(np.diff(symbols[order], prepend=-1))
    before = np.repeat(sums[starts] - steps[order][starts], np.diff(starts, append=len(order)))
    walked = np.empty_like(sums)
    walked[order] = sums - before
    return walked
