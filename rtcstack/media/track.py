"""MediaStreamTrack.

Spec: mediacapture-streams, section 4.3.
"""

from __future__ import annotations

import uuid
from enum import StrEnum

from rtcstack.events import Event, EventTarget, HandlerAttribute

__all__ = ["MediaStreamTrack", "MediaStreamTrackState"]


class MediaStreamTrackState(StrEnum):
    """Whether a track can still give media."""

    LIVE = "live"
    ENDED = "ended"


class MediaStreamTrack(EventTarget):
    """Audio or video from one source.

    Args:
        kind: "audio" or "video".
        id: unique; a random UUID when not given.
        label: for people.
        muted: whether the source gives nothing at the moment.

    Events: mute, unmute, ended.
    """

    onmute = HandlerAttribute("mute")
    onunmute = HandlerAttribute("unmute")
    onended = HandlerAttribute("ended")

    def __init__(
        self,
        kind: str,
        id: str | None = None,  # noqa: A002 - the W3C's name
        *,
        label: str = "",
        muted: bool = False,
    ) -> None:
        super().__init__()
        if kind not in ("audio", "video"):
            raise TypeError(f"kind must be 'audio' or 'video', not {kind!r}")
        self._kind = kind
        self._id = str(uuid.uuid4()) if id is None else id
        self._label = label
        self._muted = muted
        self._state = MediaStreamTrackState.LIVE
        self.enabled = True
        self.contentHint = ""

    @property
    def kind(self) -> str:
        """ "audio" or "video"."""
        return self._kind

    @property
    def id(self) -> str:
        """Unique among tracks."""
        return self._id

    @property
    def label(self) -> str:
        """What the source is called."""
        return self._label

    @property
    def muted(self) -> bool:
        """Whether the source gives nothing at the moment."""
        return self._muted

    @property
    def readyState(self) -> MediaStreamTrackState:  # noqa: N802 - the W3C's name
        """ "live" or "ended"."""
        return self._state

    def stop(self) -> None:
        """End the track; no event is fired for what the application does itself."""
        self._state = MediaStreamTrackState.ENDED

    def clone(self) -> MediaStreamTrack:
        """A track of the same source with an id, an end and an `enabled` of its own."""
        track = MediaStreamTrack(self._kind, label=self._label, muted=self._muted)
        track.enabled = self.enabled
        track.contentHint = self.contentHint
        if self._state is MediaStreamTrackState.ENDED:
            track.stop()
        return track

    def set_muted(self, muted: bool) -> None:
        """For sources: media stopped, or began again."""
        if muted is self._muted or self._state is MediaStreamTrackState.ENDED:
            return
        self._muted = muted
        self.dispatchEvent(Event("mute" if muted else "unmute"))

    def end(self) -> None:
        """For sources: no more media will come."""
        if self._state is MediaStreamTrackState.LIVE:
            self._state = MediaStreamTrackState.ENDED
            self.dispatchEvent(Event("ended"))

    def __repr__(self) -> str:
        return f"<MediaStreamTrack {self._kind} {self._id} {self._state}>"
