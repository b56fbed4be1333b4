"""The transceivers of a connection: making, finding and stopping them, and remote tracks.

Spec: webrtc-pc, sections 5.1 (addTrack, removeTrack, addTransceiver) and 5.1.1 (processing remote
tracks).
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rtcstack.api.events import RTCTrackEvent
from rtcstack.api.parameters import RTCRtpTransceiverDirection
from rtcstack.api.receiver import RTCRtpReceiver
from rtcstack.api.sender import RTCRtpSender
from rtcstack.api.transceiver import RTCRtpTransceiver, RTCRtpTransceiverInit
from rtcstack.codecs.coders.limits import DecoderLimits, PictureBudget
from rtcstack.entropy import random_token, random_uuid
from rtcstack.errors import InvalidAccessError
from rtcstack.jsep.intents import TransceiverIntent
from rtcstack.jsep.session import Section
from rtcstack.media.pipeline.sync import PlayoutSync
from rtcstack.media.stream import MediaStream
from rtcstack.media.track import MediaStreamTrack

if TYPE_CHECKING:
    from rtcstack.api.peerconnection import RTCPeerConnection

__all__ = ["TransceiverSet"]

_Direction = RTCRtpTransceiverDirection


class TransceiverSet:
    """Transceivers in the order in which they were made.

    Args:
        connection: whose they are.
    """

    def __init__(self, connection: RTCPeerConnection) -> None:
        self._connection = connection
        self._all: list[RTCRtpTransceiver] = []
        self._by_key: dict[int, RTCRtpTransceiver] = {}
        self._streams: dict[str, MediaStream] = {}
        self._default_stream_id = random_uuid()
        self._cname = random_token(12)
        self._syncs: weakref.WeakValueDictionary[str, PlayoutSync] = weakref.WeakValueDictionary()
        self._limits: DecoderLimits | None = None
        self.next_key = 0

    @property
    def all(self) -> list[RTCRtpTransceiver]:
        """All that are not gone."""
        return list(self._all)

    def get(self, key: int | None) -> RTCRtpTransceiver | None:
        """The transceiver with this key."""
        return None if key is None else self._by_key.get(key)

    def intents(self) -> tuple[TransceiverIntent, ...]:
        """What the negotiation has to know of them."""
        return tuple(t.intent() for t in self._all)

    # -- the application's ------------------------------------------------------------------------

    def add(
        self,
        kind: str,
        track: MediaStreamTrack | None,
        init: RTCRtpTransceiverInit,
        *,
        by_add_track: bool = False,
    ) -> RTCRtpTransceiver:
        """Make a transceiver."""
        direction = _Direction(init.direction)
        sender = RTCRtpSender(
            kind,
            track,
            init.streams,
            init.sendEncodings,
            self._connection.update_negotiation_needed,
            cname=self._cname,
            settings=self._connection.configuration.settings.media,
            home=self._connection.home,
        )
        transceiver = RTCRtpTransceiver(
            self._connection,
            self.next_key,
            kind,
            sender,
            RTCRtpReceiver(kind, self._decoder_limits(), home=self._connection.home),
            direction,
            created_by_add_track=by_add_track,
        )
        self._by_key[self.next_key] = transceiver
        self.next_key += 1
        self._all.append(transceiver)
        return transceiver

    def _decoder_limits(self) -> DecoderLimits:
        """What decoders may use: one budget for all of the connection."""
        if self._limits is None:
            media = self._connection.configuration.settings.media
            self._limits = DecoderLimits(media.max_decoded_pixels, PictureBudget(media.max_decoder_bytes))
        return self._limits

    def add_track(self, track: MediaStreamTrack, streams: Sequence[MediaStream]) -> RTCRtpSender:
        """addTrack: give the track to a sender that never sent, or make one.

        Raises:
            InvalidAccessError: a sender has the track already.
        """
        for transceiver in self._all:
            if transceiver.sender.track is track and not transceiver.stopped:
                raise InvalidAccessError(f"{track!r} is being sent already")
        for transceiver in self._all:
            sender = transceiver.sender
            if (
                sender.track is None
                and transceiver.kind == track.kind
                and not transceiver.stopping
                and not transceiver.has_sent
            ):
                sender.set_track(track)
                sender.set_streams(streams)
                transceiver.used_by_add_track = True
                if transceiver.direction is _Direction.RECVONLY:
                    transceiver.set_direction(_Direction.SENDRECV)
                elif transceiver.direction is _Direction.INACTIVE:
                    transceiver.set_direction(_Direction.SENDONLY)
                return sender
        init = RTCRtpTransceiverInit(streams=streams)
        return self.add(track.kind, track, init, by_add_track=True).sender

    def remove_track(self, sender: RTCRtpSender) -> bool:
        """removeTrack: stop sending, keep receiving.

        Returns:
            Whether anything changed.

        Raises:
            InvalidAccessError: the sender is not this connection's.
        """
        transceiver = next((t for t in self._all if t.sender is sender), None)
        if transceiver is None:
            if sender.stopped:
                return False
            raise InvalidAccessError("removeTrack with a sender of another connection")
        if transceiver.stopping or sender.track is None:
            return False
        sender.set_track(None)
        if transceiver.direction is _Direction.SENDRECV:
            transceiver.set_direction(_Direction.RECVONLY)
        elif transceiver.direction is _Direction.SENDONLY:
            transceiver.set_direction(_Direction.INACTIVE)
        return True

    # -- the negotiation's ------------------------------------------------------------------------

    def create_remote(self, key: int, kind: str) -> None:
        """A remote offer has a section that no transceiver fits."""
        self.next_key = key
        self.add(kind, None, RTCRtpTransceiverInit(direction=_Direction.RECVONLY))

    def forget(self, key: int) -> None:
        """The remote offer that made it was rolled back."""
        transceiver = self.get(key)
        if transceiver is not None:
            transceiver.finish()
            self._all.remove(transceiver)
            del self._by_key[key]

    def drop_stopped(self) -> None:
        """Remove those that are stopped and whose sections are out of use."""
        self._all = [t for t in self._all if not t.stopped]
        self._by_key = {t.key: t for t in self._all}

    def update_remote_tracks(self, sections: Sequence[Section], fire: list[Callable[[], None]]) -> None:
        """Add and remove remote tracks as the sections' directions say.

        Args:
            sections: after the description was applied.
            fire: gets what is to be told, in the W3C's order: mute, removetrack, addtrack, track.
        """
        mutes: list[Callable[[], None]] = []
        removals: list[Callable[[], None]] = []
        additions: list[Callable[[], None]] = []
        tracks: list[Callable[[], None]] = []
        seen: set[int] = set()
        for section in sections:
            transceiver = self.get(section.transceiver)
            if transceiver is None or section.transceiver is None:
                continue
            seen.add(section.transceiver)
            if section.remote is None:
                continue
            receives = not section.rejected and section.remote.direction.send
            if section.current_direction is not None and not section.current_direction.recv:
                receives = receives and self._connection.negotiation.working is not None
            fired = transceiver.fired_direction
            had = fired is not None and fired.receives
            receiver = transceiver.receiver
            wanted = [self._stream(i) for i in self._stream_ids(section)] if receives else []
            self._associate(receiver, wanted, removals, additions)
            if receives and not had:
                streams = tuple(wanted)
                tracks.append(self._track_event(transceiver, streams))
            elif had and not receives:
                mutes.append(functools.partial(receiver.track.set_muted, True))
            transceiver.fired_direction = _Direction.RECVONLY if receives else _Direction.INACTIVE
        for transceiver in self._all:
            # rolled back to having no section
            if (
                transceiver.key not in seen
                and transceiver.fired_direction is not None
                and transceiver.fired_direction.receives
            ):
                self._associate(transceiver.receiver, [], removals, additions)
                mutes.append(functools.partial(transceiver.receiver.track.set_muted, True))
                transceiver.fired_direction = None
        self._forget_unused_streams()
        fire += mutes + removals + additions + tracks

    def _track_event(
        self, transceiver: RTCRtpTransceiver, streams: tuple[MediaStream, ...]
    ) -> Callable[[], None]:
        def fire() -> None:
            receiver = transceiver.receiver
            self._connection.dispatchEvent(
                RTCTrackEvent(
                    "track", receiver=receiver, track=receiver.track, streams=streams, transceiver=transceiver
                )
            )

        return fire

    def _stream_ids(self, section: Section) -> list[str]:
        """The streams that the peer puts its track into; one of ours when it knows no streams."""
        assert section.remote is not None
        if not section.remote.msids:
            return [self._default_stream_id]  # RFC 9429, section 5.10
        return list(dict.fromkeys(section.remote.stream_ids))

    def _stream(self, stream_id: str) -> MediaStream:
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._streams[stream_id] = MediaStream(id=stream_id)
        return stream

    def _sync(self, stream_id: str) -> PlayoutSync:
        """What keeps the sound and the pictures of a stream together."""
        sync = self._syncs.get(stream_id)
        if sync is None:
            sync = self._syncs[stream_id] = PlayoutSync()
        return sync

    def _associate(
        self,
        receiver: RTCRtpReceiver,
        wanted: list[MediaStream],
        removals: list[Callable[[], None]],
        additions: list[Callable[[], None]],
    ) -> None:
        track = receiver.track
        before, after = dict.fromkeys(receiver.streams), dict.fromkeys(wanted)
        # one call for all of them: a description may name thousands
        lost = [s for s in before if s not in after]
        if lost:
            removals.append(functools.partial(_lose, lost, track))
        gained = [s for s in after if s not in before]
        if gained:
            additions.append(functools.partial(_receive, gained, track))
        receiver.streams = wanted
        if wanted:
            receiver.set_sync(self._sync(wanted[0].id))

    def _forget_unused_streams(self) -> None:
        used = {s.id for t in self._all for s in t.receiver.streams}
        if len(used) < len(self._streams):
            self._streams = {i: s for i, s in self._streams.items() if i in used}


def _lose(streams: list[MediaStream], track: MediaStreamTrack) -> None:
    for stream in streams:
        stream.lose(track)


def _receive(streams: list[MediaStream], track: MediaStreamTrack) -> None:
    for stream in streams:
        stream.receive(track)
