"""A receiver: what was described of it, who reads, and the pipeline between.

Spec: webrtc-pc, section 5.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from rtcstack.codecs.coders.limits import DecoderLimits
from rtcstack.connection.binding import is_received, receive_section, received_codecs
from rtcstack.connection.transportentry import TransportEntry
from rtcstack.jsep.session import Section
from rtcstack.media.pipeline.audio_in import AudioInbound
from rtcstack.media.pipeline.coders import coder_pool
from rtcstack.media.pipeline.inbound import EncodedReceiverSource, ReceiverSource, ReceiveTransform
from rtcstack.media.pipeline.told import ToldOnce
from rtcstack.media.pipeline.transport import MediaTransport
from rtcstack.media.pipeline.video_in import VideoInbound
from rtcstack.media.playout.sync import PlayoutSync
from rtcstack.media.stream import MediaStream
from rtcstack.media.track import MediaStreamTrack
from rtcstack.rtp.events import FrameReceived, PacketsReceived, StreamEnded, StreamStarted
from rtcstack.rtp.extensions import ExtensionIds
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.parameters import Delivery
from rtcstack.rtp.receive import ReceiveStream

__all__ = ["Receiver", "ReceiverObserver"]


class ReceiverObserver(Protocol):
    """Who is told of a receiver."""

    def on_receiver_error(self, error: Exception) -> None:
        """What arrives cannot be decoded here."""

    def on_sources_changed(self, *, synchronization: bool, contributing: bool) -> None:
        """The last frame that was played has another SSRC, or other CSRCs."""

    def on_receiver_stopped(self) -> None:
        """It receives nothing any more, for good."""


class Receiver:
    """Receives one track.

    Nothing is decoded that nobody reads: a decoder runs while somebody reads `track` (or a layer of
    `simulcast_tracks`). `encoded_track` brings the frames as they were encoded.

    Args:
        kind: "audio" or "video".
        limits: what its decoders may use.

    Attributes:
        track: what arrives; muted while nothing does. Of simulcast, the largest layer that comes.
        streams: what the peer puts it into.
        stable_streams: likewise, when the last exchange began; a rollback goes back to it.
        section: what was described, or None.
        entry: what it arrives over, or None.
        inbound: what receives; None before there was anything to receive.
        min_delay_s: how long media waits at least before it is played.
        stopped: whether it has ended for good.
        observer: who is told, once there is one.
    """

    def __init__(self, kind: str, limits: DecoderLimits | None = None) -> None:
        self.kind = kind
        self.streams: list[MediaStream] = []
        self.stable_streams: list[MediaStream] = []
        self.section: Section | None = None
        self.entry: TransportEntry | None = None
        self.inbound: AudioInbound | VideoInbound | None = None
        self.min_delay_s = 0.0
        self.stopped = False
        self.observer: ReceiverObserver | None = None
        self._limits = limits
        self._media: MediaTransport | None = None
        self._mid: str | None = None
        self._transform: ReceiveTransform | None = None
        self._packet_sink: Callable[[list[RtpPacket]], object] | None = None
        self._encoded_track: MediaStreamTrack | None = None
        self._simulcast_tracks: dict[str, MediaStreamTrack] = {}
        self._tell_error = ToldOnce(self._tell)
        self._sources_changed: tuple[bool, bool] | None = None  # since they were told last
        self._sync = PlayoutSync()
        self._source = ReceiverSource(kind, f"remote {kind}", self._on_demand)
        self._encoded_source: EncodedReceiverSource | None = None
        self.track = MediaStreamTrack(kind, label=f"remote {kind}", source=self._source)

    # -- who reads --------------------------------------------------------------------------------

    def set_min_delay(self, min_delay_s: float) -> None:
        """How long media waits at least before it is played, in seconds."""
        self.min_delay_s = min_delay_s
        self._update()

    def set_transform(self, transform: ReceiveTransform | None) -> None:
        """What received frames pass through from now on."""
        was_opaque = self._is_opaque
        self._transform = transform
        if self.inbound is not None:
            self.inbound.transform = transform
        if self._is_opaque != was_opaque:
            self._update()

    @property
    def _is_opaque(self) -> bool:
        """Whether frames can be read only once they have passed."""
        return self._transform is not None and self._transform.is_opaque

    @property
    def header_extension_ids(self) -> ExtensionIds | None:
        """Numbers of the header extensions of what arrives."""
        return None if self._media is None else self._media.session.header_extension_ids

    @property
    def encoded_track(self) -> MediaStreamTrack:
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
    def simulcast_tracks(self) -> Mapping[str, MediaStreamTrack]:
        """The layers that the peer may send, by rid: each is decoded by itself, while it is read."""
        if self.kind == "video":
            inbound = self._video()
            for rid in [rid for rid in self._simulcast_tracks if rid not in self._rids]:
                del self._simulcast_tracks[rid]
            for rid in self._rids:
                if rid not in self._simulcast_tracks:
                    self._simulcast_tracks[rid] = inbound.feed(rid).main.track()
        return dict(self._simulcast_tracks)

    def set_packet_sink(self, sink: Callable[[list[RtpPacket]], object] | None) -> None:
        """Have RTP packets brought, decrypted and without duplicates, in order of arrival.

        Args:
            sink: called once for what arrived together; None to end it.
        """
        self._packet_sink = sink
        if self.inbound is None and sink is not None:
            self._audio() if self.kind == "audio" else self._video()
        self._update()

    def request_key_frame(self) -> None:
        """Ask the peer for a key frame; at most one request leaves in 0.3 s. Nothing for audio."""
        if isinstance(self.inbound, VideoInbound):
            for feed in self.inbound.feeds.values():
                feed.request_key_frame()

    # -- what was described -----------------------------------------------------------------------

    @property
    def _rids(self) -> tuple[str, ...]:
        section = self.section
        if section is None:
            return ()
        if section.current_direction is None and section.remote is not None:
            return section.remote.send_rids  # as far as we know before the answer
        return section.receive_rids

    def _audio(self) -> AudioInbound:
        inbound = self.inbound
        if inbound is None:
            self._encoded_source = EncodedReceiverSource(
                "audio/opus", "remote audio", self._on_demand, lambda: None
            )
            inbound = self.inbound = AudioInbound(
                coder_pool(), self._source, self._encoded_source, self._sync, self._tell_error
            )
            inbound.transform = self._transform
            inbound.notes.on_changed = self._on_sources_changed
            if self.section is not None:
                inbound.codecs = received_codecs(self.section)
        assert isinstance(inbound, AudioInbound)
        return inbound

    def _video(self) -> VideoInbound:
        inbound = self.inbound
        if inbound is None:
            inbound = self.inbound = VideoInbound(
                coder_pool(), self._source, self._sync, self._wake, self._tell_error, self._limits
            )
            inbound.transform = self._transform
            inbound.notes.on_changed = self._on_sources_changed
            if self.section is not None:
                inbound.codecs = received_codecs(self.section)
            inbound.set_rids(self._rids)
        assert isinstance(inbound, VideoInbound)
        return inbound

    def _wake(self) -> None:
        if self._media is not None:
            self._media.wake()

    def _tell(self, error: Exception) -> None:
        if self.observer is not None:
            self.observer.on_receiver_error(error)

    def _on_sources_changed(self, synchronization: bool, contributing: bool) -> None:
        before = self._sources_changed
        if before is None:
            asyncio.get_running_loop().call_soon(self._tell_sources)
            before = False, False
        self._sources_changed = before[0] or synchronization, before[1] or contributing

    def _tell_sources(self) -> None:
        changed, self._sources_changed = self._sources_changed, None
        if self.observer is not None and changed is not None and not self.stopped:
            self.observer.on_sources_changed(synchronization=changed[0], contributing=changed[1])

    def set_sync(self, sync: PlayoutSync) -> None:
        """The stream that it belongs to, whose sound and pictures are played together."""
        self._sync = sync
        if self.inbound is not None:
            self.inbound.sync = sync

    def bind(self, section: Section | None, entry: TransportEntry | None) -> None:
        """Take over what has been described."""
        self.section = section
        self.entry = entry
        self._update()

    def stop(self) -> None:
        """Receive nothing any more, for good."""
        self.stopped = True
        if self.observer is not None:
            self.observer.on_receiver_stopped()
        self._update()
        if self.inbound is not None:
            self.inbound.close()

    def _on_demand(self) -> None:
        """Somebody began to read, or nobody does any more."""
        inbound = self.inbound
        if inbound is not None:
            if isinstance(inbound, AudioInbound):
                self._update()
            inbound.update_demand()

    def _delivery(self) -> Delivery:
        inbound = self.inbound
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
        section, entry = self.section, self.entry
        receives = section is not None and entry is not None and not self.stopped and is_received(section)
        media = entry.media if entry is not None and receives else None
        if self._media is not None and (media is not self._media or self._mid != _mid(section)):
            if self._mid is not None:
                self._media.receivers.pop(self._mid, None)
                self._media.session.remove_receive_section(self._mid)
            self._mid = None
        self._media = media
        if media is None or section is None:
            if self.inbound is not None:
                self.inbound.set_receiving(False)
            return
        inbound: AudioInbound | VideoInbound = self._audio() if self.kind == "audio" else self._video()
        inbound.codecs = received_codecs(section)
        if isinstance(inbound, VideoInbound):
            inbound.set_rids(self._rids)
            inbound.min_delay_s = self.min_delay_s
        self._mid = section.mid
        media.receivers[section.mid] = self
        media.session.set_receive_section(
            receive_section(section, self._delivery(), self.min_delay_s, is_opaque=self._is_opaque)
        )
        inbound.set_receiving(True)

    # -- ReceiveOwner -----------------------------------------------------------------------------

    def on_stream_started(self, event: StreamStarted, stream: ReceiveStream | None, now: float) -> None:
        """A stream's first packet came."""
        if self.inbound is not None:
            self.inbound.on_stream_started(event, stream, now)

    def on_stream_ended(self, event: StreamEnded, now: float) -> None:
        """A stream is gone."""
        if self.inbound is not None:
            self.inbound.on_stream_ended(event, now)

    def on_frame(self, event: FrameReceived, now: float) -> None:
        """A whole frame came."""
        if self.inbound is not None:
            self.inbound.on_frame(event, now)

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
