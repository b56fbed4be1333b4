"""What is to be sent, as values, and what all that sends has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rtcstack.codecs.coders.audio import AudioSettings
from rtcstack.codecs.layers import SINGLE_LAYER
from rtcstack.codecs.payload.base import DEFAULT_PAYLOAD_BYTES
from rtcstack.codecs.picturelimits import PictureLimits
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.encodedsource import EncodedSource
from rtcstack.media.frames import Frame
from rtcstack.media.pipeline.sourcemeter import SourceMeter
from rtcstack.media.pipeline.told import ToldOnce
from rtcstack.media.pipeline.transport import MediaTransport
from rtcstack.media.track import MediaStreamTrack
from rtcstack.rtp.parameters import SendParameters
from rtcstack.rtp.send import SendStream

__all__ = ["EncodedSink", "Layer", "Outbound", "SendTransform"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One encoding of a sender: how to encode, and the stream that carries it.

    Attributes:
        send: the RTP stream.
        codec: encoding name in lower case, "vp8".
        mime_type: "video/VP8".
        parameters: of the format, by lower-case name, as the peer wants them.
        active: whether it is sent.
        max_bitrate_bps: bound set by the application, or None.
        max_frame_rate: frames a second, or None.
        scale_down_by: divides width and height.
        scale_down_to: width and height at most, of either orientation, in place of that; or None.
        limits: what the peer's decoder takes, or None.
        degradation: what is given up first when bits or time run out, see `Adaptation`; None for what suits
            the track's content.
        audio: how sound is to be encoded, as far as the application says.
        ptime_ms: audio in a packet that the application or the peer asks for, or None.
        adaptive_ptime: whether that may grow where the network asks for it.
        max_ptime_ms: audio in a packet that the peer takes at most, or None.
        red_payload_type: audio: put frames into redundant audio (RFC 2198) of this payload type.
        implementation: of the encoder, by PyAV's name, or None.
        max_payload_bytes: of a packet.
        scalability_mode: which layers to make; the codec's encoder can.
    """

    send: SendParameters
    codec: str
    mime_type: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    active: bool = True
    max_bitrate_bps: int | None = None
    max_frame_rate: float | None = None
    scale_down_by: float = 1.0
    scale_down_to: tuple[int, int] | None = None
    limits: PictureLimits | None = None
    degradation: str | None = None
    audio: AudioSettings = field(default_factory=AudioSettings)
    ptime_ms: float | None = None
    adaptive_ptime: bool = False
    max_ptime_ms: float | None = None
    red_payload_type: int | None = None
    implementation: str | None = None
    max_payload_bytes: int = DEFAULT_PAYLOAD_BYTES
    scalability_mode: str = SINGLE_LAYER

    @property
    def encoder(self) -> tuple[object, ...]:
        """What a video encoder is made for, and does not change while it runs."""
        return (
            self.codec,
            self.parameters,
            self.max_frame_rate,
            self.scale_down_by,
            self.implementation,
            self.scalability_mode,
        )

    def scale(self, width: int, height: int) -> float:
        """What both sides of a picture are divided by, 1.0 or more.

        Spec: webrtc-extensions, section on RTCResolutionRestriction.
        """
        if self.scale_down_to is None:
            return max(1.0, self.scale_down_by)
        short, long = sorted(self.scale_down_to)
        return max(1.0, min(width, height) / short, max(width, height) / long)

    @property
    def rank(self) -> float:
        """Grows with the size of the pictures, among the layers of a sender."""
        if self.scale_down_to is None:
            return 1.0 / self.scale_down_by
        return float(self.scale_down_to[0] * self.scale_down_to[1])


class EncodedSink(Protocol):
    """Where transformed frames go on."""

    def send_encoded(self, frame: EncodedMedia, timestamp: int, captured_at: float) -> bool:
        """Put a frame into packets and send them; whether there was room."""


class SendTransform(Protocol):
    """What encoded frames pass through before they are put into packets."""

    def on_encoded(
        self, frame: EncodedMedia, timestamp: int, captured_at: float, stream: SendStream, sink: EncodedSink
    ) -> None:
        """A frame: hand it on to `sink`, changed or not, now or later, or drop it."""

    def on_key_frame_requested(self, rid: str | None, make: Callable[[], None]) -> bool:
        """The peer asks for a key frame of a layer: whether `make` is left to the transform."""


class Outbound(ABC):
    """Sends a track, in one or more encodings. A sink of the track while it sends.

    Args:
        transport: it goes over this.
        on_error: told of what an encoder cannot do, once per reason.

    Attributes:
        track: what is sent, or None.
        meter: measures what the track brings, or None.
        frames_mismatched: encoded frames of another codec than the negotiated one, dropped.
    """

    def __init__(self, transport: MediaTransport, on_error: Callable[[Exception], None]) -> None:
        self.transport = transport
        self.track: MediaStreamTrack | None = None
        self.meter: SourceMeter | None = None
        self.transform: SendTransform | None = None
        self.frames_mismatched = 0
        self.tell_error = ToldOnce(on_error)
        self._sending = False
        self._attached: MediaStreamTrack | None = None
        self._closed = False

    @property
    def is_sending(self) -> bool:
        """Whether the direction that was agreed lets it send."""
        return self._sending

    def set_track(self, track: MediaStreamTrack | None) -> None:
        """Send another track from now on, or nothing."""
        if track is not self.track:
            self.track = track
            self._source_changed()
            self._attach()

    def set_sending(self, sending: bool) -> None:
        """What was agreed lets it send, or not any more."""
        if sending is not self._sending:
            self._sending = sending
            for stream in self.streams:
                self.transport.session.set_active(stream, sending and self._is_active(stream))
        self._attach()

    def _attach(self) -> None:
        """Read the track just as long as what it gives can be sent."""
        may_send = self._sending and not self._closed
        if may_send and not self.transport.is_open:
            self.transport.when_open(self._attach)
        wanted = self.track if may_send and self.transport.is_open else None
        if wanted is self._attached:
            return
        before, self._attached = self._attached, wanted
        if before is not None:
            before.remove_sink(self)
        if wanted is not None:
            self._source_changed()
            wanted.add_sink(self)

    def close(self) -> None:
        """Send nothing any more; the peer is told that the streams have ended."""
        if not self._closed:
            self._closed = True
            self._attach()
            for stream in self.streams:
                self.transport.senders.pop(stream.ssrc, None)
                self.transport.session.remove_send_stream(stream)
            self.release()
            self.transport.wake()

    def ask_source_for_key_frame(self) -> None:
        """The track brings encoded frames: who encodes them must make a key frame."""
        track = self._attached
        if track is not None and isinstance(track.source, EncodedSource):
            track.source.request_key_frame()

    # -- of each kind -----------------------------------------------------------------------------

    @property
    @abstractmethod
    def streams(self) -> Sequence[SendStream]:
        """The RTP streams."""

    @abstractmethod
    def update(self, layers: Sequence[Layer]) -> None:
        """What is to be sent has changed."""

    @abstractmethod
    def deliver(self, frame: Frame | EncodedMedia) -> None:
        """A frame of the track."""

    def track_ended(self) -> None:
        """The track has ended: nothing more is sent until there is another."""
        self._attached = None

    @abstractmethod
    def release(self) -> None:
        """Close the coders."""

    @abstractmethod
    def _is_active(self, stream: SendStream) -> bool:
        """Whether the stream's encoding is set to be sent."""

    @abstractmethod
    def _source_changed(self) -> None:
        """Frames come from another source from now on, or from none."""
