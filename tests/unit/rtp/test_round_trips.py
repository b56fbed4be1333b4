"""What reports tell of the way, and of what reached the other end.

Spec: RFC 3550, section 6.4.1; RFC 3611, section 4.5; webrtc-stats.
"""

from __future__ import annotations

import pytest

from rtcstack.rtp.outgoing import SendCounts
from rtcstack.rtp.rtcp import (
    DelayBlock,
    ExtendedReport,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
)
from tests.unit.rtp.media import NTP_OFFSET_S, video_parameters
from tests.unit.rtp.receiver import Receiver, rtp


def _middle(at: float) -> int:
    return int((at + NTP_OFFSET_S) * 65536) & 0xFFFF_FFFF


def test_round_trip_times_come_with_sender_reports() -> None:
    receiver = Receiver()
    [started, *_] = receiver.put(rtp(5, 1))
    stream = receiver.session.receive_stream(started.stream)
    assert stream is not None
    reception = stream.reception
    reporter = receiver.session.control.reporter

    def report(*delays: DelayBlock) -> None:
        head = SenderReport(5, 1 << 40, 0, 1, 1).to_bytes() + SourceDescription.of_cname("x", 5).to_bytes()
        receiver.put(head + (ExtendedReport(5, None, delays).to_bytes() if delays else b""))

    # asked 0.3 s ago, of which the peer held it for 0.1 s
    report(DelayBlock(reporter, _middle(receiver.now - 0.3), 6554))
    assert reception.rtt_s == pytest.approx(0.2, abs=0.001)
    report(DelayBlock(reporter, _middle(receiver.now - 0.5), 6554))
    assert reception.rtt_s == pytest.approx(0.4, abs=0.001)
    assert (reception.rtt_sum_s, reception.rtt_count) == (pytest.approx(0.6, abs=0.002), 2)
    for last, delay in ((0, 6554), (_middle(receiver.now - 0.3), 0)):
        report(DelayBlock(reporter, last, delay))
        assert reception.rtt_s is None, "a zero answers nothing"
    report(DelayBlock(reporter + 1, _middle(receiver.now - 0.3), 6554))
    assert reception.rtt_s is None, "it answers somebody else"
    report()
    assert reception.rtt_s is None, "the last report tells none"
    assert (reception.sender_reports, reception.rtt_count) == (6, 2)


def test_packets_that_reached_the_peer_are_reckoned_from_its_report() -> None:
    receiver = Receiver()
    stream = receiver.session.add_send_stream(video_parameters())
    for i in range(10):
        stream.send([b"x"], i, receiver.now)
    assert len(receiver.session.drain(receiver.now)) >= 1
    receiver.wait(1)
    first = stream._first
    for highest, lost, received in ((first + 5, 0, 6), (first + 9, 3, 7), (first + 9, 4, 7)):
        # how often its numbers went round is the peer's guess: ours counts
        block = ReportBlock(stream.ssrc, 0, lost, highest + (7 << 16), 0, 0, 0)
        receiver.put(ReceiverReport(9, (block,)).to_bytes())
        assert stream.remote.packets_received == received


def test_a_round_trip_needs_a_delay_at_the_peer() -> None:
    receiver = Receiver()
    stream = receiver.session.add_send_stream(video_parameters())
    for delay, count in ((0, 0), (6554, 1)):
        block = ReportBlock(stream.ssrc, 0, 0, 1, 0, _middle(receiver.now - 0.3), delay)
        receiver.put(ReceiverReport(9, (block,)).to_bytes())
        assert stream.remote.rtt_count == count
    assert stream.remote.rtt_s == pytest.approx(0.2, abs=0.001)


def test_waiting_for_its_turn_is_counted_when_a_packet_leaves() -> None:
    receiver = Receiver()
    stream = receiver.session.add_send_stream(video_parameters())
    counts = stream.counts
    assert isinstance(counts, SendCounts)
    stream.send([bytes(1000)] * 2, 0, receiver.now - 0.25)
    receiver.session.drain(receiver.now)
    receiver.wait(1)
    assert counts.packets == 2
    assert 0.5 <= counts.delay_s < 0.6
    assert counts.last_at >= 50
