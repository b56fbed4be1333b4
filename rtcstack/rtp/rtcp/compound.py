"""Taking compound packets apart.

Spec: RFC 3550, section 6.1; RFC 5506 (reduced-size packets, which need not begin with a report).
"""

from __future__ import annotations

from typing import NamedTuple

from rtcstack.errors import ParseError
from rtcstack.rtp.rtcp.feedback import FullIntraRequest, Nack, PictureLossIndication, ReceiverEstimate
from rtcstack.rtp.rtcp.reports import (
    Application,
    Goodbye,
    ReceiverReport,
    SenderReport,
    SourceDescription,
)
from rtcstack.rtp.rtcp.transport_cc import TransportFeedback
from rtcstack.rtp.rtcp.wire import HEADER, HEADER_BYTES
from rtcstack.rtp.rtcp.xr import ExtendedReport

__all__ = ["Compound", "RtcpPacket", "parse"]

RtcpPacket = (
    SenderReport
    | ReceiverReport
    | SourceDescription
    | Goodbye
    | Application
    | ExtendedReport
    | Nack
    | TransportFeedback
    | PictureLossIndication
    | FullIntraRequest
    | ReceiverEstimate
)

_TRANSPORT_FEEDBACK = 205
_PAYLOAD_FEEDBACK = 206


class Compound(NamedTuple):
    """The parts of a datagram.

    Attributes:
        packets: those that are known, in order.
        malformed: how many were of a known type, and not as it demands.
    """

    packets: list[RtcpPacket]
    malformed: int


def parse(data: bytes) -> Compound:
    """Read an RTCP datagram.

    Packets of unknown types are passed over, as RFC 3550 demands. One with a bad body costs only
    itself, for its length is known.

    Raises:
        ParseError: if it cannot even be told where its packets begin and end.
    """
    packets: list[RtcpPacket] = []
    malformed = 0
    position, size = 0, len(data)
    if not size:
        raise ParseError("RTCP packet is empty")
    while position < size:
        if position + HEADER_BYTES > size:
            raise ParseError("RTCP packet is shorter than its header")
        first, packet_type, words = HEADER.unpack_from(data, position)
        if first & 0xC0 != 0x80:
            raise ParseError("RTCP version is not 2")
        start, end = position + HEADER_BYTES, position + HEADER_BYTES + 4 * words
        if end > size:
            raise ParseError("RTCP packet is cut off")
        position = end
        if first & 0x20:
            padding = data[end - 1]
            if padding == 0 or padding % 4 or end - padding < start:
                raise ParseError("RTCP padding is no multiple of four, or longer than its packet")
            end -= padding
        try:
            packet = _read(packet_type, first & 0x1F, data[start:end])
        except ParseError:
            malformed += 1
            continue
        if packet is not None:
            packets.append(packet)
    return Compound(packets, malformed)


def _read(packet_type: int, count: int, body: bytes) -> RtcpPacket | None:
    if packet_type == _TRANSPORT_FEEDBACK:
        if count == TransportFeedback.format:
            return TransportFeedback.parse(body)
        return Nack.parse(body) if count == Nack.format else None
    if packet_type == _PAYLOAD_FEEDBACK:
        if count == PictureLossIndication.format:
            return PictureLossIndication.parse(body)
        if count == FullIntraRequest.format:
            return FullIntraRequest.parse(body)
        return ReceiverEstimate.parse(body) if count == ReceiverEstimate.format else None
    if packet_type == SenderReport.packet_type:
        return SenderReport.parse(count, body)
    if packet_type == ReceiverReport.packet_type:
        return ReceiverReport.parse(count, body)
    if packet_type == SourceDescription.packet_type:
        return SourceDescription.parse(count, body)
    if packet_type == Goodbye.packet_type:
        return Goodbye.parse(count, body)
    if packet_type == Application.packet_type:
        return Application.parse(count, body)
    if packet_type == ExtendedReport.packet_type:
        return ExtendedReport.parse(body)
    return None
