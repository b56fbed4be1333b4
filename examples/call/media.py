"""What the bot does with sound and picture: the one place where media is made and used.

A `Call` asks its `Media` at three moments: before a first offer, when an offer has come and is to
be answered, and at the end. In between, the tracks of the other side arrive.
"""

from __future__ import annotations

from rtcstack import MediaStreamTrack, RTCPeerConnection, RTCTrackEvent

__all__ = ["Media"]


class Media:
    """Takes the other side's sound and picture, and sends none.

    Args:
        pc: the connection of the call.
    """

    def __init__(self, pc: RTCPeerConnection) -> None:
        self.tracks: list[MediaStreamTrack] = []
        self._pc = pc
        pc.on("track", self._arrived)

    def offer(self) -> None:
        """Before our first offer: ask for sound and picture."""
        for kind in ("audio", "video"):
            self._pc.addTransceiver(kind, {"direction": "recvonly"})

    def answer(self) -> None:
        """Between an offer and its answer: its sections are there, and receive as they stand."""

    def _arrived(self, event: RTCTrackEvent) -> None:
        self.tracks.append(event.track)

    async def close(self) -> None:
        """The call is over."""
        for track in self.tracks:
            track.stop()
