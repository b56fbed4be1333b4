"""What is to be sent, as values, and what all that sends has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from rtcstack.codecs.coders.audio import AudioSettings
from rtcstack.codecs.payload.base import DEFAULT_PAYLOAD_BYTES
from rtcstack.media.encoded import EncodedMedia, EncodedSource
from rtcstack.media.frames import Frame
from rtcstack.media.pipeline.carrier import MediaCarrier
from rtcstack.media.track import MediaStreamTrack
from rtcstack.rtp.parameters import SendParameters
from rtcstack.rtp.send import SendStream

__all__ = ["EncodedSink", "Layer", "Outbound", "SendTransform"]

KEY_FRAME_ERRORS = 3
"""Failures of an encoder in a row after which it is left alone for a while."""


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
        degradation: what is given up first when bits or time run out; see `Adaptation`.
        audio: how sound is to be encoded, as far as the application says.
        ptime_ms: audio in a packet that the peer asks for, or None.
        red_payload_type: audio: put frames into redundant audio (RFC 2198) of this payload type.
        implementation: of the encoder, by PyAV's name, or None.
        max_payload_bytes: of a packet.
    """

    send: SendParameters
    codec: str
    mime_type: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    active: bool = True
    max_bitrate_bps: int | None = None
    max_frame_rate: float | None = None
    scale_down_by: float = 1.0
    degradation: str = "balanced"
    audio: AudioSettings = field(default_factory=AudioSettings)
    ptime_ms: float | None = None
    red_payload_type: int | None = None
    implementation: str | None = None
    max_payload_bytes: int = DEFAULT_PAYLOAD_BYTES


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


class Outbound:
    """Sends a track, in one or more encodings. A sink of the track while it sends.

    Args:
        carrier: the transport.
        on_error: told of what an encoder cannot do, once per reason.

    Attributes:
        track: what is sent, or None.
        frames_mismatched: encoded frames of another codec than the negotiated one, dropped.
    """

    def __init__(self, carrier: MediaCarrier, on_error: Callable[[Exception], None]) -> None:
        self.carrier = carrier
        self.track: MediaStreamTrack | None = None
        self.transform: SendTransform | None = None
        self.frames_mismatched = 0
        self._on_error = on_error
        self._errors_told: set[str] = set()
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
                self.carrier.session.set_active(stream, sending and self._is_active(stream))
        self._attach()

    def _attach(self) -> None:
        """Read the track just as long as what it gives can be sent."""
        wanted = self.track if self._sending and self.carrier.is_open and not self._closed else None
        if wanted is self._attached:
            if wanted is None and self._sending and not self.carrier.is_open and not self._closed:
                self.carrier.when_open(self._attach)
            return
        before, self._attached = self._attached, wanted
        if before is not None:
            before.remove_sink(self)
        if wanted is not None:
            self._source_changed()
            wanted.add_sink(self)
        elif self._sending and not self.carrier.is_open and not self._closed:
            self.carrier.when_open(self._attach)

    def close(self) -> None:
        """Send nothing any more; the peer is told that the streams have ended."""
        if not self._closed:
            self._closed = True
            self._attach()
            for stream in self.streams:
                self.carrier.senders.pop(stream, None)
                self.carrier.session.remove_send_stream(stream)
            self.release()
            self.carrier.wake()

    def tell_error(self, error: Exception) -> None:
        """Tell of an error, once."""
        text = str(error)
        if text not in self._errors_told and len(self._errors_told) < 16:
            self._errors_told.add(text)
            self._on_error(error)

    def ask_source_for_key_frame(self) -> None:
        """The track brings encoded frames: who encodes them must make a key frame."""
        track = self._attached
        if track is not None and isinstance(track.source, EncodedSource):
            track.source.request_key_frame()

    # -- of each kind -----------------------------------------------------------------------------

    @property
    def streams(self) -> Sequence[SendStream]:
        """The RTP streams."""
        raise NotImplementedError

    def update(self, layers: Sequence[Layer]) -> None:
        """What is to be sent has changed."""
        raise NotImplementedError

    def deliver(self, frame: Frame | EncodedMedia) -> None:
        """A frame of the track."""
        raise NotImplementedError

    def track_ended(self) -> None:
        """The track has ended: nothing more is sent until there is another."""
        self._attached = None

    def release(self) -> None:
        """Close the coders."""
        raise NotImplementedError

    def _is_active(self, stream: SendStream) -> bool:
        raise NotImplementedError

    def _source_changed(self) -> None:
        raise NotImplementedError


def ticks(frame: Frame | EncodedMedia, rate: int) -> int:
    """A frame's time in ticks of a clock; 0 when it has none."""
    pts, base = frame.pts, frame.time_base
    if pts is None or not base:
        return 0
    exact: Fraction | int = pts * rate * base.numerator // base.denominator
    return int(exact)
