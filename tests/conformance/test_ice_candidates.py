"""RTCIceCandidate, and the events that carry candidates and errors.

Spec: webrtc-pc, section 4.8.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtcstack import RTCIceCandidate
from rtcstack.api.iceevents import RTCPeerConnectionIceErrorEvent, RTCPeerConnectionIceEvent

HOST = (
    "candidate:1905690388 1 udp 2113937151 192.168.0.1 58041 typ host generation 0 ufrag thC8 network-cost 50"
)
SRFLX = "candidate:4 2 tcp 98 203.0.113.4 9 typ srflx raddr 10.0.0.4 rport 8998 tcptype active"
FIELDS = (
    *("foundation", "component", "priority", "address", "protocol"),
    *("port", "type", "tcpType", "relatedAddress", "relatedPort"),
)


def fields(candidate: RTCIceCandidate) -> list[Any]:
    return [getattr(candidate, name) for name in FIELDS]


def test_the_fields_are_those_of_the_attribute() -> None:
    assert fields(RTCIceCandidate(HOST, sdpMid="0")) == [
        "1905690388", "rtp", 2113937151, "192.168.0.1", "udp", 58041, "host", None, None, None,
    ]  # fmt: skip
    assert fields(RTCIceCandidate(SRFLX, sdpMLineIndex=0)) == [
        "4", "rtcp", 98, "203.0.113.4", "tcp", 9, "srflx", "active", "10.0.0.4", 8998,
    ]  # fmt: skip


def test_what_is_given_is_kept_as_it_is() -> None:
    given = RTCIceCandidate(HOST, "audio", 3, "user", relayProtocol="tls", url="turns:example.org")
    assert (given.candidate, given.sdpMid, given.sdpMLineIndex, given.usernameFragment) == (
        HOST,
        "audio",
        3,
        "user",
    )
    assert (given.relayProtocol, given.url) == ("tls", "turns:example.org")
    # the fragment is its namesake's in the dictionary, and not read from the attribute
    plain = RTCIceCandidate({"candidate": HOST, "sdpMid": ""})
    assert (plain.sdpMid, plain.sdpMLineIndex, plain.usernameFragment) == ("", None, None)
    assert (plain.relayProtocol, plain.url) == (None, None)


@pytest.mark.parametrize("init", [{}, {"candidate": HOST}, {"sdpMid": None, "sdpMLineIndex": None}])
def test_a_section_must_be_named(init: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        RTCIceCandidate(init)


@pytest.mark.parametrize(
    "member", [{"sdpMLineIndex": -1}, {"sdpMLineIndex": 65536}, {"candidate": 5}, {"relayProtocol": "sctp"}]
)
def test_a_member_of_a_wrong_type(member: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        RTCIceCandidate({"sdpMid": "0", **member})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        HOST.replace("udp", "sctp"),
        HOST.replace(" 1 udp", " 3 udp"),
        HOST.replace("typ host", "typ odd"),
        HOST.replace("58041", "70000"),
        SRFLX.replace("active", "odd"),
    ],
)
def test_with_one_odd_field_there_are_none(text: str) -> None:
    candidate = RTCIceCandidate(text, sdpMid="0")
    assert candidate.candidate == text
    assert fields(candidate) == [None] * len(FIELDS)


def test_json_has_what_is_signalled() -> None:
    given = RTCIceCandidate(HOST, "0", 0, "user", relayProtocol="udp", url="turn:example.org")
    members = {"candidate": HOST, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "user"}
    assert json.loads(json.dumps(given.toJSON())) == members
    assert RTCIceCandidate(members) == given


def test_events_have_the_dictionaries_defaults() -> None:
    told = RTCPeerConnectionIceEvent("icecandidate")
    assert (told.type, told.candidate, told.url) == ("icecandidate", None, None)
    error = RTCPeerConnectionIceErrorEvent("icecandidateerror", errorCode=701)
    assert (error.address, error.port, error.url, error.errorCode, error.errorText) == (
        None,
        None,
        "",
        701,
        "",
    )
    with pytest.raises(TypeError):
        RTCPeerConnectionIceErrorEvent("icecandidateerror")  # type: ignore[call-arg]
