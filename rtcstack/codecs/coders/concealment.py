"""Concealment for codecs that have none: the last sound, repeated and faded, joined without clicks."""

from __future__ import annotations

from array import array

import av

from rtcstack.codecs.coders.audio import make_frame

__all__ = ["Concealment", "fade_out"]

_MEMORY_MS = 20
"""Sound that is kept to be repeated."""

_FADE_MS = 60
"""After this much concealment there is silence: longer sounds like a machine."""

_JOIN_MS = 5
"""The first good sound after a gap is faded in over this: no click where the repetition ends."""


class Concealment:
    """Remembers what was heard, and continues it.

    Args:
        sample_rate: Hz.
        channels: interleaved.
    """

    __slots__ = ("_channels", "_concealed", "_fade", "_join", "_keep", "_last", "_rate")

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._rate = sample_rate
        self._channels = channels
        self._keep = sample_rate * _MEMORY_MS // 1000 * channels
        self._fade = sample_rate * _FADE_MS // 1000
        self._join = sample_rate * _JOIN_MS // 1000
        self._last = array("h")
        self._concealed = 0

    def heard(self, pcm: bytes) -> av.AudioFrame:
        """A frame of good sound: 16-bit samples in the machine's order."""
        samples = array("h")
        samples.frombytes(pcm)
        channels = self._channels
        if self._concealed and self._last:
            count = min(self._join, len(samples) // channels)
            for i in range(count * channels):
                samples[i] = samples[i] * (i // channels) // count
        self._concealed = 0
        self._last = samples[-self._keep :]
        return self._frame(samples)

    def conceal(self, duration: int) -> av.AudioFrame:
        """A continuation.

        Args:
            duration: in samples of each channel.
        """
        channels, last = self._channels, self._last
        duration = max(1, min(duration, self._rate))
        samples = array("h", bytes(duration * channels * 2))
        period = len(last) // channels
        if period:
            for i in range(min(duration, max(0, self._fade - self._concealed))):
                at = self._concealed + i
                # forwards, then backwards: the ends of the piece meet without a step
                phase = at % (2 * period)
                source = (period - 1 - phase if phase < period else phase - period) * channels
                gain = self._fade - at
                for c in range(channels):
                    samples[i * channels + c] = last[source + c] * gain // self._fade
        self._concealed += duration
        return self._frame(samples)

    def _frame(self, samples: array[int]) -> av.AudioFrame:
        frame = make_frame(len(samples) // self._channels, self._rate, self._channels)
        data = samples.tobytes()
        plane = frame.planes[0]
        plane.update(data + bytes(plane.buffer_size - len(data)))
        return frame


def fade_out(frame: av.AudioFrame) -> None:
    """Turn a frame of interleaved 16-bit samples down, from whole to nothing."""
    channels = frame.layout.nb_channels
    plane = frame.planes[0]
    samples = array("h", bytes(plane))
    count = frame.samples
    for i in range(count * channels):
        samples[i] = samples[i] * (count - 1 - i // channels) // count
    plane.update(samples.tobytes())
