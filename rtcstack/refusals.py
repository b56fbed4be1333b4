"""What was refused of what a peer sent: counted by reason, and the first of it kept to be looked at.

A packet that is dropped costs the peer's media or messages, and nobody is told by an exception. So
whoever drops one says why here, and whoever wonders can read it; nothing that a real peer sends
should ever be found.
"""

from __future__ import annotations

from typing import NamedTuple

from rtcstack.engine import Buffer

__all__ = ["MAX_KEPT", "MAX_KEPT_BYTES", "MAX_REASONS", "Refusal", "Refusals"]

MAX_KEPT = 10
"""Refused packets that are kept."""

MAX_KEPT_BYTES = 256
"""Bytes kept of each."""

MAX_REASONS = 100
"""Reasons told apart; all others count as one."""

OTHER = "other"


class Refusal(NamedTuple):
    """One refused packet.

    Attributes:
        protocol: who refused it: ``"stun"``, ``"turn"``, ``"dtls"``, ``"sctp"``, ``"dcep"``,
            ``"srtp"``, ``"rtp"`` or ``"rtcp"``.
        reason: why, in words.
        data: its first `MAX_KEPT_BYTES` bytes, as this protocol saw them (decrypted, above DTLS and
            SRTP); empty where it was refused by no fault of its bytes.
    """

    protocol: str
    reason: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.protocol}: {self.reason}: {self.data.hex()}"


class Refusals:
    """Counts and first samples of what was refused; one for each transport.

    Attributes:
        counts: how many, by protocol and reason; at most `MAX_REASONS` of these.
        first: the first `MAX_KEPT` of them.
    """

    __slots__ = ("counts", "first")

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        self.first: list[Refusal] = []

    def add(self, protocol: str, reason: str, data: Buffer = b"", count: int = 1) -> None:
        """Count what was refused.

        Args:
            protocol: who refuses it; see `Refusal`.
            reason: why; one of few texts.
            data: the packet, as far as there is one.
            count: how many, where they are counted together.
        """
        key = (protocol, reason)
        counts = self.counts
        if key not in counts and len(counts) >= MAX_REASONS - 1:
            key = (OTHER, OTHER)
        counts[key] = counts.get(key, 0) + count
        if len(self.first) < MAX_KEPT:
            self.first.append(Refusal(protocol, reason, bytes(data[:MAX_KEPT_BYTES])))

    def __len__(self) -> int:
        """How many in all."""
        return sum(self.counts.values())
