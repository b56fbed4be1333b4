"""Pictures and tones to be encoded, and how much of them is left afterwards."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.uint8]


def picture(index: int, width: int = 320, height: int = 240, *, rate: int = 30) -> av.VideoFrame:
    """Smooth shapes that drift, with some texture; deterministic."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    shift = index * 2.0
    luma = 128 + 60 * np.sin((x + shift) / 23) * np.cos((y - shift) / 31)
    luma += 25 * (((x + shift) // 40 + y // 40) % 2)
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, values in zip(
        frame.planes,
        (
            luma,
            110 + 40 * np.sin((x[::2, ::2] + shift) / 50),
            140 + 40 * np.cos((y[::2, ::2] + shift) / 40),
        ),
        strict=True,
    ):
        lines = np.zeros((plane.height, plane.line_size), np.uint8)
        lines[:, : plane.width] = np.clip(values, 0, 255).astype(np.uint8)[: plane.height, : plane.width]
        plane.update(lines.tobytes())
    frame.pts = index
    frame.time_base = Fraction(1, rate)
    return frame


def luma(frame: av.VideoFrame) -> Plane:
    """The picture's brightness."""
    if frame.format.name != "yuv420p":
        frame = frame.reformat(format="yuv420p")
    plane = frame.planes[0]
    lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return lines[: frame.height, : frame.width]


def psnr(a: av.VideoFrame, b: av.VideoFrame) -> float:
    """Of the brightness, in dB."""
    error = float(np.mean((luma(a).astype(np.float64) - luma(b)) ** 2))
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def tone(
    index: int,
    *,
    hz: float = 440.0,
    samples: int = 960,
    rate: int = 48_000,
    channels: int = 1,
    level: float = 8000,
) -> av.AudioFrame:
    """A piece of a sine, the `index`-th of equal length."""
    t = (np.arange(samples) + index * samples) / rate
    wave: npt.NDArray[Any] = (level * np.sin(2 * np.pi * hz * t)).astype(np.int16)
    frame = av.AudioFrame("s16", "mono" if channels == 1 else "stereo", samples)
    frame.planes[0].update(np.repeat(wave, channels).tobytes())
    frame.sample_rate = rate
    frame.pts = index * samples
    frame.time_base = Fraction(1, rate)
    return frame


def samples_of(frames: list[av.AudioFrame]) -> npt.NDArray[np.int16]:
    """The first channel of 16-bit frames, joined."""
    parts = []
    for frame in frames:
        channels = frame.layout.nb_channels
        data = np.frombuffer(frame.planes[0], np.int16)[: frame.samples * channels]
        parts.append(data[::channels])
    return np.concatenate(parts)


def loudest_hz(wave: npt.NDArray[np.int16], rate: int) -> float:
    """The frequency that stands out."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum) * rate / len(wave))
