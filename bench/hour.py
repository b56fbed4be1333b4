"""A call in virtual time: what an hour of it costs, encoded before, on a network that delays."""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction

from rtcstack import EncodedMedia, EncodedSource, MediaStreamTrack, RTCPeerConnection
from rtcstack.testing import Internet, run

__all__ = ["hour_s"]

DELAY_S = 0.02
SOUND_BYTES = 100
SOUND_EVERY_S = 0.02
PICTURE_EVERY_S = 1 / 30
ONE_WAY_PICTURE_BYTES = 1800
"""Two packets a picture: 60 a second."""

MBIT_PICTURE_BYTES = 4000
"""Of a call of 1 Mbit/s each way, sound and all."""


class _Source:
    """Frames of one size at an even pace."""

    def __init__(self, codec: str, interval_s: float, size: int) -> None:
        self._source = EncodedSource(codec, on_key_frame_wanted=self._on_key_frame_wanted)
        self._interval_s = interval_s
        self._size = size
        self._number = 0
        self._key = True
        self._rate = 48_000 if codec.startswith("audio") else 90_000
        self._began_at = asyncio.get_running_loop().time()

    def _on_key_frame_wanted(self) -> None:
        self._key = True

    def start(self) -> MediaStreamTrack:
        track = self._source.track()
        self._tick()
        return track

    def _tick(self) -> None:
        if self._source.is_demanded:
            self._source.push_encoded(self._frame())
        self._number += 1
        loop = asyncio.get_running_loop()
        due = self._began_at + self._number * self._interval_s
        self._timer = loop.call_later(due - loop.time(), self._tick)

    def _frame(self) -> EncodedMedia:
        pts = round(self._number * self._interval_s * self._rate)
        base = Fraction(1, self._rate)
        if self._rate == 48_000:
            return EncodedMedia(self._source.codec, bytes((0x78,)).ljust(self._size), pts, base, duration=960)
        key, self._key = self._key, False
        tag = (int(not key) | 1 << 4 | self._size << 5).to_bytes(3, "little")
        head = tag + (b"\x9d\x01\x2a\x40\x01\xf0\x00" if key else b"")
        return EncodedMedia(self._source.codec, head.ljust(self._size), pts, base, key_frame=key)

    def stop(self) -> None:
        self._timer.cancel()
        self._source.end()


async def _call(internet: Internet, seconds: float, *, both_ways: bool) -> float:
    """CPU seconds of so much of a call, both ends and the internet."""
    internet.delay_s = DELAY_S
    connections: list[RTCPeerConnection] = []
    sources: list[_Source] = []
    for name in ("caller", "callee"):
        with internet.add_host(name):
            connections.append(RTCPeerConnection())
    caller, callee = connections
    size = MBIT_PICTURE_BYTES if both_ways else ONE_WAY_PICTURE_BYTES
    readers = []
    for connection in connections if both_ways else connections[:1]:
        pair = (
            _Source("audio/opus", SOUND_EVERY_S, SOUND_BYTES),
            _Source("video/VP8", PICTURE_EVERY_S, size),
        )
        sources += pair
        for source in pair:
            connection.addTrack(source.start())
    await caller.setLocalDescription()
    await callee.setRemoteDescription(await caller.gathered())
    await callee.setLocalDescription()
    await caller.setRemoteDescription(await callee.gathered())
    for connection in connections:
        readers += [receiver.encodedTrack.reader(max_queued=1) for receiver in connection.getReceivers()]
    while any(connection.connectionState != "connected" for connection in connections):
        await asyncio.sleep(0.01)
    await asyncio.sleep(10)
    began = time.process_time()
    await asyncio.sleep(seconds)
    spent = time.process_time() - began
    for reader in readers:
        reader.close()
    for source in sources:
        source.stop()
    for connection in connections:
        await connection.close()
    return spent


def hour_s(seconds: float, *, both_ways: bool) -> float:
    """CPU seconds for an hour, measured over so many seconds of virtual time."""
    internet = Internet(seed=1)
    spent = run(_call(internet, seconds, both_ways=both_ways), internet=internet)
    return spent * 3600 / seconds
