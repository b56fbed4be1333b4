"""What setting descriptions does, and what it refuses: RFC 9429, sections 5.5 to 5.11."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtcstack.errors import InvalidAccessError, InvalidStateError, RTCError
from rtcstack.jsep import (
    Description,
    Negotiation,
    SdpType,
    SectionChanged,
    SendEncoding,
    Side,
    TransceiverCreated,
    TransceiverRemoved,
    TransceiverStopped,
    TransportAdded,
    TransportChanged,
    TransportRemoved,
)
from rtcstack.jsep.defaults import default_capabilities
from rtcstack.jsep.diff import diff
from rtcstack.jsep.session import CodecFormat
from rtcstack.sdp import Direction
from tests.unit.jsep.peer import Peer, exchange, lines, pair, propose
from tests.unit.jsep.test_answer import audio, data, sdp, video


def kinds(peer: Peer) -> list[str]:
    return [type(effect).__name__ for effect in peer.effects]


def some_codecs(*mime_types: str) -> tuple[CodecFormat, ...]:
    known = default_capabilities().of(mime_types[0].partition("/")[0]).receive
    return tuple(each for each in known if each.mime_type.lower() in mime_types)


def refuses(peer: Peer, text: str, message: str, sdp_type: str = "offer") -> None:
    before = peer.negotiation
    with pytest.raises(InvalidAccessError, match=message):
        peer.set_remote(text, sdp_type)
    assert peer.negotiation is before


# Who belongs to which section


def test_remote_offers_take_the_transceivers_that_add_track_made() -> None:
    b = Peer("b")
    explicit = b.add("audio")
    tracked = b.add_track("audio")
    stopping = b.add_track("video")
    b.stop(stopping)
    second = b.add_track("video")
    b.set_remote(sdp("a=group:BUNDLE 0 1 2", audio("0"), video("1"), audio("2")))
    assert b.negotiation.mid_of(tracked) == "0"
    assert b.negotiation.mid_of(second) == "1"
    assert b.negotiation.mid_of(explicit) is None
    created = [effect for effect in b.effects if isinstance(effect, TransceiverCreated)]
    assert created == [TransceiverCreated(4, "audio", "2")]
    assert b.intents.transceivers[-1].direction is Direction.RECVONLY
    assert b.needed  # for the explicit one, and the one that is stopping


@pytest.mark.parametrize("theirs", [Direction.SENDRECV, Direction.SENDONLY])
def test_remote_offers_take_what_fits_any_of_them(theirs: Direction) -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio", direction=theirs)
    b.add("audio")
    fitting = b.add("audio", fits_any_offer=True)
    propose(a, b)
    assert b.negotiation.session.sections[0].transceiver == fitting


@pytest.mark.parametrize("direction", Direction)
def test_only_sections_that_receive_take_them(direction: Direction) -> None:
    b = Peer("b")
    tracked = b.add_track("audio")
    b.set_remote(sdp(audio("0", f"a={direction}")))
    assert (b.negotiation.mid_of(tracked) == "0") is direction.recv


def test_rejected_sections_ask_for_no_transceiver() -> None:
    b = Peer("b")
    b.set_remote(sdp(["m=audio 0 UDP/TLS/RTP/SAVPF 0", "a=mid:0"], audio("1")))
    assert [effect.mid for effect in b.effects if isinstance(effect, TransceiverCreated)] == ["1"]


def test_a_recycled_section_gets_a_transceiver_of_its_own() -> None:
    a, b = pair("audio", "video")
    a.stop(0)
    exchange(a, b)
    a.add("video")
    propose(a, b)
    changes = [effect for effect in b.effects if isinstance(effect, SectionChanged)]
    assert [(c.old and c.old.mid, c.new and c.new.mid) for c in changes][:2] == [("0", None), (None, "2")]
    assert b.mids() == ["1", "2"]


def test_whose_section_is_recycled_may_take_it_again() -> None:
    # addTrack made it, and its section was refused, for want of a codec perhaps (RFC 9429, section 5.10)
    a, b = Peer("a"), Peer("b")
    a.add("audio", codec_preferences=some_codecs("audio/pcmu"))
    tracked = b.add_track("audio", codec_preferences=some_codecs("audio/opus"))
    exchange(a, b)
    assert b.negotiation.mid_of(tracked) == "0"
    a.add("audio")
    propose(a, b)
    assert [each.mid for each in b.sections] == ["1"]
    assert b.negotiation.mid_of(tracked) == "1"
    assert len(b.intents.transceivers) == 1


def test_a_bundle_goes_on_when_the_section_that_carried_it_is_refused() -> None:
    # what is new stands on the transport that the offer put it on; the other side goes on with that, too
    a, b = pair("audio")
    kept = [each.key for each in b.negotiation.session.transports]
    a.change(0, codec_preferences=some_codecs("audio/pcmu"))
    b.change(0, codec_preferences=some_codecs("audio/opus"))
    a.add("video")
    a.restart()
    exchange(a, b)
    assert [each.rejected for each in b.negotiation.session.sections] == [True, False]
    assert [each.key for each in b.negotiation.session.transports] == kept
    for peer, other in ((a, b), (b, a)):
        (mine,), (theirs,) = peer.negotiation.session.transports, other.negotiation.session.transports
        assert (mine.remote.ice_ufrag, mine.remote.ice_pwd) == (theirs.local.ice_ufrag, theirs.local.ice_pwd)


def test_a_section_that_the_offer_ends_leaves_its_transport_to_nobody() -> None:
    # what was to join it by an offer that another has replaced comes with a transport of its own
    a, b = pair("audio")
    (before,) = a.negotiation.session.transports
    a.add("video")
    for _ in range(2):
        propose(a, b)
        a.stop(0)
    answer = b.answer()
    b.set_local(answer)
    a.set_remote(answer)
    for peer in (a, b):
        assert [each.rejected for each in peer.negotiation.session.sections] == [True, False]
        assert before.key not in [each.key for each in peer.negotiation.session.transports]


def test_a_peer_that_rejects_stops_our_transceiver() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    a.add("video")
    propose(a, b)
    b.change(0, stopped=True, stopping=True)
    answer = b.answer()
    b.set_local(answer)
    a.set_remote(answer)
    assert [e for e in a.effects if isinstance(e, TransceiverStopped)] == [TransceiverStopped(0, "0")]
    assert [e for e in b.effects if isinstance(e, TransceiverStopped)] == []
    (transport,) = a.negotiation.session.transports
    assert transport.mid == "1"


def test_an_offer_that_rejects_stops_our_transceiver_at_once() -> None:
    a, b = pair("audio", "video")
    a.stop(0)
    b.set_remote(a.offer())
    assert [e for e in b.effects if isinstance(e, TransceiverStopped)] == [TransceiverStopped(0, "0")]


# Descriptions and states


def test_descriptions_move_as_webrtc_pc_has_it() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    assert a.negotiation.local_description is None
    offer = propose(a, b)
    assert (a.negotiation.state, b.negotiation.state) == ("have-local-offer", "have-remote-offer")
    assert a.negotiation.pending_local == a.negotiation.local_description == offer
    assert b.negotiation.pending_remote == b.negotiation.remote_description
    answer = b.answer()
    b.set_local(answer)
    a.set_remote(answer)
    for peer in (a, b):
        now = peer.negotiation
        assert (now.state, now.pending_local, now.pending_remote) == ("stable", None, None)
        assert now.working is None
        assert now.stable is not None
    assert a.negotiation.current_local == offer
    assert b.negotiation.current_local == answer
    assert a.negotiation.closed().state == "closed"


def test_malformed_text_says_where() -> None:
    with pytest.raises(RTCError) as caught:
        Description.parse("offer", sdp(audio("0"), ["a=mid:"]))
    assert caught.value.errorDetail == "sdp-syntax-error"
    assert caught.value.sdpLineNumber == 13


def test_wrong_states() -> None:
    a = Peer("a")
    a.add("audio")
    offer = a.offer()
    for side, sdp_type in ((Side.LOCAL, SdpType.ANSWER), (Side.REMOTE, SdpType.PRANSWER)):
        with pytest.raises(InvalidStateError):
            (a.set_local if side is Side.LOCAL else a.set_remote)(offer.as_type(sdp_type))
    with pytest.raises(InvalidStateError):
        a.rollback()
    assert a.negotiation == Negotiation.initial()


def test_rollback_restores_everything() -> None:
    a, b = pair("audio", data=True)
    before = a.negotiation, b.negotiation
    a.add("video")
    a.restart()
    propose(a, b)
    assert a.negotiation.mid_of(1) == "2"
    a.rollback()
    b.rollback()
    assert (a.negotiation, b.negotiation) == before
    assert a.negotiation.mid_of(1) is None
    assert [e for e in b.effects if isinstance(e, TransceiverRemoved)] == [TransceiverRemoved(1)]
    assert any(isinstance(e, TransportChanged) and e.local_restart for e in a.effects)


def test_a_transceiver_that_add_track_uses_survives_the_rollback() -> None:
    b = Peer("b")
    b.set_remote(sdp(audio("0"), video("1")))
    b.change(0, used_by_add_track=True, direction=Direction.SENDRECV)
    b.rollback()
    assert [e for e in b.effects if isinstance(e, TransceiverRemoved)] == [TransceiverRemoved(1)]
    assert b.mids() == [None]
    again = b.offer().parsed
    assert again is not None
    assert [media.kind for media in again.media] == ["audio"]


def test_a_remote_offer_rolls_ours_back() -> None:
    a = Peer("a")
    ours = a.add_track("video")
    a.set_local(a.offer())
    first = a.negotiation.session.transports
    a.set_remote(sdp(audio("0")))
    assert a.negotiation.state == "have-remote-offer"
    assert a.negotiation.pending_local is None
    assert a.negotiation.mid_of(ours) is None
    assert TransportRemoved(first[0]) in a.effects
    assert a.needed is True


def test_a_second_remote_offer_replaces_the_first_and_keeps_its_transceivers() -> None:
    b = Peer("b")
    b.set_remote(sdp("a=group:BUNDLE 0", audio("0")))
    b.set_remote(sdp("a=group:BUNDLE 0 1", audio("0"), video("1")))
    assert b.mids() == ["0", "1"]
    refuses(b, sdp("a=group:BUNDLE 0", audio("0")), "the session has 2")
    b.rollback()
    assert b.intents.transceivers == ()


def test_provisional_answers_free_nothing() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    a.add("video")
    offer = propose(a, b)
    answer = b.answer()
    a.set_remote(answer.as_type(SdpType.PRANSWER))
    assert a.negotiation.state == "have-remote-pranswer"
    assert [each.key for each in a.negotiation.session.transports] == ["0", "1"]
    assert [section.transport for section in a.sections] == ["0", "0"]
    assert a.negotiation.pending_remote is not None
    assert a.sections[0].current_direction is Direction.SENDONLY
    # a later answer may decide otherwise: this peer does not bundle after all
    third = Peer("c", bundle_policy="max-compat")
    third.set_remote(offer.sdp.replace("a=group:BUNDLE 0 1\r\n", ""))
    a.set_remote(third.answer())
    assert [section.transport for section in a.sections] == ["0", "1"]
    with pytest.raises(InvalidStateError):
        a.rollback()


def test_another_peer_may_answer_after_a_provisional_answer() -> None:
    a = Peer("a")
    a.add("audio")
    offer = a.offer()
    a.set_local(offer)
    answers = []
    for name in "bcb":
        other = Peer(name)
        other.set_remote(offer)
        answers.append(other.answer())
    told = []
    for answer, sdp_type in zip(answers, (SdpType.PRANSWER, SdpType.PRANSWER, SdpType.ANSWER), strict=True):
        a.set_remote(answer.as_type(sdp_type))
        [transport] = a.negotiation.session.transports
        assert transport.remote is not None
        told.append((transport.peer, transport.association, transport.remote.ice_ufrag))
    ufrags = [each.parsed.media[0].ice_ufrag for each in answers if each.parsed is not None]
    assert told == [(0, 0, ufrags[0]), (1, 1, ufrags[1]), (2, 2, ufrags[0])]
    assert a.negotiation.state == "stable"


def test_a_peer_that_restarts_between_its_answers_keeps_its_association() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    propose(a, b)
    a.set_remote(b.answer().as_type(SdpType.PRANSWER))
    b.restart("0")
    a.set_remote(b.answer())
    [transport] = a.negotiation.session.transports
    assert (transport.peer, transport.association) == (1, 0)


def test_another_certificate_needs_other_credentials_than_in_the_provisional_answer() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    propose(a, b)
    a.set_remote(b.answer().as_type(SdpType.PRANSWER))
    before = a.negotiation
    b.certificate = "another"
    refuses(a, b.answer().sdp, "certificate or tls-id", "answer")
    assert a.negotiation is before


def test_effects_of_a_first_exchange() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    a.want_data()
    offer = a.offer()
    a.set_local(offer)
    assert kinds(a) == ["TransportAdded", "TransportAdded", "SectionChanged", "SectionChanged"]
    b.set_remote(offer)
    assert kinds(b) == ["TransceiverCreated", "SectionChanged", "SectionChanged"]
    answer = b.answer()
    b.set_local(answer)
    assert kinds(b) == ["TransportAdded", "SectionChanged", "SectionChanged"]
    a.set_remote(answer)
    assert kinds(a) == ["TransportChanged", "SectionChanged", "SectionChanged", "TransportRemoved"]
    (added,) = (effect for effect in b.effects if isinstance(effect, TransportAdded))
    assert added.transport.remote is not None


def test_differences_run_both_ways() -> None:
    a, b = pair("audio", data=True)
    old = a.negotiation.session
    a.add("video")
    exchange(a, b)
    new = a.negotiation.session
    forward = [e for e in diff(old, new) if isinstance(e, SectionChanged)]
    backward = [e for e in diff(new, old) if isinstance(e, SectionChanged)]
    assert [(e.old, e.new) for e in forward] == [(e.new, e.old) for e in backward]
    assert diff(old, old) == diff(None, None) == ()
    assert kinds_of(diff(new, None)) == ["SectionChanged"] * 3 + ["TransportRemoved"]


def kinds_of(effects: tuple[object, ...]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


# What is refused


GOOD = sdp("a=group:BUNDLE 0 1", audio("0"), data("1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (sdp(audio("0"), audio("0")), "same mid"),
        (sdp("a=group:BUNDLE 0 9", audio("0")), "no m= section has"),
        (sdp("a=group:BUNDLE 0 0", audio("0")), "twice"),
        (sdp("a=group:BUNDLE 0", "a=group:BUNDLE 0", audio("0")), "twice"),
        (GOOD.replace("a=ice-ufrag:ufra0\r\n", ""), "no ICE ufrag"),
        (GOOD.replace("a=ice-pwd:0123456789012345678901\r\n", ""), "no ICE ufrag"),
        (GOOD.replace("a=fingerprint", "a=x-fingerprint"), "fingerprint"),
        (GOOD.replace("setup:actpass", "setup:holdconn"), "holdconn"),
        (GOOD.replace("a=rtcp-mux\r\n", ""), "rtcp-mux"),
        (GOOD.replace("a=rtcp-mux\r\n", "a=rtcp-mux-only\r\n"), "rtcp-mux"),
        (sdp(video("0", "a=simulcast:send 1", "a=rid:1 recv")), "no a=rid"),
        (sdp(video("0", "a=extmap:1 urn:a", "a=extmap:1 urn:b")), "extmap id 1"),
    ],
)
def test_offers_that_contradict_themselves(text: str, message: str) -> None:
    refuses(Peer("b"), text, message)


def test_numbers_may_differ_between_sections_that_are_not_bundled() -> None:
    b = Peer("b", bundle_policy="max-compat")
    b.set_remote(sdp(video("0"), [line.replace("VP8", "VP9") for line in video("1")]))
    b.set_local(b.answer())
    assert [section.send_codecs[0].name for section in b.sections] == ["vp8", "vp9"]


def test_numbers_may_differ_between_sections_that_are_bundled() -> None:
    """As Firefox has it when it adds a section to what we have offered."""
    b = Peer("b")
    vp9 = [line.replace("VP8", "VP9") for line in video("1")]
    b.set_remote(sdp("a=group:BUNDLE 0 1", video("0"), vp9))
    b.set_local(b.answer())
    # and our next offer keeps every section's numbers
    for section, name in zip(b.offer().parsed.media, ("VP8", "VP9"), strict=True):
        assert f"96 {name}/90000" in lines(section, "rtpmap")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (sdp(audio("0")), "has 1 m= sections, the session has 2"),
        (sdp("a=group:BUNDLE 0 2", audio("0"), data("2")), "mid '2'"),
        (sdp("a=group:BUNDLE 0 1", video("0"), data("1")), "is video"),
        (sdp("a=group:BUNDLE 1 0", data("1"), audio("0")), "mid '1'"),
    ],
)
def test_offers_that_do_not_continue_the_session(text: str, message: str) -> None:
    b = Peer("b")
    b.set_remote(GOOD)
    b.set_local(b.answer())
    refuses(b, text, message)
    b.set_remote(GOOD)


def offered(*, simulcast: bool = False) -> tuple[Peer, str]:
    """A peer with a pending offer of audio, video and data, and a good answer to it."""
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    a.add("video", send_encodings=(SendEncoding("q"), SendEncoding("h")) if simulcast else ())
    a.want_data()
    propose(a, b)
    return a, b.answer().sdp


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("m=application", "a=x\r\nm=application", None),
        ("m=audio", "m=video", "is video, of the offer audio"),
        ("UDP/TLS/RTP/SAVPF", "RTP/SAVPF", "protocol"),
        ("a=mid:0\r\n", "a=mid:7\r\n", "BUNDLE group names"),
        ("a=setup:active", "a=setup:actpass", "must choose a role"),
        ("BUNDLE 0 1 2", "BUNDLE 0 1", None),
        ("BUNDLE 0 1 2", "LS 0 1 2", None),
        (" 111 ", " 99 ", None),
    ],
)
def test_answers(old: str, new: str, message: str | None) -> None:
    a, answer = offered()
    assert old in answer
    if message is None:
        a.set_remote(answer.replace(old, new), "answer")
    else:
        refuses(a, answer.replace(old, new), message, "answer")


def test_answers_of_the_wrong_length() -> None:
    a, answer = offered()
    refuses(a, answer[: answer.index("m=application")].replace("0 1 2", "0 1"), "answer has 2", "answer")


def test_answers_with_mids_in_the_wrong_place() -> None:
    a, answer = offered()
    swapped = answer.replace("a=mid:0", "a=mid:x").replace("a=mid:1", "a=mid:0").replace("a=mid:x", "a=mid:1")
    refuses(a, swapped, "has mid '1', of the offer '0'", "answer")


def test_answers_that_bundle_what_was_not_offered_together() -> None:
    a, answer = offered()
    a.rollback()
    offer = a.offer()
    # as if the application had taken the group out before it sent the offer
    lone = Description.parse("offer", offer.sdp.replace("a=group:BUNDLE 0 1 2\r\n", ""))
    a.set_local(replace(lone, transceivers=offer.transceivers))
    refuses(a, answer, "which the offer does not", "answer")


def test_bundle_only_sections_cannot_be_answered_alone() -> None:
    a, b = Peer("a", bundle_policy="max-bundle"), Peer("b")
    a.add("audio")
    a.add("video")
    propose(a, b)
    refuses(a, b.answer().sdp.replace("a=group:BUNDLE 0 1\r\n", ""), "for bundling only", "answer")


def test_answers_with_nothing_in_common() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("video")
    propose(a, b)
    refuses(a, b.answer().sdp.replace("/90000", "/1234"), "none of the formats", "answer")


def test_answers_that_take_fewer_streams() -> None:
    a, answer = offered(simulcast=True)
    fewer = answer.replace("a=rid:q recv\r\n", "").replace("recv q;h", "recv h")
    a.set_remote(fewer, "answer")
    assert a.sections[1].send_rids == ("h",)
    a, answer = offered(simulcast=True)
    none = "\r\n".join(line for line in answer.split("\r\n") if not line.startswith(("a=rid", "a=simulcast")))
    a.set_remote(none, "answer")
    assert a.sections[1].send_rids == ()


def test_an_answer_that_accepts_what_was_rejected_changes_nothing() -> None:
    a, b = pair("audio", "video")
    a.stop(0)
    propose(a, b)
    answer = b.answer().sdp
    stubborn = answer.replace("m=audio 0", "m=audio 9").replace("BUNDLE 1", "BUNDLE 0 1")
    a.set_remote(stubborn, "answer")
    assert a.sections[0].rejected
    assert a.negotiation.session.bundle_groups == (("1",),)


# ICE restarts and new certificates


def test_an_answer_must_restart_when_the_offer_does_and_only_then() -> None:
    a, b = pair("audio")
    offer = propose(a, b)
    b.restart()
    refuses(a, b.answer().sdp, "which the offer did not", "answer")

    a, b = pair("audio")
    a.restart()
    offer = a.offer()
    a.set_local(offer)
    keeps = Peer("b")
    keeps.set_remote(offer)
    refuses(a, keeps.answer().sdp, "the answer does not", "answer")


def test_restarts_reach_both_ends_as_effects() -> None:
    a, b = pair("audio")
    a.restart()
    offer = a.offer()
    a.set_local(offer)
    assert [(e.local_restart, e.remote_restart) for e in a.effects if isinstance(e, TransportChanged)] == [
        (True, False)
    ]
    b.set_remote(offer)
    answer = b.answer()
    b.set_local(answer)
    assert [(e.local_restart, e.remote_restart) for e in b.effects if isinstance(e, TransportChanged)] == [
        (True, True)
    ]
    a.set_remote(answer)
    assert [(e.local_restart, e.remote_restart) for e in a.effects if isinstance(e, TransportChanged)] == [
        (False, True)
    ]


def test_a_new_certificate_needs_an_ice_restart() -> None:
    a, b = pair("audio")
    propose(a, b)
    b.certificate = "another"
    refuses(a, b.answer().sdp, "fingerprint without an ICE restart", "answer")


def test_a_new_tls_id_needs_an_ice_restart() -> None:
    a, b = Peer("a"), Peer("b")
    a.tls_id = b.tls_id = "x" * 20
    a.add("audio")
    exchange(a, b)
    a.tls_id = "y" * 20
    refuses(b, a.offer().sdp, "tls-id")
    a.restart()
    exchange(a, b)
    assert [p.negotiation.session.transports[0].association for p in (a, b)] == [1, 1]


def test_made_up_credentials_of_another_tagged_section_are_passed_over() -> None:
    a, b = pair("audio", "video")
    a.stop(0)
    propose(a, b)
    answer = b.answer()
    b.set_local(answer)
    before = a.negotiation.session.transports[0].remote
    a.set_remote(answer.sdp.replace("a=ice-pwd:", "a=ice-pwd:x"), "answer")
    old = a.negotiation.session.transports[0].remote
    assert old is not None
    assert before is not None
    assert (old.ice_ufrag, old.ice_pwd) == (before.ice_ufrag, before.ice_pwd)
    old = a.negotiation.session.transports[0].remote
    assert old is not None
    a.add("audio")
    propose(a, b)
    answer = b.answer().sdp

    def made_up(answer: str) -> str:
        return answer.replace(f"a=ice-ufrag:{old.ice_ufrag}", "a=ice-ufrag:madeup")

    a.set_remote(made_up(answer), "answer")
    now = a.negotiation.session.transports[0].remote
    assert now is not None
    assert now.ice_ufrag == old.ice_ufrag
    # the peer goes on writing them, in its answers
    b.set_local(b.answer())
    propose(a, b)
    a.set_remote(made_up(b.answer().sdp), "answer")
    (transport,) = a.negotiation.session.transports
    assert transport.remote is not None
    assert transport.remote.ice_ufrag == old.ice_ufrag
    assert transport.disregarded == ("madeup", old.ice_pwd)
    # but an offer with them means them
    a.set_remote(made_up(b.answer().sdp).replace("setup:active", "setup:actpass"))
    a.set_local(a.answer())
    (transport,) = a.negotiation.session.transports
    assert transport.remote is not None
    assert (transport.remote.ice_ufrag, transport.disregarded) == ("madeup", None)


def test_lite_peers_are_controlled() -> None:
    b = Peer("b")
    b.set_remote(sdp("a=ice-lite", audio("0")))
    b.set_local(b.answer())
    (transport,) = b.negotiation.session.transports
    assert transport.ice_controlling
    assert transport.remote is not None
    assert transport.remote.ice_lite


def test_trickle_is_what_the_peer_says() -> None:
    b = Peer("b")
    assert b.negotiation.can_trickle_ice_candidates is None
    b.set_remote(sdp(audio("0")))
    assert b.negotiation.can_trickle_ice_candidates is False
    b.set_remote(sdp("a=ice-options:ice2,trickle", audio("0")))
    assert b.negotiation.can_trickle_ice_candidates is True
    b.set_remote(sdp(audio("0", "a=ice-options:trickle")))
    assert b.negotiation.can_trickle_ice_candidates is True


def test_different_numbers_on_both_sides() -> None:
    """RFC 3264 lets an answer number formats in its own way; each side sends by the other's."""
    a, answer = offered()
    renumbered = answer
    for old, new in (("96", "120"), ("97", "121")):
        for pattern in (" {} ", ":{} ", "apt={}"):
            renumbered = renumbered.replace(pattern.format(old), pattern.format(new))
    a.set_remote(renumbered, "answer")
    sent = {codec.payload_type: (codec.name, codec.apt) for codec in a.sections[1].send_codecs}
    received = {codec.payload_type: (codec.name, codec.apt) for codec in a.sections[1].receive_codecs}
    assert (sent[120], sent[121]) == (("vp8", None), ("rtx", 120))
    assert (received[96], received[97]) == (("vp8", None), ("rtx", 96))
    again = a.offer().parsed
    assert again is not None
    assert again.media[1].payload_types[:2] == (96, 97)
