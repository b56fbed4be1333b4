"""What is sent: headers, history, retransmissions, forwarding, pace."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.extensions import (
    Extension,
    ExtensionIds,
    VideoOrientation,
    read_abs_capture_time,
    read_audio_level,
)
from rtcstack.rtp.fec import read_parity
from rtcstack.rtp.forward import MAX_SOURCES_LEFT
from rtcstack.rtp.header import make_header
from rtcstack.rtp.history import MAX_HISTORY_PACKETS
from rtcstack.rtp.outgoing import MAX_RETRANSMIT_CREDIT_BYTES, START_RETRANSMIT_CREDIT_BYTES, Outgoing
from rtcstack.rtp.pacer import BURST_S, MAX_DEBT_S, MAX_QUEUE_S, MAX_QUEUED, Lane, Pacer, Probe
from rtcstack.rtp.packet import RtpPacket, is_rtcp, parse
from rtcstack.rtp.rtcp import FullIntraRequest, Nack, PictureLossIndication, ReceiverReport, ReportBlock
from rtcstack.rtp.send import SendStream
from rtcstack.rtp.session import RtpSession
from tests.unit.rtp.media import IDS, NTP_OFFSET_S, audio_parameters, session, video_parameters


class Sender:
    """A session with one stream, and what left it."""

    def __init__(self, **changes: Any) -> None:
        self.session: RtpSession = session()
        self.now = 100.0
        self.session.start(self.now)
        self.stream: SendStream = self.session.add_send_stream(video_parameters(**changes))

    def send(self, count: int = 3, size: int = 1000, **options: Any) -> list[RtpPacket]:
        payloads = [bytes((2,)) + i.to_bytes(2, "big") + bytes(size - 3) for i in range(count)]
        timestamp = options.pop("timestamp", int(self.now * 90000))
        assert self.stream.send(payloads, timestamp, self.now, **options)
        return self.drain()

    def drain(self) -> list[RtpPacket]:
        return [parse(p) for p in self.session.drain(self.now) if not is_rtcp(p)]

    def hear(self, *packets: Any) -> list[RtpPacket]:
        self.session.receive([p.to_bytes() for p in packets], self.now)
        return self.drain()

    def nack(self, *numbers: int) -> list[RtpPacket]:
        return self.hear(Nack(1, self.stream.ssrc, numbers))


def test_a_frame() -> None:
    sender = Sender()
    packets = sender.send(3, timestamp=1000)
    assert [p.marker for p in packets] == [False, False, True]
    assert {p.ssrc for p in packets} == {1001}
    assert {p.payload_type for p in packets} == {96}
    first = packets[0].sequence_number
    assert [p.sequence_number for p in packets] == [first, first + 1, first + 2]
    assert {p.timestamp for p in packets} == {(1000 + sender.stream.timestamp_offset) & 0xFFFFFFFF}
    s = sender.stream
    assert (s.counts.packets, s.counts.bytes, s.frames_sent) == (3, 3000, 1)
    assert s.counts.header_bytes == sum(p.payload_start for p in packets)


def test_nothing_leaves_before_the_start() -> None:
    quiet = session()
    stream = quiet.add_send_stream(video_parameters())
    stream.send([b"x"], 0, 1.0)
    assert quiet.drain(1.0) == []
    assert quiet.next_timeout() is None


def test_mid_and_rid_until_the_peer_has_reported_and_with_key_frames() -> None:
    sender = Sender(rid="hi")
    assert sender.send()[0].extension(IDS[Extension.MID]) == b"v"
    assert sender.send()[0].extension(IDS[Extension.RID]) == b"hi"
    sender.hear(ReceiverReport(5, (ReportBlock(1001),)))
    assert sender.send()[0].extension(IDS[Extension.MID]) is None
    assert sender.send(key_frame=True)[0].extension(IDS[Extension.RID]) == b"hi"


def test_a_report_on_retransmissions_says_nothing_of_the_media() -> None:
    """They may have been probes that came before the peer knew the section."""
    sender = Sender()
    sender.send()
    sender.hear(ReceiverReport(5, (ReportBlock(1002),)))
    assert sender.send()[0].extension(IDS[Extension.MID]) == b"v"


def test_values_of_a_frame_in_its_header() -> None:
    sender = Sender()
    p = sender.send(
        1,
        audio_level=20,
        voice=True,
        orientation=VideoOrientation(90),
        captured_at=99.5,
        extensions=[(Extension.PLAYOUT_DELAY, b"abc")],
    )[0]
    assert read_audio_level(p.extension(IDS[Extension.AUDIO_LEVEL])) == (20, True)
    assert p.extension(IDS[Extension.VIDEO_ORIENTATION]) == b"\x01"
    capture = read_abs_capture_time(p.extension(IDS[Extension.ABS_CAPTURE_TIME]))
    assert capture is not None
    assert capture.ntp / 2**32 == pytest.approx(99.5 + NTP_OFFSET_S)
    assert len(p.extensions) == 5  # with MID and send time; the playout delay has no number


def test_headers_kept_are_bounded() -> None:
    sender = Sender()
    for i in range(2000):
        sender.send(1, captured_at=sender.now + i)
    assert len(sender.stream._headers) <= 512


# -- retransmissions ----------------------------------------------------------------------------------


def test_repeated_as_rtx() -> None:
    sender = Sender()
    original = sender.send(3)[1]
    sender.now += 0.2
    (again,) = sender.nack(original.sequence_number)
    assert (again.ssrc, again.payload_type) == (1002, 97)
    assert again.payload == original.sequence_number.to_bytes(2, "big") + original.payload
    assert (again.timestamp, again.marker) == (original.timestamp, original.marker)
    assert (sender.stream.counts.retransmitted_packets, sender.stream.counts.retransmitted_bytes) == (1, 1002)
    assert sender.stream.nack_count == 1


def test_repeated_unchanged_without_rtx() -> None:
    sender = Sender(rtx_ssrc=None, rtx_payload_type=None)
    original = sender.send(3)[1]
    sender.now += 0.2
    (again,) = sender.nack(original.sequence_number)
    assert again.data == original.data


def test_not_repeated_when_not_agreed() -> None:
    sender = Sender(nack=False)
    original = sender.send(3)[1]
    sender.now += 0.2
    assert sender.nack(original.sequence_number) == []
    assert len(sender.stream.history) == 0


def test_at_most_once_per_round_trip() -> None:
    sender = Sender()
    number = sender.send(1)[0].sequence_number
    sender.now += 0.2
    assert len(sender.nack(number, number, number)) == 1
    sender.now += 0.01
    assert sender.nack(number) == []
    sender.now += 0.1
    assert len(sender.nack(number)) == 1


def test_a_storm_of_requests_gets_no_more_than_was_sent() -> None:
    sender = Sender()
    numbers = [p.sequence_number for _ in range(20) for p in sender.send(10)]
    sent = sender.stream.counts.bytes
    repeated = 0
    for _ in range(200):
        sender.now += 0.1
        repeated += sum(len(p.data) for p in sender.nack(*numbers))
    assert repeated <= START_RETRANSMIT_CREDIT_BYTES + sent * 1.1
    assert sender.stream.counts.retransmit_credit_bytes <= MAX_RETRANSMIT_CREDIT_BYTES


def test_requests_for_what_was_never_sent() -> None:
    sender = Sender()
    sender.send(3)
    assert sender.nack(*range(0, 65536, 50)[:1000]) == []
    assert sender.stream.history.unknown > 900


def test_the_history_is_bounded_in_time_and_number() -> None:
    sender = Sender()
    for _ in range(300):
        sender.send(2, size=10)
        sender.now += 0.02
    assert len(sender.stream.history) <= 2 * 52
    for _ in range(MAX_HISTORY_PACKETS // 20):
        sender.send(30, size=10)
    assert len(sender.stream.history) <= MAX_HISTORY_PACKETS + 30


def test_numbers_wrap_and_are_still_found() -> None:
    sender = Sender()
    while sender.stream._next < 70_000:
        sender.send(500, size=5)
    sender.now += 0.01
    number = sender.send(1)[0].sequence_number
    assert number < 10_000
    sender.now += 0.2
    (again,) = sender.nack(number)
    assert int.from_bytes(again.payload[:2], "big") == number


# -- key frames -----------------------------------------------------------------------------------


def test_key_frames_are_asked_for_once_at_a_time() -> None:
    sender = Sender()
    pli = PictureLossIndication(1, 1001)
    for wait, expected in ((0.0, 1), (0.1, 0), (0.3, 1)):
        sender.now += wait
        sender.hear(pli)
        assert len(sender.session.events()) == expected
    sender.now += 1
    fir = FullIntraRequest(1, ((1001, 5), (4711, 1)))
    sender.hear(fir)
    assert len(sender.session.events()) == 1
    sender.now += 1
    sender.hear(fir)  # the same command again
    assert sender.session.events() == []
    assert (sender.stream.pli_count, sender.stream.fir_count) == (3, 2)


# -- forwarding -----------------------------------------------------------------------------------

SOURCE_IDS = {Extension.AUDIO_LEVEL: 9, Extension.MID: 10}


def source_packet(ssrc: int, index: int, timestamp: int, *, marker: bool = False) -> RtpPacket:
    header = make_header(ssrc, [(9, b"\x85"), (10, b"x")])
    p = parse(header.write(100 | marker << 7, index & 0xFFFF, timestamp, 0, 0) + b"media%d" % index)
    p.index = index
    return p


def test_forwarded_under_own_names_with_gaps_and_order_kept() -> None:
    sender = Sender()
    out = []
    for index in (70000, 70001, 70004, 70003, 70002):
        assert sender.stream.send_rtp(
            source_packet(5, index, index * 10), sender.now, ExtensionIds(SOURCE_IDS)
        )
        out += sender.drain()
    first = out[0].sequence_number
    assert [p.sequence_number - first for p in out] == [0, 1, 4, 3, 2]
    assert [(p.timestamp - out[0].timestamp) % 2**32 for p in out] == [0, 10, 40, 30, 20]
    assert {(p.ssrc, p.payload_type) for p in out} == {(1001, 96)}
    assert out[0].payload == b"media70000"
    assert out[0].extension(IDS[Extension.AUDIO_LEVEL]) == b"\x85"
    assert out[0].extension(IDS[Extension.MID]) == b"v"
    sender.now += 0.2
    (again,) = sender.nack(out[2].sequence_number)
    assert again.payload[2:] == b"media70004"


def test_a_change_of_source_leaves_no_break() -> None:
    sender = Sender()
    sender.stream.send_rtp(source_packet(5, 100, 5000), sender.now)
    sender.now += 0.5
    sender.stream.send_rtp(source_packet(6, 9, 4_000_000_000), sender.now)
    a, b = sender.drain()
    assert (b.sequence_number - a.sequence_number) & 0xFFFF == 1
    assert (b.timestamp - a.timestamp) % 2**32 == 45000
    assert not sender.stream.send_rtp(source_packet(6, 8, 3_999_999_990), sender.now)


def test_late_packets_of_a_former_source_do_not_change_it_back() -> None:
    sender = Sender()

    def send(ssrc: int, index: int) -> bool:
        return sender.stream.send_rtp(source_packet(ssrc, index, index * 3000), sender.now)

    assert send(5, 100)
    assert send(5, 103)
    assert send(6, 9)
    assert not send(5, 101)
    assert not send(5, 103)
    assert send(6, 10)
    numbers = [p.sequence_number for p in sender.drain()]
    assert [(n - numbers[0]) & 0xFFFF for n in numbers] == [0, 3, 4, 5]
    assert send(5, 104)  # it is wanted again
    assert not send(6, 10)
    for ssrc in range(100, 200):
        assert send(ssrc, 1)
    renumbering = sender.stream._renumbering
    assert renumbering is not None
    assert len(renumbering._left) == MAX_SOURCES_LEFT


def test_late_packets_move_no_clock_and_are_not_kept_for_ever() -> None:
    sender = Sender()
    stream = sender.stream
    for index in range(0, 6000, 2):
        sender.now += 0.01
        assert stream.send_rtp(source_packet(5, 1000 + index, index * 90), sender.now)
        sender.drain()
    report = stream.sender_report(sender.now)
    kept = len(stream.history)
    for index in range(5001, 5999, 2):
        assert stream.send_rtp(source_packet(5, 1000 + index, index * 90), sender.now)
    assert len(stream.history) <= kept + 500
    sender.drain()
    again = stream.sender_report(sender.now)
    assert report is not None
    assert again is not None
    assert again.rtp_timestamp == report.rtp_timestamp
    for index in range(6000, 7000, 2):
        sender.now += 0.01
        stream.send_rtp(source_packet(5, 1000 + index, index * 90), sender.now)
        sender.drain()
    assert min(stream.history._packets) >= stream.history._oldest
    assert len(stream.history) <= kept + 1


# -- pace -----------------------------------------------------------------------------------------


def outgoing(stream: SendStream, size: int = 1000) -> Outgoing:
    return Outgoing(stream.counts, make_header(1), 96, 1, 1, bytes(size - 12))


@pytest.fixture
def stream() -> SendStream:
    return SendStream(audio_parameters(), ExtensionIds(), Pacer(), rng=random.Random(1))


def test_without_a_rate_everything_leaves_at_once_the_most_urgent_first(stream: SendStream) -> None:
    pacer = Pacer()
    a, b, c = (outgoing(stream) for _ in range(3))
    pacer.push([a], Lane.VIDEO)
    pacer.push([b], Lane.RETRANSMISSION)
    pacer.push([c], Lane.AUDIO)
    assert pacer.next_at(1.0) == 1.0
    assert pacer.take(1.0) == [c, b, a]
    assert (pacer.queued_bytes, pacer.next_at(1.0)) == (0, None)


def test_steady_pace(stream: SendStream) -> None:
    pacer = Pacer()
    pacer.rate_bps = 800_000.0  # 100 packets of 1,000 bytes per second
    pacer.push([outgoing(stream) for _ in range(100)], Lane.VIDEO)
    now, sent, wakes = 10.0, [], 0
    while (due := pacer.next_at(now)) is not None:
        now = max(now, due)
        wakes += 1
        sent += [now] * len(pacer.take(now))
        assert wakes < 200
    assert len(sent) == 100
    assert sent[-1] - sent[0] == pytest.approx(1.0 - BURST_S, abs=0.05)
    for at in sent:
        in_burst = [t for t in sent if at <= t < at + 0.1]
        assert len(in_burst) * 1000 * 8 <= 800_000 * (0.1 + BURST_S) + 2 * 8000


def test_what_left_at_a_faster_pace_holds_nothing_up_for_long(stream: SendStream) -> None:
    pacer = Pacer()
    pacer.rate_bps = 250e6
    pacer.push([outgoing(stream) for _ in range(1000)], Lane.VIDEO)
    assert len(pacer.take(1.0)) == 1000
    pacer.rate_bps = 800_000.0  # of which that would be ten seconds
    pacer.push([outgoing(stream) for _ in range(10)], Lane.VIDEO)
    due = pacer.next_at(1.0)
    assert due is not None
    assert 1.0 < due <= 1.0 + MAX_DEBT_S
    assert pacer.take(due)


def test_audio_overtakes(stream: SendStream) -> None:
    pacer = Pacer()
    pacer.rate_bps = 100_000.0
    pacer.push([outgoing(stream) for _ in range(50)], Lane.VIDEO)
    pacer.take(1.0)
    pacer.push([voice := outgoing(stream, 100)], Lane.AUDIO)
    assert pacer.next_at(1.0) == 1.0
    assert pacer.take(1.0) == [voice]


def test_a_long_queue_is_sent_faster(stream: SendStream) -> None:
    pacer = Pacer()
    pacer.rate_bps = 100_000.0
    pacer.push([outgoing(stream) for _ in range(1000)], Lane.VIDEO)
    assert pacer.queue_s == 80.0
    now = 1.0
    while (due := pacer.next_at(now)) is not None and now < 100:
        now = max(now, due)
        pacer.take(now)
    assert now < 1.0 + 4 * MAX_QUEUE_S + 5.0


@pytest.mark.parametrize("lane", list(Lane))
def test_queues_are_bounded(stream: SendStream, lane: Lane) -> None:
    pacer = Pacer()
    pacer.rate_bps = 1000.0
    for _ in range(MAX_QUEUED[lane] + 50):
        pacer.push([outgoing(stream, 20)], lane)
    assert len(pacer) == MAX_QUEUED[lane]
    assert pacer.refused + pacer.dropped == 50
    assert not pacer.push([outgoing(stream)] * 3, lane)


def test_a_refused_frame_uses_no_numbers() -> None:
    sender = Sender()
    sender.session.sending.pacer.rate_bps = 1.0
    before = sender.stream._next
    assert not sender.stream.send([b"x"] * (MAX_QUEUED[Lane.VIDEO] + 1), 0, sender.now)
    assert sender.stream._next == before
    assert sender.stream.frames_refused == 1


def test_a_removed_stream_leaves_nothing_behind() -> None:
    sender = Sender()
    sender.session.sending.pacer.rate_bps = 1000.0
    for _ in range(5):
        sender.stream.send([bytes(1000)] * 5, 0, sender.now)
    sender.session.remove_send_stream(sender.stream)
    sender.now += 10
    assert sender.drain() == []
    assert sender.session.sending.pacer.queued_bytes == 0


@given(st.floats(1e5, 1e8), st.booleans())
def test_probes_leave_at_their_rate_and_end(rate: float, media: bool) -> None:
    stream = SendStream(audio_parameters(), ExtensionIds(), Pacer(), rng=random.Random(1))
    pacer = Pacer(lambda wanted, now: [outgoing(stream, 300)])
    pacer.rate_bps = 1000.0
    if media:
        pacer.push([outgoing(stream) for _ in range(8)], Lane.VIDEO)
    probe = Probe(1, rate)
    pacer.probe(probe)
    now, sizes = 5.0, []
    start = now
    for _ in range(10_000):
        packets = [p for p in pacer.take(now) if p.probe == 1]
        sizes += [p.size for p in packets]
        if probe.is_done:
            break
        due = pacer.next_at(now)
        assert due is not None
        now = max(now, due)
    assert probe.is_done
    assert len(sizes) >= probe.min_packets
    assert sum(sizes) >= probe.min_bytes
    if now > start + 0.004:
        assert sum(sizes[:-1]) * 8 / (now - start) < rate * 2 + 8 * 1000 / 0.002
    assert pacer.queued_bytes == sum(p.size for lane in pacer._lanes for p in lane)


def test_a_probe_without_anything_to_send_is_given_up(stream: SendStream) -> None:
    pacer = Pacer(lambda wanted, now: [])
    pacer.rate_bps = 1000.0
    pacer.probe(Probe(1, 1e6))
    assert pacer.take(1.0) == []
    assert pacer.next_at(1.0) is None


def test_padding_repeats_what_was_sent_or_is_plain() -> None:
    sender = Sender()
    assert sender.stream.make_padding(1000) == []
    sender.send(2)
    repeated = sender.stream.make_padding(1500)
    assert sum(p.size for p in repeated) >= 1500
    bare = Sender()
    bare.send(2, size=20)
    bare.stream._pacer.push(bare.stream.make_padding(500), Lane.RETRANSMISSION)
    packets = bare.drain()
    assert len(packets) == 3
    assert all(p.ssrc == 1002 and p.payload == b"" and p.data[-1] == 224 for p in packets)
    assert bare.stream.counts.padding_packets == 3


DESCRIBED = {**IDS, Extension.DEPENDENCY_DESCRIPTOR: 13}


def test_each_packet_has_its_descriptor_and_its_retransmission_repeats_it() -> None:
    sender = Sender(extensions=DESCRIBED)
    descriptors = [b"\x80\x00\x01" + bytes(30), b"\x00\x00\x01", b"\x40\x00\x01"]
    packets = sender.send(3, descriptors=descriptors, orientation=VideoOrientation(90))
    assert [p.extension(13) for p in packets] == descriptors
    assert all(p.extension(IDS[Extension.MID]) == b"v" for p in packets)
    sender.now += 0.2
    again = sender.nack(*(p.sequence_number for p in packets))
    assert {p.ssrc for p in again} == {1002}
    assert [p.extension(13) for p in again] == descriptors
    assert {p.extension(IDS[Extension.VIDEO_ORIENTATION]) for p in again} == {b"\x01"}
    assert sender.stream.counts.header_bytes == sum(p.payload_start for p in (*packets, *again))
    assert len(sender.stream._headers) <= 1


def test_descriptors_without_a_number_are_left_out() -> None:
    sender = Sender()
    assert [p.extension(13) for p in sender.send(2, descriptors=[b"abc", b"def"])] == [None, None]


class TestParity:
    def sender(self) -> Sender:
        sender = Sender(red_type=122, parity_type=123)
        sender.stream.rtt_s = 0.1
        return sender

    def report(self, sender: Sender, fraction_lost: int) -> None:
        for _ in range(8):
            sender.stream.on_acknowledged(fraction_lost / 256)

    def test_none_while_nothing_is_lost(self) -> None:
        sender = self.sender()
        self.report(sender, 0)
        assert {p.payload_type for p in sender.send(10)} == {96}

    def test_media_goes_in_red_and_parity_behind_it(self) -> None:
        sender = self.sender()
        self.report(sender, 40)
        packets = sender.send(10)
        assert {p.payload_type for p in packets} == {122}
        first = packets[0].sequence_number
        assert [p.sequence_number for p in packets] == list(range(first, first + len(packets)))
        media, parity = packets[:10], packets[10:]
        assert {p.payload[0] for p in media} == {96}
        assert {p.payload[0] for p in parity} == {123}
        assert len(parity) == int(10 * sender.stream.protection.overhead) > 0
        assert [p.marker for p in packets] == [False] * 9 + [True] + [False] * len(parity)
        assert sender.stream.counts.parity_packets == len(parity)

    def test_retransmissions_are_of_media_and_out_of_red(self) -> None:
        sender = self.sender()
        self.report(sender, 40)
        packets = sender.send(10)
        sender.now += 0.5
        (again,) = sender.nack(packets[3].sequence_number)
        assert (again.ssrc, again.payload_type) == (1002, 97)
        assert again.payload[2:] == packets[3].payload[1:]
        assert sender.nack(packets[10].sequence_number) == []  # parity is not kept

    def test_what_was_refused_is_not_protected(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sender = self.sender()
        self.report(sender, 40)
        with monkeypatch.context() as patched:
            patched.setattr(Pacer, "push", lambda *_: False)
            assert not sender.stream.send([b"refused"] * 3, 0, sender.now)
        packets = sender.send(10)
        numbers = {p.sequence_number for p in packets if p.payload[0] == 96}
        for p in packets[10:]:
            parity = read_parity(p.payload[1:])
            assert {parity.base + offset for offset in parity.offsets} <= numbers

    def test_a_peer_without_it_gets_none(self) -> None:
        sender = Sender()
        self.report(sender, 40)
        assert {p.payload_type for p in sender.send(10)} == {96}
