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
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol

from rtcstack.api.encodedframes import (
    Frame,
    RTCEncodedAudioFrameMetadata,
    RTCEncodedVideoFrameMetadata,
    audio_frame,
    video_frame,
)
from rtcstack.api.transformstreams import KeyFrameRequestEvent, Readable, Writable
from rtcstack.clock import NTP_EPOCH_S, monotonic, unix_time
from rtcstack.codecs.payload.superframe import superframe, superframe_frames
from rtcstack.errors import InvalidStateError, NotFoundError
from rtcstack.events import EventTarget, HandlerAttribute
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.pipeline.inbound import FrameSink, ReceivedCodec
from rtcstack.media.pipeline.level import linear_level
from rtcstack.media.pipeline.outbound import EncodedSink
from rtcstack.promises import Operation, promise, rejected
from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.send import SendStream

__all__ = [
    "Passage",
    "RTCRtpScriptTransform",
    "RTCRtpScriptTransformer",
    "Transformable",
    "VideoReceiver",
    "VideoSender",
]

_RID = re.compile(r"[A-Za-z0-9_-]+")
"""RFC 8851, section 10."""

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


class RTCRtpScriptTransformer(EventTarget):
    """What the function of a transform works with.

    Attributes:
        readable: ``async for frame in transformer.readable``.
        writable: ``transformer.writable.write(frame)``.
        options: as given to the transform.

    Events: keyframerequest, a `KeyFrameRequestEvent`: the peer asks the sender for a key frame.

    Spec: webrtc-encoded-transform, section 5.8.
    """

    onkeyframerequest = HandlerAttribute("keyframerequest")

    def __init__(self, passage: Passage, options: Any) -> None:
        super().__init__()
        self._passage = passage
        self.readable = Readable(passage.ask_for_key_frame)
        self.writable = Writable(passage)
        self.options = options

    def generateKeyFrame(self, rid: str | None = None) -> Operation[None]:
        """Sending: make the next picture a key frame.

        The promise is settled just before that frame can be read; of several layers, before the last one.

        Args:
            rid: the simulcast layer; None for all that are active.

        Raises:
            InvalidStateError: it is not the transform of a video sender, or is not any more.
            TypeError: that is no name of a layer (RFC 8851, section 10).
            NotFoundError: no such layer is active.
        """
        return self._passage.generate_key_frame(rid)

    def sendKeyFrameRequest(self) -> Operation[None]:
        """Receiving: ask the peer for a key frame; at most one request leaves in 0.3 s.

        Raises:
            InvalidStateError: it is not the transform of a video receiver, or is not any more.
        """
        return self._passage.send_key_frame_request()


class RTCRtpScriptTransform:
    """A transform, to be set as `RTCRtpSender.transform` or `RTCRtpReceiver.transform`.

    Args:
        function: ``async def f(transformer)``, which runs as a task while the transform is set; or a
            function that is called with each frame and returns it (or None), in the loop's thread.
        options: handed to the former.

    Spec: webrtc-encoded-transform, section 5.8.
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
        self._attached = False
        self._sender: VideoSender | None = None
        self._receiver: VideoReceiver | None = None
        self._counter = 0  # [[lastEnqueuedFrameCounter]]
        self._awaited: list[tuple[set[str | None], asyncio.Future[None]]] = []  # [[pendingKeyFrameTasks]]
        self._told: set[str | None] = set()  # layers whose request waits for its task
        self._transformer = RTCRtpScriptTransformer(self, options)
        self.failures = 0

    def attach(self, *, sender: VideoSender | None = None, receiver: VideoReceiver | None = None) -> None:
        """For the sender or receiver that it is set on.

        Args:
            sender, receiver: it, if it is of video.

        Raises:
            InvalidStateError: it is, or was, in use.
        """
        if self._attached:
            raise InvalidStateError("a transform serves one sender or receiver, once")
        self._attached = True
        self._sender, self._receiver = sender, receiver
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
        self._transformer.writable.detach()
        self._sender = self._receiver = None
        awaited, self._awaited = self._awaited, []
        for _, future in awaited:
            if not future.done():
                future.set_exception(InvalidStateError("the transform is not set any more"))
                future.exception()  # nobody is told off for not looking at it
        if self._task is not None:
            self._task.cancel()
            self._task = None

    # -- key frames ---------------------------------------------------------------------------------

    def ask_for_key_frame(self) -> None:
        """Frames were dropped that others depend on."""
        if self._sender is not None:
            self._sender.generate_key_frame(None)
        elif self._receiver is not None:
            self._receiver.request_key_frame()

    def generate_key_frame(self, rid: str | None) -> Operation[None]:
        """See `RTCRtpScriptTransformer.generateKeyFrame` (the generate key frame algorithm)."""
        sender = self._sender
        if sender is None:
            return rejected(InvalidStateError("generateKeyFrame needs the transform of a video sender"))
        if rid is not None and (not isinstance(rid, str) or _RID.fullmatch(rid) is None):
            return rejected(TypeError(f"{rid!r} is no rid"))
        layers = {each for each in sender.live_rids if rid is None or each == rid}
        if not layers:
            what = "layer" if rid is None else f"layer {rid!r}"
            return rejected(NotFoundError(f"the sender has no {what} that is active"))
        made: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wanted = layers.difference(*(each for each, _ in self._awaited))
        self._awaited.append((layers, made))
        for each in wanted:
            sender.generate_key_frame(each)
        return Operation(made)

    def send_key_frame_request(self) -> Operation[None]:
        """See `RTCRtpScriptTransformer.sendKeyFrameRequest`."""

        def steps() -> Callable[[], None]:
            if self._receiver is None:
                raise InvalidStateError("sendKeyFrameRequest needs the transform of a video receiver")
            self._receiver.request_key_frame()
            return lambda: None

        return promise(steps)

    def _key_frame_made(self, rid: str | None) -> None:
        """Whoever waits for key frames goes on before this one can be read."""
        left = []
        for layers, future in self._awaited:
            layers.discard(rid)
            if layers:
                left.append((layers, future))
            elif not future.done():
                future.set_result(None)
        self._awaited = left

    def on_key_frame_requested(self, rid: str | None, make: Callable[[], None]) -> bool:
        """The peer asks a sender for a key frame: whether the application is asked what to do."""
        if self._sender is None or not self._transformer.has_listeners("keyframerequest"):
            return False
        if rid not in self._told:  # however often it asks within a turn
            self._told.add(rid)
            asyncio.get_running_loop().call_soon(self._tell_request, rid, make)
        return True

    def _tell_request(self, rid: str | None, make: Callable[[], None]) -> None:
        self._told.discard(rid)
        event = KeyFrameRequestEvent("keyframerequest", rid)
        self._transformer.dispatchEvent(event)
        if not event.defaultPrevented and self._sender is not None:
            make()

    # -- frames -------------------------------------------------------------------------------------

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
            self._pass(audio_frame(frame.data, sound, owner=self, counter=self._counter, forward=forward))
            return
        if frame.key_frame:
            self._key_frame_made(parameters.rid)
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
        self._pass(
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
            sink.take_encoded(replace(frame, data=data))

        if codec.mime_type.startswith("audio/"):
            sound = RTCEncodedAudioFrameMetadata(
                **shared,
                sequenceNumber=frame.sequence_number & 0xFFFF,
                audioLevel=linear_level(frame.audio_level),
            )
            self._pass(audio_frame(frame.data, sound, owner=self, counter=self._counter, forward=forward))
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


class Transformable(ABC):
    """What senders and receivers share: the attribute `transform`."""

    _transform: RTCRtpScriptTransform | None = None

    @property
    def transform(self) -> RTCRtpScriptTransform | None:
        """What encoded frames pass through, or None.

        Raises:
            InvalidStateError: the transform is in use, here too, or was.
            TypeError: it is no transform.

        Spec: webrtc-encoded-transform, section 4.
        """
        return self._transform

    @transform.setter
    def transform(self, value: RTCRtpScriptTransform | None) -> None:
        if value is None and self._transform is None:
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


def _report(exc: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": "an encoded transform failed: its frames are dropped", "exception": exc}
    )
