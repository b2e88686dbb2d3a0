"""Batches and loads on an event loop: what blocks goes to threads, what is long pauses in between.

A load is not its caller's: a caller that is cancelled leaves it to those who wait for it, and to
the cache. A loader that is a coroutine function runs on the caller's loop, in a task of its own;
any other one runs in a thread, and so does what follows it, so that the load ends even if the loop
does not live to see that.
"""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy.typing as npt

from predis_core.aio.workers import KERNELS, LOADERS
from predis_core.deferred import Deferred
from predis_core.errors import LoaderError
from predis_core.flights import (
    LOOK_AFTER,
    Ask,
    Call,
    Load,
    Loader,
    Steps,
    Wait,
    needing,
    refuse_deadlock,
    serving,
)
from predis_core.loading import Loads
from predis_core.table.interface import Bools, Keys

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = Deferred("asyncio")

Result = TypeVar("Result")

_OVER: Any = object()
_BREATH = 50e-6
"""Seconds for which a thread lets go of the GIL between two steps: enough for a loop to take it."""


async def offload(work: Callable[[], Result]) -> Result:
    """Return what `work` returns in a thread; it is milliseconds of machine code without the GIL.

    Whoever cancels this gets its way when the work is done: afterwards nothing of it runs on.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def job() -> None:
        settle: Callable[[], None]
        try:
            settle = partial(done.set_result, work())
        except BaseException as error:
            settle = partial(done.set_exception, error)
        _tell(loop, settle)

    KERNELS.submit(job)
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait((done,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        done.exception()  # or it would be reported as never seen
        raise cancelled
    return done.result()


async def paced(steps: Steps) -> Any:
    """Return what steps that only pause return."""
    try:
        while True:
            next(steps)
            await asyncio.sleep(0)
    except StopIteration as end:
        return end.value


async def fill(
    loads: Loads,
    call: Call,
    keys: Keys,
    values: npt.NDArray[Any],
    hit: Bools,
    loader: Loader,
    ttl: Any,
    size: int,
) -> Bools:
    """Do what `Loads.fill` does; `size` is how many ids may be handled between two pauses."""
    load, pauses = Load(), len(hit) > size
    with needing(load):
        _Flight(load, loads.flight(call, load, keys, hit, loader, ttl, size), pauses).begin()
        await _end_of(loads, load)
    if isinstance(load.error, asyncio.CancelledError):
        raise LoaderError("the load was cancelled", load.ids.listed()) from load.error
    if load.error is not None:
        raise load.error
    found = await _collected(loads, loads.collecting(load, values, hit, size), pauses)
    in_vain = load.in_vain(hit)
    if in_vain is not None:
        again = await fill(loads, loads.begin(), keys, values, ~in_vain, loader, ttl, size)
        found |= again & in_vain
    if pauses:
        # To give up what was loaded takes a while: one thing per turn.
        left = [load.values, load.ids, load]
        del load
        while left:
            left.pop()
            await asyncio.sleep(0)
    return found


async def _collected(loads: Loads, steps: Steps, pauses: bool) -> Bools:
    try:
        while True:
            step = next(steps)
            if isinstance(step, Wait):
                if not step.load.ended.is_set():
                    with needing(step.load):
                        refuse_deadlock(step)
                        await _end_of(loads, step.load)
                step.check()
            elif pauses:
                await asyncio.sleep(0)
    except StopIteration as end:
        found: Bools = end.value
        return found


async def _end_of(loads: Loads, load: Load) -> None:
    """Wait until a load has ended, whoever runs it."""
    if load.ended.is_set():
        return
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    token = load.when_ended(partial(_tell, loop, partial(_wake, ended)))
    try:
        while not load.ended.is_set():
            await asyncio.wait((ended,), timeout=None if load.lost is None else LOOK_AFTER)
            loads.finish_if_lost(load)
    finally:
        load.forget(token)


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Have a loop call back; one that was closed has nobody left who waits."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def is_async(loader: Loader) -> bool:
    """Return whether calling a loader makes a coroutine and does nothing else."""
    call = type(loader).__call__  # of what is no function itself
    return inspect.iscoroutinefunction(loader) or inspect.iscoroutinefunction(call)


class _Flight:
    """A load that an event loop begins.

    Args:
        load: what is known of it.
        steps: what it does.
        pauses: whether its steps are so many that others should run in between.
    """

    def __init__(self, load: Load, steps: Steps, pauses: bool) -> None:
        self._load, self._steps, self._pauses = load, steps, pauses
        self._loop = asyncio.get_running_loop()
        self._home = load.owner
        load.lost = self._loop.is_closed

    def begin(self) -> None:
        """Do what can be done at once, and see to it that the rest will be."""
        step = self._resumed(lambda: next(self._steps))
        if isinstance(step, Ask) and not is_async(step.loader):
            self._to_thread(step)
        elif step is not _OVER:
            self._to_task(step)

    def _resumed(self, resume: Callable[[], Any]) -> Any:
        """Go on to the next step that is not done at once; _OVER if there is none."""
        try:
            step = resume()
            while step is None and not self._pauses:
                step = next(self._steps)
            return step
        except Exception:
            # Whatever went wrong is in the load, from where every waiter raises it.
            return _OVER

    # ------------------------------------------------------------------ on the loop

    def _to_task(self, step: Any, pending: Awaitable[Any] | None = None) -> None:
        # The task lives as long as the load's claims: the loop itself would let it be collected.
        self._load.task = self._loop.create_task(self._fly(step, pending))

    async def _fly(self, step: Any, pending: Awaitable[Any] | None) -> None:
        try:
            while step is not _OVER:
                if step is None:
                    await asyncio.sleep(0)
                    step = self._resumed(lambda: next(self._steps))
                elif pending is None and not is_async(step.loader):
                    return self._to_thread(step)
                else:
                    step = await self._answered(step, pending)
        except BaseException as error:
            with contextlib.suppress(BaseException):
                self._steps.throw(error)
            raise
        finally:
            self._load.task = None

    async def _answered(self, ask: Ask, pending: Awaitable[Any] | None) -> Any:
        """Await a loader, or what it returned; return the next step."""
        serving.set(self._load)
        try:
            loaded = await (ask.loader(ask.ids) if pending is None else pending)
        except BaseException as error:
            failure = error
            return self._resumed(lambda: self._steps.throw(failure))
        return self._resumed(lambda: self._steps.send(loaded))

    # ------------------------------------------------------------------ in a thread

    def _to_thread(self, ask: Ask) -> None:
        self._load.owner, self._load.lost = None, _never
        context = contextvars.copy_context()
        try:
            LOADERS.submit(lambda: context.run(self._fly_in_thread, ask))
        except BaseException:
            self._steps.close()
            raise

    def _fly_in_thread(self, ask: Ask) -> None:
        self._load.owner = threading.get_ident()
        serving.set(self._load)
        with contextlib.suppress(BaseException):  # the load has it
            step = self._called(ask)
            while step is not _OVER:
                time.sleep(_BREATH)
                step = self._resumed(lambda: next(self._steps))

    def _called(self, ask: Ask) -> Any:
        """Call a loader; return the next step, if it is for this thread."""
        try:
            loaded = ask.loader(ask.ids)
            if inspect.isawaitable(loaded):
                self._bring_home(ask, loaded)
                return _OVER
        except BaseException as error:
            failure = error
            return self._resumed(lambda: self._steps.throw(failure))
        return self._resumed(lambda: self._steps.send(loaded))

    def _bring_home(self, ask: Ask, pending: Awaitable[Any]) -> None:
        """Have the loop await what a loader returned."""
        self._load.owner, self._load.lost = self._home, self._loop.is_closed
        context = contextvars.copy_context()
        try:
            self._loop.call_soon_threadsafe(self._to_task, ask, pending, context=context)
        except RuntimeError:
            if inspect.iscoroutine(pending):
                pending.close()
            raise


def _never() -> bool:
    return False
