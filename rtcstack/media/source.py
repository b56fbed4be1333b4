"""Sources of tracks: frames that an application pushes, or that are made while somebody reads."""

from __future__ import annotations

from rtcstack.media.feed import Feed
from rtcstack.media.track import MediaStreamTrack

__all__ = ["TrackSource"]


class TrackSource(Feed[MediaStreamTrack]):
    """Frames that are pushed in, and the tracks that give them out.

    Sources that make frames themselves inherit from it and begin in `demanded`.

    Args:
        kind: "audio" or "video".
        label: for people.
        muted: whether it gives nothing at the moment.
    """

    def track(self, id: str | None = None) -> MediaStreamTrack:  # noqa: A002 - the W3C's name
        """A new track that gives this source's frames."""
        return MediaStreamTrack(self._kind, id, label=self._label, source=self)
