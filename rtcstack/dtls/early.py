"""Before the start: what the peer sends ahead of its answer waits.

Spec: RFC 8842, section 5.3 (a ClientHello may come before the answer).
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.dtls.phase import MAX_DATAGRAM_BYTES, Association, Phase
from rtcstack.dtls.sieve import HANDSHAKE
from rtcstack.engine import Run

__all__ = ["MAX_EARLY_DATAGRAMS", "Early"]

MAX_EARLY_DATAGRAMS = 16
"""Datagrams kept until the start: a peer may begin its handshake before its answer arrives, and a
ClientHello with a post-quantum key share takes several. More are dropped: the peer repeats them."""

_HANDSHAKE_FIRST = bytes((HANDSHAKE,))


class Early(Phase):
    """Keeps handshake datagrams.

    Attributes:
        datagrams: what has come, in order.
    """

    __slots__ = ("datagrams",)

    def __init__(self, association: Association) -> None:
        super().__init__(association)
        self.datagrams: list[bytes] = []

    def receive(self, runs: Sequence[Run], count: int, now: float) -> Phase:
        """Keep what may belong to a handshake."""
        for run in runs:
            for datagram in run.datagrams():
                if (
                    datagram[:1] != _HANDSHAKE_FIRST
                    or len(self.datagrams) >= MAX_EARLY_DATAGRAMS
                    or len(datagram) > MAX_DATAGRAM_BYTES
                ):
                    self.association.counters.dropped_early += 1
                else:
                    self.datagrams.append(datagram)
        return self
