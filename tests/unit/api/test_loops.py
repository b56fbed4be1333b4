"""Calls in one loop after another, in several at once, and in a child of fork: nothing is shared wrongly.

Each runs in an interpreter of its own, for threads and children are left to it.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CALL = """
import asyncio, os, sys, threading
from rtcstack import MediaStreamTrack, RTCPeerConnection, TestPatternSource, ToneSource


async def call():
    one, two = RTCPeerConnection(), RTCPeerConnection()
    one.on("icecandidate", lambda event: two.addIceCandidate(event.candidate))
    two.on("icecandidate", lambda event: one.addIceCandidate(event.candidate))
    channel = one.createDataChannel("chat")
    one.addTransceiver(MediaStreamTrack("video", source=TestPatternSource()))
    one.addTransceiver(MediaStreamTrack("audio", source=ToneSource()))
    tracks, channels = [], []
    two.on("track", lambda event: tracks.append(event.track))
    two.on("datachannel", lambda event: channels.append(event.channel))
    await one.setLocalDescription()
    await two.setRemoteDescription(one.localDescription)
    await two.setLocalDescription()
    await one.setRemoteDescription(two.localDescription)
    for track in tracks:
        for _ in range(3):
            await track.recv()
    await channel.send_async("hello")
    async for message in channels[0]:
        assert message == "hello"
        break
    ufrag = one.sctp.transport.iceTransport.getLocalParameters().usernameFragment
    await asyncio.gather(one.close(), two.close())
    return len(tracks), ufrag


def run():
    count, ufrag = asyncio.run(asyncio.wait_for(call(), 20))
    assert count == 2
    return ufrag
"""

ONE_AFTER_ANOTHER = """
assert run() != run()
"""

AT_ONCE = """
seen = []
threads = [threading.Thread(target=lambda: seen.append(run())) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(set(seen)) == 3
"""

IN_A_CHILD = """
run()
reading, writing = os.pipe()
child = os.fork()
if not child:
    status = 1
    try:
        os.write(writing, run().encode())
        status = 0
    finally:
        os._exit(status)
theirs = run()
assert os.waitpid(child, 0)[1] == 0
assert os.read(reading, 100).decode() not in ("", theirs)
"""


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(ONE_AFTER_ANOTHER, id="one after another"),
        pytest.param(AT_ONCE, id="at once"),
        pytest.param(
            IN_A_CHILD,
            id="in a child",
            marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
        ),
    ],
)
def test_loops(what: str) -> None:
    ended = subprocess.run([sys.executable, "-c", CALL + what], capture_output=True, text=True, timeout=90)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert "Traceback" not in ended.stderr
