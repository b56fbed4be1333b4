"""The typed values one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.errors import ParseError
from rtcstack.sdp import (
    Attribute,
    AttributeValue,
    Candidate,
    Direction,
    ExtMap,
    Fingerprint,
    Fmtp,
    Group,
    IceOptions,
    MaxPtime,
    Msid,
    Origin,
    Ptime,
    Rid,
    RtcpAddress,
    RtcpFeedback,
    RtpMap,
    SctpMap,
    SessionDescription,
    Simulcast,
    Ssrc,
    SsrcGroup,
    parse_session,
    write_session,
)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (RtpMap, "111 opus/48000/2"),
        (RtpMap, "9 G722/8000"),
        (Fmtp, "111 minptime=10;useinbandfec=1"),
        (Fmtp, "webrtc-datachannel max-message-size=100000"),
        (RtcpFeedback, "* nack"),
        (RtcpFeedback, "96 nack pli"),
        (RtcpFeedback, "96 trr-int 100"),
        (ExtMap, "1 urn:ietf:params:rtp-hdrext:toffset"),
        (ExtMap, "4096/recvonly URI-gps-string 30 some more"),
        (Ssrc, "314159 cname:user@example.com"),
        (Ssrc, "314159 fmtp"),
        (Ssrc, "314159 msid:- track"),
        (SsrcGroup, "FID 1 2"),
        (SsrcGroup, "SIM"),
        (Msid, "{a-b} {c-d}"),
        (Msid, "-"),
        (Rid, "1 send"),
        (Rid, "hi send pt=97,98;max-width=1280;max-height=720"),
        (Rid, "lo recv max-br=64000;depend=hi"),
        (Simulcast, "send 1,~4;2;3 recv c"),
        (Simulcast, "recv 1"),
        (Group, "BUNDLE"),
        (Group, "LS a b"),
        (IceOptions, "trickle ice2 renomination"),
        (Fingerprint, "sha-1 " + ":".join(["0A"] * 20)),
        (Fingerprint, "new-hash 0A"),
        (SctpMap, "5000 webrtc-datachannel 1024"),
        (SctpMap, "5000 webrtc-datachannel"),
        (RtcpAddress, "53020 IN IP6 2001:db8::1"),
        (RtcpAddress, "9"),
        (Ptime, "20"),
        (Ptime, "2.5"),
        (MaxPtime, "120"),
    ],
)
def test_round_trip(kind: type[AttributeValue], text: str) -> None:
    value = kind.parse(text)
    assert str(value) == text
    assert kind.parse(str(value)) == value
    assert str(value.attribute()) == f"{kind.NAME}:{text}"


def test_fingerprints_are_normalised() -> None:
    lower = Fingerprint.parse("SHA-256 " + ":".join(["ab"] * 32))
    assert lower == Fingerprint("sha-256", ":".join(["AB"] * 32))


def test_simulcast_in_the_other_order_means_the_same() -> None:
    assert Simulcast.parse("recv c send 1") == Simulcast.parse("send 1 recv c")


def test_directions() -> None:
    for direction in Direction:
        assert direction.reversed.reversed is direction
        assert direction & Direction.SENDRECV is direction
        assert direction & Direction.INACTIVE is Direction.INACTIVE
        assert Direction.of(send=direction.send, recv=direction.recv) is direction
    assert Direction.SENDONLY.reversed is Direction.RECVONLY
    assert Direction.SENDONLY & Direction.RECVONLY is Direction.INACTIVE


def test_looking_up() -> None:
    session = SessionDescription(
        Origin(1, 1), attributes=(Attribute("group", "BUNDLE a"), Attribute("group", "LS a"), Attribute("x"))
    )
    assert session.has("x")
    assert session.value("x") is None
    assert session.values("group") == ("BUNDLE a", "LS a")
    assert session.get(Group) == Group("BUNDLE", ("a",))
    assert session.all(Msid) == ()
    # a group whose section is missing is empty
    assert session.bundle_of("a") == ()


def test_malformed_values_that_were_put_in_by_hand() -> None:
    session = SessionDescription(Origin(1, 1), attributes=(Attribute("msid", "a b c"),))
    with pytest.raises(ParseError):
        session.all(Msid)


TOKEN = st.text("abcXYZ019-_.!%+`{}~^", min_size=1, max_size=8)
VALUE = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=40)


@given(
    st.builds(
        Candidate,
        foundation=st.text("abc019+/", min_size=1, max_size=32),
        component=st.integers(1, 256),
        transport=TOKEN,
        priority=st.integers(0, 2**32 - 1),
        address=st.one_of(st.ip_addresses().map(str), st.just("x.local")),
        port=st.integers(0, 65535),
        type=TOKEN,
        related_address=st.none() | st.ip_addresses().map(str),
        related_port=st.none() | st.integers(0, 65535),
        extensions=st.lists(
            st.tuples(TOKEN.filter(lambda name: name not in ("raddr", "rport")), TOKEN), max_size=5
        ).map(tuple),
    )
)
def test_any_candidate_survives(candidate: Candidate) -> None:
    assert Candidate.parse(str(candidate)) == candidate


@given(st.lists(st.builds(Attribute, TOKEN.map("x-".__add__), st.none() | VALUE)), st.integers(0, 2**64 - 1))
def test_any_unknown_attribute_survives(attributes: list[Attribute], version: int) -> None:
    session = SessionDescription(Origin(1, version), attributes=tuple(attributes))
    text = write_session(session)
    assert parse_session(text) == session
    assert write_session(parse_session(text)) == text
