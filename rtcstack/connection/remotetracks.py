"""Which tracks and streams the peer's descriptions make and take away.

Spec: webrtc-pc, section 5.1.1 (processing remote MediaStreamTracks).
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtcstack.connection.happened import Happened, TrackAppeared, TrackGained, TrackLost, TrackMuted
from rtcstack.entropy import random_uuid
from rtcstack.jsep.session import Section

if TYPE_CHECKING:
    from rtcstack.connection.receiving import Receiver
    from rtcstack.connection.transceivers import Transceiver, TransceiverSet
    from rtcstack.media.playout.sync import PlayoutSync
    from rtcstack.media.stream import MediaStream

__all__ = ["RemoteTracks"]


class RemoteTracks:
    """The streams that remote tracks are in, and what keeps them together.

    Args:
        transceivers: of the connection.
    """

    __slots__ = (
        "_default_stream_id",
        "_streams",
        "_syncs",
        "_transceivers",
    )

    def __init__(self, transceivers: TransceiverSet) -> None:
        self._transceivers = transceivers
        self._streams: dict[str, MediaStream] = {}
        self._default_stream_id = random_uuid()
        self._syncs: weakref.WeakValueDictionary[str, PlayoutSync] | None = None

    def update(self, sections: Sequence[Section], *, is_pending: bool) -> list[Happened]:
        """Add and remove remote tracks as the sections' directions say.

        Args:
            sections: after the description was applied.
            is_pending: whether an offer waits for its answer.

        Returns:
            What is to be told, in the W3C's order: mute, removetrack, addtrack, track.
        """
        mutes: list[Happened] = []
        removals: list[Happened] = []
        additions: list[Happened] = []
        appeared: list[Happened] = []
        seen: set[int] = set()
        for section in sections:
            transceiver = self._transceivers.get(section.transceiver)
            if transceiver is None:
                continue
            seen.add(transceiver.key)
            if section.remote is None:
                continue
            receives = not section.rejected and section.remote.direction.send
            if section.current_direction is not None and not section.current_direction.recv:
                receives = receives and is_pending
            receiver = transceiver.receiver
            wanted = [self._stream(i) for i in self._stream_ids(section)] if receives else []
            self._associate(receiver, wanted, removals, additions)
            if receives and not transceiver.is_told:
                appeared.append(TrackAppeared(transceiver, tuple(wanted)))
            elif transceiver.is_told and not receives:
                mutes.append(TrackMuted(receiver))
            transceiver.is_told = receives
        for transceiver in self._transceivers.all:
            if transceiver.key not in seen and transceiver.is_told:  # rolled back to having no section
                self._associate(transceiver.receiver, [], removals, additions)
                mutes.append(TrackMuted(transceiver.receiver))
                transceiver.is_told = False
        self._forget_unused(self._transceivers.all)
        return mutes + removals + additions + appeared

    def _stream_ids(self, section: Section) -> list[str]:
        """The streams that the peer puts its track into; one of ours when it knows no streams."""
        assert section.remote is not None
        if not section.remote.msids:
            return [self._default_stream_id]  # RFC 9429, section 5.10
        return list(dict.fromkeys(section.remote.stream_ids))

    def _stream(self, stream_id: str) -> MediaStream:
        stream = self._streams.get(stream_id)
        if stream is None:
            from rtcstack.media.stream import MediaStream

            stream = self._streams[stream_id] = MediaStream(id=stream_id)
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

    def _associate(
        self,
        receiver: Receiver,
        wanted: list[MediaStream],
        removals: list[Happened],
        additions: list[Happened],
    ) -> None:
        before, after = dict.fromkeys(receiver.streams), dict.fromkeys(wanted)
        lost = tuple(s for s in before if s not in after)
        if lost:
            removals.append(TrackLost(lost, receiver))
        gained = tuple(s for s in after if s not in before)
        if gained:
            additions.append(TrackGained(gained, receiver))
        receiver.streams = wanted
        if wanted:
            receiver.set_sync(self._sync(wanted[0].id))

    def _forget_unused(self, transceivers: Sequence[Transceiver]) -> None:
        used = {s.id for t in transceivers for s in t.receiver.streams}
        if len(used) < len(self._streams):
            self._streams = {i: s for i, s in self._streams.items() if i in used}
