"""The engine whole: streams that come and go, RTCP both ways, hostile peers, bounds."""

from __future__ import annotations

import random
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.control import MAX_PENDING, MAX_REFERENCE_TIMES
from rtcstack.rtp.events import (
    BitrateAllocated,
    FrameReceived,
    KeyFrameRequested,
    PacketsReceived,
    StreamEnded,
    StreamStarted,
)
from rtcstack.rtp.extensions import Extension
from rtcstack.rtp.header import make_header
from rtcstack.rtp.packet import is_rtcp
from rtcstack.rtp.parameters import Delivery, ReceiveCodec, Source
from rtcstack.rtp.received import MAX_RECEIVE_STREAMS, MAX_STREAMS_PER_SECTION
from rtcstack.rtp.reports import MAX_RTCP_BYTES, compounds, round_trip_s
from rtcstack.rtp.rtcp import (
    Application,
    ExtendedReport,
    FullIntraRequest,
    Goodbye,
    Nack,
    PictureLossIndication,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    TransportFeedback,
    parse,
)
from rtcstack.rtp.rtx import RtxStream
from rtcstack.rtp.session import Drop, RtpSession
from tests.unit.rtp.media import (
    IDS,
    KEY,
    NTP_OFFSET_S,
    START,
    Plain,
    audio_parameters,
    audio_section,
    session,
    video_parameters,
    video_payloads,
    video_section,
)

MID = IDS[Extension.MID]


def rtp(
    ssrc: int,
    number: int,
    payload: bytes = bytes((KEY,)) + b"0/",
    *,
    payload_type: int = 96,
    timestamp: int | None = None,
    marker: bool = True,
    mid: bytes | None = b"v",
    **names: bytes,
) -> bytes:
    elements = [(MID, mid)] if mid is not None else []
    elements += [(IDS[Extension[name.upper()]], value) for name, value in names.items()]
    if timestamp is None:
        timestamp = number * 3000
    return (
        make_header(ssrc, elements).write(
            payload_type | marker << 7, number & 0xFFFF, timestamp & 0xFFFFFFFF, 0, 0
        )
        + payload
    )


class Receiver:
    """A started session that receives, and what it said."""

    def __init__(self, *sections: Any, **changes: Any) -> None:
        self.session = session()
        self.now = 50.0
        self.session.start(self.now)
        for section in sections or (video_section(**changes), audio_section()):
            self.session.set_receive_section(section)
        self.events: list[Any] = []

    def put(self, *datagrams: bytes) -> list[Any]:
        self.session.receive(datagrams, self.now)
        return self.take()

    def take(self) -> list[Any]:
        events = list(self.session.events())
        self.events += events
        return events

    def rtcp(self) -> list[RtcpPacket]:
        return [p for data in self.session.drain(self.now) if is_rtcp(data) for p in parse(data).packets]

    def wait(self, seconds: float) -> list[RtcpPacket]:
        """Let time pass, serving every deadline."""
        end, out = self.now + seconds, self.rtcp()
        for _ in range(10_000):
            due = self.session.next_timeout()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.session.handle_timeout(self.now)
            out += self.rtcp()
            self.take()
        else:
            raise AssertionError("deadlines without end")
        self.now = end
        return out


def of(kind: type, things: list[Any]) -> list[Any]:
    return [each for each in things if isinstance(each, kind)]


# -- streams that come and go ---------------------------------------------------------------------


def test_a_stream_starts_and_its_frames_come() -> None:
    receiver = Receiver()
    started, frame = receiver.put(rtp(5, 1))
    assert isinstance(started, StreamStarted)
    assert (started.stream.ssrc, started.stream.mid, started.replaces) == (5, "v", None)
    assert isinstance(frame, FrameReceived)
    assert (frame.frame.ssrc, frame.frame.mid, frame.stream) == (5, "v", started.stream)
    current = receiver.session.current_stream("v")
    assert current is not None
    assert current.name == started.stream
    assert receiver.session.receive_stream(started.stream) is current


def test_a_new_ssrc_takes_the_place_of_the_one_before() -> None:
    receiver = Receiver()
    (first, _) = receiver.put(rtp(5, 1))
    (second, _) = receiver.put(rtp(6, 700))
    assert second.replaces == first.stream
    assert receiver.put(rtp(5, 2, bytes((START,)) + b"1/"))  # a late one of the old still counts
    assert receiver.session.current_stream("v").ssrc == 6  # type: ignore[union-attr]
    receiver.wait(10.0)
    ended = of(StreamEnded, receiver.events)
    assert [(e.stream.ssrc, e.reason) for e in ended] == [(5, "replaced")]
    assert [s.ssrc for s in receiver.session.receive_streams] == [6]


def test_a_stream_moves_to_another_section() -> None:
    receiver = Receiver(video_section(), video_section(mid="w"))
    receiver.put(rtp(5, 1))
    ended, started, _ = receiver.put(rtp(5, 2, mid=b"w"))
    assert ended.reason == "moved"
    assert started.stream.mid == "w"
    assert receiver.put(rtp(5, 3, mid=b"nobody"))[0].reason == "moved"
    assert receiver.session.drops == {Drop.UNKNOWN_MID: 1}


def test_without_names_after_probation_with_nothing_lost() -> None:
    receiver = Receiver()
    assert receiver.put(rtp(5, 1, mid=None)) == []
    started, one, two = receiver.put(rtp(5, 2, bytes((START,)) + b"1/", mid=None))
    assert isinstance(started, StreamStarted)
    assert [one.frame.data, two.frame.data] == [b"0/", b"1/"]


def test_goodbye() -> None:
    receiver = Receiver()
    receiver.put(rtp(5, 1))
    bye = ReceiverReport(5).to_bytes() + Goodbye((5, 77), "enough").to_bytes()
    (ended,) = receiver.put(bye)
    assert (ended.reason, ended.text) == ("bye", "enough")
    assert receiver.session.receive_streams == []
    assert receiver.session.current_stream("v") is None


def test_a_section_goes() -> None:
    receiver = Receiver()
    receiver.put(rtp(5, 1))
    receiver.session.remove_receive_section("v")
    assert [e.reason for e in receiver.take()] == ["removed"]
    assert receiver.put(rtp(5, 2)) == []


def test_simulcast() -> None:
    receiver = Receiver(rids=("hi", "lo"))
    receiver.put(rtp(5, 1, rid=b"hi"), rtp(6, 1, rid=b"lo"))
    assert receiver.session.current_stream("v", "hi").ssrc == 5  # type: ignore[union-attr]
    assert {e.frame.rid for e in of(FrameReceived, receiver.events)} == {"hi", "lo"}
    receiver.put(rtp(6, 3, bytes((START,)) + b"2/"))
    osn = pack("!H", 2)
    rtx = rtp(8, 1, osn + bytes((START,)) + b"1/", payload_type=97, timestamp=6000, repaired_rid=b"lo")
    frames = of(FrameReceived, receiver.put(rtx))
    assert [f.frame.data for f in frames] == [b"1/", b"2/"]
    assert frames[0].frame.retransmitted
    lo = receiver.session.current_stream("v", "lo")
    assert lo is not None
    assert (lo.retransmitted_packets, lo.retransmitted_bytes) == (1, 5)


def test_retransmissions_by_announcement_by_place_and_without_a_stream() -> None:
    receiver = Receiver(sources=(Source(5, 6),))
    rtx = rtp(6, 1, pack("!H", 2) + bytes((START,)) + b"1/", payload_type=97, mid=None, timestamp=6000)
    assert receiver.put(rtx) == []
    assert receiver.session.drops == {Drop.NO_PRIMARY: 1}
    receiver.put(rtp(5, 1, mid=None), rtp(5, 3, bytes((START,)) + b"2/", mid=None))
    assert len(of(FrameReceived, receiver.put(rtx))) == 2
    other = Receiver()
    other.put(rtp(5, 1), rtp(5, 3, bytes((START,)) + b"2/"))
    assert len(of(FrameReceived, other.put(rtx))) == 2


def test_nonsense_as_retransmissions() -> None:
    receiver = Receiver()
    receiver.put(rtp(5, 1))
    receiver.put(
        rtp(6, 1, b"", payload_type=97),
        rtp(6, 2, b"x", payload_type=97),
        rtp(6, 3, pack("!H", 1) + b"again", payload_type=97),
        rtp(6, 4, pack("!H", 40000) + b"never", payload_type=97),
        rtp(6, 5, b"wrong type", payload_type=96),
    )
    (stream,) = receiver.session.receive_streams
    assert stream.duplicates == 2
    rtx = receiver.session._received.by_ssrc[stream.rtx_ssrc or 0]
    assert isinstance(rtx, RtxStream)
    assert rtx.malformed == 2
    # they are counted all the same (webrtc-stats, packetsReceived: retransmissions included)
    assert (stream.packets_received, stream.retransmitted_packets) == (6, 4)
    payload = 1 + 7 + 7 + 10
    assert stream.retransmitted_bytes == rtx.bytes_received == payload


def test_duplicates_are_told() -> None:
    receiver = Receiver(delivery=Delivery.PACKETS)
    a, b = rtp(5, 1), rtp(5, 2)
    receiver.put(a, b, b, a)
    (stream,) = receiver.session.receive_streams
    assert (stream.duplicates, stream.packets_received) == (2, 2)
    assert stream.reception.packets_lost == -2


def test_packets_from_before_the_first_are_taken() -> None:
    receiver = Receiver()
    payloads = video_payloads(0, 3, key=True, size=20)
    a, b, c = (rtp(5, i, p, timestamp=0, marker=i == 2) for i, p in enumerate(payloads))
    receiver.put(b, a, c)
    assert len(of(FrameReceived, receiver.events)) == 1


def test_packets_on_request_in_order_of_arrival() -> None:
    receiver = Receiver(delivery=Delivery.PACKETS | Delivery.FRAMES)
    events = receiver.put(rtp(5, 1), rtp(5, 3), rtp(5, 2))
    (packets,) = of(PacketsReceived, events)
    assert [p.sequence_number for p in packets.packets] == [1, 3, 2]
    assert of(FrameReceived, events)
    assert of(PacketsReceived, receiver.take()) == []


def test_audio_is_pulled() -> None:
    receiver = Receiver()
    receiver.put(rtp(9, 1, b"speech", payload_type=111, mid=b"a"))
    stream = receiver.session.current_stream("a")
    assert stream is not None
    assert stream.playout is not None
    receiver.now += 0.02
    frame = stream.playout.pop(receiver.now).frame
    assert frame is not None
    assert frame.data == b"speech"


def test_audio_frames_as_they_arrive() -> None:
    receiver = Receiver(audio_section(delivery=Delivery.FRAMES))
    level = {"audio_level": b"\x94"}
    (_, event) = receiver.put(rtp(9, 1, b"speech", payload_type=111, mid=b"a", **level))
    assert (event.frame.data, event.frame.audio_level, event.frame.voice) == (b"speech", 20, True)
    assert receiver.put(rtp(9, 2, b"\x01", payload_type=110, mid=b"a")) == []  # counted, not media


def test_a_change_of_codec_and_clock() -> None:
    section = audio_section(
        codecs=(
            ReceiveCodec(111, 48000, audio_section().codecs[0].depacketizer),
            ReceiveCodec(0, 8000, audio_section().codecs[0].depacketizer),
        )
    )
    receiver = Receiver(section)
    receiver.put(rtp(9, 1, b"a", payload_type=111, mid=b"a"))
    receiver.put(rtp(9, 2, b"b", payload_type=0, mid=b"a"))
    stream = receiver.session.current_stream("a")
    assert stream is not None
    assert (stream.payload_type, stream.reception.clock_rate) == (0, 8000)


# -- RTCP -----------------------------------------------------------------------------------------


def test_missing_packets_are_asked_for_at_once() -> None:
    receiver = Receiver()
    receiver.put(rtp(5, 1), rtp(5, 5, bytes((START,)) + b"1/"))
    (nack,) = receiver.rtcp()
    assert nack == Nack(1, 5, (2, 3, 4))


def test_not_asked_for_where_not_agreed() -> None:
    receiver = Receiver(video_section(codecs=(ReceiveCodec(96, 90000, Plain(), pli=True),)))
    receiver.put(rtp(5, 1), rtp(5, 5, bytes((START,)) + b"1/"))
    packets = receiver.wait(0.2)
    assert not of(Nack, packets)
    assert of(PictureLossIndication, packets)


@pytest.mark.parametrize(("pli", "kind"), [(True, PictureLossIndication), (False, FullIntraRequest)])
def test_key_frames_are_asked_for_and_not_too_often(pli: bool, kind: type) -> None:
    receiver = Receiver(video_section(codecs=(ReceiveCodec(96, 90000, Plain(), pli=pli, fir=True),)))
    receiver.put(rtp(5, 1, bytes((START,)) + b"0/"))
    packets = receiver.wait(3.0)
    assert 5 <= len(of(kind, packets)) <= 10
    if kind is FullIntraRequest:
        numbers = [p.requests[0][1] for p in of(kind, packets)]
        assert numbers == list(range(len(numbers)))
    receiver.put(rtp(5, 2))
    assert not of(kind, receiver.wait(3.0))


def test_the_owner_asks_for_a_key_frame() -> None:
    receiver = Receiver()
    receiver.put(rtp(5, 1))
    (stream,) = receiver.session.receive_streams
    stream.request_key_frame()
    receiver.session.handle_timeout(receiver.now)
    assert receiver.rtcp() == [PictureLossIndication(1, 5)]
    stream.request_key_frame()
    receiver.session.handle_timeout(receiver.now)
    assert receiver.rtcp() == []
    assert of(PictureLossIndication, receiver.wait(0.4))


def test_feedback_begins_with_a_report_unless_agreed() -> None:
    receiver = Receiver(reduced_size=False)
    receiver.put(rtp(5, 1), rtp(5, 3))
    assert [type(p) for p in receiver.rtcp()] == [ReceiverReport, SourceDescription, Nack]


def test_reports_every_second_with_video_every_five_without() -> None:
    for sections, low, high in (((video_section(),), 20, 45), ((audio_section(),), 3, 9)):
        receiver = Receiver(*sections)
        kind = sections[0].kind
        counted = 0
        for i in range(300):
            if kind == "video":
                receiver.put(rtp(5, i, transport_cc=b""[:0] or b"\0\0"))
            else:
                receiver.put(rtp(5, i, b"x", payload_type=111, mid=b"a"))
            counted += len(of(ReceiverReport, receiver.wait(0.1)))
        assert low <= counted <= high


def test_the_report_of_a_receiver() -> None:
    receiver = Receiver()
    for i in range(1, 41):
        if i % 4:
            receiver.put(rtp(5, i))
    receiver.put(
        SenderReport(5, 0x0011223344556677, 0, 0, 0).to_bytes()
        + SourceDescription.of_cname("x", 5).to_bytes()
    )
    report = of(ReceiverReport, receiver.wait(1.6))[0]
    (block,) = report.blocks
    assert (block.ssrc, block.packets_lost, block.last_sr) == (5, 9, 0x22334455)
    assert 0 < block.delay_since_last_sr <= 1.6 * 65536
    assert receiver.session.receive_streams[0].cname == "x"


def test_arrivals_are_told() -> None:
    receiver = Receiver()
    receiver.put(*(rtp(5, i, transport_cc=pack("!H", 100 + 2 * i)) for i in range(10)))
    (feedback,) = of(TransportFeedback, receiver.wait(0.3))
    assert (feedback.base_sequence_number, feedback.status_count) == (100, 19)
    assert len(feedback.arrivals) == 10
    assert feedback.media_ssrc == 5


def test_a_sender_reports() -> None:
    sender = Receiver()
    stream = sender.session.add_send_stream(video_parameters())
    stream.send([b"12345"] * 3, 90000, sender.now)
    packets = sender.wait(2.0)
    report = of(SenderReport, packets)[0]
    assert (report.ssrc, report.packet_count, report.octet_count) == (1001, 3, 15)
    seconds = report.ntp / 2**32 - NTP_OFFSET_S - 50.0
    ticks = (report.rtp_timestamp - stream.timestamp_offset - 90000) & 0xFFFFFFFF
    assert ticks == pytest.approx(seconds * 90000, abs=100)
    assert of(SourceDescription, packets)[0].cnames == {1001: "somebody"}


def test_capture_times_by_sender_reports() -> None:
    receiver = Receiver()
    (_, before) = receiver.put(rtp(5, 1, timestamp=2**32 - 45000))
    assert before.frame.capture_time is None
    receiver.put(SenderReport(5, 5000 << 32, 2**32 - 45000, 0, 0).to_bytes())
    (after,) = receiver.put(rtp(5, 2, timestamp=45000))
    assert after.frame.capture_time == pytest.approx(5001.0)


def test_capture_times_told_by_the_frame_itself() -> None:
    receiver = Receiver()
    told = {"abs_capture_time": (7000 << 32).to_bytes(8, "big")}
    (_, first) = receiver.put(rtp(5, 1, timestamp=0, **told))
    (second,) = receiver.put(rtp(5, 2, timestamp=90000))
    assert first.frame.capture_time == pytest.approx(7000.0)
    assert second.frame.capture_time == pytest.approx(7001.0)


def test_rotation_stays_until_it_changes() -> None:
    receiver = Receiver()
    receiver.put(rtp(5, 1, video_orientation=b"\x01"), rtp(5, 2), rtp(5, 3, video_orientation=b"\0"))
    assert [e.frame.rotation for e in of(FrameReceived, receiver.events)] == [90, 90, 0]


def test_round_trip_of_a_sender_and_of_one_that_only_receives() -> None:
    a = Receiver()
    a.session.add_send_stream(video_parameters())
    b = Receiver(receiver_time=True)
    a.session.send_streams[0].send([bytes((KEY,)) + b"x"], 0, a.now)
    now = a.now
    for _ in range(100):
        sent = drain(a.session, now)
        now += 0.03
        b.session.receive(sent, now)
        back = drain(b.session, now)
        now += 0.03
        a.session.receive(back, now)
    assert a.session.control.rtt_s == pytest.approx(0.06, abs=0.02)
    assert b.session.control.rtt_s == pytest.approx(0.06, abs=0.02)
    remote = a.session.send_streams[0].remote
    assert remote.reports > 1
    assert remote.rtt_s is not None
    assert remote.rtt_count == remote.reports - 1 or remote.rtt_count == remote.reports


def drain(engine: RtpSession, now: float) -> list[bytes]:
    due = engine.next_timeout()
    if due is not None and due <= now:
        engine.handle_timeout(now)
    return engine.drain(now)


@pytest.mark.parametrize(
    ("last", "delay", "ntp", "expected"),
    [
        (0, 0, 5 << 32, None),
        (1 << 16, 0, 3 << 32, 2.0),
        (1 << 16, 1 << 16, 3 << 32, 1.0),
        (3 << 16, 1, 3 << 32, 0.0),  # clocks that round differently
        (4 << 16, 0, 3 << 32, None),  # from the future
        (0xFFFF << 16, 0, 1 << 32, 2.0),  # over the edge
    ],
)
def test_round_trip_of_a_block(last: int, delay: int, ntp: int, expected: float | None) -> None:
    assert round_trip_s(last, delay, ntp) == expected


def test_many_reports_fit_their_packets() -> None:
    reports = [SenderReport(i, 1, 2, 3, 4) for i in range(40)]
    blocks = [ReportBlock(1000 + i) for i in range(200)]
    packets = compounds(reports, blocks, "c" * 30, None, [Application(1, b"test", bytes(88)).to_bytes()] * 3)
    parsed = [parse(p).packets for p in packets]
    assert all(len(p) <= MAX_RTCP_BYTES + 100 for p in packets)
    assert all(isinstance(p[0], SenderReport | ReceiverReport) for p in parsed)
    assert all(of(SourceDescription, p) for p in parsed)
    # some peers drop a datagram whose description has more than one chunk
    assert all(len(each.chunks) == 1 for p in parsed for each in of(SourceDescription, p))
    told = [
        b.ssrc for p in parsed for r in p if isinstance(r, SenderReport | ReceiverReport) for b in r.blocks
    ]
    assert told == [b.ssrc for b in blocks]
    assert len(of(SenderReport, [r for p in parsed for r in p])) == 40


def test_goodbye_at_the_end() -> None:
    sender = Receiver()
    stream = sender.session.add_send_stream(video_parameters())
    stream.send([b"x"], 0, sender.now)
    sender.session.close(sender.now, "done")
    packets = sender.rtcp()
    (bye,) = of(Goodbye, packets)
    assert (bye.sources, bye.reason) == ((1001, 1002), "done")
    assert not [p for p in sender.session.drain(sender.now) if not is_rtcp(p)]
    assert sender.wait(20.0) == []


def test_a_removed_stream_says_goodbye_and_its_ssrc_is_free_for_nobody_else_meanwhile() -> None:
    sender = Receiver()
    stream = sender.session.add_send_stream(video_parameters())
    with pytest.raises(ValueError, match="in use"):
        sender.session.add_send_stream(audio_parameters(ssrc=1002))
    sender.session.remove_send_stream(stream)
    assert of(Goodbye, sender.rtcp())[0].sources == (1001, 1002)
    assert sender.session.send_streams == []
    with pytest.raises(ValueError, match="keeps its SSRC"):
        sender.session.update_send_stream(stream, audio_parameters())


def test_shares_are_told_and_follow_what_is_active() -> None:
    sender = Receiver()
    one = sender.session.add_send_stream(video_parameters(transport_cc=True))
    two = sender.session.add_send_stream(
        video_parameters(ssrc=2, rtx_ssrc=3, transport_cc=True, priority=2.0)
    )
    shares = {e.stream: e.bitrate_bps for e in of(BitrateAllocated, sender.take())}
    assert shares == {one.name: 100_000, two.name: 200_000}
    sender.session.set_active(two, False)
    shares = {e.stream: e.bitrate_bps for e in of(BitrateAllocated, sender.take())}
    assert shares == {one.name: 300_000}
    assert not two.send([b"x"], 0, sender.now)


def test_a_parameter_change_keeps_numbers_and_history() -> None:
    sender = Receiver()
    stream = sender.session.add_send_stream(video_parameters())
    stream.send([b"x"], 0, sender.now)
    before = stream._next
    sender.session.update_send_stream(stream, video_parameters(payload_type=100, rtx_payload_type=101))
    sender.session.drain(sender.now)
    sender.now += 0.5
    stream.send([b"y"], 0, sender.now)
    (packet,) = [p for p in sender.session.drain(sender.now) if not is_rtcp(p)]
    assert packet[1] & 0x7F == 100
    assert int.from_bytes(packet[2:4], "big") == before & 0xFFFF


# -- hostile peers --------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=120), max_size=30))
def test_arbitrary_datagrams(datagrams: list[bytes]) -> None:
    receiver = Receiver()
    receiver.session.add_send_stream(video_parameters(transport_cc=True))
    receiver.put(*datagrams)
    receiver.wait(2.0)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),
            st.integers(0, 65535),
            st.sampled_from([96, 97, 111, 110, 50]),
            st.binary(max_size=8),
            st.integers(0, 2**32 - 1),
            st.booleans(),
            st.sampled_from([None, b"v", b"a", b"x"]),
            st.floats(0, 0.3),
        ),
        max_size=40,
    )
)
def test_well_formed_nonsense(packets: list[Any]) -> None:
    receiver = Receiver()
    for ssrc, number, payload_type, payload, timestamp, marker, mid, wait in packets:
        receiver.put(
            rtp(ssrc, number, payload, payload_type=payload_type, timestamp=timestamp, marker=marker, mid=mid)
        )
        receiver.wait(wait)
    receiver.wait(5.0)
    assert len(receiver.session._received.by_ssrc) <= 8


def test_mutated_traffic() -> None:
    """A real exchange, bit by bit wrong."""
    rng = random.Random(7)
    for _ in range(40):
        a, b = Receiver(), Receiver()
        stream = a.session.add_send_stream(video_parameters(transport_cc=True))
        for i in range(20):
            a.now = b.now = a.now + 0.05
            stream.send(video_payloads(i, 3, key=i % 5 == 0, size=60), i * 3000, a.now, key_frame=i % 5 == 0)
            for one, other in ((a, b), (b, a)):
                for datagram in drain(one.session, one.now):
                    data = bytearray(datagram)
                    for _ in range(rng.choice((0, 0, 1, 1, 3))):
                        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
                    other.put(bytes(data[: rng.choice((len(data), len(data), rng.randrange(len(data) + 1)))]))


def test_streams_are_bounded_per_section_and_in_all() -> None:
    receiver = Receiver()
    for ssrc in range(500):
        receiver.now += 0.001
        receiver.put(rtp(ssrc, 1))
    assert len(receiver.session.receive_streams) <= 2 * MAX_STREAMS_PER_SECTION
    sections = [video_section(mid=f"s{i}") for i in range(100)]
    many = Receiver(*sections)
    for ssrc in range(3000):
        many.now += 0.001
        many.put(rtp(ssrc, 1, mid=b"s%d" % (ssrc % 100)))
    assert len(many.session._received.by_ssrc) <= MAX_RECEIVE_STREAMS
    assert len(of(StreamEnded, many.events)) >= 3000 - MAX_RECEIVE_STREAMS


def test_the_stream_silent_longest_gives_way() -> None:
    receiver = Receiver()
    for ssrc in range(40):
        receiver.now += 0.01
        receiver.put(rtp(ssrc, 1), rtp(0, ssrc + 2))
    assert 0 in {s.ssrc for s in receiver.session.receive_streams}


def test_retransmissions_do_not_begin_when_their_stream_gives_way_for_them() -> None:
    receiver = Receiver(sources=(Source(5, 6),))
    receiver.put(rtp(5, 1, mid=None))
    for ssrc in range(100, 99 + 2 * MAX_STREAMS_PER_SECTION):
        receiver.now += 0.001
        receiver.put(rtp(ssrc, 1))
    receiver.put(rtp(6, 1, pack("!H", 2) + bytes((START,)) + b"1/", payload_type=97, mid=None))
    assert [e.stream.ssrc for e in of(StreamEnded, receiver.events)] == [5]
    assert 6 not in receiver.session._received.by_ssrc


def test_a_busy_stream_does_not_give_way_for_its_silent_retransmissions() -> None:
    receiver = Receiver(sources=(Source(5, 6),))
    receiver.put(rtp(5, 1, mid=None), rtp(5, 3, bytes((START,)) + b"2/", mid=None))
    receiver.put(
        rtp(6, 1, pack("!H", 2) + bytes((START,)) + b"1/", payload_type=97, mid=None, timestamp=6000)
    )
    assert 6 in receiver.session._received.by_ssrc
    for ssrc in range(100, 140):
        receiver.now += 0.01
        receiver.put(rtp(ssrc, 1), rtp(5, ssrc, mid=None))
    assert {5, 6} <= set(receiver.session._received.by_ssrc)


def test_jumps_of_half_the_space() -> None:
    receiver = Receiver()
    for i in range(2000):
        receiver.put(rtp(5, i * 32768 + (i & 1)))
        assert (
            receiver.session.receive_streams[0].nack.next_at() is None
            or len(receiver.session.receive_streams[0].nack) <= 1000
        )
    assert receiver.session.receive_streams[0].assembler.held_packets < 2100  # type: ignore[union-attr]


def test_requests_pile_up_to_a_bound() -> None:
    receiver = Receiver(reduced_size=False)
    for _ in range(1000):
        receiver.session.control.feed_back(bytes(1200))
    assert len(receiver.session.drain(receiver.now)) <= MAX_PENDING + 1


def test_reference_times_are_bounded() -> None:
    receiver = Receiver()
    for ssrc in range(1000):
        receiver.put(ExtendedReport(ssrc, 1 << 40).to_bytes())
    assert len(receiver.session.control._reference_times) == MAX_REFERENCE_TIMES


def test_reports_on_streams_not_ours_and_feedback_out_of_nowhere() -> None:
    receiver = Receiver()
    blocks = tuple(ReportBlock(i, 255, 5, 5, 5, 5, 5) for i in range(31))
    receiver.put(
        ReceiverReport(9, blocks).to_bytes()
        + Nack(1, 2, tuple(range(100))).to_bytes()
        + PictureLossIndication(1, 2).to_bytes()
    )
    assert of(KeyFrameRequested, receiver.events) == []


def test_too_long_datagrams() -> None:
    receiver = Receiver()
    assert receiver.put(rtp(5, 1, bytes(3000))) == []
    assert receiver.session.drops == {Drop.TOO_LONG: 1}


def test_buffers_of_any_kind() -> None:
    receiver = Receiver()
    data = bytearray(rtp(5, 1))
    receiver.session.receive([memoryview(data)], receiver.now)
    data[:] = bytes(len(data))
    assert of(FrameReceived, receiver.take())[0].frame.data == b"0/"
