"""Short films and sounds that tests of players write."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from rtcstack.media.testsources import ToneSource, test_picture

__all__ = ["SIDE", "film", "sound"]

SIDE = 96
"""Width and height of the pictures, in pixels."""

_OPTIONS = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency", "g": "10"},
    "libvpx": {"deadline": "realtime", "cpu-used": "-10", "g": "10", "lag-in-frames": "0"},
}


def film(path: Path, codec: str, pictures: int = 30, *, audio: str | None = None) -> Path:
    """The test pattern, numbered, 30 times a second; with a tone if its codec is given."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=30, options=_OPTIONS[codec])
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
        heard = None if audio is None else container.add_stream(audio, rate=48_000)
        tone = ToneSource(440)
        for i in range(pictures):
            frame = test_picture(i, SIDE, SIDE)
            frame.pts, frame.time_base = i, Fraction(1, 30)
            container.mux(video.encode(frame))
            if heard is not None:
                for j in range(i * 5 // 3, (i + 1) * 5 // 3):
                    container.mux(heard.encode(tone.make(j)))
        container.mux(video.encode(None))
        if heard is not None:
            container.mux(heard.encode(None))
    return path


def sound(path: Path, codec: str, *, rate: int = 48_000, layout: str = "stereo", frames: int = 50) -> Path:
    """A tone, in frames of 20 ms."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(
            stream.codec_context.format.name,
            layout,
            rate,
            frame_size=stream.codec_context.frame_size or rate // 50,
        )
        tone = ToneSource(440)
        for i in range(frames):
            for frame in resampler.resample(tone.make(i)):
                container.mux(stream.encode(frame))
        for frame in resampler.resample(None):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
