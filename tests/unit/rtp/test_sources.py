"""Who has the place of a section: sources that come, go, come back, stray, and are announced late."""

from __future__ import annotations

from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.demux import Rank
from rtcstack.rtp.events import FrameReceived, StreamEnded, StreamStarted
from rtcstack.rtp.parameters import Delivery, ReceiveCodec, Source, StreamName
from rtcstack.rtp.received import SILENT_S, SWITCH_S, SWITCH_TO_WORSE_S
from rtcstack.rtp.rtcp import Goodbye, ReceiverReport
from rtcstack.rtp.session import Drop
from tests.unit.rtp.media import KEY, START, Plain, Speech, audio_section, video_section
from tests.unit.rtp.receiver import Receiver, of, rtp


class Sources(Receiver):
    """Feeds packets of several sources; `counts` numbers them."""

    def __init__(self, *sections: Any, **changes: Any) -> None:
        super().__init__(*sections, **changes)
        self.counts: dict[int, int] = {}

    def flow(
        self, seconds: float, *ssrcs: int, mid: bytes | None = None, payload_type: int = 96, key: bool = True
    ) -> None:
        """Packets of these, 50 a second each, in turn."""
        for _ in range(max(1, int(seconds * 50))):
            self.wait(0.02)
            for ssrc in ssrcs:
                number = self.counts[ssrc] = self.counts.get(ssrc, 100 * ssrc) + 1
                payload = bytes((KEY if key else START,)) + b"%d/" % number
                self.put(rtp(ssrc, number, payload, mid=mid, payload_type=payload_type))

    def current(self, mid: str = "v") -> int | None:
        stream = self.session.current_stream(mid)
        return None if stream is None else stream.ssrc


def test_stray_packets_do_not_take_the_place_of_what_was_announced() -> None:
    receiver = Sources(sources=(Source(5),))
    receiver.flow(1, 5)
    receiver.flow(0.04, 9)
    assert receiver.current() == 5
    receiver.flow(3, 5)
    assert receiver.current() == 5
    assert [e.stream.ssrc for e in of(StreamStarted, receiver.events)] == [5]
    assert of(StreamEnded, receiver.events) == []  # nobody was told of the other
    assert [s.ssrc for s in receiver.session.receive_streams] == [5]


def test_a_flood_of_strays_beside_what_was_announced() -> None:
    receiver = Sources(sources=(Source(5),))
    receiver.flow(1, 5)
    for ssrc in range(100, 140):
        receiver.flow(0.06, 5, ssrc)
    assert receiver.current() == 5
    assert 5 in {s.ssrc for s in receiver.session.receive_streams}


def test_what_was_announced_takes_its_place_from_a_stray_one_at_once() -> None:
    receiver = Sources(sources=(Source(5),))
    receiver.flow(1, 9)
    assert receiver.current() == 9
    receiver.flow(0.02, 9, 5)
    assert receiver.current() == 5
    receiver.flow(1, 9, 5)
    assert receiver.current() == 5


@pytest.mark.parametrize("mid", [None, b"v"])
def test_a_then_b_then_a_again(mid: bytes | None) -> None:
    receiver = Sources()
    for ssrc in (5, 6, 5, 6, 5):
        receiver.flow(1.5, ssrc, mid=mid)
        assert receiver.current() == ssrc
        frames = of(FrameReceived, receiver.events)
        assert receiver.session.receive_stream(frames[-1].stream) is receiver.session.current_stream("v")
    started = [e.stream.ssrc for e in of(StreamStarted, receiver.events)]
    assert started == [5, 6, 5, 6, 5]


def test_a_then_b_then_a_after_it_was_forgotten() -> None:
    receiver = Sources(sources=(Source(5), Source(6)))
    for ssrc in (5, 6, 5):
        receiver.flow(6, ssrc)
        assert receiver.current() == ssrc


def test_a_source_that_nobody_announced_takes_over_when_the_announced_one_is_gone() -> None:
    receiver = Sources(sources=(Source(5),))
    receiver.flow(1, 5)
    receiver.flow(SWITCH_TO_WORSE_S - 0.3, 9)
    assert receiver.current() == 5
    receiver.flow(0.5, 9)
    assert receiver.current() == 9


def test_a_short_silence_of_the_current_one_changes_nothing() -> None:
    receiver = Sources()
    receiver.flow(1, 5)
    receiver.flow(SWITCH_S - 0.1, 9)
    receiver.flow(1, 5, 9)
    assert receiver.current() == 5


def test_after_goodbye_the_other_one_that_flows_is_shown() -> None:
    receiver = Sources(sources=(Source(5),))
    receiver.flow(1, 5, 9)
    receiver.put(ReceiverReport(5).to_bytes() + Goodbye((5,)).to_bytes())
    receiver.flow(0.02, 9)
    assert receiver.current() == 9


def test_sound_that_waited_while_another_played_is_not_played_late() -> None:
    receiver = Sources(audio_section(sources=(Source(5), Source(6))))
    receiver.flow(1, 5, payload_type=111)
    first = receiver.session.current_stream("a")
    assert first is not None
    before = first.playout
    receiver.flow(1, 5, 6, payload_type=111)
    assert receiver.current("a") == 6
    receiver.flow(SWITCH_S + 0.1, 5, payload_type=111)
    assert receiver.current("a") == 5
    assert first.playout is not before


# -- descriptions ---------------------------------------------------------------------------------


def speech(mid: str, *ssrcs: int) -> Any:
    return audio_section(
        mid=mid,
        codecs=(ReceiveCodec(0, 8000, Speech()),),
        delivery=Delivery.FRAMES,
        sources=tuple(Source(ssrc) for ssrc in ssrcs),
    )


def test_packets_that_came_before_their_description_go_where_it_says() -> None:
    receiver = Sources(speech("0", 10))
    receiver.flow(0.2, 10, 20, payload_type=0)
    assert {s.ssrc: s.section.mid for s in receiver.session.receive_streams} == {10: "0", 20: "0"}
    receiver.session.set_receive_section(speech("0", 10))
    receiver.session.set_receive_section(speech("1", 20))
    receiver.flow(0.2, 10, 20, payload_type=0)
    assert {s.ssrc: s.section.mid for s in receiver.session.receive_streams} == {10: "0", 20: "1"}
    assert (receiver.current("0"), receiver.current("1")) == (10, 20)


def test_a_source_that_is_announced_for_another_section_goes_there() -> None:
    receiver = Sources(speech("0", 10), speech("1", 20))
    receiver.flow(0.2, 10, 20, payload_type=0)
    receiver.session.set_receive_section(speech("0", 20))
    receiver.session.set_receive_section(speech("1", 10))
    receiver.flow(0.2, 10, 20, payload_type=0)
    assert (receiver.current("0"), receiver.current("1")) == (20, 10)
    # what has been said before is not said anew: packets that name their section go on
    receiver.flow(0.2, 10, mid=b"0", payload_type=0)
    receiver.session.set_receive_section(speech("1", 10))
    receiver.flow(0.2, 10, payload_type=0)
    assert {s.ssrc: s.section.mid for s in receiver.session.receive_streams}[10] == "0"


def test_a_payload_type_that_belongs_to_another_section_now_takes_its_streams_along() -> None:
    receiver = Sources(video_section(), audio_section())
    receiver.flow(0.2, 5)
    assert receiver.current("v") == 5
    receiver.session.set_receive_section(video_section(codecs=(ReceiveCodec(100, 90000, Plain()),)))
    receiver.session.set_receive_section(video_section(mid="w"))
    receiver.flow(0.2, 5)
    assert receiver.current("w") == 5
    assert receiver.current("v") is None


def test_retransmissions_are_bound_to_what_the_description_says() -> None:
    receiver = Sources(video_section())
    receiver.flow(0.2, 5, 6, mid=b"v")
    rtx = rtp(8, 1, pack("!H", 1) + bytes((START,)) + b"x", payload_type=97)
    receiver.put(rtx)
    assert receiver.session._received.by_ssrc[8].primary.ssrc == 6  # type: ignore[union-attr]
    receiver.session.set_receive_section(video_section(sources=(Source(5, 8),)))
    receiver.put(rtp(8, 2, pack("!H", 1) + bytes((START,)) + b"x", payload_type=97))
    assert receiver.session._received.by_ssrc[8].primary.ssrc == 5  # type: ignore[union-attr]


def test_what_is_not_announced_any_more_can_be_displaced() -> None:
    receiver = Sources(sources=(Source(5),))
    receiver.flow(0.5, 5)
    receiver.session.set_receive_section(video_section(sources=(Source(6),)))
    receiver.flow(0.1, 5, 6)
    assert receiver.current() == 6


# -- any order ------------------------------------------------------------------------------------

SSRCS = st.integers(1, 5)
orders = st.lists(
    st.one_of(
        st.tuples(
            st.just("flow"),
            st.lists(SSRCS, min_size=1, max_size=3, unique=True),
            st.sampled_from([None, b"v", b"w"]),
            st.floats(0.02, 1.0),
        ),
        st.tuples(
            st.just("describe"),
            st.sampled_from(["v", "w"]),
            st.lists(SSRCS, max_size=3, unique=True),
            st.sampled_from([96, 98]),
        ),
        st.tuples(st.just("remove"), st.sampled_from(["v", "w"]), st.none(), st.none()),
        st.tuples(st.just("bye"), SSRCS, st.none(), st.none()),
        st.tuples(st.just("wait"), st.floats(0, 4), st.none(), st.none()),
    ),
    max_size=15,
)


def described(mid: str, ssrcs: list[int], payload_type: int) -> Any:
    codecs = (ReceiveCodec(payload_type, 90000, Plain(), nack=True, pli=True),)
    return video_section(mid=mid, codecs=codecs, sources=tuple(Source(s) for s in ssrcs))


@given(orders, SSRCS)
def test_whoever_flows_alone_is_shown_and_what_was_announced_is_not_displaced(
    steps: list[Any], last: int
) -> None:
    receiver = Sources(described("v", [1, 2], 96), described("w", [3], 98))
    session = receiver.session

    def check() -> None:
        places: dict[Any, list[Any]] = {}
        for stream in session.receive_streams:
            places.setdefault((stream.section.mid, stream.rid), []).append(stream)
            assert session._received.by_ssrc[stream.ssrc] is stream
        for place, streams in places.items():
            assert sum(s.is_current for s in streams) <= 1
            for stream in streams:
                assert stream.is_current is (session._received.current.get(place) is stream)
        assert set(session._received.current) <= set(places)

    for what, one, two, three in steps:
        if what == "flow":
            before = dict(session._received.current)
            receiver.flow(three, *one, mid=two, payload_type=96 if two != b"w" else 98)
            for place, stream in before.items():
                now = session._received.current.get(place)
                if stream.rank is Rank.ANNOUNCED and receiver.now - stream.last_packet_at < SWITCH_S / 2:
                    assert now is None or now is stream or now.rank is Rank.ANNOUNCED
        elif what == "describe":
            session.set_receive_section(described(one, two, three))
        elif what == "remove":
            session.remove_receive_section(one)
        elif what == "bye":
            receiver.put(ReceiverReport(1).to_bytes() + Goodbye((one,)).to_bytes())
        else:
            receiver.wait(one)
        check()
    session.set_receive_section(described("w", [3], 98))
    session.set_receive_section(described("v", [1, 2], 96))
    receiver.flow(SILENT_S + 1.0, last, mid=b"v")
    check()
    assert receiver.current("v") == last
    shown = [e for e in receiver.events if isinstance(e, StreamStarted | StreamEnded)]
    # each that ended had begun; the last that began in the place is the one that has it
    begun: set[StreamName] = set()
    for event in shown:
        if isinstance(event, StreamStarted):
            begun.add(event.stream)
        else:
            assert event.stream in begun
            begun.remove(event.stream)
    assert [e for e in shown if isinstance(e, StreamStarted) and e.stream.mid == "v"][-1].stream.ssrc == last
    assert Drop.MALFORMED not in session.drops
