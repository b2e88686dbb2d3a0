"""Two-sample tests of frouros, in an environment of its own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from frouros.detectors.data_drift import PSI, KSTest
from windows import main


def statistic(kind: str, before: Any) -> Callable[[Any], float]:
    if kind == "PSI":
        psi = PSI(num_bins=10)
        psi.fit(X=before)
        return lambda now: float(psi.compare(X=now)[0].distance)
    test = KSTest()
    test.fit(X=before)
    return lambda now: -math.log10(max(float(test.compare(X=now)[0].p_value), 1e-300))


warnings.simplefilter("ignore")
main(statistic)
