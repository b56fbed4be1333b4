"""Coders beside aiortc's, in one run: CPU for each frame, and what is left of the picture.

    python bench/codecs.py [--frames N]

Video: one clip at one bit rate through encoder, packets and decoder. Audio: one tone through Opus.
CPU is this process', all threads. What counts is the ratio.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from time import process_time
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from aiortc.codecs.h264 import H264Decoder, H264Encoder, h264_depayload
from aiortc.codecs.opus import OpusDecoder, OpusEncoder
from aiortc.codecs.vpx import Vp8Decoder, Vp8Encoder, vp8_depayload
from aiortc.jitterbuffer import JitterFrame

from rtcstack.codecs import registry
from rtcstack.codecs.coders.audio import AudioSettings
from rtcstack.codecs.coders.video import VideoSettings

RATE = 30

Image = npt.NDArray[np.float64]


@dataclass
class Row:
    """What one coder pair did."""

    name: str
    encode_ms: float
    decode_ms: float
    bits_per_second: float
    psnr_db: float
    key_frames: int

    @property
    def total_ms(self) -> float:
        """Encoding and decoding."""
        return self.encode_ms + self.decode_ms

    def report(self, against: Row | None = None) -> str:
        """One line."""
        ratio = "" if against is None else f"  ratio {self.total_ms / against.total_ms:.2f}"
        return (
            f"{self.name:22} encode {self.encode_ms:6.2f} decode {self.decode_ms:5.2f}"
            f" sum {self.total_ms:6.2f} ms  {self.bits_per_second / 1000:6.0f} kbit/s"
            f"  {self.psnr_db:5.2f} dB  {self.key_frames} key frames{ratio}"
        )


def smooth(image: npt.NDArray[np.floating[Any]], kernel: npt.NDArray[np.floating[Any]]) -> Image:
    """Each line, blurred."""
    return np.array([np.convolve(line, kernel / kernel.sum(), "same") for line in image])


def clip(width: int, height: int, count: int = 60) -> list[av.VideoFrame]:
    """A textured scene under a moving camera, with something moving in it and noise of a sensor."""
    random = np.random.default_rng(1)
    scene = np.zeros((height + 160, width + 240))
    for cell, weight in ((64, 70.0), (24, 40.0), (8, 16.0)):
        rows, columns = scene.shape[0] // cell + 2, scene.shape[1] // cell + 2
        layer = np.kron(random.normal(0, 1, (rows, columns)), np.ones((cell, cell)))
        kernel = np.hanning(cell + 2)[1:-1]
        scene += weight * smooth(smooth(layer, kernel).T, kernel).T[: scene.shape[0], : scene.shape[1]]
    scene = (scene - scene.min()) / (scene.max() - scene.min()) * 200 + 20
    frames = []
    for i in range(count):
        x, y = int(100 + 90 * math.sin(i / 19)), int(70 + 60 * math.sin(i / 13))
        luma = scene[y : y + height, x : x + width].copy()
        left, top = int(width * (0.2 + 0.4 * i / count)), height // 3
        luma[top : top + height // 4, left : left + width // 5] = (
            255 - luma[top : top + height // 4, left : left + width // 5]
        )
        luma += random.normal(0, 1.5, luma.shape)
        blue = 118 + luma[::2, ::2] / 12
        red = 138 - luma[::2, ::2] / 16
        planes = [p.clip(0, 255).astype(np.uint8).reshape(-1) for p in (luma, blue, red)]
        array = np.concatenate(planes).reshape(height * 3 // 2, width)
        frames.append(av.VideoFrame.from_ndarray(array, format="yuv420p"))
    return frames


def luma_of(frame: av.VideoFrame) -> Image:
    """Brightness."""
    plane = frame.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    brightness: Image = lines[: frame.height, : frame.width].astype(np.float64)
    return brightness


def psnr(pairs: list[tuple[av.VideoFrame, av.VideoFrame]]) -> float:
    """Mean over the frames."""
    errors = [max(float(np.mean((luma_of(a) - luma_of(b)) ** 2)), 1e-6) for a, b in pairs]
    return float(np.mean([10 * math.log10(255**2 / e) for e in errors]))


def run_video(
    name: str,
    source: list[av.VideoFrame],
    count: int,
    encode: Callable[[av.VideoFrame], tuple[list[bytes], bool]],
    decode: Callable[[list[bytes], int], list[av.VideoFrame]],
) -> Row:
    """Frames forth and back through the clip."""
    encoding = decoding = 0.0
    size = keys = 0
    pairs: list[tuple[av.VideoFrame, av.VideoFrame]] = []
    order = [*range(len(source)), *range(len(source) - 2, 0, -1)]
    for i in range(count):
        frame = source[order[i % len(order)]]
        frame.pts, frame.time_base = i, Fraction(1, RATE)
        began = process_time()
        payloads, key = encode(frame)
        between = process_time()
        got = decode(payloads, i * 3000)
        ended = process_time()
        encoding += between - began
        decoding += ended - between
        size += sum(map(len, payloads))
        keys += key
        if got and i % 4 == 0:
            pairs.append((frame, got[0]))
    return Row(
        name, encoding / count * 1e3, decoding / count * 1e3, size * 8 * RATE / count, psnr(pairs), keys
    )


def ours(codec: str, source: list[av.VideoFrame], count: int, bitrate_bps: int) -> Row:
    """rtcstack."""
    parameters = {"packetization-mode": "1", "profile-level-id": "42e01f"} if codec == "h264" else {}
    encoder = registry.video_encoder(codec, VideoSettings(bitrate_bps=bitrate_bps, parameters=parameters))
    decoder = registry.video_decoder(codec)
    cut = registry.video_packetizer(codec, parameters)
    read = registry.video_depacketizer(codec)

    def encode(frame: av.VideoFrame) -> tuple[list[bytes], bool]:
        units = encoder.encode(frame)
        return [p for u in units for p in cut.packetize(u.data, key_frame=u.key_frame)], any(
            u.key_frame for u in units
        )

    def decode(payloads: list[bytes], timestamp: int) -> list[av.VideoFrame]:
        if not payloads:
            return []
        return decoder.decode(read.assemble([read.depacketize(p) for p in payloads]), timestamp)

    return run_video(f"rtcstack {codec}", source, count, encode, decode)


def theirs(codec: str, source: list[av.VideoFrame], count: int, bitrate_bps: int) -> Row:
    """aiortc."""
    encoder: Any = Vp8Encoder() if codec == "vp8" else H264Encoder()
    decoder: Any = Vp8Decoder() if codec == "vp8" else H264Decoder()
    read: Any = vp8_depayload if codec == "vp8" else h264_depayload
    encoder.target_bitrate = bitrate_bps

    def encode(frame: av.VideoFrame) -> tuple[list[bytes], bool]:
        return encoder.encode(frame)[0], False

    def decode(payloads: list[bytes], timestamp: int) -> list[av.VideoFrame]:
        frame = JitterFrame(b"".join([read(p) for p in payloads]), timestamp)
        result: list[av.VideoFrame] = decoder.decode(frame)
        return result

    return run_video(f"aiortc {codec}", source, count, encode, decode)


def tones(count: int, channels: int) -> list[av.AudioFrame]:
    """A voice-like tone, in frames of 20 ms."""
    t = np.arange(960 * count) / 48_000
    random = np.random.default_rng(1)
    wave = 6000 * np.sin(2 * np.pi * 220 * t) * (1 + np.sin(2 * np.pi * 3 * t)) / 2
    wave += 2500 * np.sin(2 * np.pi * 1300 * t + np.sin(2 * np.pi * 5 * t)) + random.normal(0, 200, t.size)
    samples = np.repeat(wave.astype(np.int16), channels)
    frames = []
    for i in range(count):
        frame = av.AudioFrame("s16", "mono" if channels == 1 else "stereo", 960)
        frame.planes[0].update(samples[i * 960 * channels : (i + 1) * 960 * channels].tobytes())
        frame.sample_rate, frame.pts, frame.time_base = 48_000, i * 960, Fraction(1, 48_000)
        frames.append(frame)
    return frames


def opus(count: int) -> list[str]:
    """Both stacks' Opus, at aiortc's settings and at our own."""
    rows = []

    def timed(name: str, frames: list[av.AudioFrame], encode: Any, decode: Any, base: float) -> float:
        encoding = decoding = 0.0
        size = 0
        for i, frame in enumerate(frames):
            began = process_time()
            packets = encode(frame)
            between = process_time()
            for packet in packets:
                decode(packet, i * 960)
            decoding += process_time() - between
            encoding += between - began
            size += sum(map(len, packets))
        total = (encoding + decoding) / len(frames) * 1e6
        ratio = f"  ratio {total / base:.2f}" if base else ""
        rows.append(
            f"{name:32} encode {encoding / len(frames) * 1e6:5.0f} decode"
            f" {decoding / len(frames) * 1e6:5.0f} us  {size * 400 / len(frames) / 1000:.0f} kbit/s{ratio}"
        )
        return total

    for channels in (1, 2):
        frames = tones(count, channels)
        their_encoder, their_decoder = OpusEncoder(), OpusDecoder()
        base = timed(
            f"aiortc opus, {channels} channels in",
            frames,
            lambda f, e=their_encoder: e.encode(f)[0],
            lambda p, t, d=their_decoder: d.decode(JitterFrame(p, t)),
            0.0,
        )
        for what, settings in (
            (
                "as aiortc's",
                AudioSettings(96_000, stereo=True, in_band_fec=False, content="speech", complexity=10),
            ),
            ("default", AudioSettings(stereo=channels == 2)),
            ("complexity 5", AudioSettings(stereo=channels == 2, complexity=5)),
        ):
            encoder = registry.audio_encoder("opus", settings)
            decoder = registry.audio_decoder("opus")
            timed(
                f"rtcstack opus {channels}, {what}",
                frames,
                lambda f, e=encoder: [p.data for p in e.encode(f)],
                lambda p, _, d=decoder: d.decode(p),
                base,
            )
    return rows


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=240)
    frames = parser.parse_args().frames
    source = clip(640, 480)
    for codec, bitrate_bps in (("vp8", 1_000_000), ("h264", 1_000_000)):
        base = theirs(codec, source, frames, bitrate_bps)
        print(base.report())
        print(ours(codec, source, frames, bitrate_bps).report(base))
    for codec in ("vp9", "av1"):
        print(ours(codec, source, frames, 1_000_000).report())
    large = clip(1280, 720, 30)
    print(theirs("vp8", large, frames // 3, 1_500_000).report())
    print(ours("vp8", large, frames // 3, 1_500_000).report())
    print("\n".join(opus(frames * 2)))


if __name__ == "__main__":
    main()
