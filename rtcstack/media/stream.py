"""MediaStream.

Spec: mediacapture-streams, section 4.2.
"""

from __future__ import annotations

from collections.abc import Iterable

from rtcstack.entropy import random_uuid
from rtcstack.events import Event, EventTarget, HandlerAttribute
from rtcstack.media.track import MediaStreamTrack, MediaStreamTrackState

__all__ = ["MediaStream", "MediaStreamTrackEvent"]


class MediaStreamTrackEvent(Event):
    """A track came or went.

    Attributes:
        track: which.
    """

    __slots__ = ("track",)

    def __init__(self, type: str, track: MediaStreamTrack) -> None:  # noqa: A002 - the W3C's name
        super().__init__(type)
        self.track = track


class MediaStream(EventTarget):
    """Tracks that belong together.

    Args:
        tracks: what it holds at first; or a stream, whose tracks are taken.
        id: unique; a random UUID when not given.

    Events: addtrack, removetrack (for changes that the application did not make).
    """

    onaddtrack = HandlerAttribute("addtrack")
    onremovetrack = HandlerAttribute("removetrack")

    def __init__(
        self,
        tracks: Iterable[MediaStreamTrack] | MediaStream = (),
        id: str | None = None,  # noqa: A002 - the W3C's name
    ) -> None:
        super().__init__()
        self._id = random_uuid() if id is None else id
        self._tracks: dict[MediaStreamTrack, None] = {}  # in the order in which they came
        for track in tracks.getTracks() if isinstance(tracks, MediaStream) else tracks:
            self.addTrack(track)

    @property
    def id(self) -> str:
        """Unique among streams."""
        return self._id

    @property
    def active(self) -> bool:
        """Whether a track of it is live."""
        return any(t.readyState is MediaStreamTrackState.LIVE for t in self._tracks)

    def getTracks(self) -> list[MediaStreamTrack]:  # noqa: N802
        """All tracks, in the order in which they were added."""
        return list(self._tracks)

    def getAudioTracks(self) -> list[MediaStreamTrack]:  # noqa: N802
        """The audio tracks."""
        return [t for t in self._tracks if t.kind == "audio"]

    def getVideoTracks(self) -> list[MediaStreamTrack]:  # noqa: N802
        """The video tracks."""
        return [t for t in self._tracks if t.kind == "video"]

    def getTrackById(self, trackId: str) -> MediaStreamTrack | None:  # noqa: N802, N803
        """The track with this id, or None."""
        return next((track for track in self._tracks if track.id == trackId), None)

    def addTrack(self, track: MediaStreamTrack) -> None:  # noqa: N802
        """Add a track, unless it is there. No event is fired for what the application does itself.

        Raises:
            TypeError: it is no track.
        """
        if not isinstance(track, MediaStreamTrack):
            raise TypeError(f"a MediaStream holds MediaStreamTracks, not {type(track).__name__}")
        self._tracks.setdefault(track)

    def removeTrack(self, track: MediaStreamTrack) -> None:  # noqa: N802
        """Remove a track, if it is there. No event is fired for what the application does itself."""
        self._tracks.pop(track, None)

    def clone(self) -> MediaStream:
        """A stream with a new id and clones of the tracks."""
        return MediaStream([t.clone() for t in self._tracks])

    def receive(self, track: MediaStreamTrack) -> None:
        """For receivers: the peer added a track."""
        if track not in self._tracks:
            self._tracks[track] = None
            self.dispatchEvent(MediaStreamTrackEvent("addtrack", track))

    def lose(self, track: MediaStreamTrack) -> None:
        """For receivers: the peer took a track away."""
        if track in self._tracks:
            del self._tracks[track]
            self.dispatchEvent(MediaStreamTrackEvent("removetrack", track))

    def __repr__(self) -> str:
        return f"<MediaStream {self._id} {len(self._tracks)} tracks>"
