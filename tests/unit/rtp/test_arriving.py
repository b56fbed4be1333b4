"""Frames of sound that are handed on as they arrive."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtcstack.codecs.payload.opus import OpusDepacketizer
from rtcstack.codecs.payload.red import RedDepacketizer, RedPacketizer
from rtcstack.rtp.arriving import MAX_REMEMBERED, ArrivingSound
from rtcstack.rtp.parameters import Delivery, ReceiveCodec
from tests.unit.rtp.media import audio_section
from tests.unit.rtp.receiver import Receiver, rtp

TICKS = 960


def frame(number: int) -> bytes:
    return b"\x78" + number.to_bytes(2, "big")


def red_receiver() -> Receiver:
    codec = ReceiveCodec(63, 48000, RedDepacketizer(111, OpusDepacketizer()))
    return Receiver(audio_section(delivery=Delivery.FRAMES, codecs=(codec,)))


def packets(count: int, depth: int = 1, first: int = 0) -> list[bytes]:
    packetizer = RedPacketizer(111, depth)
    return [
        rtp(
            9,
            100 + i,
            packetizer.packetize(frame(i), (first + i * TICKS) & 0xFFFF_FFFF),
            timestamp=(first + i * TICKS) & 0xFFFF_FFFF,
            payload_type=63,
            mid=b"a",
        )
        for i in range(count)
    ]


def taken(receiver: Receiver, *sent: bytes) -> list[bytes]:
    return [each.frame.data for each in receiver.put(*sent) if hasattr(each, "frame")]


def test_what_red_carries_is_handed_on_and_not_red_itself() -> None:
    receiver = red_receiver()
    assert taken(receiver, *packets(4)) == [frame(i) for i in range(4)]


def test_a_copy_stands_in_for_what_was_lost_and_the_original_comes_no_more() -> None:
    receiver = red_receiver()
    sent = packets(4)
    assert taken(receiver, sent[0], sent[2]) == [frame(0), frame(1), frame(2)]
    assert taken(receiver, sent[1], sent[3]) == [frame(3)]


def test_a_copy_from_before_the_first_packet_is_of_the_past() -> None:
    receiver = red_receiver()
    assert taken(receiver, packets(3)[2]) == [frame(2)]


def test_what_is_no_red_costs_a_counter() -> None:
    receiver = red_receiver()
    bad = rtp(9, 100, b"\xff\xff", timestamp=0, payload_type=63, mid=b"a")
    assert taken(receiver, bad, packets(2)[1]) == [frame(1)]
    assert sum(receiver.session.refusals.counts.values()) == 1


@given(
    st.lists(st.booleans(), min_size=1, max_size=60),
    st.integers(1, 9),
    st.integers(0, (1 << 32) - 1),
)
def test_each_comes_once_and_in_order(arrives: list[bool], depth: int, first: int) -> None:
    receiver = red_receiver()
    sent = packets(len(arrives), depth, first)
    got = taken(receiver, *[each for each, here in zip(sent, arrives, strict=True) if here])
    numbers = [int.from_bytes(each[1:], "big") for each in got]
    assert numbers == sorted(set(numbers))
    assert {i for i, here in enumerate(arrives) if here} <= set(numbers)


def test_copies_that_are_remembered_are_few() -> None:
    receiver = red_receiver()
    sent = packets(400, 9)
    taken(receiver, *sent[::10])
    stream = receiver.session.current_stream("a")
    assert stream is not None
    sound = next(each for each in vars_of(stream) if isinstance(each, ArrivingSound))
    assert max(len(each) for each in vars_of(sound) if hasattr(each, "maxlen")) <= MAX_REMEMBERED


def vars_of(thing: object) -> list[object]:
    return [getattr(thing, name, None) for name in type(thing).__slots__]  # type: ignore[attr-defined]
