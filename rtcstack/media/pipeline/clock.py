"""RTP time of what is sent: frames' own times on one line with the monotonic clock.

Receivers line up audio and video by sender reports, so all streams of a connection count from the same
zero, however their sources number their frames.

Spec: RFC 3550, section 5.1 (timestamp) and 6.4.1 (NTP and RTP timestamps of sender reports).
"""

from __future__ import annotations

from rtcstack.clock import unix_time

__all__ = ["RtpClock", "captured_at"]

_MAX_LAG_S = 2.0
"""A source further behind its clock than this has paused: its time is brought forward."""

_MAX_STEP_S = 10.0
"""A source whose time jumps by more than this is another one."""

_MAX_CAPTURE_AGE_S = 60.0
"""A capture time further from now than this is not believed."""

_SMOOTHING = 1 / 64


def captured_at(capture_time: float | None, now: float) -> float | None:
    """When a frame was captured, on the monotonic clock; None when it does not say.

    Args:
        capture_time: seconds since the Unix epoch, or None.
        now: monotonic seconds.
    """
    if capture_time is None:
        return None
    age = unix_time() - capture_time
    return now - age if abs(age) < _MAX_CAPTURE_AGE_S else None


class RtpClock:
    """Maps one source's ticks to RTP ticks.

    Args:
        rate: ticks a second, of both.
    """

    __slots__ = ("_last", "_offset", "_rate", "_skew")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._offset: int | None = None
        self._last = 0
        self._skew = 0.0

    def restart(self) -> None:
        """Another source: its first frame is now."""
        self._offset = None

    def map_captured(self, ticks: int, capture_time: float | None, now: float) -> tuple[int, float]:
        """The same, for a frame that may say when it was captured (seconds since the Unix epoch)."""
        at = captured_at(capture_time, now)
        return self.map(ticks, now if at is None else at)

    def map(self, ticks: int, at: float) -> tuple[int, float]:
        """When a frame is, on the wire and by the clock.

        Args:
            ticks: the source's.
            at: monotonic seconds when it was captured, or is handed in.

        Returns:
            RTP ticks; and monotonic seconds, of what is smooth in `at`.
        """
        rate = self._rate
        expected = int(at * rate)
        offset = self._offset
        if offset is not None:
            timestamp = ticks + offset
            behind = expected - timestamp
            if (
                timestamp <= self._last - rate // 2
                or behind > _MAX_LAG_S * rate
                or behind < -_MAX_STEP_S * rate
            ):
                offset = None
        if offset is None:
            timestamp = max(expected, self._last + 1)
            self._offset = timestamp - ticks
            self._skew = 0.0
        self._last = max(timestamp, self._last)
        self._skew += (at - timestamp / rate - self._skew) * _SMOOTHING
        return timestamp, timestamp / rate + self._skew
