"""One set under each policy, in the data structures of its paper: queues, stacks and lists of keys.

Nothing here knows of metadata, ranks or states. A model and a table with one set must hold the same
keys after every request and let the same ones go; so a model also has what decides between
equals: the numbers of the ways, and the fingerprints by which ghosts are known.
"""

from __future__ import annotations

from tests.support.set_models.base import (
    Place,
    SetModel,
    fully_associative,
    one_set,
    sets_of,
)
from tests.support.set_models.counting import GdsfModel, LfuModel, SlruModel, WTinyLfuModel
from tests.support.set_models.ghosted import ArcModel, DensityModel, LirsModel
from tests.support.set_models.linear import LinearModel
from tests.support.set_models.queues import (
    ClockModel,
    FifoModel,
    LruModel,
    S3FifoModel,
    SieveModel,
)

__all__ = [
    "MODELS",
    "GdsfModel",
    "LinearModel",
    "Place",
    "S3FifoModel",
    "SetModel",
    "fully_associative",
    "one_set",
    "sets_of",
]

MODELS: dict[str, type[SetModel]] = {
    "arc": ArcModel,
    "clock": ClockModel,
    "density": DensityModel,
    "fifo": FifoModel,
    "gdsf": GdsfModel,
    "lfu": LfuModel,
    "linear": LinearModel,
    "lirs": LirsModel,
    "lru": LruModel,
    "s3fifo": S3FifoModel,
    "sieve": SieveModel,
    "slru": SlruModel,
    "wtinylfu": WTinyLfuModel,
}
