"""A peer that knows the keys and means no good: whatever it sends, and whenever, nothing raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from struct import pack
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp import received as received_module
from rtcstack.rtp.extensions import Extension
from rtcstack.rtp.nack import MAX_MISSING_IN_ALL
from rtcstack.rtp.parameters import Delivery, ReceiveCodec, Source
from rtcstack.rtp.rtcp import (
    Arrival,
    DelayBlock,
    ExtendedReport,
    FullIntraRequest,
    Goodbye,
    Nack,
    PictureLossIndication,
    ReceiverEstimate,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    TransportFeedback,
)
from rtcstack.rtp.session import RtpSession
from tests.unit.rtp.media import (
    IDS,
    Blind,
    Plain,
    audio_parameters,
    audio_section,
    session,
    video_parameters,
    video_payloads,
    video_section,
)

U8, U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
THEIRS = st.integers(1, 8)
OURS = st.sampled_from([1001, 1002, 2001, 3001, 7])
SSRC = THEIRS | OURS | U32
NUMBER = st.integers(0, 40) | st.integers(65_500, 65_535) | U16
WAIT = st.floats(0, 0.05) | st.floats(0, 3) | st.sampled_from([30.0, 70_000.0])

report_blocks = st.lists(
    st.builds(ReportBlock, SSRC, U8, st.integers(-(1 << 23), (1 << 23) - 1), U32, U32, U32, U32), max_size=4
).map(tuple)


@st.composite
def feedback(draw: Any) -> TransportFeedback:
    count = draw(st.integers(1, 300) | U16)
    offsets = sorted(draw(st.sets(st.integers(0, min(count, 400) - 1) if count else st.just(0), max_size=20)))
    ticks, arrivals = 0, []
    for offset in offsets:
        ticks += draw(st.integers(-2000, 2000))
        if offset < count:
            arrivals.append(Arrival(offset, ticks))
    return TransportFeedback(
        draw(SSRC),
        draw(SSRC),
        draw(NUMBER),
        max(count, 1),
        draw(st.integers(-(1 << 23), (1 << 23) - 1)),
        0,
        arrivals,
    )


rtcp_packets = st.one_of(
    st.builds(SenderReport, SSRC, U64, U32, U32, U32, report_blocks),
    st.builds(ReceiverReport, SSRC, report_blocks),
    st.builds(SourceDescription.of_cname, st.text(max_size=10), SSRC, SSRC),
    st.builds(Goodbye, st.lists(SSRC, max_size=5).map(tuple), st.text(max_size=5)),
    st.builds(
        ExtendedReport,
        SSRC,
        st.none() | U64,
        st.lists(st.builds(DelayBlock, SSRC, U32, U32), max_size=5).map(tuple),
    ),
    st.builds(Nack, SSRC, SSRC, st.lists(NUMBER, min_size=1, max_size=30).map(tuple)),
    st.builds(PictureLossIndication, SSRC, SSRC),
    st.builds(FullIntraRequest, SSRC, st.lists(st.tuples(SSRC, U8), max_size=4).map(tuple)),
    st.builds(
        ReceiverEstimate,
        SSRC,
        st.sampled_from([0, 1, 10**4, 10**6, 2**81]),
        st.lists(SSRC, max_size=3).map(tuple),
    ),
    feedback(),
).map(lambda packet: packet.to_bytes())

junk_rtcp = st.builds(
    lambda kind, count, body: pack("!BBH", 0x80 | count, kind, len(body) // 4) + body[: len(body) // 4 * 4],
    st.integers(192, 223),
    st.integers(0, 31),
    st.binary(max_size=60),
)

compound = st.lists(rtcp_packets | junk_rtcp, min_size=1, max_size=4).map(b"".join)


def rtp_packet(
    ssrc: int,
    number: int,
    payload_type: int,
    timestamp: int,
    marker: bool,
    elements: list[tuple[int, bytes]],
    csrcs: int,
    payload: bytes,
    padding: int,
) -> bytes:
    block = b"".join(bytes((i << 4 | len(value) - 1,)) + value for i, value in elements)
    block += bytes(-len(block) % 4)
    first = 0x80 | csrcs | (0x10 if elements else 0) | (0x20 if padding else 0)
    head = pack("!BBHII", first, payload_type | marker << 7, number, timestamp, ssrc) + bytes(4 * csrcs)
    if elements:
        head += pack("!HH", 0xBEDE, len(block) // 4) + block
    return head + payload + (bytes(padding - 1) + bytes((padding,)) if padding else b"")


names = st.sampled_from([b"v", b"w", b"a", b"x", b"\xff", b"hi", b"lo"])
elements = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([IDS[Extension.MID], IDS[Extension.RID], IDS[Extension.REPAIRED_RID]]), names
        ),
        st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=16)),
        st.tuples(st.just(IDS[Extension.TRANSPORT_CC]), st.binary(min_size=2, max_size=2)),
        st.tuples(st.just(IDS[Extension.ABS_CAPTURE_TIME]), st.binary(min_size=8, max_size=8)),
    ),
    max_size=3,
)
payloads = st.one_of(
    st.sampled_from([b"\1", b"\2", b"\0", b"\xff", b""]),
    st.builds(lambda head, rest: head + rest, st.sampled_from([b"\1", b"\2", b"\0"]), st.binary(max_size=6)),
    st.builds(lambda osn, rest: pack("!H", osn) + b"\2" + rest, NUMBER, st.binary(max_size=4)),
)
media = st.builds(
    rtp_packet,
    THEIRS | st.integers(1, 60),
    NUMBER,
    st.sampled_from([96, 96, 96, 97, 98, 111, 110, 50]),
    st.integers(0, 5).map(lambda n: n * 3000) | U32,
    st.booleans(),
    elements,
    st.integers(0, 3),
    payloads,
    st.sampled_from([0, 0, 0, 1, 4, 255]),
)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(media | compound, min_size=1, max_size=8)),
        st.tuples(st.just("put"), st.lists(media, min_size=1, max_size=8)),
        st.tuples(st.just("rtcp"), compound),
        st.tuples(st.just("wait"), WAIT),
        st.tuples(st.just("late"), WAIT),
        st.tuples(st.just("events"), st.none()),
        st.tuples(st.just("drain"), st.none()),
        st.tuples(st.just("timeout"), st.none()),
        st.tuples(st.just("send"), st.integers(0, 3)),
        st.tuples(
            st.just("section"),
            st.tuples(st.sampled_from("vwa"), st.integers(0, 3), st.lists(THEIRS, max_size=3)),
        ),
        st.tuples(st.just("remove"), st.sampled_from("vwa")),
        st.tuples(st.just("ask"), st.integers(0, 9)),
        st.tuples(st.just("path"), st.none()),
        st.tuples(st.just("stop"), st.integers(0, 2)),
    ),
    max_size=30,
)


def section(mid: str, how: int, ssrcs: list[int]) -> Any:
    sources = tuple(Source(ssrc, ssrc + 1) for ssrc in ssrcs)
    delivery = (Delivery.FRAMES, Delivery.PACKETS, Delivery.PACKETS | Delivery.FRAMES, Delivery(0))[how]
    if mid == "a":
        return audio_section(sources=sources, delivery=delivery | Delivery.PLAYOUT, receiver_time=how == 1)
    form = Blind() if how == 2 else Plain()
    codecs = (
        ReceiveCodec(98 if mid == "w" else 96, 90000, form, nack=how != 3, pli=how != 1, fir=True),
        ReceiveCodec(97, 90000, apt=98 if mid == "w" else 96),
    )
    return video_section(
        mid=mid,
        codecs=codecs,
        sources=sources,
        delivery=delivery,
        rids=("hi", "lo") if how == 3 else (),
        transport_cc=how != 1,
        remb=how == 1,
        reduced_size=how != 2,
        receiver_time=how == 0,
    )


@contextmanager
def small_bounds() -> Iterator[None]:
    """So that streams give way to others all the time."""
    saved = received_module.MAX_RECEIVE_STREAMS, received_module.MAX_STREAMS_PER_SECTION
    received_module.MAX_RECEIVE_STREAMS, received_module.MAX_STREAMS_PER_SECTION = 6, 2
    try:
        yield
    finally:
        received_module.MAX_RECEIVE_STREAMS, received_module.MAX_STREAMS_PER_SECTION = saved


class Victim:
    def __init__(self) -> None:
        self.session: RtpSession = session(3)
        self.now = 50.0
        for mid, how in (("v", 2), ("w", 0), ("a", 0)):
            self.session.set_receive_section(section(mid, how, [1]))
        self.sent = [
            self.session.add_send_stream(video_parameters(transport_cc=True)),
            self.session.add_send_stream(audio_parameters(transport_cc=True)),
            self.session.add_send_stream(
                video_parameters(mid="w", ssrc=3001, rtx_ssrc=None, rtx_payload_type=None, remb=True)
            ),
        ]
        self.session.start(self.now)
        self.frame = 0

    def serve(self, until: float) -> None:
        """All deadlines up to then, as the pump would."""
        for _ in range(20_000):
            self.session.drain(self.now)
            due = self.session.next_timeout()
            if due is None or due > until:
                break
            self.now = max(self.now, due)
            self.session.handle_timeout(self.now)
        else:
            raise AssertionError("deadlines without end")
        self.now = max(self.now, until)

    def do(self, what: str, how: Any) -> None:
        engine, now = self.session, self.now
        if what == "put":
            engine.receive(how, now)
        elif what == "rtcp":
            engine.receive([how], now)
        elif what == "wait":
            # long waits leave the deadlines to pass unserved: the loop was busy, the machine slept
            if how < 5:
                self.serve(now + how)
            else:
                self.now = now + how
        elif what == "late":
            self.now = now + how
        elif what == "events":
            engine.events()
        elif what == "drain":
            engine.drain(now)
        elif what == "timeout":
            engine.handle_timeout(now)
        elif what == "send":
            self.frame += 1
            for stream in self.sent:
                data = video_payloads(self.frame, how + 1, key=not how, size=300)
                stream.send(data, self.frame * 3000, now, key_frame=not how)
        elif what == "section":
            engine.set_receive_section(section(*how))
        elif what == "remove":
            engine.remove_receive_section(how)
        elif what == "ask":
            streams = engine.receive_streams
            if streams:
                stream = streams[how % len(streams)]
                stream.request_key_frame()
                if stream.playout is not None:
                    stream.playout.pop(now)
                if stream.assembler is not None:
                    stream.assembler.decoder_failed(now)
        elif what == "path":
            engine.on_path_change(now)
        else:
            stream = self.sent[how]
            engine.set_active(stream, not stream.active)

    def check(self) -> None:
        engine = self.session
        assert len(engine._received.by_ssrc) <= 7
        for ssrc, stream in engine._received.by_ssrc.items():
            assert stream.ssrc == ssrc
            assert engine._received.of_section[stream.section.mid][ssrc] is stream
        assert sum(map(len, engine._received.of_section.values())) == len(engine._received.by_ssrc)
        missing = sum(len(stream.nack) for stream in engine.receive_streams)
        assert engine._missing.packets == missing <= MAX_MISSING_IN_ALL
        for place, current in engine._received.current.items():
            assert engine._received.by_ssrc.get(current.ssrc) is current
            assert (current.section.mid, current.rid) == place
        for waiting in (engine._attention.woken, engine._attention.untold):
            assert set(waiting) <= set(engine.receive_streams)


@given(steps)
def test_whatever_a_peer_sends_and_whenever_nothing_raises(steps: list[tuple[str, Any]]) -> None:
    with small_bounds():
        victim = Victim()
        for what, how in steps:
            victim.do(what, how)
            victim.check()
        victim.session.events()
        victim.serve(victim.now + 5.0)
        victim.session.close(victim.now)
        victim.session.drain(victim.now)
        victim.session.receive([b"\x80\xc8\0\0"], victim.now)


def test_times_that_no_field_holds() -> None:
    """Reference times and reports that are days old, for a session that had nothing to report."""
    engine = session()
    engine.start(10.0)
    engine.receive([ExtendedReport(9, 1 << 40).to_bytes()], 10.0)
    stream = engine.add_send_stream(video_parameters())
    stream.send([b"\1x"], 0, 200_000.0)
    for now in (200_000.0, 200_010.0):
        engine.handle_timeout(now)
        assert engine.drain(now)


def test_a_stream_that_ends_in_the_midst_of_its_own_trouble() -> None:
    victim = Victim()
    named = [(IDS[Extension.MID], b"v")]
    for ssrc in (5, 6):
        victim.session.receive(
            [rtp_packet(ssrc, number, 96, number * 3000, True, named, 0, b"\2x", 0) for number in (1, 5, 9)]
            + [Goodbye((5,)).to_bytes()],
            victim.now,
        )
    victim.serve(victim.now + 3)
    assert [s.ssrc for s in victim.session.receive_streams] == [6]
