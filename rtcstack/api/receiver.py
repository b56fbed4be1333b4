"""RTCRtpReceiver.

Spec: webrtc-pc, section 5.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rtcstack.api.capabilities import capabilities
from rtcstack.api.encodedtransform import RTCRtpScriptTransform, Transformable
from rtcstack.api.events import RTCErrorEvent
from rtcstack.api.home import Home, at_home
from rtcstack.api.mediabinding import is_received, receive_section, received_codecs
from rtcstack.api.parameters import (
    RTCRtcpParameters,
    RTCRtpCapabilities,
    RTCRtpCodecParameters,
    RTCRtpContributingSource,
    RTCRtpHeaderExtensionParameters,
    RTCRtpReceiveParameters,
    RTCRtpSynchronizationSource,
)
from rtcstack.clock import timestamp_ms
from rtcstack.codecs.coders.limits import DecoderLimits
from rtcstack.events import EventTarget, HandlerAttribute
from rtcstack.media.pipeline.audio_in import AudioInbound
from rtcstack.media.pipeline.coders import coder_pool
from rtcstack.media.pipeline.inbound import EncodedReceiverSource, ReceiverSource
from rtcstack.media.pipeline.level import linear_level
from rtcstack.media.pipeline.sync import PlayoutSync
from rtcstack.media.pipeline.told import ToldOnce
from rtcstack.media.pipeline.video_in import VideoInbound
from rtcstack.media.stream import MediaStream
from rtcstack.media.track import MediaStreamTrack
from rtcstack.rtp.events import FrameReceived, PacketsReceived, StreamEnded, StreamStarted
from rtcstack.rtp.extensions import ExtensionIds
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.parameters import Delivery

if TYPE_CHECKING:
    from rtcstack.api.dtlstransport import RTCDtlsTransport
    from rtcstack.api.transportset import TransportEntry
    from rtcstack.jsep.session import Codec, HeaderExtension, Section
    from rtcstack.media.pipeline.carrier import MediaCarrier

MAX_JITTER_BUFFER_TARGET_MS = 4000.0

__all__ = ["RTCRtpReceiver", "codec_parameters", "extension_parameters"]


def codec_parameters(codecs: tuple[Codec, ...]) -> tuple[RTCRtpCodecParameters, ...]:
    """Negotiated codecs as the W3C shows them."""
    return tuple(
        RTCRtpCodecParameters(
            codec.mime_type,
            codec.clock_rate,
            codec.channels,
            codec.parameters or None,
            payloadType=codec.payload_type,
        )
        for codec in codecs
    )


def extension_parameters(
    extensions: tuple[HeaderExtension, ...],
) -> tuple[RTCRtpHeaderExtensionParameters, ...]:
    """Negotiated header extensions as the W3C shows them."""
    return tuple(RTCRtpHeaderExtensionParameters(e.uri, e.id) for e in extensions)


class RTCRtpReceiver(Transformable, EventTarget):
    """Receives one track.

    Nothing is decoded that nobody reads: a decoder runs while somebody reads `track` (or a layer of
    `simulcastTracks`). `encodedTrack` brings the frames as they were encoded.

    Events: error, an `RTCErrorEvent`, when what arrives cannot be decoded here (beyond the W3C's).

    Spec: webrtc-pc, section 5.3.
    """

    onerror = HandlerAttribute("error")

    def __init__(self, kind: str, limits: DecoderLimits | None = None, *, home: Home | None = None) -> None:
        super().__init__()
        self.home = home or Home()
        self.kind = kind
        self._limits = limits
        self._entry: TransportEntry | None = None
        self._carrier: MediaCarrier | None = None
        self._section: Section | None = None
        self._mid: str | None = None
        self._target_ms: float | None = None
        self._packet_sink: Callable[[list[RtpPacket]], object] | None = None
        self._encoded_track: MediaStreamTrack | None = None
        self._simulcast_tracks: dict[str, MediaStreamTrack] = {}
        self._tell_error = ToldOnce(self._dispatch_error)
        self._inbound: AudioInbound | VideoInbound | None = None
        self._sync = PlayoutSync()
        self._source = ReceiverSource(kind, f"remote {kind}", self._on_demand)
        self._encoded_source: EncodedReceiverSource | None = None
        self._track = MediaStreamTrack(kind, label=f"remote {kind}", source=self._source)
        self.stopped = False
        self.streams: list[MediaStream] = []

    @property
    def track(self) -> MediaStreamTrack:
        """What arrives; muted while nothing does. Of simulcast, the largest layer that comes."""
        return self._track

    @property
    def transport(self) -> RTCDtlsTransport | None:
        """What it arrives over; None before negotiation."""
        return None if self._entry is None else self._entry.dtls_transport

    @staticmethod
    def getCapabilities(kind: str) -> RTCRtpCapabilities | None:
        """What can be received.

        Args:
            kind: "audio" or "video"; None is returned for anything else.
        """
        return capabilities(kind, send=False)

    def getParameters(self) -> RTCRtpReceiveParameters:
        """What was negotiated."""
        section = self._section
        if section is None:
            return RTCRtpReceiveParameters()
        return RTCRtpReceiveParameters(
            codecs=codec_parameters(section.receive_codecs),
            headerExtensions=extension_parameters(section.receive_extensions),
            rtcp=RTCRtcpParameters(reducedSize=section.rtcp_rsize),
        )

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
    ) -> list[tuple[tuple[float, int, float | None, int, float | None], bool | None]]:
        if self._inbound is None:
            return []
        now = timestamp_ms() / 1000
        found = []
        for note in self._inbound.notes.recent(now, contributing=contributing):
            level = linear_level(note.audio_level)
            captured = None if note.capture_time is None else note.capture_time * 1000
            found.append(((note.at * 1000, note.source, level, note.rtp_timestamp, captured), note.voice))
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
        self._update()

    def attach_transform(self, transform: RTCRtpScriptTransform) -> None:
        """See `Transformable`."""
        transform.attach(None, self.requestKeyFrame if self.kind == "video" else None)

    def transform_changed(self) -> None:
        """See `Transformable`."""
        if self._inbound is not None:
            self._inbound.transform = self._transform

    # -- beyond the W3C's -------------------------------------------------------------------------

    @property
    def headerExtensionIds(self) -> ExtensionIds | None:
        """Numbers of the header extensions of what arrives, for `RTCRtpSender.sendPackets`."""
        return None if self._carrier is None else self._carrier.session.header_extension_ids

    @property
    def encodedTrack(self) -> MediaStreamTrack:
        """What arrives, as `EncodedMedia` frames: nothing is decoded for it. Can be sent as it is by
        another connection's `addTrack`, and recorded."""
        if self._encoded_track is None:
            if self.kind == "video":
                source = self._video().feed(None if not self._rids else self._rids[0]).encoded
            else:
                self._audio()
                assert self._encoded_source is not None
                source = self._encoded_source
            self._encoded_track = source.track()
        return self._encoded_track

    @property
    def simulcastTracks(self) -> Mapping[str, MediaStreamTrack]:
        """The layers that the peer may send, by rid: each is decoded by itself, while it is read."""
        if self.kind == "video":
            inbound = self._video()
            for rid in [rid for rid in self._simulcast_tracks if rid not in self._rids]:
                del self._simulcast_tracks[rid]
            for rid in self._rids:
                if rid not in self._simulcast_tracks:
                    self._simulcast_tracks[rid] = inbound.feed(rid).main.track()
        return dict(self._simulcast_tracks)

    @at_home
    def setPacketSink(self, sink: Callable[[list[RtpPacket]], object] | None) -> None:
        """Have RTP packets brought, decrypted and without duplicates, in order of arrival.

        Args:
            sink: called once for what arrived together, on the loop's thread; None to end it.
        """
        self._packet_sink = sink
        if self._inbound is None and sink is not None:
            self._audio() if self.kind == "audio" else self._video()
        self._update()

    @at_home
    def requestKeyFrame(self) -> None:
        """Ask the peer for a key frame; at most one request leaves in 0.3 s. Nothing for audio."""
        if isinstance(self._inbound, VideoInbound):
            for feed in self._inbound.feeds.values():
                feed.request_key_frame()

    @property
    def inbound(self) -> AudioInbound | VideoInbound | None:
        """What receives, for statistics."""
        return self._inbound

    @property
    def section(self) -> Section | None:
        """What was agreed."""
        return self._section

    # -- what was agreed, and who reads -----------------------------------------------------------

    @property
    def _rids(self) -> tuple[str, ...]:
        section = self._section
        if section is None:
            return ()
        if section.current_direction is None and section.remote is not None:
            return section.remote.send_rids  # as far as we know before the answer
        return section.receive_rids

    def _audio(self) -> AudioInbound:
        inbound = self._inbound
        if inbound is None:
            self._encoded_source = EncodedReceiverSource(
                "audio/opus", "remote audio", self._on_demand, lambda: None
            )
            inbound = self._inbound = AudioInbound(
                coder_pool(), self._source, self._encoded_source, self._sync, self._tell_error
            )
            inbound.transform = self._transform
            if self._section is not None:
                inbound.codecs = received_codecs(self._section)
        assert isinstance(inbound, AudioInbound)
        return inbound

    def _video(self) -> VideoInbound:
        inbound = self._inbound
        if inbound is None:
            inbound = self._inbound = VideoInbound(
                coder_pool(), self._source, self._sync, self._wake, self._tell_error, self._limits
            )
            inbound.transform = self._transform
            if self._section is not None:
                inbound.codecs = received_codecs(self._section)
            inbound.set_rids(self._rids)
        assert isinstance(inbound, VideoInbound)
        return inbound

    def _wake(self) -> None:
        if self._carrier is not None:
            self._carrier.wake()

    def _dispatch_error(self, error: Exception) -> None:
        self.dispatchEvent(RTCErrorEvent("error", error))

    def set_sync(self, sync: PlayoutSync) -> None:
        """The stream that it belongs to, whose sound and pictures are played together."""
        self._sync = sync
        if self._inbound is not None:
            self._inbound.sync = sync

    def bind(self, section: Section | None, entry: TransportEntry | None) -> None:
        """Take over what has been described."""
        self._section = section
        self._entry = entry
        self._update()

    def stop(self) -> None:
        """Receive nothing any more, for good."""
        self.stopped = True
        self.transform = None
        self._update()
        if self._inbound is not None:
            self._inbound.close()

    def _on_demand(self) -> None:
        """Somebody began to read, or nobody does any more."""
        inbound = self._inbound
        if inbound is not None:
            if isinstance(inbound, AudioInbound):
                self._update()
            inbound.update_demand()

    def _delivery(self) -> Delivery:
        inbound = self._inbound
        wanted = Delivery.FRAMES if self.kind == "video" else Delivery(0)
        if isinstance(inbound, AudioInbound):
            if inbound.wants_playout:
                wanted |= Delivery.PLAYOUT
            if inbound.wants_frames:
                wanted |= Delivery.FRAMES
        if self._packet_sink is not None:
            wanted |= Delivery.PACKETS
        return wanted

    def _update(self) -> None:
        """Bring what is received in line with what was described, and with who reads."""
        section, entry = self._section, self._entry
        receives = section is not None and entry is not None and not self.stopped and is_received(section)
        carrier = entry.carrier if entry is not None and receives else None
        if self._carrier is not None and (carrier is not self._carrier or self._mid != _mid(section)):
            if self._mid is not None:
                self._carrier.receivers.pop(self._mid, None)
                self._carrier.session.remove_receive_section(self._mid)
            self._mid = None
        self._carrier = carrier
        if carrier is None or section is None:
            if self._inbound is not None:
                self._inbound.set_receiving(False)
            return
        inbound: AudioInbound | VideoInbound = self._audio() if self.kind == "audio" else self._video()
        inbound.codecs = received_codecs(section)
        min_delay_s = (self._target_ms or 0.0) / 1000
        if isinstance(inbound, VideoInbound):
            inbound.set_rids(self._rids)
            inbound.min_delay_s = min_delay_s
        self._mid = section.mid
        carrier.receivers[section.mid] = self
        carrier.session.set_receive_section(receive_section(section, self._delivery(), min_delay_s))
        inbound.set_receiving(True)

    # -- ReceiveOwner -----------------------------------------------------------------------------

    def on_stream_started(self, event: StreamStarted, now: float) -> None:
        """A stream's first packet came."""
        if self._inbound is not None:
            self._inbound.on_stream_started(event, now)

    def on_stream_ended(self, event: StreamEnded, now: float) -> None:
        """A stream is gone."""
        if self._inbound is not None:
            self._inbound.on_stream_ended(event, now)

    def on_frame(self, event: FrameReceived, now: float) -> None:
        """A whole frame came."""
        if self._inbound is not None:
            self._inbound.on_frame(event, now)

    def on_lost(self) -> None:
        """Media has ended on this transport: the tracks are muted."""
        self.track.set_muted(True)

    def on_packets(self, event: PacketsReceived, now: float) -> None:
        """Packets came."""
        if self._packet_sink is None:
            return
        try:
            self._packet_sink(event.packets)
        except Exception as exc:  # the application's, which must not end the pass
            context = {"message": "exception in a packet sink", "exception": exc}
            asyncio.get_running_loop().call_exception_handler(context)


def _mid(section: Section | None) -> str | None:
    return None if section is None else section.mid
