"""What the media engine and the payload formats say to each other: payloads in, frames out.

The payload formats themselves live in `rtcstack.codecs`; the engine only knows these shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from rtcstack.rtp.layers_allocation import LayersAllocation

__all__ = ["AudioDepacketizer", "AudioUnit", "Depacketizer", "EncodedFrame", "PayloadInfo"]


@dataclass(slots=True)
class PayloadInfo:
    """What the payload of one video packet holds.

    Attributes:
        data: the codec's bytes, without the payload descriptor.
        starts_frame: whether a frame begins here; None where the format cannot tell (H.264, AV1).
        ends_frame: whether a frame is known to end here. The RTP marker also says so.
        key_frame: whether it belongs to a frame that can be decoded without others.
        picture_id: the format's running number of pictures, as on the wire, or None.
        picture_id_bits: its width on the wire, 7 or 15; 0 without one.
        tl0_pic_idx: running number (8 bits) of the pictures of the lowest temporal layer, or None.
        temporal_id, spatial_id: layer of the frame, 0 the lowest.
        layer_sync: this frame depends on no other but of the lowest temporal layer.
        discardable: no later frame depends on this one.
        width, height: of the picture in pixels, where the payload tells.
        parts: the units of a payload that holds several (NAL units, OBUs); () when `data` is it.
        continues: the first part goes on from the packet before.
        continued: the last part goes on in the next packet.
        starts_sequence: it holds what a decoder begins with (parameter sets); where `starts_frame`
            is None, this tells where a stream may be begun.
        is_picture: it holds some of a coded picture; False for parameter sets and remarks alone.
        later_slice: what it holds of a picture cannot be the picture's beginning.
        has_sets: it holds parameter sets.
        layer_count: spatial layers of the stream, where the payload tells.
    """

    data: bytes
    starts_frame: bool | None = None
    ends_frame: bool = False
    key_frame: bool = False
    picture_id: int | None = None
    picture_id_bits: int = 0
    tl0_pic_idx: int | None = None
    temporal_id: int = 0
    spatial_id: int = 0
    layer_sync: bool = False
    discardable: bool = False
    width: int | None = None
    height: int | None = None
    parts: tuple[bytes, ...] = ()
    continues: bool = False
    continued: bool = False
    starts_sequence: bool = False
    is_picture: bool = True
    later_slice: bool = False
    has_sets: bool = False
    layer_count: int = 1


class Depacketizer(Protocol):
    """The receiving half of a video payload format. It keeps no state between frames."""

    def depacketize(self, payload: bytes) -> PayloadInfo:
        """Read one packet's payload.

        Raises:
            ParseError: if the payload does not have the form that its format demands.
        """

    def assemble(self, payloads: Sequence[PayloadInfo]) -> bytes:
        """The decodable access unit (e.g. an Annex B byte stream) from a frame's payloads, in order.

        Raises:
            ParseError: if they do not fit together.
        """


class AudioUnit(NamedTuple):
    """One audio frame of a payload.

    Attributes:
        data: the codec's bytes.
        timestamp_offset: where it starts, in RTP ticks from the packet's timestamp; negative for
            the redundant frames of RED.
        duration: in RTP ticks; 0 when unknown.
        redundant: a copy of what an earlier packet carried.
        has_fec: whether it carries a copy, in lower quality, of the frame before it.
    """

    data: bytes
    timestamp_offset: int = 0
    duration: int = 0
    redundant: bool = False
    has_fec: bool = False


class AudioDepacketizer(Protocol):
    """The receiving half of an audio payload format."""

    def split(self, payload: bytes) -> Sequence[AudioUnit]:
        """The frames of one packet, oldest first.

        Raises:
            ParseError: if the payload does not have the form that its format demands.
        """


@dataclass(slots=True)
class EncodedFrame:
    """One complete frame, as the sender's encoder made it.

    Attributes:
        data: what a decoder takes.
        timestamp: RTP timestamp, unwrapped: it only grows within a stream.
        payload_type: the codec, by its number in the section.
        ssrc: the stream that it came by.
        received_at: monotonic seconds when its last packet arrived.
        key_frame: whether it can be decoded without others; always true for audio.
        rid: the simulcast stream, or None.
        mid: the section.
        capture_time: when it was captured, in seconds since 1900 by the sender's clock (the NTP
            time scale), or None until a sender report or the frame itself has told.
        absolute_capture_time: likewise, by the capturer's clock, where the peer tells it of frames (the
            abs-capture-time extension) or has told it lately; else None.
        capture_clock_offset_s: the capturer's clock minus the sender's, as that was told last, or None.
        duration: in RTP ticks; 0 when unknown.
        marker: the RTP marker of its last packet; for audio, the start of a talkspurt.
        audio_level: -dBov from 0 (loudest) to 127 (silence), or None.
        voice: whether the sender heard a voice, or None.
        width, height: of the picture, where known.
        rotation: degrees clockwise that it is to be turned by for display: 0, 90, 180 or 270.
        temporal_id, spatial_id: layer.
        sequence_number: of its first packet, unwrapped.
        packet_count: packets that carried it.
        contributing: the CSRCs of its first packet.
        contributing_levels: -dBov of each of them, or () when not told.
        retransmitted: whether some of it came by retransmission.
        has_fec: audio: it carries a copy of the frame before it.
        dependency_descriptor: the raw AV1 dependency descriptor of its first packet, or None.
        frame_id: from that, the number of the frame that began it, unwrapped; None where it is not told.
        dependencies: the numbers of the frames that that one refers to.
        allocation: what its sender tells of its layers with it, or None.
        first_received_at: monotonic seconds when its first packet arrived.
        has_sets: whether parameter sets stand in it (H.264, H.265).
        is_after_gap: video: it is not the one that followed the frame before it; that one was lost.
    """

    data: bytes
    timestamp: int
    payload_type: int
    ssrc: int
    received_at: float
    key_frame: bool = True
    rid: str | None = None
    mid: str | None = None
    capture_time: float | None = None
    absolute_capture_time: float | None = None
    capture_clock_offset_s: float | None = None
    duration: int = 0
    marker: bool = False
    audio_level: int | None = None
    voice: bool | None = None
    width: int | None = None
    height: int | None = None
    rotation: int = 0
    temporal_id: int = 0
    spatial_id: int = 0
    sequence_number: int = 0
    packet_count: int = 1
    contributing: tuple[int, ...] = ()
    contributing_levels: tuple[int, ...] = ()
    retransmitted: bool = False
    has_fec: bool = False
    dependency_descriptor: bytes | None = None
    frame_id: int | None = None
    dependencies: tuple[int, ...] = ()
    allocation: LayersAllocation | None = None
    first_received_at: float = 0.0
    has_sets: bool = False
    is_after_gap: bool = False
