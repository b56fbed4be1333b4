"""Descriptions and candidates as objects, under aiortc's names."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.compat.aiortc import AudioStreamTrack, RTCIceCandidate, VideoStreamTrack
from rtcstack.compat.aiortc.rtcdtlstransport import RTCDtlsFingerprint
from rtcstack.compat.aiortc.rtcicetransport import parse_stun_turn_uri
from rtcstack.compat.aiortc.sdp import (
    GroupDescription,
    H264Level,
    H264Profile,
    SessionDescription,
    candidate_from_sdp,
    candidate_to_sdp,
    parameters_from_sdp,
    parameters_to_sdp,
    parse_h264_profile_level_id,
)
from tests.conformance.aiortc.helpers import pair

BROWSER = "\r\n".join(
    """v=0
o=- 863426017819471768 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=msid-semantic: WMS stream
m=audio 45076 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 192.0.2.7
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1 1 udp 2122260223 192.0.2.7 45076 typ host generation 0 network-id 1
a=candidate:2 1 tcp 1518280447 192.0.2.7 9 typ srflx raddr 10.0.0.1 rport 9 tcptype active
a=ice-ufrag:5+Ix
a=ice-pwd:uK8IlylxzDMUhrkVzdmj0M+v
a=fingerprint:sha-256 FINGERPRINT
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=ssrc:1944796561 cname:/vC4ULAr8vHNjXmq
a=ssrc:1944796561 msid:stream track
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:5+Ix
a=ice-pwd:uK8IlylxzDMUhrkVzdmj0M+v
a=setup:passive
a=mid:1
a=sctp-port:5000
a=max-message-size:1000
""".replace("FINGERPRINT", ":".join(["6B"] * 32)).splitlines()
)


def test_a_browsers_description() -> None:
    parsed = SessionDescription.parse(BROWSER + "\r\n")
    assert (parsed.version, parsed.name, parsed.time, parsed.host) == (0, "-", "0 0", None)
    assert parsed.origin == "- 863426017819471768 2 IN IP4 127.0.0.1"
    assert parsed.group == [GroupDescription("BUNDLE", ["0", "1"])]
    assert parsed.msid_semantic == [GroupDescription("WMS", ["stream"])]
    audio, data = parsed.media
    assert (audio.kind, audio.port, audio.profile, audio.fmt) == (
        "audio",
        45_076,
        "UDP/TLS/RTP/SAVPF",
        [111, 0],
    )
    assert (audio.host, audio.direction, audio.rtcp_mux, audio.rtcp_port) == (
        "192.0.2.7",
        "sendrecv",
        True,
        9,
    )
    assert [str(each) for each in audio.rtp.codecs] == ["opus/48000/2", "PCMU/8000"]
    assert audio.rtp.codecs[0].parameters == {"minptime": 10, "useinbandfec": 1}
    assert audio.rtp.codecs[0].rtcpFeedback[0].type == "transport-cc"
    assert (audio.rtp.muxId, data.rtp.muxId) == ("0", "1")
    assert (audio.rtp.headerExtensions[0].id, len(audio.ice_candidates)) == (1, 2)
    assert audio.ice_candidates[1].tcpType == "active"
    assert audio.ice_candidates_complete is False
    assert audio.ice is not None
    assert (audio.ice.usernameFragment, audio.ice.iceLite) == ("5+Ix", False)
    assert audio.dtls is not None
    assert audio.dtls.role == "auto"
    assert audio.dtls.fingerprints == [RTCDtlsFingerprint("sha-256", audio.dtls.fingerprints[0].value)]
    assert (audio.ssrc[0].ssrc, audio.ssrc[0].cname) == (1_944_796_561, "/vC4ULAr8vHNjXmq")
    assert parsed.webrtc_track_id(audio) == "track"
    assert (data.sctp_port, data.direction, data.fmt) == (5_000, None, ["webrtc-datachannel"])
    assert data.sctpCapabilities is not None
    assert data.sctpCapabilities.maxMessageSize == 1_000


async def test_what_a_connection_offers_is_read_changed_and_written() -> None:
    async with pair() as (a, _):
        a.addTrack(AudioStreamTrack())
        a.addTrack(VideoStreamTrack())
        a.createDataChannel("x")
        await a.setLocalDescription(await a.createOffer())
        assert a.localDescription is not None
        parsed = SessionDescription.parse(a.localDescription.sdp)
        again = SessionDescription.parse(str(parsed))
        for one, other in zip(parsed.media, again.media, strict=True):
            assert {name: value for name, value in vars(one).items() if name != "ice_options"} == {
                name: value for name, value in vars(other).items() if name != "ice_options"
            }
        assert [c.name for c in parsed.media[0].rtp.codecs] == ["opus", "G722", "PCMU", "PCMA"]
        assert [c.name for c in parsed.media[1].rtp.codecs] == ["VP8", "rtx", "H264", "rtx", "H264", "rtx"]
        assert parsed.media[0].ice_candidates
        assert parsed.media[0].ice_candidates_complete
        assert parsed.webrtc_track_id(parsed.media[0]) == a.getSenders()[0].track.id  # type: ignore[union-attr]


WORDS = st.text(st.characters(codec="ascii", exclude_characters=" \r\n;=", min_codepoint=33), min_size=1)


@given(
    foundation=WORDS,
    component=st.integers(1, 256),
    protocol=st.sampled_from(["udp", "tcp"]),
    priority=st.integers(0, (1 << 31) - 1),
    ip=st.ip_addresses().map(str),
    port=st.integers(0, 65_535),
    kind=st.sampled_from(["host", "srflx", "prflx", "relay"]),
    related=st.none() | st.tuples(st.ip_addresses().map(str), st.integers(0, 65_535)),
    tcp_type=st.none() | st.sampled_from(["active", "passive", "so"]),
)
def test_candidates_come_back(
    foundation: str,
    component: int,
    protocol: str,
    priority: int,
    ip: str,
    port: int,
    kind: str,
    related: tuple[str, int] | None,
    tcp_type: str | None,
) -> None:
    candidate = RTCIceCandidate(component, foundation, ip, port, priority, protocol, kind, tcpType=tcp_type)
    if related is not None:
        candidate.relatedAddress, candidate.relatedPort = related
    assert candidate_from_sdp(candidate_to_sdp(candidate)) == candidate


@given(st.dictionaries(WORDS.map("x-{}".format), st.none() | WORDS, min_size=1))
def test_format_parameters_come_back(parameters: dict[str, int | str | None]) -> None:
    assert parameters_from_sdp(parameters_to_sdp(parameters)) == parameters


def lines(text: str) -> st.SearchStrategy[str]:
    """A description with lines left out, doubled, cut or changed."""
    known = text.splitlines()
    cut = st.tuples(st.sampled_from(known), st.integers(0, 40)).map(lambda pair: pair[0][: pair[1]])
    line = st.sampled_from(known) | cut
    return st.lists(line | st.text(max_size=20), max_size=40).map("\r\n".join)


@given(st.text() | lines(BROWSER))
def test_hostile_text_is_refused_with_a_value_error(text: str) -> None:
    with suppress(ValueError):
        str(SessionDescription.parse(text))
    with suppress(ValueError):
        candidate_from_sdp(text)
    with suppress(ValueError):
        parameters_from_sdp(text)
    with suppress(ValueError):
        parse_stun_turn_uri(text)
    with suppress(ValueError):
        parse_h264_profile_level_id(text)


@pytest.mark.parametrize(
    ("text", "profile", "level"),
    [
        ("42e01f", H264Profile.PROFILE_CONSTRAINED_BASELINE, H264Level.LEVEL3_1),
        ("42001f", H264Profile.PROFILE_BASELINE, H264Level.LEVEL3_1),
        ("4d002a", H264Profile.PROFILE_MAIN, H264Level.LEVEL4_2),
        ("4d801f", H264Profile.PROFILE_CONSTRAINED_BASELINE, H264Level.LEVEL3_1),
        ("58f01f", H264Profile.PROFILE_CONSTRAINED_BASELINE, H264Level.LEVEL3_1),
        ("64001f", H264Profile.PROFILE_HIGH, H264Level.LEVEL3_1),
        ("640c34", H264Profile.PROFILE_CONSTRAINED_HIGH, H264Level.LEVEL5_2),
        ("42f00b", H264Profile.PROFILE_CONSTRAINED_BASELINE, H264Level.LEVEL1_B),
    ],
)
def test_profiles_of_h264(text: str, profile: H264Profile, level: H264Level) -> None:
    assert parse_h264_profile_level_id(text) == (profile, level)


@pytest.mark.parametrize("text", ["", "42e01", "42e01ff", "xxxxxx", "420c1f", "00001f", "42e000"])
def test_what_is_no_profile_of_h264(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_h264_profile_level_id(text)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("stun:example.org", {"scheme": "stun", "host": "example.org", "port": 3478}),
        ("stuns:example.org", {"scheme": "stuns", "host": "example.org", "port": 5349}),
        ("stun:example.org:99", {"scheme": "stun", "host": "example.org", "port": 99}),
        ("turn:a.b", {"scheme": "turn", "host": "a.b", "port": 3478, "transport": "udp"}),
        ("turn:a.b:1?transport=tcp", {"scheme": "turn", "host": "a.b", "port": 1, "transport": "tcp"}),
        ("turns:a.b", {"scheme": "turns", "host": "a.b", "port": 5349, "transport": "tcp"}),
    ],
)
def test_uris_of_servers(uri: str, expected: dict[str, object]) -> None:
    assert parse_stun_turn_uri(uri) == expected


@pytest.mark.parametrize("uri", ["", "foo", "http://a", "stun", "stun:", "turn:", "stun:a?transport=udp"])
def test_what_is_no_uri_of_a_server(uri: str) -> None:
    with pytest.raises(ValueError, match="malformed uri"):
        parse_stun_turn_uri(uri)
