"""A call and a file through one bottleneck: whole connections, in virtual time.

`Road` is the way, `Beside` what is sent and when; `measure` runs it and gives the figures. The video's source
follows what an encoder would be told, so that what it brings is what the stack lets it have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rtcstack import (
    CallbackSink,
    MediaStreamTrack,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from rtcstack.media.pipeline.video_out import VideoOutbound
from rtcstack.sctp.congestion import CongestionController
from rtcstack.testing import Internet, run
from tests.scenarios.media import Followed, Speech
from tests.support.insides import outbound_of, use_congestion

__all__ = ["Beside", "Figures", "measure"]

MESSAGE_BYTES = 16_384
KEPT_FULL_BYTES = 65_536
"""What the application keeps in the channel's buffer, so that a file never waits for it."""

FEED_S = 0.02
"""How often it is filled up."""

SAMPLE_S = 0.005
"""How often the queue is looked at."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A case.

    Attributes:
        mbps: of the bottleneck, each way, in Mbit/s.
        video: priority of the video from a to b; None for none.
        data: priority of the file's channel; None for no file.
        video_max_bps: what the pictures need at most, by `maxBitrate`.
        video_use: how much of what the encoder may have its pictures need; another from some time on.
        sound: whether both sides speak.
        against: the file goes from b to a, against the video.
        both: b sends video, too.
        video_s, data_s: when each begins, and ends, after the connection.
        measured_s: what is looked at.
        then_mbps: the bottleneck's rate from then on, by seconds after the connection.
        buffer_s: what the bottleneck's buffer holds.
        delay_s: one way.
        loss: probability of random loss, each way.
        feedback: whether packets have transport-wide numbers; without, the receiver tells its estimate.
        congestion: makes the controller of data; None for the default.
        seed: of all that is random.
    """

    mbps: float
    video: str | None = "high"
    data: str | None = "low"
    video_max_bps: int = 30_000_000
    video_use: float = 1.0
    then_use: tuple[tuple[float, float], ...] = ()
    sound: bool = True
    against: bool = False
    both: bool = False
    video_s: tuple[float, float] = (0.0, 1e9)
    data_s: tuple[float, float] = (0.0, 1e9)
    measured_s: tuple[float, float] = (20.0, 60.0)
    then_mbps: tuple[tuple[float, float], ...] = ()
    buffer_s: float = 0.1
    delay_s: float = 0.02
    loss: float = 0.0
    feedback: bool = True
    congestion: Callable[[int, int], CongestionController] | None = None
    seed: int = 1


@dataclass
class Figures:
    """What was measured.

    Attributes:
        video_bps, data_bps: user data that arrived.
        sound_lost: packets of sound that did not arrive, of both sides.
        queue_mean_s, queue_95_s: wait in the bottleneck's queue from a: over time.
        overflowed: packets that the bottleneck from a dropped.
        back_mean_s, back_95_s: of the queue from b.
        by_second: for each second of all, video's and data's bits.
    """

    video_bps: float
    data_bps: float
    sound_lost: int
    queue_mean_s: float
    queue_95_s: float
    overflowed: int
    back_mean_s: float
    back_95_s: float
    by_second: list[tuple[float, float]]


class _Run:
    def __init__(self, case: Beside, internet: Internet) -> None:
        self.case = case
        self.loop = asyncio.get_running_loop()
        wire = {
            "rate_bytes_per_s": case.mbps * 125_000,
            "queue_bytes": int(case.mbps * 125_000 * case.buffer_s),
            "delay_s": case.delay_s,
            "loss": case.loss,
        }
        internet.delay_s = 0.0
        a, b = internet.add_bare_host("a"), internet.add_bare_host("b")
        self.hosts = a, b
        self.up = a.add_interface("eth0", up=wire).up  # type: ignore[arg-type]
        self.back = b.add_interface("eth0", up=wire).up  # type: ignore[arg-type]
        connections = []
        for host in self.hosts:
            with host:
                connections.append(RTCPeerConnection())
        self.a, self.b = connections
        self.seconds: list[list[int]] = []
        self.bytes = [0, 0]  # of video and data that arrived
        self.heard: tuple[list[tuple[float, int]], ...] = ([], [])  # by b and a: when, and the number
        self.queues: tuple[list[float], list[float]] = ([], [])
        self.speeches: list[Speech] = []
        self.films: list[Followed] = []
        self.sinks: list[CallbackSink] = []
        self.began = 0.0
        self.is_over = False
        self.use = case.video_use
        self.timers: dict[object, asyncio.TimerHandle] = {}

    async def connect(self) -> None:
        case = self.case
        for pc, host, sees in ((self.a, self.hosts[0], True), (self.b, self.hosts[1], case.both)):
            with host:
                if case.sound:
                    speech = Speech()
                    self.speeches.append(speech)
                    pc.addTrack(speech.source.track())
                if sees and case.video is not None:
                    await self.add_film(pc, case.video)
        channels = []
        for pc, host in zip((self.a, self.b), self.hosts, strict=True):
            with host:
                channels.append(
                    pc.createDataChannel("file", negotiated=True, id=1, priority=case.data or "low")
                )
            if case.congestion is not None:
                use_congestion(pc, case.congestion)
        self.b.on("track", lambda event: self.on_track(event.track, event.receiver, 0))
        self.a.on("track", lambda event: self.on_track(event.track, event.receiver, 1))
        sender, receiver = channels[::-1] if case.against else channels
        receiver.on("message", self.on_message)
        self.channel: RTCDataChannel = sender
        with self.hosts[0]:
            await self.a.setLocalDescription()
            offer = await self.a.gathered()
        if not case.feedback:
            lines = [line for line in offer.sdp.split("\r\n") if "transport-" not in line]
            offer = RTCSessionDescription(type="offer", sdp="\r\n".join(lines))
        with self.hosts[1]:
            await self.b.setRemoteDescription(offer)
            await self.b.setLocalDescription()
            answer = await self.b.gathered()
        with self.hosts[0]:
            await self.a.setRemoteDescription(answer)
        while any(channel.readyState != "open" for channel in channels):
            await asyncio.sleep(0.01)
        self.began = self.loop.time()

    async def add_film(self, pc: RTCPeerConnection, priority: str) -> None:
        film = Followed(lambda: int(self.use * self.target_of(pc)), most_bps=self.case.video_max_bps)
        sender = pc.addTrack(film.source.track())
        self.films.append(film)
        parameters = sender.getParameters()
        for encoding in parameters.encodings:
            encoding.priority, encoding.maxBitrate = priority, self.case.video_max_bps
        await sender.setParameters(parameters)

    @staticmethod
    def target_of(pc: RTCPeerConnection) -> int:
        for sender in pc.getSenders():
            outbound = outbound_of(sender)
            if isinstance(outbound, VideoOutbound):
                return outbound.layers[0].target_bps
        return 0

    def on_track(self, track: MediaStreamTrack, receiver: Any, side: int) -> None:
        def on_sound(frame: Any) -> None:
            number = int.from_bytes(frame.data[1:5], "big")
            self.heard[side].append((self.loop.time() - self.began, number))

        if track.kind == "audio":
            self.sinks.append(CallbackSink(receiver.encodedTrack, on_sound))
        elif side == 0:
            self.sinks.append(CallbackSink(receiver.encodedTrack, self.on_picture))

    def count(self, kind: int, size: int) -> None:
        self.bytes[kind] += size
        second = int(self.loop.time() - self.began)
        while len(self.seconds) <= second:
            self.seconds.append([0, 0])
        self.seconds[second][kind] += size

    def on_picture(self, frame: Any) -> None:
        self.count(0, len(frame.data))

    def on_message(self, event: Any) -> None:
        self.count(1, len(event.data))

    def feed(self) -> None:
        now = self.loop.time() - self.began
        if self.is_over or now >= self.case.data_s[1] or self.channel.readyState != "open":
            return
        while self.channel.bufferedAmount < KEPT_FULL_BYTES:
            self.channel.send(bytes(MESSAGE_BYTES))
        self.timers["feed"] = self.loop.call_later(FEED_S, self.feed)

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        if seconds < self.case.measured_s[1]:
            self.timers[action] = self.loop.call_later(seconds, action)

    def change_rate(self, rate_bytes_per_s: float) -> None:
        self.up.set_rate(rate_bytes_per_s)
        self.up.queue_bytes = int(rate_bytes_per_s * self.case.buffer_s)

    def sample(self) -> None:
        if self.is_over:
            return
        if self.loop.time() - self.began >= self.case.measured_s[0]:
            self.queues[0].append(self.up.queue_delay_s)
            self.queues[1].append(self.back.queue_delay_s)
        self.timers["sample"] = self.loop.call_later(SAMPLE_S, self.sample)

    async def play(self) -> Figures:
        case = self.case
        for speech in self.speeches:
            speech.start()
        for film in self.films:
            self.at(case.video_s[0], film.start)
            self.at(case.video_s[1], film.stop)
        if case.data is not None:
            with self.hosts[1 if case.against else 0]:
                self.at(case.data_s[0], self.feed)
        for at, mbps in case.then_mbps:
            self.at(at, partial(self.change_rate, mbps * 125_000))
        for at, use in case.then_use:
            self.at(at, partial(setattr, self, "use", use))
        self.sample()
        begin, end = case.measured_s
        await asyncio.sleep(begin)
        before, overflowed = list(self.bytes), self.up.overflowed
        await asyncio.sleep(end - begin)
        video, data = (now - b for now, b in zip(self.bytes, before, strict=True))
        overflowed = self.up.overflowed - overflowed
        await asyncio.sleep(0.5)
        lost = 0
        for heard in self.heard:
            numbers = [number for at, number in heard if begin <= at <= end]
            if numbers:
                lost += numbers[-1] - numbers[0] + 1 - len(set(numbers))
        self.is_over = True
        return Figures(
            video * 8 / (end - begin),
            data * 8 / (end - begin),
            lost,
            *_queue(self.queues[0]),
            overflowed,
            *_queue(self.queues[1]),
            [(video * 8, data * 8) for video, data in self.seconds],
        )

    async def stop(self) -> None:
        self.is_over = True
        for source in (*self.speeches, *self.films):
            source.stop()
        for timer in self.timers.values():
            timer.cancel()
        for sink in self.sinks:
            sink.stop()
        await self.a.close()
        await self.b.close()


def _queue(waits: list[float]) -> tuple[float, float]:
    ordered = sorted(waits)
    return sum(waits) / len(waits), ordered[int(0.95 * len(waits))]


def measure(case: Beside, inspect: Any = None) -> Figures:
    """Run a case. `inspect` is called with the run each second, for a closer look."""
    internet = Internet(seed=case.seed)

    async def main() -> Figures:
        playing = _Run(case, internet)
        await playing.connect()

        def look() -> None:
            if not playing.is_over:
                inspect(playing)
                playing.loop.call_later(1.0, look)

        if inspect is not None:
            playing.loop.call_later(1.0, look)
        try:
            return await playing.play()
        finally:
            await playing.stop()

    return run(main(), internet=internet)
