"""Encrypted header extensions in offers and answers: RFC 9335, section 4."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from rtcstack.errors import InvalidAccessError, ParseError
from rtcstack.jsep import BundlePolicy, Description, SdpType
from rtcstack.sdp import MediaDescription, parse_session
from tests.unit.jsep.peer import Peer, exchange, pair, propose
from tests.unit.jsep.test_answer import audio, data, sdp, video


def without(description: Description, *mids: str) -> Description:
    """A description without a=cryptex, in these sections or all."""
    head, *sections = description.sdp.split("m=")
    kept = [
        section.replace("a=cryptex\r\n", "")
        if not mids or any(f"a=mid:{mid}\r\n" in section for mid in mids)
        else section
        for section in sections
    ]
    return Description.parse(description.type, "m=".join([head, *kept]))


def said(media: MediaDescription) -> bool:
    return media.has("cryptex")


def agreed(peer: Peer) -> tuple[list[bool], list[bool]]:
    """Of each section, and of each transport."""
    session = peer.negotiation.session
    return [each.cryptex for each in session.sections], [each.cryptex for each in session.transports]


@pytest.mark.parametrize("policy", list(BundlePolicy))
def test_every_section_of_media_has_it_and_no_other(policy: BundlePolicy) -> None:
    a, b = Peer("a", bundle_policy=policy), Peer("b")
    for kind in ("audio", "video", "video"):
        a.add(kind)
    a.want_data()
    offer, answer = exchange(a, b)
    assert [said(media) for media in offer.media] == [True, True, True, False]
    assert [said(media) for media in answer.media] == [True, True, True, False]
    assert not offer.has("cryptex")
    assert agreed(a) == agreed(b) == ([True, True, True, False], [True])


def test_rejected_sections_do_without() -> None:
    a, b = pair("audio", "video")
    a.stop(1)
    offer, answer = exchange(a, b)
    assert [said(media) for media in offer.media] == [said(media) for media in answer.media] == [True, False]
    assert agreed(a) == ([True, False], [True])


def test_a_peer_that_does_not_know_it() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    a.set_local(a.offer())
    b.set_remote(without(a.offer()))
    answer = b.answer()
    assert answer.parsed is not None
    assert not said(answer.parsed.media[0])
    b.set_local(answer)
    a.set_remote(answer)
    assert agreed(a) == agreed(b) == ([False], [False])
    # and is asked again by every offer, as it was by the first
    assert said(a.offer().parsed.media[0])  # type: ignore[union-attr]


@pytest.mark.parametrize("lacking", [["0"], ["1"], ["0", "1"]])
@pytest.mark.parametrize("who", ["offerer", "answerer"])
def test_of_a_bundle_all_or_none(lacking: list[str], who: str) -> None:
    """Two sections with it and one without would be read wrongly: the MID of what comes could not be."""
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    a.add("video")
    offer = a.offer()
    a.set_local(offer)
    b.set_remote(without(offer, *lacking) if who == "offerer" else offer)
    answer = b.answer()
    assert answer.parsed is not None
    assert {said(media) for media in answer.parsed.media} == {who == "answerer"}
    if who == "answerer":
        answer = without(answer, *lacking)
    b.set_local(answer)
    a.set_remote(answer)
    assert agreed(a) == agreed(b) == ([False, False], [False])


def test_transports_of_their_own_agree_on_their_own() -> None:
    a, b = Peer("a", bundle_policy=BundlePolicy.MAX_COMPAT), Peer("b", bundle_policy=BundlePolicy.MAX_COMPAT)
    b.set_remote(sdp(audio("0", "a=cryptex"), video("1"), data("2")))
    answer = b.answer()
    assert answer.parsed is not None
    assert [said(media) for media in answer.parsed.media] == [True, False, False]
    b.set_local(answer)
    assert agreed(b) == ([True, False, False], [True, False, False])
    assert a.negotiation.session.sections == ()


def test_at_the_session_level_it_holds_for_all() -> None:
    b = Peer("b")
    b.set_remote(sdp("a=group:BUNDLE 0 1", "a=cryptex", audio("0"), video("1")))
    b.set_local(b.answer())
    assert agreed(b) == ([True, True], [True])


def test_it_takes_no_value() -> None:
    with pytest.raises(ParseError, match="cryptex"):
        parse_session(sdp(audio("0", "a=cryptex:1")))


def test_nothing_is_agreed_before_an_answer_and_a_rollback_gives_back_what_was() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    propose(a, b)
    assert agreed(a)[0] == agreed(b)[0] == [False]
    b.set_local(b.answer())
    assert agreed(b)[0] == [True]
    a.set_remote(Description.parse(SdpType.PRANSWER, b.negotiation.current_local.sdp))  # type: ignore[union-attr]
    assert agreed(a) == ([True], [True])
    a.set_remote(b.negotiation.current_local)  # type: ignore[arg-type]
    # an offer that adds a section, and takes the other's away, changes nothing by itself
    b.add("video")
    again = b.offer()
    b.set_local(again)
    a.set_remote(without(again))
    assert agreed(a) == agreed(b) == ([True, False], [True])
    a.rollback()
    b.rollback()
    assert agreed(a) == agreed(b) == ([True], [True])


@pytest.mark.parametrize("who", ["offerer", "answerer"])
def test_a_new_exchange_takes_it_away_and_brings_it_back(who: str) -> None:
    a, b = pair("audio", "video")
    for knows in (False, True, False):
        offer = a.offer()
        a.set_local(offer)
        b.set_remote(offer if knows or who == "answerer" else without(offer))
        answer = b.answer()
        b.set_local(answer if knows or who == "offerer" else without(answer))
        a.set_remote(b.negotiation.current_local)  # type: ignore[arg-type]
        assert agreed(a) == agreed(b) == ([knows] * 2, [knows])


@pytest.mark.parametrize("kinds", list(itertools.product(("audio", "video"), repeat=2)))
@pytest.mark.parametrize("lacking", [[], ["0"], ["1"]])
def test_where_it_is_required_a_section_without_is_refused(
    kinds: tuple[str, ...], lacking: list[str]
) -> None:
    a, b = Peer("a"), Peer("b", requires_cryptex=True)
    for kind in kinds:
        a.add(kind)
    a.want_data()
    offer = a.offer()
    before = b.negotiation
    if not lacking:
        b.set_remote(offer)
        return
    with pytest.raises(InvalidAccessError, match="rtpHeaderEncryptionPolicy"):
        b.set_remote(without(offer, *lacking))
    assert b.negotiation is before


def test_where_it_is_required_answers_are_refused_too() -> None:
    a, b = Peer("a", requires_cryptex=True), Peer("b")
    a.add("audio")
    a.set_local(a.offer())
    b.set_remote(a.negotiation.pending_local)  # type: ignore[arg-type]
    answer = b.answer()
    before = a.negotiation
    for kind in (SdpType.PRANSWER, SdpType.ANSWER):
        with pytest.raises(InvalidAccessError, match="section 0"):
            a.set_remote(replace(without(answer), type=kind))
    assert a.negotiation is before
    a.set_remote(answer)
    assert agreed(a) == ([True], [True])


def test_what_is_rejected_and_data_need_not_have_it() -> None:
    a, b = pair("audio", "video", data=True)
    b.intents = replace(b.intents, requires_cryptex=True)
    a.stop(1)
    exchange(a, b)
    b.set_remote(sdp(audio("0", "a=cryptex"), ["m=video 0 UDP/TLS/RTP/SAVPF 96", "a=mid:1"], data("2")))
