"""RED and parity of one stream that is received.

Spec: RFC 2198, section 3; RFC 5109.
"""

from __future__ import annotations

from rtcstack.errors import ParseError
from rtcstack.refusals import Refusals
from rtcstack.rtp.extensions import ExtensionIds
from rtcstack.rtp.fec import Recovery, leave_red
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.parameters import ReceiveSection

__all__ = ["PARITY_WAIT_S", "Correction"]

PARITY_WAIT_S = 0.01
"""How long parity may take to bring a lost packet back, before that is asked for."""


class Correction:
    """Takes packets out of RED, and brings lost ones back.

    Args:
        refusals: who is told of packets that are dropped.

    Attributes:
        red_type, parity_type: payload types; -1 for none.
        recovery: brings lost packets back, once RED comes; None before.
    """

    __slots__ = ("_refusals", "parity_type", "recovery", "red_type")

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals
        self.red_type = self.parity_type = -1
        self.recovery: Recovery | None = None

    def bind(self, section: ReceiveSection) -> None:
        """Take over what is agreed now."""
        self.red_type, self.parity_type = section.red_type, section.parity_type

    def leave_red(self, packet: RtpPacket) -> bool:
        """What stands in a packet of RED takes its place; whether there is such a thing."""
        try:
            leave_red(packet)
        except ParseError as error:
            self._refusals.add("rtp", error.reason, packet.data)
            return False
        if self.recovery is None and self.parity_type >= 0:
            self.recovery = Recovery()
        return True

    def take(self, packet: RtpPacket, ssrc: int, ids: ExtensionIds) -> list[RtpPacket]:
        """A packet came, of media or of parity: those that can be brought back now.

        What is left of a packet of parity is a packet without payload.

        Args:
            packet: out of RED; its `index` is set.
            ssrc: of the stream.
            ids: the numbers of its header extensions.
        """
        recovery = self.recovery
        if recovery is None:
            return []
        if packet.payload_type == self.parity_type:
            try:
                recovery.add(packet)
            except ParseError as error:
                self._refusals.add("rtp", error.reason, packet.data)
        elif packet.payload_bytes and not packet.retransmitted:
            # one that was sent again has other header extensions: parity was made of the first
            recovery.keep(packet)
        found: list[RtpPacket] = []
        while recovery.waits and (more := recovery.take(ssrc, ids)):
            found += more
        return found

    def clear(self) -> None:
        """The stream begins anew."""
        if self.recovery is not None:
            self.recovery.clear()
