"""Corrupted bitstreams through the decoders: ``python -m tests.fuzz.decoders vp8 --rounds 100``.

The decoders are native code, which a fault would take the process down with: so this is a process of
its own, started by test_decoders.py. It ends with 0, or with what it found. Every round begins with
good frames, damages some, and ends with a good key frame, which must be decoded.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np

from rtcstack.codecs import registry
from rtcstack.codecs.coders.audio import AudioSettings
from rtcstack.codecs.coders.video import VideoSettings
from rtcstack.errors import ParseError

MEMORY_BYTES = 4 << 30
"""Address space of the process: a size that a bitstream lies about must not be taken."""

FRAMES = 8


def damage(rng: random.Random, data: bytes) -> bytes:
    """The same with bits turned, parts lost, repeated, zeroed or swapped; or noise."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 40))):
        at = rng.randrange(len(out)) if out else 0
        match rng.randrange(7):
            case 0 | 1:
                if out:
                    out[at] ^= 1 << rng.randrange(8)
            case 2:
                del out[at : at + rng.randrange(1, 50)]
            case 3:
                out[at:at] = out[at : at + rng.randrange(1, 50)]
            case 4:
                out[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1"))
            case 5:
                # what stands first rules the rest: sizes, profiles, tables
                for i in range(min(16, len(out))):
                    if rng.random() < 0.2:
                        out[i] = rng.randrange(256)
            case _:
                out = out[:at]
    return bytes(out) if rng.random() > 0.02 else rng.randbytes(rng.randrange(400))


def picture(index: int, width: int, height: int) -> av.VideoFrame:
    """Something that moves."""
    y, x = np.mgrid[0 : height * 3 // 2, 0:width]
    frame = av.VideoFrame.from_ndarray(((x + 3 * index) ^ y).astype(np.uint8), format="yuv420p")
    frame.pts, frame.time_base = index, Fraction(1, 30)
    return frame


def video(codec: str, rng: random.Random, rounds: int) -> None:
    """Damaged pictures."""
    streams: list[list[bytes]] = []
    for width, height in ((128, 96), (322, 182)):
        parameters = {"packetization-mode": "1"} if codec == "h264" else {}
        encoder = registry.video_encoder(codec, VideoSettings(200_000, parameters=parameters))
        units = []
        for i in range(FRAMES + 12):
            made = encoder.encode(picture(i, width, height), force_key_frame=i == FRAMES // 2)
            units += [unit.data for unit in made]
        streams.append(units[:FRAMES])
        encoder.close()
    cut = registry.video_packetizer(codec, {"packetization-mode": "1"})
    read = registry.video_depacketizer(codec)
    decoder = registry.video_decoder(codec)
    for _ in range(rounds):
        stream = rng.choice(streams)
        for data in rng.sample(stream, len(stream)) if rng.random() < 0.3 else stream:
            if rng.random() < 0.6:
                data = damage(rng, data)
            elif rng.random() < 0.3:
                # as a peer would send it: damaged payloads that still are payloads
                payloads = [damage(rng, p) for p in cut.packetize(data, max_payload_bytes=200)]
                try:
                    data = read.assemble([read.depacketize(payload) for payload in payloads])
                except ParseError:
                    continue
            for frame in decoder.decode(data, rng.randrange(1 << 40), key_frame=rng.random() < 0.3):
                assert frame.width * frame.height <= 8192 * 4352
                frame.planes[0]
        assert heals(decoder.decode, rng.choice(streams)), f"{codec}: never decodes again"


def heals(decode: Callable[..., list[av.VideoFrame]], stream: list[bytes]) -> bool:
    """Whether good frames come out again, after as many as may be taken for damaged."""
    return any(decode(stream[0], i * 3000, key_frame=True) for i in range(64))


def audio(codec: str, rng: random.Random, rounds: int) -> None:
    """Damaged sound."""
    encoder = registry.audio_encoder(codec, AudioSettings())
    packets: list[bytes] = []
    for i in range(10):
        frame = av.AudioFrame("s16", "mono", 960)
        frame.planes[0].update(rng.randbytes(1920))
        frame.sample_rate, frame.pts, frame.time_base = 48_000, i * 960, Fraction(1, 48_000)
        packets += [packet.data for packet in encoder.encode(frame)]
    decoder = registry.audio_decoder(codec)
    for _ in range(rounds):
        for data in packets:
            data = damage(rng, data) if rng.random() < 0.7 else data
            frames = [decoder.decode(data)]
            if rng.random() < 0.2:
                frames.append(decoder.conceal(rng.choice((120, 960, 2880))))
            if rng.random() < 0.2:
                frames.append(decoder.decode_fec(data, rng.choice((120, 960, 2880))))
            assert all(0 < frame.samples <= 48_000 for frame in frames if frame is not None)
    assert decoder.decode(packets[0]) is not None


def main() -> int:
    """Run one codec's rounds."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.decoders", description=__doc__)
    parser.add_argument("codec")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    run = audio if options.codec in ("opus", "g722", "pcmu", "pcma") else video
    run(options.codec, random.Random(options.seed), options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
