"""RTCRtpReceiver.

Spec: webrtc-pc, section 5.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rtcstack.api.capabilities import capabilities, codec_parameters, extension_parameters
from rtcstack.api.dtlstransport import RTCDtlsTransport
from rtcstack.api.errorevent import RTCErrorEvent
from rtcstack.api.home import Home, Resident, at_home
from rtcstack.api.parameters import (
    RTCRtcpParameters,
    RTCRtpCapabilities,
    RTCRtpContributingSource,
    RTCRtpReceiveParameters,
    RTCRtpSynchronizationSource,
)
from rtcstack.api.passage import Passage, Transformable
from rtcstack.api.stats import RTCStatsReport
from rtcstack.clock import timestamp_ms
from rtcstack.connection.receiving import Receiver
from rtcstack.connection.stats import Chosen
from rtcstack.connection.transportentry import TransportEntry
from rtcstack.events import Event, EventTarget, HandlerAttribute
from rtcstack.media.pipeline.level import linear_level
from rtcstack.media.track import MediaStreamTrack
from rtcstack.promises import Operation, promise
from rtcstack.rtp.extensions import ExtensionIds
from rtcstack.rtp.packet import RtpPacket

__all__ = ["RTCRtpReceiver", "receiver_part"]

MAX_JITTER_BUFFER_TARGET_MS = 4000.0


class RTCRtpReceiver(Transformable, Resident, EventTarget):
    """Receives one track.

    Nothing is decoded that nobody reads: a decoder runs while somebody reads `track` (or a layer of
    `simulcastTracks`). `encodedTrack` brings the frames as they were encoded.

    Events: ssrcchange and csrcchange, when another source is played, or a mixer puts others together
    (webrtc-extensions); error, an `RTCErrorEvent`, when what arrives cannot be decoded here (beyond the
    W3C's).

    Spec: webrtc-pc, section 5.3.
    """

    onssrcchange = HandlerAttribute("ssrcchange")
    oncsrcchange = HandlerAttribute("csrcchange")
    onerror = HandlerAttribute("error")

    def __init__(
        self,
        part: Receiver,
        home: Home,
        transport_of: Callable[[TransportEntry], RTCDtlsTransport],
        collect: Callable[[Chosen], RTCStatsReport],
    ) -> None:
        super().__init__()
        self._part = part
        self._home = home
        self._transport_of = transport_of
        self._collect = collect
        self._target_ms: float | None = None
        part.observer = _Observer(self)

    @property
    def track(self) -> MediaStreamTrack:
        """What arrives; muted while nothing does. Of simulcast, the largest layer that comes."""
        return self._part.track

    @property
    def transport(self) -> RTCDtlsTransport | None:
        """What it arrives over; None before negotiation."""
        entry = self._part.entry
        return None if entry is None else self._transport_of(entry)

    @staticmethod
    def getCapabilities(kind: str) -> RTCRtpCapabilities | None:
        """What can be received.

        Args:
            kind: "audio" or "video"; None is returned for anything else.
        """
        return capabilities(kind, send=False)

    def getParameters(self) -> RTCRtpReceiveParameters:
        """What was negotiated."""
        section = self._part.section
        if section is None or section.current_direction is None:
            return RTCRtpReceiveParameters()
        # who is described to receive nothing is not prepared to ([[ReceiveCodecs]])
        receives = section.local is not None and section.local.direction.recv
        return RTCRtpReceiveParameters(
            codecs=codec_parameters(section.receive_codecs) if receives else (),
            headerExtensions=extension_parameters(section.receive_extensions),
            rtcp=RTCRtcpParameters(reducedSize=section.rtcp_rsize),
        )

    @at_home
    def getStats(self) -> Operation[RTCStatsReport]:
        """Statistics of what is received, and of what that depends on.

        Spec: webrtc-pc, section 5.3.
        """
        return promise(lambda: lambda: self._collect(Chosen(None, self._part)))

    def getSynchronizationSources(self) -> list[RTCRtpSynchronizationSource]:
        """Who was heard or seen in the last ten seconds, the newest first, by SSRC."""
        return [
            RTCRtpSynchronizationSource(*note, voiceActivityFlag=voice)
            for note, voice in self._sources(contributing=False)
        ]

    def getContributingSources(self) -> list[RTCRtpContributingSource]:
        """Whose media a mixer put together in the last ten seconds, the newest first, by CSRC."""
        return [RTCRtpContributingSource(*note) for note, _ in self._sources(contributing=True)]

    def _sources(
        self, *, contributing: bool
    ) -> list[tuple[tuple[float, int, float | None, int, float | None, float | None], bool | None]]:
        inbound = self._part.inbound
        if inbound is None:
            return []
        now = timestamp_ms() / 1000
        found = []
        for note in inbound.notes.recent(now, contributing=contributing):
            level = linear_level(note.audio_level)
            captured = None if note.capture_time is None else note.capture_time * 1000
            offset = None if note.capture_clock_offset_s is None else note.capture_clock_offset_s * 1000
            heard = note.at * 1000, note.source, level, note.rtp_timestamp, captured, offset
            found.append((heard, note.voice))
        return found

    @property
    def jitterBufferTarget(self) -> float | None:
        """Least time that media waits before it is played, in milliseconds, 0 to 4000; None to leave
        it to the network.

        Raises:
            ValueError: out of range (RangeError).

        Spec: webrtc-extensions, section 9.
        """
        return self._target_ms

    @jitterBufferTarget.setter
    @at_home
    def jitterBufferTarget(self, value: float | None) -> None:
        if value is not None and not 0 <= value <= MAX_JITTER_BUFFER_TARGET_MS:
            raise ValueError(f"jitterBufferTarget must be 0 to 4000 ms, not {value}")
        self._target_ms = value
        self._part.set_min_delay((value or 0.0) / 1000)

    def _attach(self, passage: Passage) -> None:
        passage.attach(sends=False, receiver=self._part if self._part.kind == "video" else None)

    def _pass_through(self, passage: Passage | None) -> None:
        self._part.set_transform(passage)

    # -- beyond the W3C's -------------------------------------------------------------------------

    @property
    def headerExtensionIds(self) -> ExtensionIds | None:
        """Numbers of the header extensions of what arrives, for `RTCRtpSender.sendPackets`."""
        return self._part.header_extension_ids

    @property
    def encodedTrack(self) -> MediaStreamTrack:
        """What arrives, as `EncodedMedia` frames: nothing is decoded for it. Can be sent as it is by
        another connection's `addTrack`, and recorded."""
        return self._part.encoded_track

    @property
    def simulcastTracks(self) -> Mapping[str, MediaStreamTrack]:
        """The layers that the peer may send, by rid: each is decoded by itself, while it is read."""
        return self._part.simulcast_tracks

    @at_home
    def setPacketSink(self, sink: Callable[[list[RtpPacket]], object] | None) -> None:
        """Have RTP packets brought, decrypted and without duplicates, in order of arrival.

        Args:
            sink: called once for what arrived together, on the loop's thread; None to end it.
        """
        self._part.set_packet_sink(sink)

    @at_home
    def requestKeyFrame(self) -> None:
        """Ask the peer for a key frame; at most one request leaves in 0.3 s. Nothing for audio."""
        self._part.request_key_frame()


class _Observer:
    """What the connection tells of a receiver, as events."""

    __slots__ = ("_receiver",)

    def __init__(self, receiver: RTCRtpReceiver) -> None:
        self._receiver = receiver

    def on_receiver_error(self, error: Exception) -> None:
        """See `ReceiverObserver`."""
        self._receiver.dispatchEvent(RTCErrorEvent("error", error))

    def on_sources_changed(self, *, synchronization: bool, contributing: bool) -> None:
        """See `ReceiverObserver`."""
        if synchronization:
            self._receiver.dispatchEvent(Event("ssrcchange"))
        if contributing:
            self._receiver.dispatchEvent(Event("csrcchange"))

    def on_receiver_stopped(self) -> None:
        """See `ReceiverObserver`."""
        self._receiver.transform = None


def receiver_part(receiver: RTCRtpReceiver) -> Receiver:
    """What a receiver shows, for the connection that it belongs to."""
    return receiver._part
