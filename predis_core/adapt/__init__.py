"""What a cache learns about itself from every lookup of a sample of its keys.

`Curves` and a `Choice` are fed with lookups; with those of a cache that works by a `Drain`, and by
`Choosing`; `Inline` does both for a replay.
"""

from predis_core.adapt.choice import Choice
from predis_core.adapt.choosing import Choosing
from predis_core.adapt.curve import MissRatioCurve
from predis_core.adapt.curves import Curves
from predis_core.adapt.draining import Drain
from predis_core.adapt.estimate import Truth
from predis_core.adapt.inline import Inline, replayed

__all__ = ["Choice", "Choosing", "Curves", "Drain", "Inline", "MissRatioCurve", "Truth", "replayed"]
