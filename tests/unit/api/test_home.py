"""A connection and its event loop: other threads and loops are refused, and the end needs no loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rtcstack import MediaStreamTrack, RTCDataChannel, RTCPeerConnection, TestPatternSource
from rtcstack.errors import InvalidStateError


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    if not made.is_closed():
        made.run_until_complete(asyncio.sleep(0))
        made.close()


class Caller(RTCPeerConnection):
    """A connection, and the channel that it made."""

    chat: RTCDataChannel


async def connected() -> tuple[Caller, Caller]:
    """Two connections with everything on."""
    one, two = Caller(), Caller()
    one.on("icecandidate", lambda event: two.addIceCandidate(event.candidate))
    two.on("icecandidate", lambda event: one.addIceCandidate(event.candidate))
    channel = one.chat = one.createDataChannel("chat")
    one.addTransceiver(MediaStreamTrack("video", source=TestPatternSource()))
    one.addTransceiver("audio")
    await one.setLocalDescription()
    await two.setRemoteDescription(one.localDescription)  # type: ignore[arg-type]
    await two.setLocalDescription()
    await one.setRemoteDescription(two.localDescription)  # type: ignore[arg-type]
    opened = asyncio.Event()
    channel.on("open", lambda _: opened.set())
    await asyncio.wait_for(opened.wait(), 10)
    return one, two


def sockets() -> int:
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the directory's own
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return found


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc")


@needs_proc
def test_closing_while_the_loop_rests(loop: asyncio.AbstractEventLoop) -> None:
    before = sockets()
    connections = loop.run_until_complete(connected())
    assert sockets() > before
    for each in connections:
        assert each.close().done()
        assert each.connectionState == "closed"
    assert sockets() == before
    loop.run_until_complete(connections[0].close())


AFTER_THE_LOOP = """
import asyncio
from tests.unit.api.test_home import connected, sockets

before = sockets()
connections = asyncio.run(connected())
assert sockets() > before
for each in connections:
    assert each.close().done()
assert sockets() == before

async def wait():
    await asyncio.gather(*(each.close() for each in connections))

asyncio.run(wait())
"""


@needs_proc
def test_closing_when_the_loop_is_closed() -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", AFTER_THE_LOOP], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_closing_what_never_saw_a_loop() -> None:
    connection = RTCPeerConnection()
    assert connection.close().done()
    assert connection.signalingState == "closed"


CALLS: list[Callable[[Caller], Any]] = [
    lambda pc: pc.createDataChannel("x"),
    lambda pc: pc.addTransceiver("audio"),
    lambda pc: pc.addTrack(MediaStreamTrack("video")),
    lambda pc: pc.removeTrack(pc.getSenders()[0]),
    lambda pc: pc.createOffer(),
    lambda pc: pc.createAnswer(),
    lambda pc: pc.setLocalDescription(),
    lambda pc: pc.setRemoteDescription({"type": "offer", "sdp": ""}),
    lambda pc: pc.addIceCandidate(None),
    lambda pc: pc.restartIce(),
    lambda pc: pc.setConfiguration({}),
    lambda pc: pc.getStats(),
    lambda pc: pc.getTransceivers()[0].stop(),
    lambda pc: setattr(pc.getTransceivers()[0], "direction", "inactive"),
    lambda pc: pc.getTransceivers()[0].setCodecPreferences([]),
    lambda pc: pc.getTransceivers()[0].setHeaderExtensionsToNegotiate([]),
    lambda pc: pc.getSenders()[0].replaceTrack(None),
    lambda pc: pc.getSenders()[0].setParameters(pc.getSenders()[0].getParameters()),
    lambda pc: pc.getSenders()[0].setStreams(),
    lambda pc: pc.getSenders()[0].generateKeyFrame(),
    lambda pc: pc.getSenders()[0].sendPackets([]),
    lambda pc: pc.getSenders()[1].dtmf.insertDTMF("1"),  # type: ignore[union-attr]
    lambda pc: pc.getReceivers()[0].requestKeyFrame(),
    lambda pc: pc.getReceivers()[0].setPacketSink(None),
    lambda pc: setattr(pc.getReceivers()[0], "jitterBufferTarget", 100),
    lambda pc: pc.chat.send("x"),
    lambda pc: pc.chat.close(),
    lambda pc: pc.close(),
]


def state(pc: Caller) -> list[Any]:
    channels = [(c.label, c.readyState, c.bufferedAmount) for c in (pc.chat,)]
    transceivers = [(t.direction, t.currentDirection, t.sender.track) for t in pc.getTransceivers()]
    return [pc.signalingState, pc.connectionState, channels, transceivers, pc.localDescription]


async def test_calls_from_another_thread_change_nothing() -> None:
    one, two = await connected()
    before = state(one)
    told: list[str] = []

    def call_all() -> None:
        for call in CALLS:
            with pytest.raises(InvalidStateError, match="another thread") as caught:
                call(one)
            told.append(str(caught.value))

    await asyncio.to_thread(call_all)
    assert state(one) == before
    assert len({text.split(":")[0] for text in told}) >= len(CALLS) - 2  # each says what was called
    await asyncio.gather(one.close(), two.close())


async def test_calls_from_another_loop_change_nothing() -> None:
    one, two = await connected()
    before = state(one)

    async def call_all() -> None:
        for call in CALLS:
            with pytest.raises(InvalidStateError, match="another"):
                call(one)

    thread = threading.Thread(target=lambda: asyncio.run(call_all()))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert state(one) == before
    await asyncio.gather(one.close(), two.close())


async def test_closed_and_idle_connections_are_collected() -> None:
    one, two = await connected()
    idle, described = RTCPeerConnection(), RTCPeerConnection()
    described.addTransceiver("video")
    described.createDataChannel("x")
    await described.createOffer()
    alive = [weakref.ref(each) for each in (one, two, idle, described)]
    await asyncio.gather(one.close(), two.close())
    del one, two, idle, described
    for _ in range(200):
        gc.collect()
        if not any(ref() for ref in alive):
            break
        await asyncio.sleep(0.01)  # a picture is still being encoded
    assert [ref() for ref in alive] == [None] * 4
