"""How loud a frame of sound is, for the header extension that tells the peer.

Spec: RFC 6464 (level in -dBov, and the voice flag).
"""

from __future__ import annotations

import math
from operator import mul

import av

__all__ = ["SILENCE", "VOICE_LEVEL", "audio_level", "dbov", "linear_level", "mean_power"]

SILENCE = 127
"""The lowest level that can be told: digital silence."""

VOICE_LEVEL = 45
"""Sound louder than this counts as somebody speaking. A crude rule: it only helps to choose speakers."""

_STRIDE = 15
"""Every fifteenth sample is enough for an average; odd, so that both channels are heard."""

_FULL_SCALE = {"s16": 32768.0, "s16p": 32768.0, "flt": 1.0, "fltp": 1.0}


def linear_level(level: int | None) -> float | None:
    """What the W3C's interfaces tell of a level in -dBov: 0 (silence) to 1; None when it is not known."""
    if level is None:
        return None
    return 0.0 if level >= SILENCE else float(10 ** (-level / 20))


def mean_power(frame: av.AudioFrame) -> float | None:
    """Mean of the samples' squares, full scale being 1; None for sample formats that are not looked at."""
    name = frame.format.name
    full_scale = _FULL_SCALE.get(name)
    if full_scale is None or not frame.samples:
        return None
    count = frame.samples * (1 if frame.format.is_planar else frame.layout.nb_channels)
    plane = memoryview(frame.planes[0])
    samples = (plane.cast("h") if full_scale > 1 else plane.cast("f"))[:count:_STRIDE].tolist()
    return float(sum(map(mul, samples, samples)) / (len(samples) * full_scale * full_scale))


def dbov(power: float | None) -> int | None:
    """The level of sound of this mean power: -dBov from 0 (loudest) to 127 (silence); None for None."""
    if power is None:
        return None
    if power <= 0:
        return SILENCE
    return min(SILENCE, max(0, round(-10 * math.log10(power))))


def audio_level(frame: av.AudioFrame) -> int | None:
    """-dBov from 0 (loudest) to 127 (silence); None for sample formats that are not looked at."""
    return dbov(mean_power(frame))
