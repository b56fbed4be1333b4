"""A recording of a call whose network or sources stall: what was seen and heard together stays together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from rtcstack import MediaRecorder, MediaStream, RTCConfiguration, RTCPeerConnection
from rtcstack.clock import monotonic
from rtcstack.media.frames import audio_frame, video_frame
from rtcstack.media.testsources import TimedSource
from tests.conformance.helpers import negotiate
from tests.scenarios.world import here, until

pytestmark = pytest.mark.asyncio

EVERY = 50
"""Hundredths of a second between two flashes, each with a beep at the same moment."""


class Flashes(TimedSource):
    """Black, and white for a twentieth of a second, 20 pictures a second."""

    def __init__(self) -> None:
        super().__init__("video", "flashes", Fraction(1, 20))

    def make(self, index: int) -> av.VideoFrame:
        """White when a beep begins."""
        is_white = round(monotonic() * 100) % EVERY < 5
        picture = np.full((64, 64, 3), 255 if is_white else 0, np.uint8)
        return video_frame(picture, pts=index * 4500)


class Beeps(TimedSource):
    """Silence, and a tone for a twentieth of a second."""

    def __init__(self) -> None:
        super().__init__("audio", "beeps", Fraction(1, 100))

    def make(self, index: int) -> av.AudioFrame:
        """A hundredth of a second."""
        is_loud = round(monotonic() * 100) % EVERY < 5
        tone = np.sin(np.arange(480) * (2 * np.pi * 1000 / 48_000)) * 0.5
        return audio_frame(tone if is_loud else np.zeros(480), pts=index * 480)


def beginnings(path: Path) -> tuple[list[float], list[float]]:
    """When flashes and beeps of a file begin, in seconds."""
    flashes: list[float] = []
    beeps: list[float] = []
    with av.open(str(path)) as container:
        was_white = True
        for picture in container.decode(video=0):
            is_white = picture.to_ndarray(format="gray").mean() > 128
            if is_white and not was_white:
                flashes.append(picture.time)
            was_white = is_white
    with av.open(str(path)) as container:
        quiet = 0.0
        for frame in container.decode(audio=0):
            assert frame.time is not None
            samples = np.abs(frame.to_ndarray().astype(float)).reshape(-1)
            if frame.format.name.startswith("s16"):
                samples = samples / 32768
            if frame.format.is_planar:
                samples = samples[: frame.samples]
            else:
                samples = samples[:: frame.layout.nb_channels]
            for at, peak in enumerate(samples.reshape(-1, 48).max(axis=1) if frame.samples % 48 == 0 else []):
                if peak > 0.2:
                    if quiet > 0.1:
                        beeps.append(frame.time + at / 1000)
                    quiet = 0.0
                else:
                    quiet += 0.001
    return flashes, beeps


def deviations(path: Path) -> list[float]:
    """By how much the beep is behind its flash, of each that has one."""
    flashes, beeps = beginnings(path)
    found = []
    for flash in flashes:
        nearest = min(beeps, key=lambda beep: abs(beep - flash))
        if abs(nearest - flash) < EVERY / 200:
            found.append(nearest - flash)
    return found


async def connect(sender: RTCPeerConnection, receiver: RTCPeerConnection) -> None:
    for one, other in ((sender, receiver), (receiver, sender)):
        one.on("icecandidate", lambda event, other=other: other.addIceCandidate(event.candidate))
    await negotiate(sender, receiver)
    await until(lambda: receiver.connectionState == "connected", "connected")


async def lose(seconds: float) -> None:
    """What is sent meanwhile is lost."""
    here().filter = lambda source, destination, data: False
    await asyncio.sleep(seconds)
    here().filter = None


async def hold(seconds: float) -> None:
    """What is sent meanwhile arrives afterwards, all at once."""
    delay_s = here().delay_s
    until_s = asyncio.get_running_loop().time() + seconds
    while (left_s := until_s - asyncio.get_running_loop().time()) > 0:
        here().delay_s = delay_s + left_s
        await asyncio.sleep(0.002)
    here().delay_s = delay_s


async def freeze(seconds: float) -> None:
    """The whole process stands still."""
    here().agenda.now += seconds


@pytest.mark.parametrize("kept", [("raw", "raw"), ("encoded", "encoded"), ("raw", "encoded")])
@pytest.mark.parametrize("stall", [None, lose, hold, freeze])
async def test_flashes_and_beeps_stay_together_whatever_stalls(
    stall: Callable[[float], Awaitable[None]] | None, kept: tuple[str, str], tmp_path: Path
) -> None:
    here().delay_s = 0.03
    with here().add_host("alice"):
        sender = RTCPeerConnection(RTCConfiguration())
    with here().add_host("bob"):
        receiver = RTCPeerConnection(RTCConfiguration())
    flashes, beeps = Flashes(), Beeps()
    tracks = flashes.track(), beeps.track()
    stream = MediaStream(list(tracks))
    for track in tracks:
        sender.addTrack(track, stream)
    await connect(sender, receiver)
    path = tmp_path / "call.mkv"
    recorder = MediaRecorder(path, video_codec="libvpx", audio_codec="pcm_s16le")
    for each in receiver.getReceivers():
        how = kept[each.track.kind == "video"]
        recorder.add_track(each.track if how == "raw" else each.encodedTrack)
    await recorder.start()
    await asyncio.sleep(4)
    if stall is not None:
        for number in range(12):
            await stall(0.13 + 0.047 * (number % 7))
            await asyncio.sleep(0.9)
    await asyncio.sleep(8)
    await recorder.stop()
    await sender.close()
    await receiver.close()
    for source in (flashes, beeps):
        source.end()
    found = deviations(path)
    assert len(found) >= 15
    assert all(abs(each) < 0.02 for each in found[-10:])
