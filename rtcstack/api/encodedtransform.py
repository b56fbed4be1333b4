"""Encoded transforms: frames pass through the application between codec and packets.

    pc.getSenders()[0].transform = RTCRtpScriptTransform(seal)

    async def seal(transformer):
        async for frame in transformer.readable:
            frame.data = frame.data[:10] + cipher.seal(frame.data[10:])
            transformer.writable.write(frame)

In a browser the transform runs in a worker; here it runs as a task of the event loop. A plain function
that takes a frame and returns it, or None to drop it, is the cheaper form.

Spec: webrtc-encoded-transform.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from rtcstack.clock import NTP_EPOCH_S
from rtcstack.codecs.payload.superframe import superframe, superframe_frames
from rtcstack.errors import InvalidStateError, NotFoundError
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.pipeline.inbound import FrameSink, ReceivedCodec
from rtcstack.media.pipeline.level import linear_level
from rtcstack.media.pipeline.outbound import EncodedSink
from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.send import SendStream

__all__ = [
    "Passage",
    "RTCEncodedAudioFrame",
    "RTCEncodedFrameMetadata",
    "RTCEncodedVideoFrame",
    "RTCRtpScriptTransform",
    "RTCRtpScriptTransformer",
    "Transformable",
]

MAX_QUEUED = 60
"""Frames that wait for the transform; beyond, the oldest is dropped."""


@dataclass(frozen=True, slots=True)
class RTCEncodedFrameMetadata:
    """What is known of an encoded frame (RTCEncodedVideoFrameMetadata, RTCEncodedAudioFrameMetadata).

    Attributes:
        synchronizationSource: SSRC.
        payloadType: 0 to 127.
        mimeType: "video/VP8".
        rtpTimestamp: 32 bits.
        contributingSources: CSRCs.
        rid: the simulcast layer, or None.
        width, height: of video, where known.
        temporalIndex, spatialIndex: layer of the frame, 0 the lowest.
        frameId: of video, its number in the order of decoding, or None where nothing tells. It only
            grows; the lower 16 bits are those of the dependency descriptor.
        dependencies: the ids of the frames that it refers to, where its own is known.
        sequenceNumber: of a received audio packet, 16 bits.
        receiveTime: monotonic milliseconds when a received frame was complete, or None.
        captureTime: milliseconds since the Unix epoch by the sender's clock, or None.
        audioLevel: 0 (silence) to 1, or None.
    """

    synchronizationSource: int
    payloadType: int
    mimeType: str
    rtpTimestamp: int
    contributingSources: tuple[int, ...] = ()
    rid: str | None = None
    width: int | None = None
    height: int | None = None
    temporalIndex: int = 0
    spatialIndex: int = 0
    sequenceNumber: int | None = None
    receiveTime: float | None = None
    captureTime: float | None = None
    audioLevel: float | None = None
    frameId: int | None = None
    dependencies: tuple[int, ...] = ()


class _EncodedFrame:
    """What audio and video frames share."""

    __slots__ = ("_metadata", "data", "forward")

    def __init__(
        self, data: bytes, metadata: RTCEncodedFrameMetadata, forward: Callable[[bytes], object] | None
    ) -> None:
        self.data = data
        self._metadata = metadata
        self.forward = forward
        """Sends the frame on, once; None for a frame that was written."""

    @property
    def timestamp(self) -> int:
        """The RTP timestamp, 32 bits."""
        return self._metadata.rtpTimestamp

    def getMetadata(self) -> RTCEncodedFrameMetadata:
        """What is known of the frame."""
        return self._metadata


class RTCEncodedAudioFrame(_EncodedFrame):
    """One packet's worth of sound.

    Attributes:
        data: the codec's bytes; to be set to others.

    Spec: webrtc-encoded-transform, section 5.2.
    """

    __slots__ = ()


class RTCEncodedVideoFrame(_EncodedFrame):
    """One picture.

    Attributes:
        data: the codec's bytes (H.264 and H.265: Annex B); to be set to others. What stands in them is
            cut into packets by the codec's payload format. VP8: the first 10 bytes must stay readable
            (receivers look for key frames there); VP9: any bytes; H.264, H.265 and AV1 are cut at their
            units, which must stay readable.

    Spec: webrtc-encoded-transform, section 5.1.
    """

    __slots__ = ("type",)

    def __init__(
        self,
        data: bytes,
        metadata: RTCEncodedFrameMetadata,
        forward: Callable[[bytes], object] | None,
        type: str,  # noqa: A002 - the W3C's name
    ) -> None:
        super().__init__(data, metadata, forward)
        self.type = type
        """ "key" or "delta"."""


Frame = RTCEncodedAudioFrame | RTCEncodedVideoFrame


class _Readable:
    """The frames that come; a queue with a bound."""

    def __init__(self, on_dropped: Callable[[], None]) -> None:
        self._queue: deque[Frame] = deque()
        self._on_dropped = on_dropped
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self.dropped = 0

    def put(self, frame: Frame) -> None:
        if len(self._queue) >= MAX_QUEUED:
            self._queue.popleft()
            self.dropped += 1
            self._on_dropped()
        self._queue.append(frame)
        self._wake()

    def close(self) -> None:
        self._closed = True
        self._queue.clear()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while True:
            while self._queue:
                yield self._queue.popleft()
            if self._closed:
                return
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter


class _Writable:
    """Takes frames back."""

    def __init__(self) -> None:
        self.dropped = 0

    def write(self, frame: Frame) -> None:
        """Send a frame on. One that was written before is dropped.

        Args:
            frame: that the transform read.
        """
        forward, frame.forward = frame.forward, None
        if forward is None or not frame.data:
            self.dropped += 1
            return
        forward(bytes(frame.data))


class RTCRtpScriptTransformer:
    """What the function of a transform works with.

    Attributes:
        readable: ``async for frame in transformer.readable``.
        writable: ``transformer.writable.write(frame)``.
        options: as given to the transform.

    Spec: webrtc-encoded-transform, section 6.
    """

    def __init__(self, passage: Passage, options: Any) -> None:
        self._passage = passage
        self.readable = _Readable(self._dropped)
        self.writable = _Writable()
        self.options = options

    def _dropped(self) -> None:
        self._passage.ask_for_key_frame()

    def generateKeyFrame(self, rid: str | None = None) -> None:
        """Sending: make the next picture a key frame.

        Args:
            rid: the simulcast layer; None for all.

        Raises:
            InvalidStateError: it is not the transform of a video sender.
            NotFoundError: there is no layer of that name.
        """
        generate = self._passage.generate_key_frame
        if generate is None:
            raise InvalidStateError("generateKeyFrame needs a transform of a video sender")
        if not generate(rid):
            raise NotFoundError(f"the sender has no layer {rid!r}")

    def sendKeyFrameRequest(self) -> None:
        """Receiving: ask the peer for a key frame.

        Raises:
            InvalidStateError: it is not the transform of a video receiver.
        """
        request = self._passage.request_key_frame
        if request is None:
            raise InvalidStateError("sendKeyFrameRequest needs a transform of a video receiver")
        request()


class RTCRtpScriptTransform:
    """A transform, to be set as `RTCRtpSender.transform` or `RTCRtpReceiver.transform`.

    Args:
        function: ``async def f(transformer)``, which runs as a task while the transform is set; or a
            function that is called with each frame and returns it (or None), in the loop's thread.
        options: handed to the former.

    Spec: webrtc-encoded-transform, section 6.
    """

    def __init__(
        self,
        function: Callable[[RTCRtpScriptTransformer], Coroutine[Any, Any, None]]
        | Callable[[Frame], Frame | None],
        options: Any = None,
    ) -> None:
        self._passage = Passage(function, options)

    @property
    def failures(self) -> int:
        """Frames on which the plain function raised; they are dropped."""
        return self._passage.failures


class Passage:
    """What encoded frames pass through: a `SendTransform` and a `ReceiveTransform`.

    Args:
        function, options: see `RTCRtpScriptTransform`.
    """

    def __init__(self, function: Callable[..., Any], options: Any) -> None:
        self._function = function
        self._is_stream = inspect.iscoroutinefunction(function)
        self._task: asyncio.Task[None] | None = None
        self._transformer = RTCRtpScriptTransformer(self, options)
        self._attached = False
        self.failures = 0
        self.generate_key_frame: Callable[[str | None], int] | None = None
        self.request_key_frame: Callable[[], None] | None = None

    def attach(
        self,
        generate_key_frame: Callable[[str | None], int] | None,
        request_key_frame: Callable[[], None] | None,
    ) -> None:
        """For the sender or receiver that it is set on.

        Raises:
            InvalidStateError: it is, or was, in use.
        """
        if self._attached:
            raise InvalidStateError("a transform serves one sender or receiver")
        self._attached = True
        self.generate_key_frame = generate_key_frame
        self.request_key_frame = request_key_frame
        if self._is_stream:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._function(self._transformer)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # the application's: it ends its transform alone
            _report(exc)
        # a function that has ended takes no more frames: nothing passes (the stream is closed)
        self._transformer.readable.close()

    def detach(self) -> None:
        """It is not set any more."""
        self._transformer.readable.close()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def ask_for_key_frame(self) -> None:
        """Frames were dropped that others depend on."""
        if self.generate_key_frame is not None:
            self.generate_key_frame(None)
        elif self.request_key_frame is not None:
            self.request_key_frame()

    def _pass(self, frame: Frame) -> None:
        if self._is_stream:
            if self._task is not None and not self._task.done():
                self._transformer.readable.put(frame)
            return
        try:
            result = self._function(frame)
        except Exception as exc:  # the application's: it costs this frame
            self.failures += 1
            if self.failures == 1:
                _report(exc)
            return
        if result is not None:
            self._transformer.writable.write(result)

    # -- SendTransform and ReceiveTransform -------------------------------------------------------

    def on_encoded(
        self, frame: EncodedMedia, timestamp: int, captured_at: float, stream: SendStream, sink: EncodedSink
    ) -> None:
        """A frame that is to be sent."""
        metadata = RTCEncodedFrameMetadata(
            stream.ssrc,
            stream.parameters.payload_type,
            frame.codec,
            (timestamp + stream.timestamp_offset) & 0xFFFF_FFFF,
            rid=stream.parameters.rid,
            width=frame.width,
            height=frame.height,
            temporalIndex=frame.temporal_id,
            spatialIndex=frame.spatial_id,
            captureTime=None if frame.capture_time is None else frame.capture_time * 1000,
            audioLevel=linear_level(frame.audio_level),
            frameId=frame.frame_id,
            dependencies=frame.dependencies,
        )

        def forward(data: bytes) -> None:
            sink.send_encoded(replace(frame, data=data), timestamp, captured_at)

        self._pass(_wrap(frame.kind, frame.data, metadata, forward, key_frame=frame.key_frame))

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
        kind = codec.mime_type.partition("/")[0]
        metadata = RTCEncodedFrameMetadata(
            frame.ssrc,
            frame.payload_type,
            codec.mime_type,
            frame.timestamp & 0xFFFF_FFFF,
            frame.contributing,
            frame.rid,
            frame.width,
            frame.height,
            frame.temporal_id,
            frame.spatial_id,
            frame.sequence_number & 0xFFFF if kind == "audio" else None,
            frame.received_at * 1000,
            None if frame.capture_time is None else (frame.capture_time - NTP_EPOCH_S) * 1000,
            linear_level(frame.audio_level),
            frame.frame_id,
            frame.dependencies,
        )

        def forward(data: bytes) -> None:
            sink.take_encoded(replace(frame, data=data))

        self._pass(_wrap(kind, frame.data, metadata, forward, key_frame=frame.key_frame))


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


class Transformable(ABC):
    """What senders and receivers share: the attribute `transform`."""

    _transform: RTCRtpScriptTransform | None = None

    @property
    def transform(self) -> RTCRtpScriptTransform | None:
        """What encoded frames pass through, or None.

        Raises:
            InvalidStateError: the transform is in use elsewhere.
            TypeError: it is no transform.

        Spec: webrtc-encoded-transform, section 4.
        """
        return self._transform

    @transform.setter
    def transform(self, value: RTCRtpScriptTransform | None) -> None:
        if value is self._transform:
            return
        if value is not None:
            if not isinstance(value, RTCRtpScriptTransform):
                raise TypeError(f"transform is an RTCRtpScriptTransform, not {type(value).__name__}")
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


def _wrap(
    kind: str,
    data: bytes,
    metadata: RTCEncodedFrameMetadata,
    forward: Callable[[bytes], object],
    *,
    key_frame: bool,
) -> Frame:
    if kind == "audio":
        return RTCEncodedAudioFrame(data, metadata, forward)
    return RTCEncodedVideoFrame(data, metadata, forward, "key" if key_frame else "delta")


def _report(exc: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": "an encoded transform failed: its frames are dropped", "exception": exc}
    )
