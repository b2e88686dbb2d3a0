"""Prefetch: what prefetchers propose is loaded ahead of being asked for, as far as that pays.

`engine` decides, without threads and without asking for the time; `inline` drives it one request
after the other, for replays; `following` drives it in the background of a live cache, off the way
of its batches, which wait in a `ring`. `credit` limits what a prefetcher may load by what came of
its guesses (`outcomes`), which `ledger` accounts for, in machine code (`kernels`); `budget` limits
what all of them may ask of the backend.
"""

from predis_core.prefetch.engine import Engine, Member, Plan, checked
from predis_core.prefetch.following import Followed, Following, Guessed
from predis_core.prefetch.inline import Inline

__all__ = ["Engine", "Followed", "Following", "Guessed", "Inline", "Member", "Plan", "checked"]
