"""Encoded frames, as transforms see them.

Spec: webrtc-encoded-transform, sections 5.1 to 5.7.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rtcstack.api.dictionaries import as_dictionary

__all__ = [
    "Frame",
    "RTCEncodedAudioFrame",
    "RTCEncodedAudioFrameMetadata",
    "RTCEncodedAudioFrameOptions",
    "RTCEncodedFrameMetadata",
    "RTCEncodedVideoFrame",
    "RTCEncodedVideoFrameMetadata",
    "RTCEncodedVideoFrameOptions",
    "audio_frame",
    "taken_out",
    "video_frame",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RTCEncodedFrameMetadata:
    """What is known of an encoded frame; what is not is None.

    Times are in milliseconds since the Unix epoch, as all timestamps here.

    Attributes:
        synchronizationSource: SSRC.
        payloadType: 0 to 127.
        contributingSources: CSRCs.
        rtpTimestamp: 32 bits.
        receiveTime: when the last packet of a received frame arrived.
        captureTime: when it was captured, by the capturer's clock. Of a received frame only where the
            peer sends abs-capture-time.
        senderCaptureTimeOffset: the capturer's clock minus the sender's, in milliseconds, as the sender
            estimates it.
        mimeType: "video/VP8".
        rid: the simulcast layer (beyond the W3C's).

    Spec: webrtc-encoded-transform, section 5.1.
    """

    synchronizationSource: int | None = None
    payloadType: int | None = None
    contributingSources: tuple[int, ...] | None = None
    rtpTimestamp: int | None = None
    receiveTime: float | None = None
    captureTime: float | None = None
    senderCaptureTimeOffset: float | None = None
    mimeType: str | None = None
    rid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RTCEncodedVideoFrameMetadata(RTCEncodedFrameMetadata):
    """What is known of an encoded picture; what is not is None.

    Attributes:
        frameId: its number in the order of decoding. Of a received frame only where the dependency
            descriptor is agreed.
        dependencies: the numbers of the frames that it refers to; likewise.
        width, height: in pixels.
        spatialIndex, temporalIndex: its layer, 0 the lowest.
        timestamp: when it is to be shown, in microseconds: the time of the frame of the track.

    Spec: webrtc-encoded-transform, section 5.2.
    """

    frameId: int | None = None
    dependencies: tuple[int, ...] | None = None
    width: int | None = None
    height: int | None = None
    spatialIndex: int | None = None
    temporalIndex: int | None = None
    timestamp: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RTCEncodedAudioFrameMetadata(RTCEncodedFrameMetadata):
    """What is known of an encoded frame of sound; what is not is None.

    Attributes:
        sequenceNumber: of a received packet, 16 bits.
        audioLevel: 0 (silence) to 1.

    Spec: webrtc-encoded-transform, section 5.5.
    """

    sequenceNumber: int | None = None
    audioLevel: float | None = None


@dataclass(frozen=True, slots=True)
class RTCEncodedVideoFrameOptions:
    """How a copy of a frame differs.

    Attributes:
        metadata: what is other than in the original; what is None is as it was.
    """

    metadata: RTCEncodedVideoFrameMetadata | Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RTCEncodedAudioFrameOptions:
    """How a copy of a frame differs.

    Attributes:
        metadata: what is other than in the original; what is None is as it was.
    """

    metadata: RTCEncodedAudioFrameMetadata | Mapping[str, Any] | None = None


M = TypeVar("M", bound=RTCEncodedFrameMetadata)


class _EncodedFrame(Generic[M]):
    """What audio and video frames share.

    Slots: [[owner]] and [[counter]] say whose frame it is, and which; a frame that an application has made
    has neither.
    """

    __slots__ = ("_counter", "_forward", "_metadata", "_owner", "data")

    def __init__(self, data: bytes, metadata: M) -> None:
        self.data = data
        self._metadata = metadata
        self._owner: object | None = None
        self._counter = 0
        self._forward: Callable[[bytes], object] | None = None

    def getMetadata(self) -> M:
        """What is known of the frame."""
        return self._metadata


class RTCEncodedAudioFrame(_EncodedFrame[RTCEncodedAudioFrameMetadata]):
    """One packet's worth of sound.

    Args:
        originalFrame: to be copied. A copy is for looking at: a transform that writes it sends nothing,
            for it cannot make frames.
        options: see `RTCEncodedAudioFrameOptions`.

    Attributes:
        data: the codec's bytes; to be set to others. Empty once the frame was written.

    Raises:
        TypeError: it is no such frame, or no such options.

    Spec: webrtc-encoded-transform, section 5.6.
    """

    __slots__ = ()

    def __init__(
        self,
        originalFrame: RTCEncodedAudioFrame,
        options: RTCEncodedAudioFrameOptions | Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(originalFrame, RTCEncodedAudioFrame):
            raise TypeError(f"an RTCEncodedAudioFrame is made of one, not of {type(originalFrame).__name__}")
        given = as_dictionary(RTCEncodedAudioFrameOptions, options).metadata
        super().__init__(
            bytes(originalFrame.data),
            _changed(RTCEncodedAudioFrameMetadata, originalFrame.getMetadata(), given),
        )


class RTCEncodedVideoFrame(_EncodedFrame[RTCEncodedVideoFrameMetadata]):
    """One picture, or one spatial layer of it.

    Args:
        originalFrame: to be copied. A copy is for looking at: a transform that writes it sends nothing,
            for it cannot make frames.
        options: see `RTCEncodedVideoFrameOptions`.

    Attributes:
        data: the codec's bytes (H.264 and H.265: Annex B); to be set to others. Empty once the frame was
            written. What stands in them is cut into packets by the codec's payload format. VP8: the first
            10 bytes must stay readable (receivers look for key frames there); VP9: any bytes; H.264,
            H.265 and AV1 are cut at their units, which must stay readable.

    Raises:
        TypeError: it is no such frame, or no such options.

    Spec: webrtc-encoded-transform, section 5.3.
    """

    __slots__ = ("_type",)

    def __init__(
        self,
        originalFrame: RTCEncodedVideoFrame,
        options: RTCEncodedVideoFrameOptions | Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(originalFrame, RTCEncodedVideoFrame):
            raise TypeError(f"an RTCEncodedVideoFrame is made of one, not of {type(originalFrame).__name__}")
        given = as_dictionary(RTCEncodedVideoFrameOptions, options).metadata
        super().__init__(
            bytes(originalFrame.data),
            _changed(RTCEncodedVideoFrameMetadata, originalFrame.getMetadata(), given),
        )
        self._type = originalFrame.type

    @property
    def type(self) -> str:
        """ "key" or "delta"."""
        return self._type


Frame = RTCEncodedAudioFrame | RTCEncodedVideoFrame


def _changed(cls: type[M], original: M, given: object) -> M:
    made = copy.deepcopy(original)
    if given is None:
        return made
    members = as_dictionary(cls, given)
    names = [field.name for field in dataclasses.fields(members)]
    present = {name: value for name in names if (value := getattr(members, name)) is not None}
    return dataclasses.replace(made, **copy.deepcopy(present))


# -- for transforms ---------------------------------------------------------------------------------


def video_frame(
    data: bytes,
    metadata: RTCEncodedVideoFrameMetadata,
    *,
    key_frame: bool,
    owner: object,
    counter: int,
    forward: Callable[[bytes], object],
) -> RTCEncodedVideoFrame:
    """A picture on its way.

    Args:
        data, metadata: of the picture.
        key_frame: it needs no other.
        owner: whose frame it is.
        counter: its number there.
        forward: sends bytes on in its place.
    """
    frame = RTCEncodedVideoFrame.__new__(RTCEncodedVideoFrame)
    _EncodedFrame.__init__(frame, data, metadata)
    frame._type = "key" if key_frame else "delta"
    frame._owner, frame._counter, frame._forward = owner, counter, forward
    return frame


def audio_frame(
    data: bytes,
    metadata: RTCEncodedAudioFrameMetadata,
    *,
    owner: object,
    counter: int,
    forward: Callable[[bytes], object],
) -> RTCEncodedAudioFrame:
    """Sound on its way. Args: see `video_frame`."""
    frame = RTCEncodedAudioFrame.__new__(RTCEncodedAudioFrame)
    _EncodedFrame.__init__(frame, data, metadata)
    frame._owner, frame._counter, frame._forward = owner, counter, forward
    return frame


def taken_out(frame: Frame, owner: object, after: int) -> tuple[int, Callable[[], object]] | None:
    """Take a frame's bytes, to send them on.

    Args:
        frame: that was written.
        owner: who sends it.
        after: the number of the frame that was written last.

    Returns:
        Its number, and what sends it; None for a frame of somebody else, or one whose turn is over.
    """
    if frame._owner is not owner or frame._counter <= after or frame._forward is None:
        return None
    forward, data = frame._forward, frame.data
    frame.data = b""
    return frame._counter, lambda: forward(bytes(data))
