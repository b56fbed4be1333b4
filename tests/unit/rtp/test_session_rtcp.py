"""The engine whole: RTCP both ways, what it says of streams, and shares."""

from __future__ import annotations

from struct import pack

import pytest

from rtcstack.rtp.events import (
    BitrateAllocated,
    FrameReceived,
)
from rtcstack.rtp.packet import is_rtcp
from rtcstack.rtp.parameters import ReceiveCodec
from rtcstack.rtp.reports import MAX_RTCP_BYTES, compounds, round_trip_s
from rtcstack.rtp.rtcp import (
    Application,
    FullIntraRequest,
    Goodbye,
    Nack,
    PictureLossIndication,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    TransportFeedback,
    parse,
)
from tests.unit.rtp.media import (
    KEY,
    NTP_OFFSET_S,
    START,
    Plain,
    audio_parameters,
    audio_section,
    video_parameters,
    video_section,
)
from tests.unit.rtp.receiver import Receiver, drain, of, rtp


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
