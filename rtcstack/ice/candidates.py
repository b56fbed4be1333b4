"""Candidate pairs as the layers above may see them."""

from __future__ import annotations

from rtcstack.ice.engine.pair import Pair

__all__ = ["PairView"]


class PairView:
    """A candidate pair at the time when it was selected.

    Attributes:
        local, remote: its candidates.
        pair: the engine's own.
    """

    __slots__ = ("local", "pair", "remote")

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.local = pair.local
        self.remote = pair.remote.candidate
