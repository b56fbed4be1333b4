"""What a track of this end has given, counted frame by frame.

Spec: mediacapture-extensions, section on MediaStreamTrack.stats.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

import av

from rtcstack.clock import unix_time
from rtcstack.media.frames import capture_time

__all__ = ["MediaStreamTrackAudioStats", "MediaStreamTrackVideoStats", "TrackCounts"]


class TrackCounts:
    """Counts of one track.

    Attributes:
        delivered: pictures, or samples of each channel, that sinks were given, or would have been.
        discarded: pictures that were left out for the frame rate that was asked for.
        duration_s: of the sound that was delivered.
        latency_s: from the capture of sound until sinks get it, the last time that was known.
        latencies_s: sum, number, least and most of them since the last `reset`.
    """

    __slots__ = ("delivered", "discarded", "duration_s", "latencies_s", "latency_s")

    def __init__(self) -> None:
        self.delivered = 0
        self.discarded = 0
        self.duration_s = 0.0
        self.latency_s = 0.0
        self.latencies_s = (0.0, 0, 0.0, 0.0)

    def count(self, frame: object, *, delivered: bool) -> None:
        """A frame of the source."""
        if not isinstance(frame, av.AudioFrame):
            if delivered:
                self.delivered += 1
            else:
                self.discarded += 1
            return
        self.delivered += frame.samples
        self.duration_s += frame.samples / frame.sample_rate
        captured = capture_time(frame)
        if captured is not None:
            self.latency_s = latency_s = max(0.0, unix_time() - captured)
            total, number, least, most = self.latencies_s
            self.latencies_s = (
                total + latency_s,
                number + 1,
                latency_s if not number else min(least, latency_s),
                max(most, latency_s),
            )

    def reset(self) -> None:
        """Average, least and most latency begin anew, with the last one."""
        self.latencies_s = (self.latency_s, 1, self.latency_s, self.latency_s)


class _Stats(ABC):
    """Figures that stay the same within a turn of the loop."""

    def __init__(self, counts: TrackCounts) -> None:
        self._counts = counts
        self._exposed: dict[str, float] | None = None

    def _figures(self) -> dict[str, float]:
        exposed = self._exposed
        if exposed is None:
            exposed = self._read()
            try:
                asyncio.get_running_loop().call_soon(self._forget)
            except RuntimeError:  # no loop, no turns
                return exposed
            self._exposed = exposed
        return exposed

    def _forget(self) -> None:
        self._exposed = None

    @abstractmethod
    def _read(self) -> dict[str, float]:
        """All figures, as they are now."""

    def toJSON(self) -> dict[str, float]:  # noqa: N802 - the W3C's name
        """All figures, by their names."""
        return dict(self._figures())


class MediaStreamTrackVideoStats(_Stats):
    """Pictures that a track gave since it was made, while it was enabled and not muted.

    Spec: mediacapture-extensions, section on MediaStreamTrackVideoStats.
    """

    def _read(self) -> dict[str, float]:
        delivered, discarded = self._counts.delivered, self._counts.discarded
        return {
            "deliveredFrames": delivered,
            "discardedFrames": discarded,
            "totalFrames": delivered + discarded,
        }

    @property
    def deliveredFrames(self) -> int:  # noqa: N802 - the W3C's name
        """That sinks were given, or would have been."""
        return int(self._figures()["deliveredFrames"])

    @property
    def discardedFrames(self) -> int:  # noqa: N802 - the W3C's name
        """That were left out for the frameRate that was asked for."""
        return int(self._figures()["discardedFrames"])

    @property
    def totalFrames(self) -> int:  # noqa: N802 - the W3C's name
        """Both."""
        return int(self._figures()["totalFrames"])


class MediaStreamTrackAudioStats(_Stats):
    """Sound that a track gave since it was made, while it was enabled and not muted. Nothing is dropped
    here: what nobody reads in time is lost behind the track.

    Spec: mediacapture-extensions, section on MediaStreamTrackAudioStats.
    """

    def _read(self) -> dict[str, float]:
        counts = self._counts
        total, number, least, most = counts.latencies_s
        duration_ms = counts.duration_s * 1000
        return {
            "deliveredFrames": counts.delivered,
            "deliveredFramesDuration": duration_ms,
            "totalFrames": counts.delivered,
            "totalFramesDuration": duration_ms,
            "latency": counts.latency_s * 1000,
            "averageLatency": total / number * 1000 if number else 0.0,
            "minimumLatency": least * 1000,
            "maximumLatency": most * 1000,
        }

    @property
    def deliveredFrames(self) -> int:  # noqa: N802 - the W3C's name
        """Samples of each channel."""
        return int(self._figures()["deliveredFrames"])

    @property
    def deliveredFramesDuration(self) -> float:  # noqa: N802 - the W3C's name
        """Their duration, in milliseconds."""
        return self._figures()["deliveredFramesDuration"]

    @property
    def totalFrames(self) -> int:  # noqa: N802 - the W3C's name
        """The same as `deliveredFrames`."""
        return int(self._figures()["totalFrames"])

    @property
    def totalFramesDuration(self) -> float:  # noqa: N802 - the W3C's name
        """The same as `deliveredFramesDuration`."""
        return self._figures()["totalFramesDuration"]

    @property
    def latency(self) -> float:
        """Milliseconds from the capture of the last sound until sinks got it; 0 where frames do not tell."""
        return self._figures()["latency"]

    @property
    def averageLatency(self) -> float:  # noqa: N802 - the W3C's name
        """Of all since the last `resetLatency`, in milliseconds."""
        return self._figures()["averageLatency"]

    @property
    def minimumLatency(self) -> float:  # noqa: N802 - the W3C's name
        """Likewise, the least."""
        return self._figures()["minimumLatency"]

    @property
    def maximumLatency(self) -> float:  # noqa: N802 - the W3C's name
        """Likewise, the most."""
        return self._figures()["maximumLatency"]

    def resetLatency(self) -> None:  # noqa: N802 - the W3C's name
        """Begin anew with average, least and most latency."""
        self._figures()
        self._counts.reset()
        if self._exposed is not None:
            latency = self._exposed["latency"]
            self._exposed.update(averageLatency=latency, minimumLatency=latency, maximumLatency=latency)
