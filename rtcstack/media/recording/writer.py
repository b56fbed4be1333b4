"""What puts one stream into a recorded file.

Times come from foreign clocks; each writer brings them on one line (see `rtcstack.media.timeline`).
"""

from __future__ import annotations

from typing import Any, Protocol

from av.container import OutputContainer

from rtcstack.media.frames import VIDEO_CLOCK_RATE
from rtcstack.media.timeline import Distance, PictureShift, Timeline

__all__ = ["SoundLine", "VideoLine", "Writer"]


class Writer(Protocol):
    """One stream of a file. Used on the recorder's thread.

    Attributes:
        sound: notes where the sound of a capture clock stands: its writer notes, those of pictures of
            the same clock read. None when there is nothing to compare. Set before the first frame.
    """

    sound: Distance | None

    def can_begin(self, item: Any) -> bool:
        """Whether the stream can begin with this."""

    def open(self, container: OutputContainer, item: Any, offset_s: float) -> bool:
        """Add the stream to the file.

        Args:
            container: whose header is not yet written.
            item: the first.
            offset_s: when it came, since the file's beginning.

        Returns:
            Whether the stream can begin with this.
        """

    def write(self, item: Any, at: float) -> None:
        """Add a frame.

        Args:
            item: the frame.
            at: monotonic seconds when it came, without the pauses.
        """

    def skip(self, seconds: float) -> None:
        """A pause of so long is no part of the file."""

    @property
    def end_s(self) -> float:
        """Where the next frame will stand, in seconds since the beginning of the first file."""

    def reopen(self, container: OutputContainer, item: Any, base_s: float) -> None:
        """Go on in another file.

        Args:
            container: whose header is not yet written.
            item: the last one that a stream can begin with.
            base_s: where the other file begins.
        """

    def flush(self) -> None:
        """There are no more."""


class VideoLine:
    """Where pictures stand on the line: what writers of them share."""

    def __init__(self) -> None:
        self.sound: Distance | None = None
        self._timeline = Timeline(VIDEO_CLOCK_RATE)
        self._shift: PictureShift | None = None
        self._base = 0  # of the file, on the line

    def _begin_line(self, offset_s: float) -> None:
        self._shift = None if self.sound is None else PictureShift(VIDEO_CLOCK_RATE, self.sound)
        self._timeline = Timeline(VIDEO_CLOCK_RATE, start=int(offset_s * VIDEO_CLOCK_RATE))

    def skip(self, seconds: float) -> None:
        """See `Writer`."""
        self._timeline.skip(seconds)
        if self._shift is not None:
            self._shift.skip(seconds)

    @property
    def end_s(self) -> float:
        """See `Writer`."""
        return self._timeline.end_s


class SoundLine:
    """Where sound stands on the line: what writers of it share.

    Args:
        rate: in Hz.
    """

    def __init__(self, rate: int) -> None:
        self.sound: Distance | None = None
        self._rate = rate
        self._timeline = Timeline(rate)
        self._base = 0  # of the file, on the line, in samples

    def can_begin(self, item: Any) -> bool:
        """Always."""
        return True

    def skip(self, seconds: float) -> None:
        """See `Writer`."""
        self._timeline.skip(seconds)
        if self.sound is not None:
            self.sound.move(-seconds)
