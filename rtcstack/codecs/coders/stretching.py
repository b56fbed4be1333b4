"""Time stretched without a change of pitch: whole periods of sound are taken out, or played twice.

    taken out:   |  a  |  b  | rest            put in:   |  a  |  b  | rest
                 | a->b | rest                           |  a  | b->a |  b  | rest

A period is where sound is most like what follows it. The pieces are joined by a fade as long as they are
alike, which begins and ends as the sound around it: no click. (Waveform similarity overlap-add.)

16-bit samples, channels interleaved. All channels are cut at the same place: they keep their phase.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.int16]

__all__ = ["MAX_LAG_S", "MIN_LAG_S", "TimeStretch", "can_stretch"]

MIN_LAG_S, MAX_LAG_S = 0.0025, 0.015
"""Periods that are looked for: voices from 67 to 400 Hz, and several periods of what is higher."""

_MIN_FADE_S = 0.0025
"""A fade shorter than this is a click. So the longest period is that of the frame less this."""

_SEARCH_RATE = 8_000
"""Periods are looked for at this rate first, which is much cheaper, and then around what was found."""

_MAX_SEARCHED_S = 0.02
"""How much of a frame is looked at: it bounds the cost of long ones."""

_ALIKE = 0.8
"""Correlation from which pieces are periods of the same sound."""

_UNLIKE = 0.35
"""Below this it is noise, where no period is missed."""

_EVEN = 4.0
"""Noise whose power changes by more than this is the beginning of something, and is left as it is."""

_QUIET = 50.0**2
"""Mean power of samples that nobody hears being cut (-56 dB)."""


@cache
def can_stretch() -> bool:
    """Whether what it takes (numpy) is installed."""
    return find_spec("numpy") is not None


class TimeStretch:
    """Shortens and lengthens frames of one form.

    Args:
        sample_rate: in Hz, 8,000 to 48,000.
        channels: 1 or 2.

    Raises:
        ImportError: numpy is not installed.
    """

    __slots__ = ("_channels", "_max_lag", "_min_fade", "_min_lag", "_np", "_rate", "_step")

    def __init__(self, sample_rate: int, channels: int) -> None:
        import numpy

        self._np: Any = numpy
        self._rate = sample_rate
        self._channels = channels
        self._min_lag = round(MIN_LAG_S * sample_rate)
        self._max_lag = round(MAX_LAG_S * sample_rate)
        self._min_fade = round(_MIN_FADE_S * sample_rate)
        self._step = max(1, sample_rate // _SEARCH_RATE)

    def shorten(self, data: bytes | memoryview, *, urgent: bool = False) -> bytes | None:
        """A frame that takes less time, by 2.5 to 15 ms.

        Args:
            data: its samples.
            urgent: also where it can be heard.

        Returns:
            Its samples; None where it cannot be done unheard, or the frame is too short.
        """
        return self._stretch(data, urgent, longer=False)

    def lengthen(self, data: bytes | memoryview, *, urgent: bool = False) -> bytes | None:
        """A frame that takes more time; see `shorten`."""
        return self._stretch(data, urgent, longer=True)

    def _stretch(self, data: bytes | memoryview, urgent: bool, *, longer: bool) -> bytes | None:
        np, channels = self._np, self._channels
        samples: Samples = np.frombuffer(data, np.int16)
        samples = samples[: len(samples) // channels * channels].reshape(-1, channels)
        found = self._period(samples, urgent)
        if found is None:
            return None
        lag, alike = found
        fade = min(lag, len(samples) - lag)
        first, second = samples[:fade], samples[lag : lag + fade]
        if longer:
            joined = self._fade(second, first, alike)
            pieces = [samples[:lag], joined, samples[fade:]]
        else:
            joined = self._fade(first, second, alike)
            pieces = [joined, samples[lag + fade :]]
        return bytes(np.concatenate(pieces).tobytes())

    def _period(self, samples: Samples, urgent: bool) -> tuple[int, float] | None:
        """The lag at which sound is most like itself, and how much; None where it had better not be cut."""
        np = self._np
        longest = min(self._max_lag, len(samples) - self._min_fade)
        if longest < self._min_lag:
            return None
        heard = samples[: round(_MAX_SEARCHED_S * self._rate)].astype(np.float32).sum(axis=1)
        heard /= self._channels
        if float(np.dot(heard, heard)) < _QUIET * len(heard):
            return longest, 0.0
        step = self._step
        low = heard[: len(heard) // step * step].reshape(-1, step).mean(axis=1)
        lags, scores = self._scores(low, self._min_lag // step, longest // step, 1)
        # of multiples of one period, all of them alike, the shortest: the least is repeated
        lag = int(lags[int(np.argmax(scores >= 0.97 * scores.max()))]) * step if scores.max() > 0 else longest
        lags, scores = self._scores(
            heard, max(self._min_lag, lag - step), min(longest, lag + step), max(1, step // 3)
        )
        best = int(np.argmax(scores))
        lag, alike = int(lags[best]), float(scores[best])
        if alike < _ALIKE and not urgent and not self._is_noise(heard, alike):
            return None
        return lag, min(max(alike, 0.0), 1.0)

    def _scores(self, heard: Any, first: int, last: int, stride: int) -> tuple[Any, Any]:
        """How like the sound at each lag is to what is at the beginning: -1 to 1.

        As much is compared as will be faded, which is less where a period is long: for all lags at once the
        least of these.
        """
        np = self._np
        first = max(first, 1)
        count = len(heard) - last
        count = max(1, min(count, max(last, 1)))
        here = heard[:count:stride]
        there = np.lib.stride_tricks.sliding_window_view(heard, count)[first : last + 1, ::stride]
        power = np.einsum("ij,ij->i", there, there) * float(np.dot(here, here))
        scores = there @ here / np.sqrt(np.maximum(power, 1e-3))
        return np.arange(first, first + len(scores)), scores

    def _is_noise(self, heard: Any, alike: float) -> bool:
        if alike >= _UNLIKE:
            return False
        np = self._np
        middle = len(heard) // 2
        before = float(np.dot(heard[:middle], heard[:middle])) / middle + 1
        after = float(np.dot(heard[middle:], heard[middle:])) / (len(heard) - middle) + 1
        return max(before, after) < _EVEN * min(before, after)

    def _fade(self, away: Samples, towards: Samples, alike: float) -> Samples:
        """From one to the other, as loud as they are: what is unlike adds up by its power."""
        np = self._np
        share = (np.arange(len(away), dtype=np.float32) + 0.5) / len(away)
        rest = 1 - share
        loudness = np.sqrt(rest * rest + share * share + 2 * alike * rest * share)
        mixed = (away * (rest / loudness)[:, None]) + (towards * (share / loudness)[:, None])
        joined: Samples = np.clip(np.rint(mixed), -32768, 32767).astype(np.int16)
        return joined
