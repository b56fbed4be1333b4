"""Of a simulcast that is received: which layer the track shows, when layers come, go and come again."""

from __future__ import annotations

from typing import Any

import pytest

from rtcstack.media.pipeline.inbound import ReceivedCodec, ReceiverSource
from rtcstack.media.pipeline.video_in import VideoInbound
from rtcstack.media.playout.sync import PlayoutSync
from rtcstack.media.track import MediaStreamTrack
from rtcstack.rtp.events import FrameReceived, StreamEnded, StreamStarted
from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.parameters import StreamName

SIZES = {"hi": (1280, 720), "mid": (640, 360), "lo": (320, 180)}


class Stream:
    """A stream as a feed sees it."""

    assembler = None

    def __init__(self, rid: str | None, ssrc: int) -> None:
        self.name = StreamName("v", rid, ssrc)
        self.requests = 0
        self.last_packet_at = 0.0

    def request_key_frame(self) -> None:
        self.requests += 1


class Jobs:
    dropped = 0

    def __init__(self) -> None:
        self.taken: list[EncodedFrame] = []

    def submit(self, job: Any) -> bool:
        self.taken.append(job.frame)
        return True

    def close(self) -> None: ...


class Pool:
    def stream(self, *_: object, **__: object) -> Jobs:
        return Jobs()


class Sink:
    def deliver(self, frame: object) -> None: ...
    def track_ended(self) -> None: ...


class Simulcast:
    """A receiver that somebody looks at, and layers that send 30 frames a second; a key frame when asked.

    Attributes:
        shown: rid of the layer that was shown, after each frame.
    """

    def __init__(self, *, answers: bool = True) -> None:
        self.now = 100.0
        main = ReceiverSource("video", "remote video", lambda: None)
        self.track = MediaStreamTrack("video", label="x", source=main)
        self.inbound = VideoInbound(
            Pool(),  # type: ignore[arg-type]
            main,
            PlayoutSync(),
            lambda: None,
            lambda error: None,
        )
        self.track.add_sink(Sink())  # type: ignore[arg-type]
        self.inbound.codecs = {96: ReceivedCodec("vp8", "video/VP8", 90000)}
        self.inbound.set_rids(tuple(SIZES))
        self.inbound.set_receiving(True)
        self.answers = answers
        self.streams = {rid: Stream(rid, i) for i, rid in enumerate(SIZES)}
        self.served = dict.fromkeys(SIZES, 0)
        self.begun: set[str] = set()
        self.shown: list[str | None] = []

    def begin(self, rid: str) -> None:
        self.begun.add(rid)
        stream = self.streams[rid]
        self.inbound.on_stream_started(StreamStarted(stream.name), stream, self.now)  # type: ignore[arg-type]

    def end(self, rid: str) -> None:
        self.begun.discard(rid)
        self.inbound.on_stream_ended(StreamEnded(self.streams[rid].name, "bye"), self.now)

    def flow(self, seconds: float, *rids: str, fps: float = 30, keys: tuple[str, ...] = ()) -> None:
        """Frames of these layers; those of `keys` begin with a key frame."""
        for i in range(int(seconds * fps)):
            self.now += 1 / fps
            for rid in rids:
                fresh = rid not in self.begun
                if fresh:
                    self.begin(rid)
                stream = self.streams[rid]
                asked = self.answers and stream.requests > self.served[rid]
                self.served[rid] = stream.requests
                key = fresh or asked or (i == 0 and rid in keys)
                frame = EncodedFrame(b"x", int(self.now * 90000), 96, stream.name.ssrc, self.now)
                frame.key_frame = key
                frame.first_received_at = self.now
                if key:
                    frame.width, frame.height = SIZES[rid]
                stream.last_packet_at = self.now
                self.inbound.on_frame(FrameReceived(stream.name, frame), self.now)
                self.shown.append(self.inbound.shown.rid if self.inbound.shown else None)

    @property
    def rid(self) -> str | None:
        return self.inbound.shown.rid if self.inbound.shown is not None else None

    def decoded(self, rid: str) -> int:
        jobs: Any = self.inbound.feeds[rid]._jobs
        return len(jobs.taken) if jobs is not None else 0


def test_the_largest_that_comes_is_shown() -> None:
    simulcast = Simulcast()
    simulcast.flow(1, "lo")
    assert simulcast.rid == "lo"
    simulcast.flow(1, "lo", "mid")
    assert simulcast.rid == "mid"
    simulcast.flow(1, "lo", "mid", "hi")
    assert simulcast.rid == "hi"


@pytest.mark.parametrize(
    ("left", "expected"), [(("lo", "mid"), "mid"), (("mid", "lo"), "mid"), (("lo",), "lo")]
)
def test_a_layer_that_is_switched_off_gives_way_to_the_best_that_comes(
    left: tuple[str, ...], expected: str
) -> None:
    simulcast = Simulcast()
    simulcast.flow(2, *SIZES)
    assert simulcast.rid == "hi"
    simulcast.flow(1.5, *left)
    assert simulcast.rid == expected
    simulcast.flow(1, *left)
    assert simulcast.decoded(expected) > 25


def test_it_is_asked_again_until_it_answers() -> None:
    simulcast = Simulcast(answers=False)
    simulcast.flow(2, *SIZES)
    simulcast.flow(5, "lo", "mid")
    assert simulcast.rid == "hi"
    assert simulcast.streams["mid"].requests > 50  # the requester of the stream makes them decent
    assert simulcast.streams["lo"].requests == 0
    simulcast.answers = True
    simulcast.flow(0.2, "lo", "mid")
    assert simulcast.rid == "mid"


def test_a_layer_that_said_goodbye_gives_way_at_once() -> None:
    simulcast = Simulcast()
    simulcast.flow(2, *SIZES)
    simulcast.end("hi")
    simulcast.flow(0.2, "lo", "mid")
    assert simulcast.rid == "mid"


@pytest.mark.parametrize("keys", [(), ("hi",)])
def test_a_layer_that_comes_again_is_shown_again(keys: tuple[str, ...]) -> None:
    simulcast = Simulcast()
    simulcast.flow(2, *SIZES)
    simulcast.flow(3, "lo", "mid")
    simulcast.flow(1.5, *SIZES, keys=keys)
    assert simulcast.rid == "hi"
    assert simulcast.decoded("hi") > 5


def test_one_after_the_other_is_switched_off_and_on() -> None:
    simulcast = Simulcast()
    for live in (("hi",), ("lo",), ("mid", "lo"), ("lo",), ("hi", "lo"), ("mid",)):
        simulcast.flow(3, *live)
        assert simulcast.rid == live[0]


def test_pictures_that_come_seldom_are_no_silence() -> None:
    simulcast = Simulcast()
    simulcast.flow(2, *SIZES)
    simulcast.shown.clear()
    simulcast.flow(60, *SIZES, fps=0.5)
    assert set(simulcast.shown) == {"hi"}


def test_a_short_gap_of_the_layer_shown_changes_nothing() -> None:
    simulcast = Simulcast()
    simulcast.flow(2, *SIZES)
    simulcast.flow(0.8, "lo", "mid", keys=("lo", "mid"))
    assert simulcast.rid == "hi"
