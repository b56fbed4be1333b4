"""Whatever a peer writes: it is applied, or refused with one of the W3C's errors and no trace."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtcstack.errors import DOMException, InvalidAccessError, InvalidStateError, RTCError
from rtcstack.jsep import SdpType
from tests.unit.jsep.peer import Peer, exchange

DIRECTORY = Path(__file__).parents[1] / "support" / "sdp_corpus"
OFFERS = [path.read_bytes().decode() for path in sorted(DIRECTORY.glob("*_offer.sdp"))]
OURS = Peer("o", data_channel=True)
for kind in ("audio", "video", "video"):
    OURS.add(kind)
OFFERS.append(OURS.offer().sdp)
LINES = sorted({line for text in OFFERS for line in text.split("\r\n") if line[1:2] == "="})

INTERESTING = st.sampled_from(
    [
        "a=group:BUNDLE 0 1",
        "a=group:BUNDLE 2 0",
        "a=group:BUNDLE",
        "a=bundle-only",
        "a=inactive",
        "a=recvonly",
        "a=setup:active",
        "a=setup:passive",
        "a=setup:holdconn",
        "a=simulcast:recv q;h",
        "a=rid:q recv",
        "a=rid:h recv",
        "a=rtcp-mux-only",
        "a=sctp-port:0",
        "a=extmap:4352 urn:x",
        "a=extmap:300 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=fmtp:97 apt=97",
        "a=rtpmap:96 rtx/90000",
        "m=video 0 UDP/TLS/RTP/SAVPF 96",
        "m=video 9 UDP/TLS/RTP/SAVPF 96",
        "m=audio 9 RTP/AVP 0",
        "m=application 9 DTLS/SCTP 5000",
        "m=text 9 RTP/AVP 98",
        "a=sctpmap:5000 webrtc-datachannel 16",
        "a=mid:1",
        "a=mid:zz",
    ]
)


@st.composite
def broken(draw: st.DrawFn, texts: list[str]) -> str:
    lines = draw(st.sampled_from(texts)).split("\r\n")
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(4, len(lines) - 1)) if len(lines) > 5 else len(lines)
        action = draw(st.sampled_from(("remove", "insert", "insert", "move", "interesting")))
        if action == "remove":
            del lines[place : place + draw(st.integers(1, 12))]
        elif action == "move":
            lines[place:place] = lines[4 : 4 + draw(st.integers(0, 8))]
        else:
            lines.insert(place, draw(INTERESTING if action == "interesting" else st.sampled_from(LINES)))
    return "\r\n".join(lines).strip() + "\r\n"


def peer(name: str) -> Peer:
    result = Peer(name)
    result.add_track("audio")
    result.add_track("video")
    return result


def refused(peer: Peer, text: str, sdp_type: str) -> bool:
    """Apply a description; whether it was refused, which must leave no trace."""
    before = peer.negotiation, peer.intents
    try:
        peer.set_remote(text, sdp_type)
    except (RTCError, InvalidAccessError, InvalidStateError):
        assert (peer.negotiation, peer.intents) == before
        return True
    return False


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(broken(OFFERS))
def test_any_offer_is_refused_or_can_be_answered(text: str) -> None:
    b = peer("b")
    if not refused(b, text, "offer"):
        b.set_local(b.answer())
        assert b.negotiation.state == "stable"
        b.add("video")
        b.set_local(b.offer())
        b.rollback()


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(broken(OFFERS), st.booleans())
def test_any_second_offer_is_refused_or_can_be_answered(text: str, back_to_back: bool) -> None:
    b = peer("b")
    b.set_remote(OFFERS[-1])
    if not back_to_back:
        b.set_local(b.answer())
    if not refused(b, text, "offer"):
        b.set_local(b.answer())


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_answer_is_refused_or_ends_the_exchange(data: st.DataObject) -> None:
    a, b = peer("a"), peer("b")
    a.want_data()
    a.add("video")
    if data.draw(st.booleans()):
        exchange(a, b)
        if data.draw(st.booleans()):
            a.restart()
        if data.draw(st.booleans()):
            a.stop(0)
        a.add("audio")
    offer = a.offer()
    a.set_local(offer)
    b.set_remote(offer)
    text = data.draw(broken([b.answer().sdp]))
    if not refused(a, text, "answer"):
        assert a.negotiation.state == "stable"
        a.add("video")
        a.set_local(a.offer())


@given(st.text(), st.sampled_from(list(SdpType)))
def test_any_text(text: str, sdp_type: SdpType) -> None:
    a = peer("a")
    with pytest.raises(DOMException):
        a.set_remote(text, sdp_type)
    assert a.negotiation == Peer().negotiation
