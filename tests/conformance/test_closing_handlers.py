"""A handler of any event may close the connection: nothing raises, and nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import Callable
from typing import Any

import pytest

from rtcstack import Event, EventTarget, MediaStream, MediaStreamTrack, RTCPeerConnection, TestPatternSource
from tests.conformance.helpers import negotiate, pair, until

PC_EVENTS = [
    "negotiationneeded",
    "icecandidate",
    "signalingstatechange",
    "iceconnectionstatechange",
    "icegatheringstatechange",
    "connectionstatechange",
    "track",
    "datachannel",
]
CHANNEL_EVENTS = ["open", "message", "bufferedamountlow", "closing", "close"]
ICE_EVENTS = ["statechange", "gatheringstatechange", "selectedcandidatepairchange"]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def timers() -> int:
    """Timers of the loop that have not been cancelled."""
    loop = asyncio.get_running_loop()
    return sum(not handle.cancelled() for handle in loop._scheduled)  # type: ignore[attr-defined]


class Call:
    """Two connections with a channel, and media if wanted; one of them closes when it hears an event."""

    def __init__(self, *, media: bool, side: str, where: str, event: str, how: str) -> None:
        self.a, self.b = RTCPeerConnection(), RTCPeerConnection()
        self.one, self.other = (self.a, self.b) if side == "a" else (self.b, self.a)
        self.where, self.event, self.how = where, event, how
        self.heard = 0
        self.watched: set[int] = set()
        self.channels: list[Any] = [self.a.createDataChannel("first")]
        if media:
            self.a.addTransceiver("audio")
        self.b.on("datachannel", lambda e: self.channels.append(e.channel))
        self.a.on("icecandidate", lambda e: self.give(self.b, e.candidate))
        self.b.on("icecandidate", lambda e: self.give(self.a, e.candidate))
        if where == "pc":
            self.watch(self.one)
        elif where == "channel":
            if side == "a":
                self.watch(self.channels[0])
            else:
                self.b.on("datachannel", lambda e: self.watch(e.channel))
        else:
            for name in ("signalingstatechange", "connectionstatechange", "icegatheringstatechange"):
                self.one.on(name, self.watch_transports)

    @staticmethod
    async def give(to: RTCPeerConnection, candidate: Any) -> None:
        with contextlib.suppress(Exception):  # it may be closed by now
            await to.addIceCandidate(candidate)

    def watch_transports(self) -> None:
        sctp = self.one.sctp
        if sctp is None:
            return
        found: dict[str, EventTarget] = {
            "sctp": sctp,
            "dtls": sctp.transport,
            "ice": sctp.transport.iceTransport,
        }
        self.watch(found[self.where])

    def watch(self, target: EventTarget) -> None:
        if id(target) not in self.watched:
            self.watched.add(id(target))
            target.on(self.event, self.on_event)

    def on_event(self) -> Any:
        self.heard += 1
        if self.how == "close":
            return self.one.close()
        if self.how == "close the other":
            return self.other.close()
        self.one.close()
        raise RuntimeError("boom")

    async def run(self) -> None:
        steps: list[Callable[[], Any]] = [
            self.a.setLocalDescription,
            lambda: self.b.setRemoteDescription(self.a.localDescription),
            self.b.setLocalDescription,
            lambda: self.a.setRemoteDescription(self.b.localDescription),
        ]
        for step in steps:
            with contextlib.suppress(Exception):
                await step()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await self.use()

    async def use(self) -> None:
        """Have every event of a channel happen, until one of them has closed the connection."""
        while len(self.channels) < 2 or any(c.readyState == "connecting" for c in self.channels):
            if self.heard:
                return
            await asyncio.sleep(0.002)
        for channel in self.channels:
            with contextlib.suppress(Exception):
                channel.bufferedAmountLowThreshold = 1
                channel.send(b"hello")
        await asyncio.sleep(0.01)
        self.channels[0 if self.one is self.b else 1].close()
        while not self.heard:
            await asyncio.sleep(0.002)


CASES = [
    *(("pc", event) for event in PC_EVENTS),
    *(("channel", event) for event in CHANNEL_EVENTS),
    *(("ice", event) for event in ICE_EVENTS),
    ("dtls", "statechange"),
    ("sctp", "statechange"),
]


@pytest.mark.parametrize("media", [False, True], ids=["data", "media"])
@pytest.mark.parametrize(("where", "event"), CASES)
async def test_a_handler_that_closes_leaves_nothing_behind(
    where: str, event: str, media: bool, request: pytest.FixtureRequest
) -> None:
    is_heard = event != "track" or media
    errors = request.getfixturevalue("expects_loop_exceptions") if is_heard else []
    heard = 0
    for how in ("close", "close the other", "close and raise"):
        for side in ("a", "b"):
            gc.collect()
            before = descriptors(), len(asyncio.all_tasks())
            call = Call(media=media, side=side, where=where, event=event, how=how)
            await asyncio.wait_for(call.run(), 5)
            for pc in (call.a, call.b):
                await asyncio.wait_for(pc.close(), 5)
            heard += call.heard
            del call, pc
            await asyncio.sleep(0.02)
            gc.collect()
            what = f"{how}, side {side}"
            assert (descriptors(), len(asyncio.all_tasks())) == before, what
            assert timers() == 0, what
            unexpected = [context for context in errors if str(context.get("exception")) != "boom"]
            assert not unexpected, what
    assert bool(heard) is is_heard, "the event was never heard, or where it cannot be"


@pytest.mark.parametrize("closer", ["offerer", "answerer"])
async def test_whoever_closes_is_told_of_nothing_but_the_end_of_what_arrived(closer: str) -> None:
    told: dict[str, list[Event]] = {"offerer": [], "answerer": []}
    arriving: list[EventTarget] = []
    note = {side: events.append for side, events in told.items()}

    def watch(side: str, *targets: EventTarget | None) -> None:
        for target in targets:
            assert target is not None
            for name in target._known_events:
                target.on(name, note[side])

    async with pair() as (a, b):
        channel = a.createDataChannel("x")
        track = MediaStreamTrack("video", source=TestPatternSource())
        sender = a.addTrack(track, MediaStream())
        watch("offerer", a, channel, track, sender)
        watch("answerer", b)
        b.on("datachannel", lambda event: watch("answerer", event.channel))
        b.on("track", lambda event: arriving.append(event.track))
        b.on("track", lambda event: watch("answerer", event.track, event.receiver, *event.streams))
        await negotiate(a, b)
        await until(lambda: channel.readyState == "open", channel, "open")
        for side, connection in (("offerer", a), ("answerer", b)):
            assert connection.sctp is not None
            dtls = connection.sctp.transport
            watch(side, connection.sctp, dtls, dtls.iceTransport)
        await asyncio.sleep(1)
        a.addTransceiver("audio")
        b.addTransceiver("audio")
        channel.send(bytes(100_000))
        assert told[closer]
        told[closer].clear()
        (a if closer == "offerer" else b).close()
        await asyncio.sleep(2)
        # webrtc-pc, section 4.4.1.10: the tracks of receivers end
        ended = [(event.type, event.target) for event in told[closer]]
        assert ended == ([] if closer == "offerer" else [("ended", arriving[0])])
