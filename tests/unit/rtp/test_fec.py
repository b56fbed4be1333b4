"""Parity: what is lost comes back to the last bit, in bounded memory, whatever the peer sends."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.codecs.payload.vp8 import Vp8Depacketizer, Vp8Packetizer
from rtcstack.errors import ParseError
from rtcstack.rtp.extensions import Extension, ExtensionIds
from rtcstack.rtp.fec import (
    MAX_KEPT_PACKETS,
    MAX_PARITIES,
    MAX_PROTECTED,
    Recovery,
    leave_red,
    make_parity,
    read_parity,
    still_bytes,
)
from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.header import make_header
from rtcstack.rtp.outgoing import Outgoing, SendCounts
from rtcstack.rtp.packet import RtpPacket, parse
from rtcstack.rtp.parameters import ReceiveCodec, ReceiveSection
from rtcstack.rtp.protection import MAX_OVERHEAD, Protection
from rtcstack.rtp.receive import ReceiveStream

IDS = ExtensionIds({Extension.ABS_SEND_TIME: 2, Extension.TRANSPORT_CC: 3, Extension.MID: 4})
SSRC = 0x1234
MEDIA, RED, PARITY = 96, 122, 123


def media(number: int, payload: bytes, *, timestamp: int = 3000, marker: bool = False) -> RtpPacket:
    header = make_header(SSRC, [(4, b"mid")], abs_send_time=2, transport_cc=3)
    head = header.write(MEDIA | marker << 7, number & 0xFFFF, timestamp, 7 * number, number & 0xFFFF)
    packet = parse(head + payload)
    packet.index = number
    return packet


def parity_packet(payload: bytes, number: int, timestamp: int = 3000) -> RtpPacket:
    head = make_header(SSRC).write(RED, number & 0xFFFF, timestamp, 0, 0)
    packet = parse(head + bytes((PARITY,)) + payload)
    packet.index = number
    leave_red(packet)
    return packet


payloads = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=MAX_PROTECTED)


@given(payloads, st.integers(0, 200_000), st.data())
def test_any_one_packet_comes_back(bodies: list[bytes], first: int, data: st.DataObject) -> None:
    packets = [media(first + i, body, timestamp=i) for i, body in enumerate(bodies)]
    parity = make_parity([(p.index, still_bytes(p, IDS)) for p in packets])
    lost = data.draw(st.integers(0, len(packets) - 1))
    arrivals = [*(p for i, p in enumerate(packets) if i != lost), None]
    recovery = Recovery()
    found: list[RtpPacket] = []
    for each in data.draw(st.permutations(arrivals)):
        if each is None:
            recovery.add(parity_packet(parity, first + len(packets)))
        else:
            recovery.keep(each)
        if recovery.waits:
            found += recovery.take(SSRC, IDS)
    (restored,) = found
    assert still_bytes(restored, IDS) == still_bytes(packets[lost], IDS)
    assert (restored.index, restored.ssrc) == (first + lost, SSRC)
    assert (restored.payload, restored.payload_type) == (bodies[lost], MEDIA)
    assert restored.extension(4) == b"mid"
    assert (recovery.packets, recovery.recovered, recovery.discarded) == (1, 1, 0)


def test_two_lost_packets_wait_for_one_of_them() -> None:
    packets = [media(i, bytes((i,)) * 50) for i in range(4)]
    still = [(p.index, still_bytes(p, IDS)) for p in packets]
    recovery = Recovery()
    recovery.keep(packets[0])
    recovery.keep(packets[3])
    recovery.add(parity_packet(make_parity(still), 4))
    assert recovery.take(SSRC, IDS) == []
    recovery.add(parity_packet(make_parity(still[2:]), 5))
    (second,) = recovery.take(SSRC, IDS)  # by the second parity; and with it the first works
    (first,) = recovery.take(SSRC, IDS)
    assert (second.index, first.index) == (2, 1)
    assert not recovery.waits


def test_parity_of_what_is_there_is_of_no_use() -> None:
    packets = [media(i, b"x" * 9) for i in range(3)]
    recovery = Recovery()
    for each in packets:
        recovery.keep(each)
    recovery.add(parity_packet(make_parity([(p.index, still_bytes(p, IDS)) for p in packets]), 3))
    assert recovery.take(SSRC, IDS) == []
    assert recovery.discarded == 1


def test_nothing_grows_without_end() -> None:
    recovery = Recovery()
    for i in range(3 * MAX_KEPT_PACKETS):
        recovery.keep(media(2 * i, b"x"))
    for i in range(3 * MAX_PARITIES):
        lost = 6 * MAX_KEPT_PACKETS + 10 * i
        still = [(n, still_bytes(media(n, b"y"), IDS)) for n in (lost, lost + 1)]
        recovery.add(parity_packet(make_parity(still), lost + 2))
        assert recovery.take(SSRC, IDS) == []
    assert len(recovery._kept) == MAX_KEPT_PACKETS
    assert len(recovery._parities) == MAX_PARITIES
    assert recovery.discarded == 2 * MAX_PARITIES


@given(st.binary(max_size=80), st.integers(0, 70_000))
def test_any_parity_may_come(payload: bytes, number: int) -> None:
    with contextlib.suppress(ParseError):
        read_parity(payload)
    recovery = Recovery()
    for i in range(5):
        recovery.keep(media(max(0, number - i), b"media"))
    with contextlib.suppress(ParseError):
        recovery.add(parity_packet(payload, number))
        for each in recovery.take(SSRC, IDS):
            assert each.ssrc == SSRC
    assert recovery.packets == 1


@pytest.mark.parametrize(
    "hexa", ["", "00" * 13, "80" + "00" * 14, "00" * 14, "00" * 11 + "05" + "8000" + "00" * 4]
)
def test_parity_that_is_refused(hexa: str) -> None:
    with pytest.raises(ParseError):
        read_parity(bytes.fromhex(hexa))


@pytest.mark.parametrize("head", [0x80 | MEDIA, RED])
def test_red_of_several_blocks_is_for_sound(head: int) -> None:
    packet = parse(make_header(SSRC).write(RED, 1, 0, 0, 0) + bytes((head,)) + b"data")
    with pytest.raises(ParseError):
        leave_red(packet)


class TestProtection:
    def frames(self, protection: Protection, count: int, size: int) -> list[int]:
        made, number = [], 0
        for _ in range(count):
            packets = [(number + i, still_bytes(media(number + i, b"x" * 20), IDS)) for i in range(size)]
            number += size
            made.append(len(protection.protect(packets)))
            number += made[-1]
        return made

    def test_it_begins_and_ends_with_losses(self) -> None:
        protection = Protection()
        protection.on_report(0.01, 0.1)
        assert protection.overhead == 0
        for _ in range(10):
            protection.on_report(0.05, 0.1)
        assert 0.1 < protection.overhead < 0.15
        for _ in range(20):
            protection.on_report(0.0, 0.1)
        assert protection.overhead == 0

    def test_far_away_few_losses_are_enough_and_it_ends_when_there_are_none_for_long(self) -> None:
        protection = Protection()
        protection.on_report(0.07, 0.2)  # one of fifteen
        assert protection.overhead > 0
        for _ in range(30):
            protection.on_report(0.0, 0.2)
            assert protection.overhead > 0
        protection.on_report(0.0, 0.2)
        assert protection.overhead == 0

    @pytest.mark.parametrize("size", [1, 2, 10])
    @pytest.mark.parametrize(
        ("room", "most"), [(3.0, 1.0), (0.5, 0.5), (0.0, MAX_OVERHEAD), (None, MAX_OVERHEAD)]
    )
    def test_far_away_parity_comes_before_what_is_sent_again(
        self, size: int, room: float | None, most: float
    ) -> None:
        protection = Protection()
        protection.on_report(0.07, 0.2)
        interval_s, frames, made, waited = 1 / 15, 300, 0, []
        number, now, began = 0, 0.0, None
        header, counts = make_header(SSRC), SendCounts()
        rate_bps = 15 * 8 * size * 212
        share = None if room is None else round(rate_bps * (1 + room))
        for _ in range(frames):
            now += interval_s
            began = now if began is None else began
            packets = [Outgoing(counts, header, MEDIA, number + i, 3000, b"x" * 200) for i in range(size)]
            parity = protection.cover(packets, header, RED, PARITY, now, share)
            number += size + len(parity)
            made += len(parity)
            if parity:
                waited.append(now - began)
                began = None
        assert made <= most * frames * size + 5
        if room and most * size > 0.5:  # more than a packet in two frames
            assert max(waited[3:]) <= 0.1

    def test_short_round_trips_need_none(self) -> None:
        protection = Protection()
        for _ in range(10):
            protection.on_report(0.2, 0.01)
        assert protection.overhead == 0

    def test_an_outage_is_no_loss_at_random(self) -> None:
        protection = Protection()
        for fraction_lost in (0.0, 1.0, 0.6, 0.0):
            protection.on_report(fraction_lost, 0.1)
            assert protection.overhead == 0

    def test_gaps_in_the_numbers_are_not_protected_across(self) -> None:
        protection = Protection()
        for _ in range(10):
            protection.on_report(0.2, 0.1)
        found = []
        for number in range(100, 1000, 20):
            found += protection.protect([(number, still_bytes(media(number, b"x" * 20), IDS))])
        assert found
        assert max(read_parity(each).offsets[-1] for each in found) < MAX_PROTECTED

    @pytest.mark.parametrize("size", [1, 3, 10, 60])
    def test_it_is_bounded(self, size: int) -> None:
        protection = Protection()
        for _ in range(10):
            protection.on_report(0.2, 0.1)
        assert protection.overhead == MAX_OVERHEAD
        made = self.frames(protection, 50, size)
        assert 0.8 * MAX_OVERHEAD <= sum(made) / (50 * size) <= MAX_OVERHEAD


class Bench:
    """A stream that is received, with parity agreed."""

    def __init__(self) -> None:
        section = ReceiveSection(
            "0",
            "video",
            (
                ReceiveCodec(MEDIA, 90_000, Vp8Depacketizer(), nack=True, pli=True),
                ReceiveCodec(RED, 90_000),
                ReceiveCodec(PARITY, 90_000),
            ),
            red_type=RED,
            parity_type=PARITY,
        )
        self.frames: list[EncodedFrame] = []
        self.now = 0.0
        self.stream = ReceiveStream(
            section,
            SSRC,
            None,
            section.codecs[1],
            IDS,
            lambda _, frame: self.frames.append(frame),
            wake=lambda _: None,
        )

    def put(self, packet: RtpPacket) -> None:
        self.now += 0.001
        self.stream.receive(packet, self.now)


def in_red(packet: RtpPacket) -> RtpPacket:
    data = packet.data[: packet.payload_start] + bytes((packet.payload_type,)) + packet.payload
    data = data[:1] + bytes((RED | packet.marker << 7,)) + data[2:]
    return parse(data)


def pictures(count: int, parity_each: int = 1) -> list[tuple[list[RtpPacket], list[RtpPacket]]]:
    """Media of each picture in RED, and the parity behind it."""
    cut = Vp8Packetizer(picture_id=32760)
    number = 65_500
    out = []
    rng = random.Random(1)
    for i in range(count):
        frame = (b"\x10" if i == 0 else b"\x11") + rng.randbytes(900)
        parts = cut.packetize(frame, key_frame=i == 0, max_payload_bytes=300)
        packets = [
            media(number + k, part, timestamp=3000 * i, marker=k == len(parts) - 1)
            for k, part in enumerate(parts)
        ]
        still = [(p.index, still_bytes(p, IDS)) for p in packets]
        number += len(packets)
        parity = []
        for j in range(parity_each):
            head = make_header(SSRC, [(4, b"mid")]).write(RED, number & 0xFFFF, 3000 * i, 0, 0)
            parity.append(parse(head + bytes((PARITY,)) + make_parity(still[j::parity_each])))
            number += 1
        out.append(([in_red(p) for p in packets], parity))
    return out


def test_a_stream_is_whole_with_one_packet_of_each_picture_lost() -> None:
    bench = Bench()
    for i, (packets, parity) in enumerate(pictures(20)):
        for k, packet in enumerate(packets):
            if not i or k != i % len(packets):
                bench.put(packet)
        for packet in parity:
            bench.put(packet)
    assert len(bench.frames) == 20
    recovery = bench.stream.correction.recovery
    assert recovery is not None
    assert (recovery.packets, recovery.recovered) == (20, 19)
    assert bench.stream.assembler is not None
    assert not bench.stream.assembler.wants_key_frame
    assert bench.stream.payload_type == MEDIA
    assert bench.stream.nack.due(bench.now + 1) == []


def test_lost_parity_holds_nothing_up() -> None:
    bench = Bench()
    for packets, _ in pictures(20, parity_each=2):
        for packet in packets:
            bench.put(packet)
    assert len(bench.frames) == 20
    assert len(bench.stream.nack) == 0


def test_lost_pictures_are_waited_for_behind_lost_parity() -> None:
    bench = Bench()
    for i, (packets, _) in enumerate(pictures(20)):
        for packet in packets if i != 10 else packets[1:]:
            bench.put(packet)
    assert len(bench.frames) == 10
    assert len(bench.stream.nack) >= 1


def test_malformed_red_costs_a_counter() -> None:
    bench = Bench()
    for packets, _ in pictures(2):
        for packet in packets:
            bench.put(packet)
    before = len(bench.frames)
    bench.put(parse(make_header(SSRC).write(RED, 65_508, 9000, 0, 0) + b"\xff\xff"))
    bench.put(parse(make_header(SSRC).write(RED, 65_508, 9000, 0, 0) + bytes((PARITY, 1, 2))))
    assert bench.stream.discarded == 1
    assert len(bench.frames) == before
