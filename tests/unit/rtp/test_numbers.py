"""No number of a source is ever used for two packets that differ: AES-GCM would not survive it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp import sent as sent_module
from rtcstack.rtp.extensions import Extension
from rtcstack.rtp.forward import MAX_GAP_PACKETS, MAX_LATE_PACKETS, Renumbering
from rtcstack.rtp.header import make_header
from rtcstack.rtp.packet import is_rtcp, parse
from rtcstack.rtp.parameters import SendParameters
from rtcstack.rtp.rtcp import Nack
from rtcstack.serial import Unwrapper
from tests.unit.rtp.media import IDS, session, video_parameters
from tests.unit.rtp.test_send import Sender, source_packet


class Watched:
    """What left a session, by SSRC and extended number."""

    def __init__(self) -> None:
        self.bytes: dict[tuple[int, int], bytes] = {}
        self.numbers: dict[int, list[int]] = {}
        self._unwrappers: dict[int, Unwrapper] = {}

    def look(self, datagrams: list[bytes]) -> None:
        for data in datagrams:
            if is_rtcp(data):
                continue
            packet = parse(data)
            unwrapper = self._unwrappers.setdefault(packet.ssrc, Unwrapper(16))
            number = unwrapper.unwrap(packet.sequence_number)
            assert self.bytes.setdefault((packet.ssrc, number), data) == data
            self.numbers.setdefault(packet.ssrc, []).append(packet.sequence_number)


def test_a_stream_without_rtx_any_more_repeats_nothing_that_went_with_it() -> None:
    sender = Sender(transport_cc=True)
    numbers = [p.sequence_number for p in sender.send(3)]
    sender.session.update_send_stream(
        sender.stream, video_parameters(rtx_ssrc=None, rtx_payload_type=None, transport_cc=True)
    )
    sender.now += 0.5
    assert sender.nack(*numbers) == []
    assert sender.stream.make_padding(1000) == []
    later = sender.send(2)[0]
    sender.now += 0.5
    again = [p for p in sender.nack(later.sequence_number) if p.sequence_number == later.sequence_number]
    assert [p.data for p in again] == [later.data]


def test_the_numbers_of_a_stream_that_was_removed_are_not_used_again() -> None:
    sender = Sender()
    first = sender.send(100)
    sender.now += 0.5
    repeated = sender.nack(*[p.sequence_number for p in first[-5:]])
    sender.session.remove_send_stream(sender.stream)
    sender.stream = sender.session.add_send_stream(video_parameters())
    second = sender.send(3)
    assert second[0].sequence_number == first[-1].sequence_number + 1
    sender.now += 0.5
    (again,) = sender.nack(second[0].sequence_number)
    assert again.sequence_number == repeated[-1].sequence_number + 1
    # its retransmissions' SSRC becomes that of a picture, and the other way round
    sender.session.remove_send_stream(sender.stream)
    sender.stream = sender.session.add_send_stream(video_parameters(ssrc=1002, rtx_ssrc=1001))
    third = sender.send(1)
    assert third[0].sequence_number == again.sequence_number + 1


def test_ssrcs_of_the_past_are_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(sent_module, "MAX_USED_SSRCS", 10)
    engine = session()
    for i in range(100):
        stream = engine.add_send_stream(video_parameters(ssrc=1 + 2 * i, rtx_ssrc=2 + 2 * i))
        engine.remove_send_stream(stream)
    assert len(engine._sent._numbers) == 10


def test_what_is_sent_on_twice_leaves_once() -> None:
    sender = Sender()
    one, two = source_packet(5, 100, 10), source_packet(5, 102, 30)
    late = source_packet(5, 101, 20)
    assert [sender.stream.send_rtp(p, sender.now) for p in (one, one, two, late, late, two, one)] == [
        True,
        False,
        True,
        True,
        False,
        False,
        False,
    ]
    assert len(sender.drain()) == 3


def test_what_is_made_here_and_what_is_sent_on_have_numbers_of_their_own() -> None:
    sender, watched = Sender(), Watched()
    for i in range(20):
        sender.stream.send_rtp(source_packet(5, 100 + i, i), sender.now)
        if i % 3 == 0:
            sender.stream.send([b"\2made here %d" % i], i, sender.now)
        sender.stream.send_rtp(source_packet(5, 100 + i - 1, i), sender.now)
        watched.look(sender.session.drain(sender.now))
    assert len(watched.numbers[1001]) >= 25


def test_a_jump_of_the_source_is_not_kept() -> None:
    """Beyond half of the space SRTP would take it for a step back."""
    renumbering = Renumbering(90000, 1)
    p = source_packet(5, 100, 0)
    assert renumbering.place(p, 1.0) == (1, 0)
    p.index += MAX_GAP_PACKETS
    assert renumbering.place(p, 1.1) == (1 + MAX_GAP_PACKETS, 0)
    p.index += 40_000
    assert renumbering.place(p, 1.2) == (2 + MAX_GAP_PACKETS, 0)
    p.index -= MAX_LATE_PACKETS
    assert renumbering.place(p, 1.3) is None
    p.index += MAX_LATE_PACKETS + 1
    assert renumbering.place(p, 1.4) == (3 + MAX_GAP_PACKETS, 0)


# -- any negotiation ------------------------------------------------------------------------------

FEWER = {uri: number for uri, number in IDS.items() if uri != Extension.TRANSPORT_CC}
OTHER = {uri: number + 8 for uri, number in IDS.items() if number < 7}


def parameters(which: int, rtx: int, payload_type: int, ids: int, nack: bool) -> SendParameters:
    ssrc = 100 + which
    rtx_ssrc = {0: None, 1: 200 + which, 2: 300 + which}[rtx]
    return video_parameters(
        mid=str(which),
        ssrc=ssrc,
        rtx_ssrc=rtx_ssrc,
        rtx_payload_type=None if rtx_ssrc is None else payload_type + 1,
        payload_type=payload_type,
        extensions=(IDS, FEWER, OTHER)[ids],
        transport_cc=ids != 1,
        nack=nack,
    )


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("agree"),
            st.integers(0, 1),
            st.tuples(st.integers(0, 2), st.sampled_from([96, 100]), st.integers(0, 2), st.booleans()),
        ),
        st.tuples(st.just("send"), st.integers(0, 1), st.integers(1, 12)),
        st.tuples(st.just("forward"), st.integers(0, 1), st.integers(-5, 20)),
        st.tuples(st.just("nack"), st.integers(0, 1), st.integers(0, 30)),
        st.tuples(st.just("pad"), st.integers(0, 1), st.integers(1, 3000)),
        st.tuples(st.just("remove"), st.integers(0, 1), st.none()),
        st.tuples(st.just("active"), st.integers(0, 1), st.booleans()),
        st.tuples(st.just("wait"), st.floats(0, 1.5), st.none()),
        st.tuples(st.just("path"), st.none(), st.none()),
    ),
    min_size=5,
    max_size=40,
)


@given(steps, st.integers(0, 1000))
def test_no_number_ever_leaves_with_other_bytes(steps: list[Any], seed: int) -> None:
    engine, watched = session(seed), Watched()
    now, index = 10.0, 500
    engine.start(now)
    streams: dict[int, Any] = {
        which: engine.add_send_stream(parameters(which, which, 96, 0, True)) for which in (0, 1)
    }
    for stream in streams.values():
        stream.send([bytes((2, i)) * 150 for i in range(5)], 0, now)
    watched.look(engine.drain(now))
    for what, which, how in steps:
        stream = streams.get(which)
        if what == "agree":
            wanted = parameters(which, *how)
            if stream is None:
                streams[which] = engine.add_send_stream(wanted)
            else:
                engine.update_send_stream(stream, wanted)
        elif what == "wait":
            now += which
        elif what == "path":
            engine.on_path_change(now)
        elif stream is None:
            continue
        elif what == "send":
            stream.send([bytes((2, i)) * 150 for i in range(how)], int(now * 90000), now, key_frame=how > 8)
        elif what == "forward":
            index += how
            packet = parse(make_header(77, []).write(96, index & 0xFFFF, index * 3000, 0, 0) + bytes(200))
            packet.index = index
            stream.send_rtp(packet, now)
        elif what == "nack":
            now += 0.2
            numbers = watched.numbers.get(stream.ssrc, [0])[-1 - how :]
            engine.receive([Nack(1, stream.ssrc, tuple(numbers)).to_bytes()], now)
        elif what == "pad":
            engine.sending.pacer.push(stream.make_padding(how), 1)
        elif what == "remove":
            engine.remove_send_stream(streams.pop(which))
        else:
            engine.set_active(stream, how)
        due = engine.next_timeout()
        if due is not None and due <= now:
            engine.handle_timeout(now)
        watched.look(engine.drain(now))
        engine.events()
