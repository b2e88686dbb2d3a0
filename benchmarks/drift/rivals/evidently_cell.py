"""Statistical tests of evidently, in an environment of its own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

warnings.simplefilter("ignore")

import pandas as pd  # noqa: E402
from evidently.legacy.calculations import stattests  # noqa: E402
from evidently.legacy.core import ColumnType  # noqa: E402
from windows import main  # noqa: E402


def statistic(kind: str, before: Any) -> Callable[[Any], float]:
    old, test = pd.Series(before), stattests.wasserstein_stat_test
    if kind == "Wasserstein":
        return lambda now: float(test(old, pd.Series(now), ColumnType.Numerical, 0.1).drift_score)
    ks = stattests.ks_stat_test

    def value(now: Any) -> float:
        found = float(ks(old, pd.Series(now), ColumnType.Numerical, 0.05).drift_score)
        return -math.log10(max(found, 1e-300))

    return value


main(statistic)
