"""Chance from a seed, of each host by itself."""

from __future__ import annotations

import random

from rtcstack.testing.standing import current_host

__all__ = ["VirtualEntropy", "source_of"]


def source_of(seed: object, *names: object) -> random.Random:
    """A generator of its own for whatever has these names: what others draw does not change it."""
    if isinstance(seed, int) and not names:
        return random.Random(seed)
    return random.Random(" ".join(str(part) for part in (seed, *names)))


class VirtualEntropy:
    """What is drawn on the host on which the running code stands; see `rtcstack.platform.Entropy`.

    Args:
        seed: what code that stands on no host draws from.
    """

    is_seeded = True

    def __init__(self, seed: object) -> None:
        self._nobodys = source_of(seed)

    @property
    def random(self) -> random.Random:
        """See `rtcstack.platform.Entropy`."""
        host = current_host()
        return self._nobodys if host is None else host.random

    def bytes(self, count: int) -> bytes:
        """See `rtcstack.platform.Entropy`."""
        return self.random.randbytes(count)
