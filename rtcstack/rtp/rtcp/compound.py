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
        reason: what was wrong with the first of these, or "".
    """

    packets: list[RtcpPacket]
    malformed: int
    reason: str = ""


def parse(data: bytes) -> Compound:
    """Read an RTCP datagram.

    Packets of unknown types are passed over, as RFC 3550 demands. One with a bad body costs only
    itself, for its length is known; where it cannot be told where the next begins, what came before
    counts. Padding may have any length: libwebrtc pads its feedback by one to three bytes, though
    RFC 3550, section 6.4.1, would have multiples of four.

    Raises:
        ParseError: if it cannot be told where even the first packet ends.
    """
    packets: list[RtcpPacket] = []
    malformed, reason = 0, ""
    position, size = 0, len(data)
    if not size:
        raise ParseError("RTCP packet is empty")
    while position < size:
        try:
            first, packet_type, words = _header(data, position)
        except ParseError as error:
            if position == 0:
                raise
            return Compound(packets, malformed + 1, reason or error.reason)
        start = position + HEADER_BYTES
        position = end = start + 4 * words
        try:
            if first & 0x20:
                end -= _padding(data, start, end)
            packet = _read(packet_type, first & 0x1F, data[start:end])
        except ParseError as error:
            malformed += 1
            reason = reason or error.reason
            continue
        if packet is not None:
            packets.append(packet)
    return Compound(packets, malformed, reason)


def _header(data: bytes, position: int) -> tuple[int, int, int]:
    """First byte, type, and length in words after the header."""
    if position + HEADER_BYTES > len(data):
        raise ParseError("RTCP packet is shorter than its header")
    first, packet_type, words = HEADER.unpack_from(data, position)
    if first & 0xC0 != 0x80:
        raise ParseError("RTCP version is not 2")
    if position + HEADER_BYTES + 4 * words > len(data):
        raise ParseError("RTCP packet is cut off")
    return first, packet_type, words


def _padding(data: bytes, start: int, end: int) -> int:
    padding = data[end - 1] if end > start else 0
    if not 0 < padding <= end - start:
        raise ParseError("RTCP padding has no length, or is longer than its packet")
    return padding


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
