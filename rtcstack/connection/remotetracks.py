"""Which tracks and streams the peer's descriptions make and take away.

Spec: webrtc-pc, section 5.1.1 (processing remote MediaStreamTracks).
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtcstack.connection.happened import Happened, TrackAppeared, TrackGained, TrackLost, TrackMuted
from rtcstack.entropy import random_uuid
from rtcstack.jsep.session import MediaParameters, Section
from rtcstack.jsep.states import SdpType, Side
from rtcstack.sdp import Direction

if TYPE_CHECKING:
    from rtcstack.connection.receiving import Receiver
    from rtcstack.connection.transceivers import Transceiver, TransceiverSet
    from rtcstack.media.playout.sync import PlayoutSync
    from rtcstack.media.stream import MediaStream

__all__ = ["RemoteTracks"]


MAX_KEPT_STREAMS = 64
"""Streams that are remembered for the connection's life, the last that were named: one of the same id is the
same object, with its handlers. Older ones are, too, while somebody holds them: a peer may name any number."""


class _Changes:
    """What one description leads to."""

    __slots__ = ("additions", "appeared", "mutes", "removals")

    def __init__(self) -> None:
        self.mutes: list[Happened] = []
        self.removals: list[Happened] = []
        self.additions: list[Happened] = []
        self.appeared: list[Happened] = []


class RemoteTracks:
    """The streams that remote tracks are in, and what keeps them together.

    Args:
        transceivers: of the connection.
    """

    __slots__ = (
        "_default_stream_id",
        "_kept",
        "_streams",
        "_syncs",
        "_transceivers",
    )

    def __init__(self, transceivers: TransceiverSet) -> None:
        self._transceivers = transceivers
        self._streams: weakref.WeakValueDictionary[str, MediaStream] = weakref.WeakValueDictionary()
        self._kept: dict[str, MediaStream] = {}
        self._default_stream_id = random_uuid()
        self._syncs: weakref.WeakValueDictionary[str, PlayoutSync] | None = None

    def note_stable(self) -> None:
        """An exchange begins ([[LastStableStateAssociatedRemoteMediaStreams]])."""
        for transceiver in self._transceivers.all:
            transceiver.receiver.stable_streams = list(transceiver.receiver.streams)

    def described(self, side: Side, sdp_type: SdpType, sections: Sequence[Section]) -> list[Happened]:
        """Add and remove remote tracks as a description says.

        Args:
            side: whose description was applied.
            sdp_type: what it was.
            sections: as they are by now.

        Returns:
            What is to be told, in the W3C's order: mute, removetrack, addtrack, track.
        """
        changes = _Changes()
        if side is Side.LOCAL and sdp_type is SdpType.OFFER:
            return []
        for section in sections:
            transceiver = self._transceivers.get(section.transceiver)
            if transceiver is None:
                continue
            if side is Side.REMOTE:
                remote = section.remote
                if section.rejected:
                    self._process(transceiver, Direction.INACTIVE, [], changes)
                elif remote is not None:
                    direction = remote.direction.reversed
                    ids = self._stream_ids(remote) if direction.recv else []
                    self._process(transceiver, direction, [self._stream(each) for each in ids], changes)
            elif section.current_direction is not None:
                if not section.current_direction.recv and _receives(transceiver.fired_direction):
                    self._associate(transceiver.receiver, [], changes)
                    changes.mutes.append(TrackMuted(transceiver.receiver))
                transceiver.fired_direction = section.current_direction
        return self._end(changes)

    def rolled_back(self) -> list[Happened]:
        """A remote offer was rolled back: likewise, as it was before."""
        changes = _Changes()
        for transceiver in self._transceivers.all:
            section = transceiver.section
            direction = None if section is None or transceiver.stopped else section.current_direction
            self._process(transceiver, direction, transceiver.receiver.stable_streams, changes)
        return self._end(changes)

    def _process(
        self,
        transceiver: Transceiver,
        direction: Direction | None,
        wanted: list[MediaStream],
        changes: _Changes,
    ) -> None:
        """To process remote tracks."""
        fired = transceiver.fired_direction
        # 1. and 2.
        has_gained = self._associate(transceiver.receiver, wanted, changes)
        if (_receives(direction) and not _receives(fired)) or has_gained:
            changes.appeared.append(TrackAppeared(transceiver, tuple(wanted)))
        # 4. and 5.
        if not _receives(direction) and _receives(fired):
            changes.mutes.append(TrackMuted(transceiver.receiver))
        transceiver.fired_direction = direction

    def _end(self, changes: _Changes) -> list[Happened]:
        for transceiver in self._transceivers.all:
            if transceiver.stopped:
                transceiver.receiver.streams = []
                transceiver.receiver.stable_streams = []
        return [*changes.mutes, *changes.removals, *changes.additions, *changes.appeared]

    def _stream_ids(self, remote: MediaParameters) -> list[str]:
        """The streams that the peer puts its track into; one of ours when it knows no streams."""
        if not remote.msids:
            return [self._default_stream_id]  # RFC 9429, section 5.10
        return list(dict.fromkeys(remote.stream_ids))

    def _stream(self, stream_id: str) -> MediaStream:
        stream = self._streams.get(stream_id)
        if stream is None:
            from rtcstack.media.stream import MediaStream

            stream = self._streams[stream_id] = MediaStream(id=stream_id)
        self._kept.pop(stream_id, None)
        self._kept[stream_id] = stream
        if len(self._kept) > MAX_KEPT_STREAMS:
            del self._kept[next(iter(self._kept))]
        return stream

    def _sync(self, stream_id: str) -> PlayoutSync:
        """What keeps the sound and the pictures of a stream together."""
        if self._syncs is None:
            self._syncs = weakref.WeakValueDictionary()
        sync = self._syncs.get(stream_id)
        if sync is None:
            from rtcstack.media.playout.sync import PlayoutSync

            sync = self._syncs[stream_id] = PlayoutSync()
        return sync

    def _associate(self, receiver: Receiver, wanted: list[MediaStream], changes: _Changes) -> bool:
        """To set the associated remote streams; whether there are new ones."""
        before, after = dict.fromkeys(receiver.streams), dict.fromkeys(wanted)
        lost = tuple(s for s in before if s not in after)
        if lost:
            changes.removals.append(TrackLost(lost, receiver))
        gained = tuple(s for s in after if s not in before)
        if gained:
            changes.additions.append(TrackGained(gained, receiver))
        receiver.streams = list(wanted)
        if wanted:
            receiver.set_sync(self._sync(wanted[0].id))
        return bool(gained)


def _receives(direction: Direction | None) -> bool:
    return direction is not None and direction.recv
