"""Chance from a seed, of each host by itself."""

from __future__ import annotations

import random

from rtcstack.testing.host import current_host
from rtcstack.testing.seeds import source_of

__all__ = ["VirtualEntropy"]


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
