"""RTCP: every packet there and back, arbitrary and hostile bytes."""

from __future__ import annotations

from struct import pack
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.errors import ParseError
from rtcstack.rtp.rtcp import (
    Application,
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
    RtcpPacket,
    SenderReport,
    SourceDescription,
    TransportFeedback,
    parse,
)

u8, u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))

blocks = st.lists(
    st.builds(ReportBlock, u32, u8, st.integers(-(2**23), 2**23 - 1), u32, u32, u32, u32), max_size=31
).map(tuple)
items = st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=30)), max_size=4).map(tuple)


@st.composite
def feedback(draw: st.DrawFn) -> TransportFeedback:
    offsets = draw(st.sets(st.integers(0, 400), min_size=1, max_size=200))
    ticks, arrivals = 0, []
    for offset in sorted(offsets):
        ticks += draw(st.integers(0, 255) | st.integers(-32768, 32767))
        arrivals.append(Arrival(offset, ticks))
    count = max(offsets) + 1 + draw(st.integers(0, 100))
    reference = draw(st.integers(-(2**23), 2**23 - 1))
    return TransportFeedback(draw(u32), draw(u32), draw(u16), count, reference, draw(u8), arrivals)


packets: st.SearchStrategy[RtcpPacket] = st.one_of(
    st.builds(SenderReport, u32, u64, u32, u32, u32, blocks),
    st.builds(ReceiverReport, u32, blocks),
    st.builds(SourceDescription, st.lists(st.tuples(u32, items), max_size=31).map(tuple)),
    st.builds(Goodbye, st.lists(u32, max_size=31).map(tuple), st.text(max_size=60)),
    st.builds(
        Application,
        u32,
        st.binary(min_size=4, max_size=4),
        st.binary(max_size=10).map(lambda b: b * 4),
        st.integers(0, 31),
    ),
    st.builds(
        ExtendedReport,
        u32,
        st.none() | u64,
        st.lists(st.builds(DelayBlock, u32, u32, u32), max_size=5).map(tuple),
    ),
    st.builds(PictureLossIndication, u32, u32),
    st.builds(FullIntraRequest, u32, st.lists(st.tuples(u32, u8), max_size=5).map(tuple)),
    st.builds(ReceiverEstimate, u32, st.integers(0, 2**18 - 1), st.lists(u32, max_size=9).map(tuple)),
    feedback(),
)


@given(st.lists(packets, min_size=1, max_size=5))
def test_round_trip_in_compounds(sent: list[RtcpPacket]) -> None:
    data = b"".join(packet.to_bytes() for packet in sent)
    received, malformed, _ = parse(data)
    assert malformed == 0
    assert received == sent


@given(st.sets(st.integers(0, 2000), max_size=300), u16)
def test_nack_tells_exactly_these(numbers: set[int], base: int) -> None:
    sent = tuple((base + number) & 0xFFFF for number in sorted(numbers))
    (packet,), malformed, _ = parse(Nack(1, 2, sent).to_bytes())
    assert not malformed
    assert packet == Nack(1, 2, sent)


def test_neighbours_share_a_word() -> None:
    assert len(Nack(1, 2, tuple(range(17))).to_bytes()) == 16
    assert len(Nack(1, 2, tuple(range(18))).to_bytes()) == 20
    assert len(Nack(1, 2, (65535, 0, 15)).to_bytes()) == 16


@given(st.integers(0, 2**60))
def test_estimates_lose_little(bitrate: int) -> None:
    (packet,), *_ = parse(ReceiverEstimate(1, bitrate).to_bytes())
    assert isinstance(packet, ReceiverEstimate)
    assert bitrate * (1 - 2**-16) <= packet.bitrate_bps <= bitrate


@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    try:
        parse(data)
    except ParseError as error:
        assert error.reason  # noqa: PT017 - either outcome is fine


@given(st.integers(192, 223), st.integers(0, 31), st.binary(max_size=120))
def test_arbitrary_bodies_cost_only_themselves(packet_type: int, count: int, body: bytes) -> None:
    body += bytes(-len(body) % 4)
    good = PictureLossIndication(1, 2)
    data = pack("!BBH", 0x80 | count, packet_type, len(body) // 4) + body + good.to_bytes()
    received, malformed, _ = parse(data)
    assert received[-1] == good
    assert len(received) + malformed <= 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\xc8",
        pack("!BBH", 0x40, 200, 0),
        pack("!BBH", 0x80, 200, 1),  # longer than the datagram
        pack("!BBH", 0x80, 201, 0xFFFF) + bytes(100),
    ],
)
def test_bad_framing(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse(data)


@pytest.mark.parametrize(
    "data",
    [
        pack("!BBHI", 0xA0, 201, 1, 0),  # padding of no length
        pack("!BBHI", 0xA0, 201, 1, 9),  # padding longer than the packet
        pack("!BBHI", 0xA0, 201, 1, 3),  # nothing left of a report but padding
        pack("!BBH", 0xA0, 201, 0),  # padding and no room for its length
        pack("!BBHI", 0x80, 200, 1, 1),  # sender report without its numbers
        pack("!BBHI", 0x81, 201, 1, 1),  # a block that is not there
        pack("!BBH", 0x81, 202, 0),  # a chunk that is not there
        pack("!BBHIBB", 0x81, 202, 2, 1, 1, 200) + b"ab",  # an item that is cut off
        pack("!BBH", 0x82, 203, 0),  # sources that are not there
        pack("!BBHI", 0x80, 204, 1, 1),  # no name
        pack("!BBHIBBH", 0x80, 207, 2, 1, 4, 0, 9),  # a block that is cut off
        pack("!BBHI", 0x81, 205, 1, 1),  # feedback without its sources
        pack("!BBHIIIHH", 0x8F, 206, 4, 1, 0, 0x52454D42, 0xFF00, 0),  # an estimate of 255 streams
        pack("!BBHIIHHI", 0x8F, 205, 4, 1, 2, 0, 5, 0),  # transport feedback without chunks
        pack("!BBHIIHHIHH", 0x8F, 205, 5, 1, 2, 0, 5, 0, 0, 0),  # an empty run
        pack("!BBHIIHHIHH", 0x8F, 205, 5, 1, 2, 0, 5, 0, 0x6005, 0),  # the reserved symbol
        pack("!BBHIIHHIHH", 0x8F, 205, 5, 1, 2, 0, 5, 0, 0x2005, 0),  # five deltas, two there
        pack("!BBHIIHHIHH", 0x8F, 205, 5, 1, 2, 0, 7, 0, 0xFFFF, 0),  # reserved, in a vector
    ],
)
def test_malformed_bodies_are_counted(data: bytes) -> None:
    packets, malformed, reason = parse(data)
    assert (packets, malformed) == ([], 1)
    assert reason


def test_unknown_types_are_passed_over() -> None:
    data = pack("!BBHI", 0x80, 210, 1, 1) + pack("!BBHIII", 0x8F, 206, 3, 1, 2, 3)
    assert parse(data) == ([], 0, "")


def test_padding_of_the_last_packet() -> None:
    data = pack("!BBHII", 0xA0, 201, 2, 5, 4)
    assert parse(data) == ([ReceiverReport(5)], 0, "")


@pytest.mark.parametrize("padding", [1, 2, 3, 4, 5])
def test_padding_of_any_length(padding: int) -> None:
    """libwebrtc fills transport-wide feedback up to a whole word by one to three bytes of padding."""
    feedback = TransportFeedback(1, 2, 0, 3, 0, 0, [Arrival(i, i * 4) for i in range(3)]).to_bytes()
    filler = bytes(-padding % 4)  # a whole number of words, as every RTCP packet has
    body = feedback[4:] + filler + bytes(padding - 1) + bytes([padding])
    data = pack("!BBH", 0xA0 | 15, 205, len(body) // 4) + body
    good = PictureLossIndication(1, 2)
    first, second = parse(data + good.to_bytes()).packets
    assert isinstance(first, TransportFeedback)
    assert [arrival.offset for arrival in first.arrivals] == [0, 1, 2]
    assert second == good


def test_what_came_before_a_broken_packet_counts() -> None:
    good = PictureLossIndication(1, 2)
    for broken in (b"\x80", pack("!BBH", 0x40, 200, 0), pack("!BBH", 0x80, 200, 9)):
        packets, malformed, reason = parse(good.to_bytes() + broken)
        assert (packets, malformed) == ([good], 1)
        assert reason


def test_report_blocks_are_held_at_their_bounds() -> None:
    block = ReportBlock(1, 300, 2**30, 2**40, 2**40, 5, 2**40)
    (packet,), *_ = parse(ReceiverReport(1, (block,)).to_bytes())
    assert isinstance(packet, ReceiverReport)
    got = packet.blocks[0]
    assert (got.fraction_lost, got.packets_lost, got.jitter) == (255, 2**23 - 1, 2**32 - 1)


def test_cname() -> None:
    (packet,), *_ = parse(SourceDescription.of_cname("näme", 5, 6).to_bytes())
    assert isinstance(packet, SourceDescription)
    assert packet.cnames == {5: "näme", 6: "näme"}


def test_transport_feedback_is_compact() -> None:
    """A run takes a chunk, fourteen mixed statuses take one, seven with a large delta take one."""
    every = TransportFeedback(1, 2, 0, 1000, 0, 0, [Arrival(i, i * 4) for i in range(1000)])
    assert len(every.to_bytes()) == 20 + 2 + 1000 + 2
    second = TransportFeedback(1, 2, 0, 27, 0, 0, [Arrival(i, i) for i in range(0, 28, 2)])
    assert len(second.to_bytes()) == 20 + 4 + 14 + 2


def test_feedback_costs_what_it_weighs_not_what_it_claims() -> None:
    """Twenty bytes that tell of 65,535 lost packets are read in no time."""
    run = pack("!8H", *[0x1FFF] * 8) + pack("!H", 7)
    body = pack("!IIHHI", 1, 2, 0, 65535, 0) + run + b"\0\0"
    data = pack("!BBH", 0x8F, 205, len(body) // 4) + body
    start = perf_counter()
    for _ in range(100):
        (packet,), malformed, _ = parse(data)
    assert perf_counter() - start < 0.5
    assert isinstance(packet, TransportFeedback)
    assert (packet.status_count, list(packet.arrivals), malformed) == (65535, [], 0)


def test_nacks_of_a_whole_datagram_are_bounded() -> None:
    body = pack("!II", 1, 2) + pack("!HH", 0, 0xFFFF) * 5000
    data = pack("!BBH", 0x81, 205, len(body) // 4) + body
    (packet,), *_ = parse(data)
    assert isinstance(packet, Nack)
    assert len(packet.sequence_numbers) < 4400


@given(st.text(alphabet="aé€😀", min_size=60, max_size=300))
def test_text_that_is_too_long_ends_with_a_whole_character(text: str) -> None:
    (goodbye,) = parse(Goodbye((1,), text).to_bytes()).packets
    assert isinstance(goodbye, Goodbye)
    assert text.startswith(goodbye.reason)
    assert goodbye.reason == text or len(goodbye.reason.encode()) > 251
    assert Goodbye((1,), goodbye.reason) == goodbye
