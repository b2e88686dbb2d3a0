"""What becomes of a guess."""

from __future__ import annotations

USED = 0
"""It was asked for, and was there."""

LATE = 1
"""It was asked for while it was being loaded; who asked waited for that load."""

UNUSED = 2
"""It left, was there for long, or could not be had, and was not asked for."""

MOOT = 3
"""It was there already, or loading failed: nobody's guess was wrong."""

SHADOW_USED = 4
"""It was not loaded, was asked for, and was not there."""

SHADOW_UNUSED = 5
"""It was not loaded, and not asked for."""

OUTCOMES = 6
"""How many there are."""
