"""webrtc-pc, section 4.7.3: check if negotiation is needed."""

from __future__ import annotations

import pytest

from rtcstack.jsep import Negotiation, negotiation_needed
from rtcstack.sdp import Direction
from tests.unit.jsep.peer import Peer, exchange, pair, propose


def test_nothing_wanted_nothing_needed() -> None:
    assert not Peer().needed


def test_data_channels() -> None:
    a, b = Peer("a"), Peer("b")
    a.want_data()
    assert a.needed
    exchange(a, b)
    assert not a.needed
    # the other end has no channel of its own to negotiate
    assert not b.needed
    assert Peer(always_negotiate_data_channels=True).needed


def test_a_new_transceiver() -> None:
    a, b = pair("audio")
    assert not a.needed
    assert not b.needed
    a.add("audio")
    assert a.needed
    exchange(a, b)
    assert not a.needed


def test_stopping_until_it_is_negotiated() -> None:
    a, b = pair("audio")
    a.stop(0)
    assert a.needed
    exchange(a, b)
    assert not a.needed
    assert not b.needed


def test_a_stopped_transceiver_whose_section_lives() -> None:
    a, _ = pair("audio")
    a.change(0, stopping=True, stopped=True)
    assert a.needed
    never_offered = Peer()
    never_offered.add("audio", stopping=True, stopped=True)
    assert not never_offered.needed


@pytest.mark.parametrize("agreed", Direction)
@pytest.mark.parametrize("wanted", Direction)
def test_the_offerers_direction(agreed: Direction, wanted: Direction) -> None:
    """Needed unless what it wants is what it offered, or what was answered."""
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    propose(a, b)
    b.change(0, direction=agreed, msids=(("s", "t"),))
    answer = b.answer()
    b.set_local(answer)
    a.set_remote(answer)
    a.change(0, direction=wanted)
    assert a.needed is (wanted not in (Direction.SENDRECV, agreed.reversed))


@pytest.mark.parametrize("offered", Direction)
@pytest.mark.parametrize("answered", Direction)
@pytest.mark.parametrize("wanted", Direction)
def test_the_answerers_direction(offered: Direction, answered: Direction, wanted: Direction) -> None:
    """Needed unless what it wants would make the same answer."""
    a, b = Peer("a"), Peer("b")
    a.add("audio", direction=offered)
    propose(a, b)
    b.change(0, direction=answered, msids=(("s", "t"),))
    b.set_local(b.answer())
    b.change(0, direction=wanted)
    same = wanted & offered.reversed is answered & offered.reversed
    # a sender whose stream the description does not name must name it
    named = answered.send or not wanted.send
    assert b.needed is not (same and named)


@pytest.mark.parametrize(
    ("msids", "needed"),
    [
        ((("s", "t"),), False),
        ((("s", "other track"),), False),
        ((("other", "t"),), True),
        ((("s", "t"), ("more", "t")), True),
        ((), True),
        ((("-", "t"),), True),
    ],
)
def test_streams(msids: tuple[tuple[str, str], ...], needed: bool) -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio", msids=(("s", "t"),))
    exchange(a, b)
    a.change(0, msids=msids)
    assert a.needed is needed
    a.change(0, msids=(("s", "t"),), direction=Direction.RECVONLY)
    assert a.needed
    exchange(a, b)
    assert not a.needed


def test_a_sender_without_stream_settles() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio", msids=())
    exchange(a, b)
    assert not a.needed


def test_a_transceiver_that_missed_the_offer() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    offer = a.offer()
    a.set_local(offer)
    a.add("video")
    b.set_remote(offer)
    answer = b.answer()
    b.set_local(answer)
    a.set_remote(answer)
    assert a.needed


def test_ice_restart() -> None:
    a, _ = pair("audio")
    assert negotiation_needed(a.negotiation, a.intents, ice_restart=True)
    assert not negotiation_needed(Negotiation.initial(), Peer().intents)
