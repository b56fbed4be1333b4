"""What of encoded transforms senders and receivers know: `transform`, and what frames pass through.

Which transforms there are is `encodedtransform`'s and `sframetransform`'s question.

Spec: webrtc-encoded-transform, sections 3 and 4.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from rtcstack.api.encodedframes import (
    Frame,
    RTCEncodedAudioFrameMetadata,
    RTCEncodedVideoFrameMetadata,
    audio_frame,
    video_frame,
)
from rtcstack.clock import NTP_EPOCH_S, monotonic, unix_time
from rtcstack.codecs.payload.superframe import superframe, superframe_frames
from rtcstack.errors import InvalidStateError
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.pipeline.inbound import FrameSink, ReceivedCodec
from rtcstack.media.pipeline.level import linear_level
from rtcstack.media.pipeline.outbound import EncodedSink
from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.send import SendStream

__all__ = ["Passage", "Transform", "Transformable", "VideoReceiver", "VideoSender"]

_MICROSECONDS = 1_000_000


class VideoSender(Protocol):
    """A sender of video, as its transform uses it."""

    @property
    def live_rids(self) -> list[str | None]:
        """Its layers that are sent, in their order."""

    def generate_key_frame(self, rid: str | None) -> int:
        """Make the next picture of a layer a key frame; None for all."""


class VideoReceiver(Protocol):
    """A receiver of video, as its transform uses it."""

    def request_key_frame(self) -> None:
        """Ask the peer for one."""


class Passage(ABC):
    """What encoded frames pass through: a `SendTransform` and a `ReceiveTransform`.

    Attributes:
        is_opaque: nothing can be read in frames before they have passed.
        sends: whether it is, or was, a sender's; None while it has been nobody's.
    """

    is_opaque = False

    def __init__(self) -> None:
        self.sends: bool | None = None
        self._counter = 0  # [[lastEnqueuedFrameCounter]]

    def attach(
        self, *, sends: bool, sender: VideoSender | None = None, receiver: VideoReceiver | None = None
    ) -> None:
        """For the sender or receiver that it is set on.

        Args:
            sends: which of them.
            sender, receiver: it, if it is of video.

        Raises:
            InvalidStateError: it is, or was, in use.
        """
        if self.sends is not None:
            raise InvalidStateError("a transform serves one sender or receiver, once")
        self.sends = sends
        self.attached(sender, receiver)

    @abstractmethod
    def attached(self, sender: VideoSender | None, receiver: VideoReceiver | None) -> None:
        """It is set. Args: see `attach`."""

    @abstractmethod
    def detach(self) -> None:
        """It is not set any more."""

    @abstractmethod
    def pass_on(self, frame: Frame) -> None:
        """A frame came."""

    def opened(self, frame: EncodedFrame, codec: ReceivedCodec) -> EncodedFrame | None:
        """A received frame has passed: as it is to be decoded, or None to drop it."""
        return frame

    @abstractmethod
    def on_key_frame_made(self, rid: str | None) -> None:
        """The encoder has made a key frame of a layer, which comes next."""

    def on_key_frame_requested(self, rid: str | None, make: Callable[[], None]) -> bool:
        """The peer asks a sender for a key frame: whether `make` is left to the transform."""
        return False

    # -- SendTransform and ReceiveTransform -------------------------------------------------------

    def on_encoded(
        self, frame: EncodedMedia, timestamp: int, captured_at: float, stream: SendStream, sink: EncodedSink
    ) -> None:
        """A frame that is to be sent."""
        self._counter += 1
        parameters = stream.parameters
        shared: dict[str, Any] = {
            "synchronizationSource": stream.ssrc,
            "payloadType": parameters.payload_type,
            "contributingSources": (),
            "mimeType": frame.codec,
            "rtpTimestamp": (timestamp + stream.timestamp_offset) & 0xFFFF_FFFF,
            "rid": parameters.rid,
            "captureTime": (unix_time() - monotonic() + captured_at) * 1000,
        }

        def forward(data: bytes) -> None:
            sink.send_encoded(replace(frame, data=data), timestamp, captured_at)

        if frame.kind == "audio":
            sound = RTCEncodedAudioFrameMetadata(**shared, audioLevel=linear_level(frame.audio_level))
            self.pass_on(audio_frame(frame.data, sound, owner=self, counter=self._counter, forward=forward))
            return
        if frame.key_frame:
            self.on_key_frame_made(parameters.rid)
        time_base = frame.time_base
        self._pass_picture(
            frame, shared, frame.pts * _MICROSECONDS * time_base.numerator // time_base.denominator, forward
        )

    def _pass_picture(
        self,
        frame: EncodedMedia | EncodedFrame,
        shared: dict[str, Any],
        timestamp_us: int,
        forward: Callable[[bytes], None],
    ) -> None:
        picture = RTCEncodedVideoFrameMetadata(
            **shared,
            frameId=frame.frame_id,
            dependencies=None if frame.frame_id is None else frame.dependencies,
            width=frame.width,
            height=frame.height,
            spatialIndex=frame.spatial_id,
            temporalIndex=frame.temporal_id,
            timestamp=timestamp_us,
        )
        self.pass_on(
            video_frame(
                frame.data,
                picture,
                key_frame=frame.key_frame,
                owner=self,
                counter=self._counter,
                forward=forward,
            )
        )

    def on_received(self, frame: EncodedFrame, codec: ReceivedCodec, sink: FrameSink) -> None:
        """A frame that is to be decoded; each spatial layer of a picture passes by itself, as it was sent."""
        layers = superframe_frames(frame.data) if frame.spatial_id and codec.name == "vp9" else []
        if len(layers) < 2:
            self._receive(frame, codec, sink)
            return
        joined = _Joined(frame, len(layers), sink)
        for index, data in enumerate(layers):
            layer = replace(frame, data=data, spatial_id=index, key_frame=frame.key_frame and not index)
            if index:
                layer.frame_id, layer.dependencies = None, ()  # told of the first only
            self._receive(layer, codec, joined)

    def _receive(self, frame: EncodedFrame, codec: ReceivedCodec, sink: FrameSink) -> None:
        self._counter += 1
        captured, offset = frame.absolute_capture_time, frame.capture_clock_offset_s
        shared: dict[str, Any] = {
            "synchronizationSource": frame.ssrc,
            "payloadType": frame.payload_type,
            "contributingSources": frame.contributing,
            "mimeType": codec.mime_type,
            "rtpTimestamp": frame.timestamp & 0xFFFF_FFFF,
            "rid": frame.rid,
            "receiveTime": (unix_time() - monotonic() + frame.received_at) * 1000,
            "captureTime": None if captured is None else (captured - NTP_EPOCH_S) * 1000,
            "senderCaptureTimeOffset": None if offset is None else offset * 1000,
        }

        def forward(data: bytes) -> None:
            opened = self.opened(replace(frame, data=data), codec)
            if opened is not None:
                sink.take_encoded(opened)

        if codec.mime_type.startswith("audio/"):
            sound = RTCEncodedAudioFrameMetadata(
                **shared,
                sequenceNumber=frame.sequence_number & 0xFFFF,
                audioLevel=linear_level(frame.audio_level),
            )
            self.pass_on(audio_frame(frame.data, sound, owner=self, counter=self._counter, forward=forward))
            return
        self._pass_picture(frame, shared, frame.timestamp * _MICROSECONDS // codec.clock_rate, forward)


class _Joined:
    """Puts the spatial layers of a picture together again, once all have passed.

    Args:
        frame: the picture.
        count: of its layers.
        sink: gets it.
    """

    def __init__(self, frame: EncodedFrame, count: int, sink: FrameSink) -> None:
        self._frame = frame
        self._count = count
        self._sink = sink
        self._layers: dict[int, bytes] = {}

    def take_encoded(self, frame: EncodedFrame) -> None:
        """A layer has passed."""
        layers = self._layers
        layers[frame.spatial_id] = frame.data
        if len(layers) == self._count:
            data = superframe([layers[index] for index in sorted(layers)])
            self._sink.take_encoded(replace(self._frame, data=data))


class Transform:
    """What can be set as `transform`: the W3C's RTCRtpTransform. Args: passage: what it does."""

    def __init__(self, passage: Passage) -> None:
        self._passage = passage


class Transformable(ABC):
    """What senders and receivers share: the attribute `transform`."""

    _transform: Transform | None = None

    @property
    def transform(self) -> Transform | None:
        """What encoded frames pass through, or None.

        Raises:
            InvalidStateError: the transform is in use, here too, or was.
            TypeError: it is no transform.

        Spec: webrtc-encoded-transform, section 4.
        """
        return self._transform

    @transform.setter
    def transform(self, value: Transform | None) -> None:
        if value is None and self._transform is None:
            return
        if value is not None:
            if not isinstance(value, Transform):
                wanted = "an RTCRtpScriptTransform or an SFrameTransform"
                raise TypeError(f"transform is {wanted}, not {type(value).__name__}")
            self._attach(value._passage)
        if self._transform is not None:
            self._transform._passage.detach()
        self._transform = value
        self._pass_through(None if value is None else value._passage)

    @abstractmethod
    def _attach(self, passage: Passage) -> None:
        """Tell a transform how key frames are made or asked for."""

    @abstractmethod
    def _pass_through(self, passage: Passage | None) -> None:
        """Let frames pass through it from now on."""
