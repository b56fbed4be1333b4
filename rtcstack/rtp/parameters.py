"""What is agreed for a section or a stream: values, handed in by whoever negotiated them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import NamedTuple

from rtcstack.rtp.frames import AudioDepacketizer, Depacketizer

__all__ = ["Delivery", "ReceiveCodec", "ReceiveSection", "SendParameters", "Source", "StreamName"]


class Delivery(Flag):
    """In which forms a section's media is handed on.

    PACKETS: `PacketsReceived` events, in order of arrival.
    FRAMES: `FrameReceived` events; video in an order that can be decoded, audio as it arrives.
    PLAYOUT: audio only: `ReceiveStream.playout` is pulled at the pace of its playing.
    """

    PACKETS = auto()
    FRAMES = auto()
    PLAYOUT = auto()


class StreamName(NamedTuple):
    """Which stream of a transport is meant.

    Attributes:
        mid: its section's identification tag.
        rid: its simulcast stream, or None.
        ssrc: of its media.
    """

    mid: str
    rid: str | None
    ssrc: int


@dataclass(frozen=True, slots=True)
class ReceiveCodec:
    """A payload type that may arrive.

    Attributes:
        payload_type: 0 to 127.
        clock_rate: RTP clock, in Hz.
        depacketizer: its payload format; None for what is only counted (comfort noise) or only
            wanted as packets.
        apt: the payload type that this one retransmits; None for all but RTX (RFC 4588).
        rtx_time_ms: how long the sender keeps packets (``rtx-time``), or None.
        nack, pli, fir: feedback that the sender of the media understands.
    """

    payload_type: int
    clock_rate: int
    depacketizer: Depacketizer | AudioDepacketizer | None = None
    apt: int | None = None
    rtx_time_ms: int | None = None
    nack: bool = False
    pli: bool = False
    fir: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A stream that the peer has announced by its SSRC.

    Attributes:
        ssrc: of the media.
        rtx_ssrc: of its retransmissions, or None.
    """

    ssrc: int
    rtx_ssrc: int | None = None


@dataclass(frozen=True, slots=True)
class ReceiveSection:
    """What may be received for one m= section.

    Attributes:
        mid: its identification tag.
        kind: "audio" or "video".
        codecs: by our payload types.
        extensions: header extension URI -> id.
        rids: simulcast streams that the peer may send.
        sources: streams that the peer has announced.
        delivery: the forms in which media is handed on.
        transport_cc: transport-wide feedback is agreed.
        remb: the sender goes by our estimate (``goog-remb``). It is told of one only where no section
            has transport-wide feedback, and absolute send times are agreed.
        reduced_size: RTCP need not begin with a report (RFC 5506).
        receiver_time: the peer answers receiver reference times (``rcvr-rtt``; RFC 3611).
        min_delay_s: least that playout waits, from `jitterBufferTarget`; 0 for none.
        red_type, parity_type: payload types of RED (RFC 2198) for pictures, and of what corrects errors
            (ulpfec, RFC 5109) in it; -1 for none.
    """

    mid: str
    kind: str
    codecs: tuple[ReceiveCodec, ...]
    extensions: Mapping[str, int] = field(default_factory=dict)
    rids: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    delivery: Delivery = Delivery.FRAMES
    transport_cc: bool = False
    remb: bool = False
    reduced_size: bool = False
    receiver_time: bool = False
    min_delay_s: float = 0.0
    red_type: int = -1
    parity_type: int = -1


@dataclass(frozen=True, slots=True)
class SendParameters:
    """What is agreed for one stream that is sent: one encoding of one section.

    Attributes:
        mid: the section.
        kind: "audio" or "video".
        ssrc: of the media, unique among the transport's senders and never used again for another
            stream of the same transport.
        payload_type: of the media.
        clock_rate: RTP clock, in Hz.
        cname: canonical name, the same for all streams of an endpoint.
        rid: the simulcast stream, or None.
        rtx_ssrc, rtx_payload_type: of its retransmissions, both or neither.
        extensions: header extension URI -> id.
        nack: the peer asks for retransmissions.
        transport_cc: the peer gives transport-wide feedback.
        remb: the peer tells its estimate.
        reduced_size: RTCP need not begin with a report (RFC 5506).
        min_bitrate_bps, max_bitrate_bps: bounds of what the congestion control may allot.
        priority: its weight when the estimate is shared out; 1.0 is "low" in the W3C's terms.
        red_type, parity_type: as of `ReceiveSection`, of a stream whose losses may be told from gaps that
            packets of parity leave.
    """

    mid: str
    kind: str
    ssrc: int
    payload_type: int
    clock_rate: int
    cname: str
    rid: str | None = None
    rtx_ssrc: int | None = None
    rtx_payload_type: int | None = None
    extensions: Mapping[str, int] = field(default_factory=dict)
    nack: bool = False
    transport_cc: bool = False
    remb: bool = False
    reduced_size: bool = False
    min_bitrate_bps: int = 0
    max_bitrate_bps: int | None = None
    priority: float = 1.0
    red_type: int = -1
    parity_type: int = -1
