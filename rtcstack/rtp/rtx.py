"""Retransmissions that are received: what a stream sends again, with numbers of its own.

Spec: RFC 4588, section 4.
"""

from __future__ import annotations

from struct import Struct

from rtcstack.rtp.demux import Rank
from rtcstack.rtp.layout import Layout
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.parameters import ReceiveSection
from rtcstack.rtp.receive import ReceiveStream
from rtcstack.rtp.reception import Reception

__all__ = ["AnyReceiveStream", "RtxStream"]

_ORIGINAL_SEQUENCE_NUMBER = Struct("!H").unpack_from


class RtxStream:
    """The retransmissions of a stream: they come with numbers of their own.

    Args:
        ssrc: of the retransmissions.
        primary: the stream that they restore.

    Attributes:
        reception: numbers and losses of the retransmissions themselves.
        malformed: retransmissions of nothing that is agreed.
        is_current, rank: of no meaning here; as of a stream that need not be considered.

    Spec: RFC 4588, section 4.
    """

    __slots__ = (
        "_original_types",
        "bytes_received",
        "is_current",
        "layout",
        "malformed",
        "mid_bytes",
        "packets_received",
        "primary",
        "rank",
        "reception",
        "section",
        "ssrc",
    )

    def __init__(self, ssrc: int, primary: ReceiveStream) -> None:
        self.ssrc = ssrc
        self.primary = primary
        self.section = primary.section
        self.reception = Reception(ssrc, primary.reception.clock_rate)
        self.layout: Layout | None = None
        self.packets_received = 0
        self.bytes_received = 0
        self.malformed = 0
        self.is_current = True
        self.rank = Rank.ANNOUNCED
        self._original_types: dict[int, int] = {}
        self.update(primary.section)

    def update(self, section: ReceiveSection) -> None:
        """Bind to what is agreed now."""
        self.section = section
        self.mid_bytes = section.mid.encode()
        self._original_types = {
            codec.payload_type: codec.apt for codec in section.codecs if codec.apt is not None
        }
        self.layout = None

    # The payload of a retransmission packet:
    # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    # |            OSN                |                               |
    # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+                               |
    # |                  Original RTP Packet Payload                  |
    # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    def receive(self, packet: RtpPacket, now: float) -> None:
        """Take a packet of this SSRC and hand its original to the stream."""
        if self.reception.locate(packet.sequence_number) < 0:
            return
        self.packets_received += 1
        size = packet.payload_end - packet.payload_start
        self.bytes_received += size
        self.primary.count_apart(len(packet.data), size, now)
        if not size:
            return  # padding, to probe for bandwidth
        original_type = self._original_types.get(packet.payload_type)
        if original_type is None or size < 2:
            self.malformed += 1
            self.primary.refusals.add("rtp", "a retransmission of nothing that is agreed", packet.data)
            return
        packet.sequence_number = _ORIGINAL_SEQUENCE_NUMBER(packet.data, packet.payload_start)[0]
        packet.payload_start += 2
        packet.payload_type = original_type
        packet.ssrc = self.primary.ssrc
        packet.retransmitted = True
        self.primary.receive_restored(packet, now)


AnyReceiveStream = ReceiveStream | RtxStream
"""What an SSRC that is received may be."""
