"""Rows of audio and video: what a packet, a frame and a stream cost, and how long they take.

Both ends are in one process and its CPU time is what is counted, all threads. The codecs' bit rate is
the same for every stack; what is left of the pictures stands beside what they cost.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

import av

from bench.codecs import clip, luma_of, ours, psnr, theirs, tones
from bench.stacks.media import MediaPair, MediaStack, Pace, Packet, load_media
from bench.voice import voice
from rtcstack.codecs import registry
from rtcstack.codecs.coders.audio import AudioSettings

__all__ = ["MEDIA_ROWS"]

Result = dict[str, float]

FRAME_RATE = 30
MARK = 16
"""Side, in pixels, of the black and white squares that number a picture; six of them."""

PACKETS_A_FRAME = 10
FRAMES_A_SECOND = 150
PAYLOAD_BYTES = 1150
OPUS_STREAMS = 10


def marked(frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
    """The same with their numbers in a corner, for the receiver to tell them by."""
    out = []
    for number, frame in enumerate(frames):
        array = frame.to_ndarray(format="yuv420p")
        for bit in range(6):
            array[:MARK, MARK * bit : MARK * (bit + 1)] = 235 if number >> bit & 1 else 16
        out.append(av.VideoFrame.from_ndarray(array, format="yuv420p"))
    return out


def number_of(frame: av.VideoFrame) -> int:
    """The number in the corner."""
    luma = luma_of(frame)
    middle = MARK // 2
    return sum((luma[middle, MARK * bit + middle] > 128) << bit for bit in range(6))


class Film:
    """A clip that runs to and fro.

    Args:
        frames: of the clip, with their numbers.

    Attributes:
        shown_at: when each picture of the clip was given last.
    """

    def __init__(self, frames: list[av.VideoFrame]) -> None:
        self.frames = frames
        self.shown_at = [0.0] * len(frames)
        self._order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]

    def picture(self, i: int) -> av.VideoFrame:
        """The picture of a round."""
        number = self._order[i % len(self._order)]
        frame: av.VideoFrame = self.frames[number]
        frame.pts, frame.time_base = i * 3000, Fraction(1, 90_000)
        self.shown_at[number] = time.perf_counter()
        return frame


def _film_track(media: MediaStack, film: Film) -> Any:
    return media.track("video", Pace(FRAME_RATE), film.picture)


async def _connected(media: MediaStack, tracks: list[Any], codec: str | None, bitrate_bps: int) -> MediaPair:
    pair = await media.connect(tracks, codec=codec, bitrate_bps=bitrate_bps)
    await asyncio.wait_for(pair.connected.wait(), 10)
    return pair


# -- packets --------------------------------------------------------------------------------------


async def rtp(media: MediaStack, warm_up_s: float, window_s: float) -> Result:
    """Frames that were encoded before, taken to pieces, sent, put together, and not decoded."""
    media.without_decoders()
    delta = b"\x11" + bytes(PACKETS_A_FRAME * PAYLOAD_BYTES - 1)
    key = b"\x10\0\0\x9d\x01\x2a\x80\x02\xe0\x01" + delta[10:]

    def make(i: int) -> Packet:
        is_key = i % 60 == 0
        return Packet(key if is_key else delta, i * 90_000 // FRAMES_A_SECOND, 90_000, is_key)

    track = media.encoded_track("video/VP8", Pace(FRAMES_A_SECOND), make)
    pair = await _connected(media, [track], "VP8", 30_000_000)
    media.listen(pair, 0, lambda frame: None, decoded=False)
    await asyncio.sleep(warm_up_s + 1)
    packets, cpu, begun = await media.packets_received(pair), time.process_time(), time.perf_counter()
    await asyncio.sleep(window_s)
    packets, cpu = await media.packets_received(pair) - packets, time.process_time() - cpu
    expected = FRAMES_A_SECOND * PACKETS_A_FRAME * (time.perf_counter() - begun)
    if packets < 0.5 * expected:
        raise RuntimeError(f"{packets} packets of {expected:.0f} arrived")
    return {"rtp_cpu": cpu / packets * 1e6, "rtp_rate": packets / cpu}


# -- pictures -------------------------------------------------------------------------------------


def _video(
    name: str, codec: str, width: int, height: int, bitrate_bps: int
) -> Callable[[MediaStack, float, float], Awaitable[Result]]:
    async def run(media: MediaStack, warm_up_s: float, window_s: float) -> Result:
        film = Film(marked(clip(width, height, 40)))
        pair = await _connected(media, [_film_track(media, film)], codec, bitrate_bps)
        kept: list[av.VideoFrame] = []
        count = 0

        def take(frame: av.VideoFrame) -> None:
            nonlocal count
            count += 1
            if measuring and count % 5 == 0:
                kept.append(frame)

        measuring = False
        media.listen(pair, 0, take, decoded=True)
        await asyncio.sleep(warm_up_s + 7)  # the encoder has made up its mind by then
        sent = await media.payload_bytes(pair)
        measuring, count, cpu, begun = True, 0, time.process_time(), time.perf_counter()
        await asyncio.sleep(window_s)
        cpu, elapsed, frames = time.process_time() - cpu, time.perf_counter() - begun, count
        measuring = False
        sent = await media.payload_bytes(pair) - sent
        if frames < 0.6 * FRAME_RATE * elapsed:
            raise RuntimeError(f"{frames} of {FRAME_RATE * elapsed:.0f} frames arrived")
        return {
            f"{name}_cpu": cpu / frames * 1e3,
            f"{name}_psnr": psnr([(film.frames[number_of(frame)], frame) for frame in kept]),
            f"{name}_rate": sent * 8 / elapsed / 1000,
            f"{name}_codec": _codec_share(media, codec.lower(), film, bitrate_bps),
        }

    return run


def _codec_share(media: MediaStack, codec: str, film: Film, bitrate_bps: int) -> float:
    """The coders by themselves, on the same pictures."""
    run = theirs if type(media).__module__.endswith("aiortc_media") else ours
    return run(codec, film.frames, 300, bitrate_bps).total_ms


async def latency(media: MediaStack, warm_up_s: float, window_s: float) -> Result:
    """From a picture that the application gives to the same one that the other application gets."""
    film = Film(marked(clip(640, 480, 40)))
    pair = await _connected(media, [_film_track(media, film)], "VP8", 1_000_000)
    delays: list[float] = []

    def take(frame: av.VideoFrame) -> None:
        delays.append(time.perf_counter() - film.shown_at[number_of(frame)])

    media.listen(pair, 0, take, decoded=True)
    await asyncio.sleep(warm_up_s)
    delays.clear()
    await asyncio.sleep(window_s)
    return {"latency": statistics.median(delays) * 1e3}


async def first_frame(media: MediaStack, warm_up_s: float, window_s: float) -> Result:
    """From the moment when the receiver is connected to its first picture; and from the constructors."""
    after, whole = [], []
    frames = marked(clip(640, 480, 40))
    for _ in range(max(4, round(2 * window_s))):
        film = Film(frames)
        begun = time.perf_counter()
        pair = await media.connect([_film_track(media, film)], codec="VP8", bitrate_bps=1_000_000)
        first = asyncio.Event()

        def take(_frame: Any, arrived: asyncio.Event = first) -> None:
            arrived.set()

        media.listen(pair, 0, take, decoded=True)
        await asyncio.wait_for(pair.connected.wait(), 10)
        connected = time.perf_counter()
        await asyncio.wait_for(first.wait(), 10)
        after.append(time.perf_counter() - connected)
        whole.append(time.perf_counter() - begun)
        await media.close(pair)
    return {
        "first_frame": statistics.median(after) * 1e3,
        "first_frame_whole": statistics.median(whole) * 1e3,
    }


# -- sound ----------------------------------------------------------------------------------------


async def opus(media: MediaStack, warm_up_s: float, window_s: float) -> Result:
    """Voices at 48 kHz, encoded and decoded: how many streams one core would carry."""
    frames = tones(100, 1)

    def make(i: int) -> av.AudioFrame:
        frame = frames[i % len(frames)]
        frame.pts = i * 960
        return frame

    tracks = [media.track("audio", pace, make) for pace in _paces()]
    return {"opus": await _streams(media, tracks, warm_up_s, window_s, decoded=True)}


async def opus_encoded(media: MediaStack, warm_up_s: float, window_s: float) -> Result:
    """The same with packets that were encoded before. Only a stack that cannot help it decodes them."""
    encoder = registry.audio_encoder("opus", AudioSettings(32_000))
    packets = [p.data for frame in tones(100, 1) for p in encoder.encode(frame)]

    def make(i: int) -> Packet:
        return Packet(packets[i % len(packets)], i * 960, 48_000)

    tracks = [media.encoded_track("audio/opus", pace, make) for pace in _paces()]
    return {"opus_encoded": await _streams(media, tracks, warm_up_s, window_s, decoded=False)}


def _paces() -> list[Pace]:
    """A clock for each stream: they come from different people."""
    return [Pace(50, i / OPUS_STREAMS) for i in range(OPUS_STREAMS)]


async def _streams(
    media: MediaStack, tracks: list[Any], warm_up_s: float, window_s: float, *, decoded: bool
) -> float:
    pair = await _connected(media, tracks, None, 0)
    count = 0

    def take(_frame: Any) -> None:
        nonlocal count
        count += 1

    for i in range(OPUS_STREAMS):
        media.listen(pair, i, take, decoded=decoded)
    await asyncio.sleep(warm_up_s + 1)
    packets, cpu, begun = await media.packets_received(pair), time.process_time(), time.perf_counter()
    count = 0
    await asyncio.sleep(window_s)
    packets, cpu = await media.packets_received(pair) - packets, time.process_time() - cpu
    elapsed = time.perf_counter() - begun
    expected = 50 * OPUS_STREAMS * elapsed
    if packets < 0.9 * expected or (decoded and count < 0.9 * expected):
        raise RuntimeError(f"{packets} packets, {count} frames of {expected:.0f} arrived")
    return OPUS_STREAMS * elapsed / cpu


MediaRow = Callable[[MediaStack, float, float], Awaitable[Result]]

MEDIA_ROWS: dict[str, MediaRow] = {
    "rtp": rtp,
    "vp8": _video("vp8", "VP8", 640, 480, 1_000_000),
    "vp8_720p": _video("vp8_720p", "VP8", 1280, 720, 1_500_000),
    "h264": _video("h264", "H264", 640, 480, 1_000_000),
    "opus": opus,
    "opus_encoded": opus_encoded,
    "voice": voice,
    "latency": latency,
    "first_frame": first_frame,
}


async def run(stack: str, row: str, warm_up_s: float, window_s: float) -> Result:
    """One row of one stack."""
    result = await MEDIA_ROWS[row](load_media(stack), warm_up_s, window_s)
    assert all(math.isfinite(value) for value in result.values())
    return result
