"""An asyncio service: a hundred requests want the same few prices from a slow source."""

from __future__ import annotations

import asyncio
import time

import predis_core as predis

asked: list[str] = []


async def fetch(symbols: list[str]) -> dict[str, float]:
    """Stand for a source with a round trip of 50 ms; note what it is asked for."""
    asked.extend(symbols)
    await asyncio.sleep(0.05)
    return {symbol: len(symbol) + 0.5 for symbol in symbols}


cache = predis.Cache[str, float](200_000, keys="str", ttl=60, loader=fetch)


async def handle(number: int) -> float:
    """Answer a request for three of ten symbols."""
    symbols = [f"SYM{(number + step) % 10}" for step in (0, 3, 6)]
    prices = await cache.aget_or_load_many(symbols)
    return float(sum(prices))


async def impatient() -> str:
    """Give up after 10 ms; the load goes on, and whoever asks next finds what it brought."""
    try:
        async with asyncio.timeout(0.01):
            await cache.aget_or_load_many(["LATE"])
    except TimeoutError:
        await asyncio.sleep(0.1)
    return f"LATE is {'there' if 'LATE' in cache else 'missing'}"


async def main() -> None:
    """Serve; meanwhile a batch of 100,000 comes in and does not hold up anybody."""
    begin = time.monotonic()
    answers = await asyncio.gather(*[handle(number) for number in range(100)])
    took = time.monotonic() - begin
    assert answers == [13.5] * 100
    assert len(asked) == len(set(asked)) == 10
    print(f"100 requests, {len(asked)} symbols fetched, each once")
    print(f"as fast as one round trip: {'yes' if took < 1 else 'no'}")
    print(await impatient())
    symbols = [f"BULK{number}" for number in range(100_000)]
    stored, answer = await asyncio.gather(cache.aset_many(symbols, range(100_000)), handle(3))
    print(f"{int(stored.sum()):,} stored while a request was answered: {answer}")


asyncio.run(main())
