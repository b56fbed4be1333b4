"""Encoded media in a track: frames that are not to be touched by a codec.

A track of encoded frames is read, relayed, sent and recorded like any other; a sender puts what it
brings into packets as it is. So one encoder can serve many senders, a received stream can be sent on
without decoding it, and what was encoded elsewhere can be sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from rtcstack.rtp.layers_allocation import LayersAllocation

if TYPE_CHECKING:
    import av

__all__ = ["RTP_CLOCK_RATES", "EncodedMedia"]

RTP_CLOCK_RATES = {"pcmu": 8_000, "pcma": 8_000, "g722": 8_000}
"""Of the codecs whose RTP clock is not 90 kHz (video) or 48 kHz (RFC 3551, section 6)."""


@dataclass(slots=True)
class EncodedMedia:
    """One encoded frame, with what a receiver must know of it.

    Attributes:
        codec: "video/VP8", "audio/opus", ...: the MIME type.
        data: video: one access unit (H.264 and H.265 as Annex B, AV1 in the low-overhead format).
            Audio: one packet of the codec.
        pts: when it is to be shown or heard, in `time_base`; grows from frame to frame.
        time_base: seconds in a tick.
        key_frame: it needs no other.
        duration: in `time_base`; 0 when unknown.
        width, height: of the picture, where known.
        rotation: degrees clockwise that the picture is to be turned by.
        capture_time: when it was captured, in seconds since the Unix epoch, or None.
        audio_level: -dBov from 0 (loudest) to 127, or None.
        voice: whether somebody speaks, or None.
        discardable: no later frame depends on it.
        temporal_id, spatial_id: its layer, 0 the lowest; of a picture that came in several spatial
            layers, the highest.
        frame_id: its number in the order of decoding, where it is known, or None.
        dependencies: the numbers of the frames that it refers to, where its own is known.
        allocation: what its sender tells of its layers with it (video-layers-allocation00), or None.
    """

    codec: str
    data: bytes
    pts: int
    time_base: Fraction
    key_frame: bool = True
    duration: int = 0
    width: int | None = None
    height: int | None = None
    rotation: int = 0
    capture_time: float | None = None
    audio_level: int | None = None
    voice: bool | None = None
    discardable: bool = False
    temporal_id: int = 0
    spatial_id: int = 0
    frame_id: int | None = None
    dependencies: tuple[int, ...] = ()
    allocation: LayersAllocation | None = None

    @property
    def kind(self) -> str:
        """ "audio" or "video"."""
        return self.codec.partition("/")[0].lower()

    @property
    def name(self) -> str:
        """The codec's name in lower case: "vp8"."""
        return self.codec.partition("/")[2].lower()

    @property
    def ticks(self) -> int:
        """`pts` in ticks of the codec's RTP clock."""
        rate = RTP_CLOCK_RATES.get(self.name, 90_000 if self.kind == "video" else 48_000)
        return self.pts * rate * self.time_base.numerator // self.time_base.denominator

    @property
    def time(self) -> float:
        """`pts` in seconds."""
        return float(self.pts * self.time_base)

    @classmethod
    def from_packet(cls, packet: av.Packet[Any], codec: str) -> EncodedMedia:
        """A frame from PyAV's packet, as a demuxer or an encoder gives it.

        Args:
            packet: with a pts and a time base.
            codec: its MIME type.

        Raises:
            ValueError: the packet has no time.
        """
        if packet.pts is None or not packet.time_base:
            raise ValueError("the packet has no pts or no time base")
        return cls(
            codec,
            bytes(packet),
            packet.pts,
            packet.time_base,
            key_frame=packet.is_keyframe,
            duration=packet.duration or 0,
        )
