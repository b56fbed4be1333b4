"""The engine whole: hostile peers, and bounds."""

from __future__ import annotations

import random
from struct import pack
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.control import MAX_PENDING, MAX_REFERENCE_TIMES
from rtcstack.rtp.events import (
    FrameReceived,
    KeyFrameRequested,
    StreamEnded,
)
from rtcstack.rtp.parameters import Source
from rtcstack.rtp.received import MAX_RECEIVE_STREAMS, MAX_STREAMS_PER_SECTION
from rtcstack.rtp.rtcp import (
    ExtendedReport,
    Nack,
    PictureLossIndication,
    ReceiverReport,
    ReportBlock,
)
from rtcstack.rtp.session import Drop
from tests.unit.rtp.media import (
    START,
    video_parameters,
    video_payloads,
    video_section,
)
from tests.unit.rtp.receiver import Receiver, drain, of, rtp


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
