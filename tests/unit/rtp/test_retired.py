"""Packets of a section that was removed are on their way still: they are nobody else's, and no fault."""

from __future__ import annotations

from rtcstack.rtp.events import StreamStarted
from rtcstack.rtp.parameters import Source
from rtcstack.rtp.retired import MAX_RETIRED, Retired
from rtcstack.rtp.session import Drop
from tests.unit.rtp.media import START, video_section
from tests.unit.rtp.receiver import Receiver, of, rtp
from tests.unit.rtp.test_sources import Sources


def test_what_is_on_its_way_when_a_section_goes_is_not_taken_for_another_one() -> None:
    receiver = Sources(video_section(mid="v"), video_section(mid="w"))
    receiver.flow(1, 5, mid=b"v")
    receiver.session.remove_receive_section("v")
    before = len(of(StreamStarted, receiver.events))
    # the other section is the only one with this payload type now
    receiver.flow(1, 5)
    receiver.flow(1, 6, mid=b"v")
    assert len(of(StreamStarted, receiver.events)) == before
    assert receiver.session.drops == {Drop.RETIRED: 100}
    # and the source may be told to belong there
    receiver.flow(1, 5, mid=b"w")
    assert receiver.current("w") == 5


def test_sources_that_were_announced_are_remembered_though_nothing_came() -> None:
    receiver = Sources(video_section(mid="v", sources=(Source(5, 55),)), video_section(mid="w"))
    receiver.session.remove_receive_section("v")
    receiver.flow(1, 5, 55)
    assert receiver.session.drops == {Drop.RETIRED: 100}


def test_a_section_that_comes_back_has_its_source_again() -> None:
    receiver = Sources(sources=(Source(5),))
    receiver.flow(1, 5)
    section = video_section(sources=(Source(5),))
    receiver.session.remove_receive_section("v")
    receiver.flow(0.1, 5)
    receiver.session.set_receive_section(section)
    receiver.flow(1, 5)
    assert receiver.current() == 5
    assert receiver.session.drops == {Drop.RETIRED: 5}


def test_probes_before_there_is_media_are_no_fault() -> None:
    """libwebrtc probes so, on the source of retransmissions."""
    receiver = Receiver(sources=(Source(5, 55),))
    refusals = receiver.session.refusals
    receiver.put(rtp(55, 1, b"", mid=b"v", payload_type=97))
    receiver.put(rtp(55, 2, b"\0\1x", mid=b"v", payload_type=97))
    assert receiver.session.drops == {Drop.NO_PRIMARY: 2}
    assert len(refusals) == 0
    receiver.put(rtp(6, 1, bytes((START,)), mid=b"v"))
    assert receiver.session.current_stream("v") is not None
    receiver.put(rtp(55, 3, b"\0\1x", mid=b"v", payload_type=97))  # of none that there is
    assert refusals.counts == {("rtp", Drop.NO_PRIMARY): 1}


def test_little_is_remembered_however_much_goes() -> None:
    retired = Retired()
    for number in range(3 * MAX_RETIRED):
        retired.retire(str(number), (number,))
    assert retired.has(3 * MAX_RETIRED - 1, None)
    assert retired.has(7, str(3 * MAX_RETIRED - 1))
    assert not retired.has(7, None)
    assert not retired.has(3 * MAX_RETIRED - 1, "7")
    retired.restore(str(3 * MAX_RETIRED - 1))
    assert not retired.has(3 * MAX_RETIRED - 1, None)
