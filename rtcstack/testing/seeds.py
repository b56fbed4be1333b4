"""Generators from a seed, one for whoever draws."""

from __future__ import annotations

import random

__all__ = ["source_of"]


def source_of(seed: object, *names: object) -> random.Random:
    """A generator of its own for whatever has these names: what others draw does not change it."""
    if isinstance(seed, int) and not names:
        return random.Random(seed)
    return random.Random(" ".join(str(part) for part in (seed, *names)))
