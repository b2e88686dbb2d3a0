"""How far the tests that search go: PREDIS_TEST_DEPTH=10 runs ten times as many examples."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

DEPTH = int(os.environ.get("PREDIS_TEST_DEPTH", "1"))

# The first example of a test may compile kernels, and large batches are meant to be drawn.
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

# Without `explain`, which traces every line and says little about a long sequence of steps.
_PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink]


def search(examples: int, steps: int = 50) -> settings:
    """Return settings for a search of so many examples, of so many steps if it has steps."""
    return settings(
        max_examples=examples * DEPTH,
        stateful_step_count=steps,
        deadline=None,
        phases=_PHASES,
        suppress_health_check=_SLOW,
    )
