"""Encoded media in a track: frames that are not to be touched by a codec.

A track of encoded frames is read, relayed, sent and recorded like any other; a sender puts what it
brings into packets as it is. So one encoder can serve many senders, a received stream can be sent on
without decoding it, and what was encoded elsewhere can be sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

from rtcstack.codecs.payload.parametersets import ParameterSets, has_parameter_sets
from rtcstack.media.frames import Frame
from rtcstack.media.source import TrackSource

if TYPE_CHECKING:
    import av

__all__ = ["RTP_CLOCK_RATES", "EncodedMedia", "EncodedSource"]

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


class EncodedSource(TrackSource):
    """A source of encoded frames.

    Args:
        codec: their MIME type, "video/VP8" for example.
        label: for people.
        on_key_frame_wanted: called, on the loop's thread, when somebody who takes the frames cannot
            go on without a key frame; may be called often, an encoder should limit how often it obeys.
    """

    def __init__(
        self,
        codec: str,
        label: str = "",
        *,
        on_key_frame_wanted: Callable[[], None] | None = None,
        muted: bool = False,
    ) -> None:
        kind = codec.partition("/")[0].lower()
        super().__init__(kind, label or codec, muted=muted)
        self.codec = codec
        self._sets: ParameterSets | None = None
        self.on_key_frame_wanted = on_key_frame_wanted
        self.key_frames_wanted = 0

    @property
    def possible_codecs(self) -> tuple[str, ...]:
        """Names, in lower case, of the codecs that its frames may be of; () when nothing is known yet."""
        return (self.codec.partition("/")[2].lower(),)

    def request_key_frame(self) -> None:
        """Somebody needs a key frame."""
        self.key_frames_wanted += 1
        if self.on_key_frame_wanted is None:
            return
        try:
            self.on_key_frame_wanted()
        except Exception as exc:  # the application's, which must not harm the call
            context = {"message": "exception in on_key_frame_wanted", "exception": exc}
            asyncio.get_running_loop().call_exception_handler(context)

    def settings(self) -> dict[str, Any]:
        """Of the pictures, once one told; see `MediaStreamTrack.getSettings`."""
        width, height = self._size
        if self.kind == "audio" or not width:
            return {}
        return {"width": width, "height": height, "aspectRatio": width / height if height else 0.0}

    def push_packet(self, packet: av.Packet[Any]) -> None:
        """Give out PyAV's packet, as a demuxer or an encoder gives it.

        Raises:
            ValueError: the packet has no time.
        """
        self.push_encoded(EncodedMedia.from_packet(packet, self.codec))

    def push_encoded(self, frame: EncodedMedia) -> None:
        """Give out a frame. Whoever reads a track of this source expects such frames.

        H.264 and H.265: a key frame is given its parameter sets if it comes without, for some may
        begin to read with it.
        """
        if has_parameter_sets(frame.name):
            frame = self._completed(frame)
        self.push(cast(Frame, frame))

    def _completed(self, frame: EncodedMedia) -> EncodedMedia:
        sets = self._sets
        if sets is None or sets.codec != frame.name:
            sets = self._sets = ParameterSets(frame.name)
        data = frame.data
        has_sets = not sets.begins_with_picture(data)
        if not frame.key_frame and not has_sets:
            return frame
        data = sets.complete(data, key_frame=frame.key_frame, has_sets=has_sets)
        return frame if data is frame.data else replace(frame, data=data)

    def _observe(self, frame: Any) -> None:
        """Note what `getSettings` tells."""
        if frame.width and frame.height:
            self._size = frame.width, frame.height
