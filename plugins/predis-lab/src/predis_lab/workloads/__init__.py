"""Reproducible workloads: the classical patterns, their mixes, and three out of the field."""

from __future__ import annotations

from predis_lab.workloads.base import Ids, Workload
from predis_lab.workloads.game import Game
from predis_lab.workloads.market import Market
from predis_lab.workloads.mix import Interleaved, Phases
from predis_lab.workloads.sweeps import Loop, Scan
from predis_lab.workloads.training import Training
from predis_lab.workloads.zipf import Zipf

__all__ = [
    "Game",
    "Ids",
    "Interleaved",
    "Loop",
    "Market",
    "Phases",
    "Scan",
    "Training",
    "Workload",
    "Zipf",
]
