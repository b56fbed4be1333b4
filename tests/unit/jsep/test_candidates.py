"""Trickled candidates end up in the descriptions and in the transports."""

from __future__ import annotations

import pytest

from rtcstack.errors import InvalidStateError, OperationError
from rtcstack.jsep import Description, Negotiation, Transport, with_local_candidates, with_remote_candidate
from rtcstack.jsep.candidates import MAX_CANDIDATES
from rtcstack.jsep.sections import default_destination
from rtcstack.sdp import Candidate, MediaDescription
from tests.unit.jsep.peer import Peer, pair
from tests.unit.jsep.test_answer import answer_to, audio, data, sdp, video

HOST = Candidate.parse("1 1 udp 100 192.0.2.1 4000 typ host")
V6 = Candidate.parse("2 1 udp 200 2001:db8::1 4001 typ host")
RELAY = Candidate.parse("3 1 udp 1 198.51.100.1 4002 typ relay raddr 0.0.0.0 rport 0")


def media(description: Description | None, index: int = 0) -> MediaDescription:
    assert description is not None
    assert description.parsed is not None
    # the text says what the value says
    assert Description.parse(description.type, description.sdp) == description
    return description.parsed.media[index]


def transport(negotiation: Negotiation, key: str = "0") -> Transport:
    found = negotiation.session.transport(key)
    assert found is not None
    return found


def ufrag(peer: Peer) -> str:
    return peer.transport("0").ufrag


def test_local_candidates_join_the_pending_offer() -> None:
    a = Peer("a")
    a.add("audio")
    a.set_local(a.offer())
    one = with_local_candidates(a.negotiation, "0", ufrag(a), (HOST,))
    two = with_local_candidates(one, "0", ufrag(a), (V6,))
    end = with_local_candidates(two, "0", ufrag(a), (), True)
    assert media(one.pending_local).candidates == (HOST,)
    assert media(two.pending_local).candidates == (HOST, V6)
    assert not media(two.pending_local).end_of_candidates
    assert media(end.pending_local).end_of_candidates
    local = transport(end).local
    assert local is not None
    assert (local.candidates, local.end_of_candidates) == ((HOST, V6), True)
    # said once is enough
    again = with_local_candidates(end, "0", ufrag(a), (HOST,), True)
    assert media(again.pending_local) == media(end.pending_local)


def test_the_default_destination_follows() -> None:
    a = Peer("a", data_channel=True)
    a.add("audio")
    a.set_local(a.offer())
    now = with_local_candidates(a.negotiation, "0", ufrag(a), (V6, HOST))
    audio_media, data_media = (media(now.pending_local, index) for index in (0, 1))
    assert (audio_media.port, audio_media.connections[0].address) == (4000, "192.0.2.1")
    # not bundled yet: the other section waits for candidates of its own
    assert (data_media.port, data_media.connections[0].address) == (9, "0.0.0.0")
    now = with_local_candidates(now, "0", ufrag(a), (RELAY,))
    assert media(now.pending_local).port == 4002


def test_bundled_sections_share_the_destination_but_not_the_lines() -> None:
    _, b = pair("audio", "video")
    now = with_local_candidates(b.negotiation, "0", ufrag(b), (HOST,), True)
    first, second = (media(now.current_local, index) for index in (0, 1))
    assert (first.port, second.port) == (4000, 4000)
    assert second.connections[0].address == "192.0.2.1"
    assert second.candidates == ()
    assert not second.end_of_candidates


def test_candidates_of_a_generation_that_is_gone_change_nothing() -> None:
    a, _ = pair("audio")
    assert with_local_candidates(a.negotiation, "0", "gone", (HOST,)) is a.negotiation
    assert with_local_candidates(a.negotiation, "nine", ufrag(a), (HOST,)) is a.negotiation
    assert with_local_candidates(Negotiation.initial(), "0", "x", (HOST,)) == Negotiation.initial()


def test_during_a_restart_each_generation_goes_its_way() -> None:
    a, _ = pair("audio")
    old = ufrag(a)
    a.restart()
    a.set_local(a.offer())
    now = with_local_candidates(a.negotiation, "0", old, (HOST,))
    now = with_local_candidates(now, "0", ufrag(a), (RELAY,))
    assert media(now.current_local).candidates == (HOST,)
    assert media(now.pending_local).candidates == (RELAY,)
    assert now.stable is not None
    stable = now.stable.transport("0")
    assert stable is not None
    assert stable.local is not None
    assert stable.local.candidates == (HOST,)
    local = transport(now).local
    assert local is not None
    assert local.candidates == (RELAY,)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], (9, "IP4", "0.0.0.0")),
        (["1 1 tcp 9 192.0.2.1 9 typ host tcptype active"], (9, "IP4", "0.0.0.0")),
        (["1 1 udp 9 x.local 5 typ host"], (9, "IP4", "0.0.0.0")),
        (["1 2 udp 9 192.0.2.1 5 typ host"], (9, "IP4", "0.0.0.0")),
        (["1 1 UDP 9 2001:db8::1 5 typ host"], (5, "IP6", "2001:db8::1")),
        (["1 1 udp 9 192.0.2.1 5 typ host", "1 1 udp 8 192.0.2.2 6 typ srflx"], (6, "IP4", "192.0.2.2")),
        (["1 1 udp 8 192.0.2.1 5 typ host", "1 1 udp 9 192.0.2.2 6 typ host"], (6, "IP4", "192.0.2.2")),
    ],
)
def test_which_candidate_is_the_default(texts: list[str], expected: tuple[int, str, str]) -> None:
    found = default_destination(map(Candidate.parse, texts))
    assert (found.port, found.address_type, found.address) == expected


# Of the peer


def answered() -> Peer:
    b = Peer("b")
    answer_to(sdp("a=group:BUNDLE 0 1", audio("0"), data("1")), b)
    return b


def test_remote_candidates_join_the_transport() -> None:
    b = answered()
    result = with_remote_candidate(b.negotiation, HOST, "0", None, None)
    assert result.transports == ("0",)
    result = with_remote_candidate(result.negotiation, V6, None, 0, "ufra0")
    result = with_remote_candidate(result.negotiation, None, "0", 7, "ufra0")
    remote = transport(result.negotiation).remote
    assert remote is not None
    assert (remote.candidates, remote.end_of_candidates) == ((HOST, V6), True)
    assert media(result.negotiation.current_remote).candidates == (HOST, V6)
    assert media(result.negotiation.current_remote).end_of_candidates


def test_before_the_answer_they_wait_in_the_offer() -> None:
    b = Peer("b")
    b.set_remote(sdp("a=group:BUNDLE 0 1", audio("0"), data("1")))
    result = with_remote_candidate(b.negotiation, HOST, "0", None, "ufra0")
    assert result.transports == ()
    assert media(result.negotiation.pending_remote).candidates == (HOST,)
    b.negotiation = result.negotiation
    b.set_local(b.answer())
    remote = transport(b.negotiation).remote
    assert remote is not None
    assert remote.candidates == (HOST,)
    assert media(b.negotiation.current_remote).candidates == (HOST,)


def test_the_candidate_may_name_its_generation_itself() -> None:
    b = answered()
    named = Candidate.parse(f"{HOST} ufrag ufra0")
    assert with_remote_candidate(b.negotiation, named, "0", None, None).transports == ("0",)
    with pytest.raises(OperationError, match="generation"):
        with_remote_candidate(b.negotiation, Candidate.parse(f"{HOST} ufrag none"), "0", None, None)


def test_bundled_sections_lead_to_the_shared_transport() -> None:
    b = answered()
    result = with_remote_candidate(b.negotiation, HOST, "1", None, "ufra0")
    assert result.transports == ("0",)


def test_end_of_candidates_for_all() -> None:
    b = Peer("b", bundle_policy="max-compat")
    answer_to(sdp(audio("0"), video("1")), b)
    result = with_remote_candidate(b.negotiation, None, None, None, None)
    assert result.transports == ("0", "1")
    for key in result.transports:
        remote = transport(result.negotiation, key).remote
        assert remote is not None
        assert remote.end_of_candidates


def test_remote_generations_during_a_restart() -> None:
    a, b = pair("audio")
    old = ufrag(a)
    a.restart()
    b.set_remote(a.offer())
    # the most recent generation is the one that has been offered
    latest = with_remote_candidate(b.negotiation, HOST, "0", None, None)
    assert latest.transports == ()
    assert media(latest.negotiation.pending_remote).candidates == (HOST,)
    assert media(latest.negotiation.current_remote).candidates == ()
    stale = with_remote_candidate(b.negotiation, HOST, "0", None, old)
    assert stale.transports == ("0",)
    assert media(stale.negotiation.pending_remote).candidates == ()
    assert media(stale.negotiation.current_remote).candidates == (HOST,)


def test_rejected_sections_take_them_without_effect() -> None:
    b = Peer("b")
    speex = [line.replace("opus/48000/2", "speex/8000").replace(" 0", "") for line in audio("1")]
    answer_to(sdp(audio("0"), speex), b)
    assert b.sections[1].rejected
    assert with_remote_candidate(b.negotiation, HOST, "1", None, None).transports == ()


@pytest.mark.parametrize(
    ("mid", "index", "generation"),
    [("2", None, None), (None, 2, None), (None, -1, None), ("0", None, "none"), (None, None, None)],
)
def test_what_belongs_nowhere(mid: str | None, index: int | None, generation: str | None) -> None:
    b = answered()
    with pytest.raises(OperationError):
        with_remote_candidate(b.negotiation, HOST, mid, index, generation)


def test_without_a_remote_description() -> None:
    with pytest.raises(InvalidStateError):
        with_remote_candidate(Negotiation.initial(), HOST, "0", None, None)


@pytest.mark.parametrize("generation", ["", None])
def test_an_empty_mid_leaves_it_to_the_index(generation: str | None) -> None:
    """As stacks write it that know the index alone (Pion's JSON has all members, empty)."""
    a, _ = pair("audio", "video")
    now = with_remote_candidate(a.negotiation, HOST, "", 0, generation)
    assert now.transports == ("0",)
    assert media(now.negotiation.current_remote).candidates == (HOST,)
    end = with_remote_candidate(now.negotiation, None, "", 0, generation)
    assert media(end.negotiation.current_remote).end_of_candidates
    with pytest.raises(OperationError):
        with_remote_candidate(a.negotiation, HOST, "", None, None)
    with pytest.raises(OperationError):
        with_remote_candidate(a.negotiation, HOST, "", 7, None)


def test_sections_without_mid_go_by_the_one_that_was_made_up() -> None:
    b = Peer("b")
    answer_to(
        "".join(f"{line}\r\n" for line in sdp(audio("0")).split("\r\n") if line and "mid" not in line), b
    )
    assert with_remote_candidate(b.negotiation, HOST, "0", None, None).transports == ("0",)


def test_there_is_a_bound() -> None:
    b = answered()
    now = b.negotiation
    for port in range(1, MAX_CANDIDATES + 1):
        candidate = Candidate.parse(f"1 1 udp 1 192.0.2.1 {port} typ host")
        now = with_remote_candidate(now, candidate, "0", None, None).negotiation
    with pytest.raises(OperationError, match="more than"):
        with_remote_candidate(now, RELAY, "0", None, None)
    # what is known already is no further one
    with_remote_candidate(now, candidate, "0", None, None)
