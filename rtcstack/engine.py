"""The contract of every protocol engine: bytes and a time in; bytes, events and one deadline out.

An engine owns no socket, no clock and no callback. Whoever drives it (the pump in
`rtcstack.transport`, or a test's virtual link) reads the time once per pass and hands it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

__all__ = ["Address", "Buffer", "Engine", "Run"]

Address = tuple[str, int]
"""An IP address without a scope, and a port."""

Buffer = bytes | bytearray | memoryview
"""What engines accept as a datagram. An engine never keeps a reference to a memoryview or
bytearray past the call: the memory behind it is used again for the next pass."""


class Run(NamedTuple):
    """Datagrams of equal size back to back, as UDP segmentation offload sends them in one call.

    Attributes:
        data: the datagrams, joined.
        segment_bytes: size of each of them; the last may be shorter.
    """

    data: bytes
    segment_bytes: int

    @property
    def datagram_count(self) -> int:
        """How many datagrams."""
        return -(-len(self.data) // self.segment_bytes) if self.data else 1

    def datagrams(self) -> list[bytes]:
        """The datagrams, each by itself."""
        data, segment = self
        if len(data) <= segment:
            return [data]
        return [data[i : i + segment] for i in range(0, len(data), segment)]

    def first_bytes(self) -> bytes:
        """Each datagram's first byte, which tells its protocol (RFC 7983, section 7)."""
        return self.data[:: self.segment_bytes] if self.segment_bytes else b""


E_co = TypeVar("E_co", covariant=True)


class Engine(Protocol[E_co]):
    """The five verbs. All are synchronous, never block, and never raise for what a peer sent."""

    def receive(self, datagrams: Sequence[Buffer], now: float) -> None:
        """Take datagrams that arrived together.

        Args:
            datagrams: in order of arrival.
            now: monotonic time in seconds; never less than in an earlier call.
        """

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`; harmless when nothing is."""

    def next_timeout(self) -> float | None:
        """The time at which `handle_timeout` wants to be called next, or None."""

    def drain(self, now: float) -> list[bytes]:
        """Take the datagrams that are to be sent now, in order. An empty list means none."""

    def events(self) -> Sequence[E_co]:
        """Take what the layer above must learn, oldest first."""
