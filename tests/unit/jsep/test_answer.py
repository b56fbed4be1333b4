"""What answers look like: RFC 9429, section 5.3."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtcstack.errors import InvalidStateError
from rtcstack.jsep import BundlePolicy, CodecFormat, HeaderExtension, SdpType, SendEncoding
from rtcstack.sdp import Direction, SessionDescription, SetupRole, parse_session
from tests.unit.jsep.peer import Peer, exchange, lines, pair

PRINT = ":".join(["AB"] * 32)
HEAD = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"


def carried(mid: str, *more: str, setup: str = "actpass") -> list[str]:
    """The attributes of a section with a transport of its own."""
    return [
        f"a=mid:{mid}",
        "a=ice-ufrag:ufra" + mid,
        "a=ice-pwd:0123456789012345678901",
        f"a=fingerprint:sha-256 {PRINT}",
        f"a=setup:{setup}",
        *more,
    ]


def audio(mid: str, *more: str, setup: str = "actpass", proto: str = "UDP/TLS/RTP/SAVPF") -> list[str]:
    return [
        f"m=audio 9 {proto} 111 0",
        *carried(mid, "a=rtcp-mux", "a=rtpmap:111 opus/48000/2", *more, setup=setup),
    ]


def video(mid: str, *more: str) -> list[str]:
    return ["m=video 9 UDP/TLS/RTP/SAVPF 96", *carried(mid, "a=rtcp-mux", "a=rtpmap:96 VP8/90000", *more)]


def data(mid: str, proto: str = "UDP/DTLS/SCTP") -> list[str]:
    return [f"m=application 9 {proto} webrtc-datachannel", *carried(mid, "a=sctp-port:5000")]


def sdp(*parts: list[str] | str) -> str:
    text = (line for part in parts for line in ([part] if isinstance(part, str) else part))
    return HEAD + "".join(f"{line}\r\n" for line in text)


def answer_to(offer: str, peer: Peer | None = None) -> SessionDescription:
    """The answer, after it has been set."""
    peer = peer or Peer("b")
    peer.set_remote(offer)
    answer = peer.answer()
    assert answer.parsed is not None
    assert parse_session(answer.sdp) == answer.parsed
    peer.set_local(answer)
    return answer.parsed


def rejected(answer: SessionDescription) -> list[bool]:
    return [media.port == 0 for media in answer.media]


@pytest.mark.parametrize("offered", Direction)
@pytest.mark.parametrize("wanted", Direction)
def test_directions_intersect(offered: Direction, wanted: Direction) -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio", direction=offered)
    b.set_remote(a.offer())
    b.change(0, direction=wanted, msids=(("s", "t"),))
    a.set_local(a.offer())
    answer = b.answer()
    b.set_local(answer)
    a.set_remote(answer)
    assert answer.parsed is not None
    expected = wanted & offered.reversed
    media = answer.parsed.media[0]
    assert media.direction is expected
    assert b.sections[0].current_direction is expected
    assert a.sections[0].current_direction is expected.reversed
    # the stream is named when the transceiver means to send, whatever it may now
    assert lines(media, "msid") == (["s t"] if wanted.send else [])
    assert not b.needed


def test_answers_say_who_is_what() -> None:
    for offered, expected, client in (
        ("actpass", SetupRole.ACTIVE, "client"),
        ("passive", SetupRole.ACTIVE, "client"),
        ("active", SetupRole.PASSIVE, "server"),
    ):
        b = Peer("b")
        answer = answer_to(sdp(audio("x", setup=offered)), b)
        assert answer.media[0].setup is expected
        assert b.negotiation.session.transports[0].dtls_role == client


def test_the_role_of_a_bundle_is_its_tagged_sections() -> None:
    b = Peer("b")
    lone = ["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:1", "a=rtcp-mux", "a=rtpmap:96 VP8/90000"]
    answer = answer_to(sdp("a=setup:active", "a=group:BUNDLE 0 1", audio("0"), lone), b)
    assert [media.setup for media in answer.media] == [SetupRole.ACTIVE, SetupRole.ACTIVE]
    assert b.negotiation.session.transports[0].dtls_role == "client"


def test_roles_stay_when_the_other_end_offers() -> None:
    a, b = pair("audio")
    _, answer = exchange(b, a)
    assert answer.media[0].setup is SetupRole.PASSIVE
    assert [p.negotiation.session.transports[0].dtls_role for p in (a, b)] == ["server", "client"]
    assert [p.negotiation.session.transports[0].ice_controlling for p in (a, b)] == [True, False]


def test_a_new_certificate_with_an_ice_restart_is_a_new_association() -> None:
    a, b = pair("audio")
    b.certificate = "new"
    b.restart()
    exchange(b, a)
    assert [p.negotiation.session.transports[0].dtls_role for p in (a, b)] == ["client", "server"]
    assert any(getattr(effect, "new_dtls", False) for effect in a.effects)


def test_what_only_one_side_names_is_left_out() -> None:
    b = Peer("b")
    b.tls_id = "x" * 20
    answer = answer_to(sdp("a=group:BUNDLE m", audio("m", "a=extmap:7 urn:unknown")), b)
    media = answer.media[0]
    assert media.tls_id is None
    assert not media.rtcp_rsize
    assert media.extmaps == ()
    assert not answer.has("ice-options")
    assert media.formats == ("111", "0")
    assert lines(media, "rtcp-fb") == []


def test_what_both_name_is_repeated() -> None:
    b = Peer("b")
    b.tls_id = "x" * 20
    offer = sdp(
        "a=ice-options:ice2 trickle other",
        audio(
            "m",
            "a=rtcp-rsize",
            "a=tls-id:" + "y" * 20,
            "a=extmap:7 urn:ietf:params:rtp-hdrext:sdes:mid",
            "a=extmap:9/sendonly urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            "a=rtcp-fb:* transport-cc",
            "a=rtcp-fb:111 nack",
        ),
    )
    answer = answer_to(offer, b)
    media = answer.media[0]
    assert media.tls_id == "x" * 20
    assert media.rtcp_rsize
    assert lines(media, "extmap") == [
        "7 urn:ietf:params:rtp-hdrext:sdes:mid",
        "9/recvonly urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    ]
    assert lines(media, "rtcp-fb") == ["111 transport-cc"]
    assert answer.values("ice-options") == ("trickle ice2",)
    assert [each.id for each in b.sections[0].send_extensions] == [7]
    assert [each.id for each in b.sections[0].receive_extensions] == [7, 9]


def test_extension_numbers_that_cannot_be_sent_are_passed_over() -> None:
    mid = "urn:ietf:params:rtp-hdrext:sdes:mid"
    assert answer_to(sdp(audio("m", f"a=extmap:4096 {mid}"))).media[0].extmaps == ()


def test_extensions_that_the_application_does_not_want() -> None:
    b = Peer("b")
    mid = HeaderExtension("urn:ietf:params:rtp-hdrext:sdes:mid", 4, Direction.INACTIVE)
    b.add_track("audio", header_extensions=(mid,))
    assert answer_to(sdp(audio("m", f"a=extmap:4 {mid.uri}")), b).media[0].extmaps == ()


def test_codecs_stand_in_the_offers_order() -> None:
    offer = sdp(
        [
            "m=video 9 UDP/TLS/RTP/SAVPF 100 101 96 97 55",
            *carried(
                "v",
                "a=rtcp-mux",
                "a=rtpmap:96 VP8/90000",
                "a=rtpmap:97 rtx/90000",
                "a=fmtp:97 apt=96",
                "a=rtpmap:100 H264/90000",
                "a=fmtp:100 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1",
                "a=rtpmap:101 rtx/90000",
                "a=fmtp:101 apt=100",
                "a=rtpmap:55 Theora/90000",
            ),
        ]
    )
    assert answer_to(offer).media[0].formats == ("100", "101", "96", "97")
    b = Peer("b")
    b.add_track("video", codec_preferences=(CodecFormat("video/VP8", 90000), CodecFormat("video/rtx", 90000)))
    assert answer_to(offer, b).media[0].formats == ("96", "97")


@pytest.mark.parametrize(
    "section",
    [
        ["m=audio 9 UDP/TLS/RTP/SAVPF 99", *carried("x", "a=rtcp-mux", "a=rtpmap:99 speex/8000")],
        ["m=audio 9 UDP/TLS/RTP/SAVPF 99", *carried("x", "a=rtcp-mux")],
        [
            "m=audio 9 UDP/TLS/RTP/SAVPF 99",
            *carried("x", "a=rtcp-mux", "a=rtpmap:99 telephone-event/8000"),
        ],
        ["m=audio 9 RTP/MADE/UP 0", *carried("x", "a=rtcp-mux")],
        ["m=text 9 RTP/AVP 98", *carried("x", "a=rtcp-mux")],
        ["m=application 9 UDP/BFCP *", *carried("x")],
        ["m=application 9 UDP/DTLS/SCTP other-protocol", *carried("x", "a=sctp-port:5000")],
        ["m=audio 0 UDP/TLS/RTP/SAVPF 0", *carried("x", "a=rtcp-mux")],
        ["m=audio 0 UDP/TLS/RTP/SAVPF 0", "a=mid:x"],
    ],
)
def test_what_cannot_be_accepted_is_rejected_in_its_place(section: list[str]) -> None:
    b = Peer("b")
    answer = answer_to(sdp("a=group:BUNDLE x y", section, data("y")), b)
    assert rejected(answer) == [True, False]
    offered = section[0].split()
    media = answer.media[0]
    assert (media.mid, media.protocol, list(media.formats)) == ("x", offered[2], offered[3:])
    assert answer.bundle_groups == (("y",),)
    assert b.sections[0].rejected
    assert [each.key for each in b.negotiation.session.transports] == ["y"]


def test_a_stopped_transceiver_rejects_but_a_stopping_one_does_not() -> None:
    b = Peer("b")
    b.set_remote(sdp(audio("0")))
    b.stop(0)
    answer = b.answer().parsed
    assert answer is not None
    assert not answer.media[0].is_rejected
    assert answer.media[0].direction is Direction.INACTIVE
    b.change(0, stopped=True)
    answer = b.answer().parsed
    assert answer is not None
    assert answer.media[0].is_rejected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (BundlePolicy.MAX_COMPAT, [False, False, False, False]),
        (BundlePolicy.BALANCED, [False, False, True, False]),
        (BundlePolicy.MAX_BUNDLE, [False, True, True, True]),
    ],
)
def test_offers_without_bundle(policy: BundlePolicy, expected: list[bool]) -> None:
    b = Peer("b", bundle_policy=policy)
    answer = answer_to(sdp(audio("0"), video("1"), video("2"), data("3")), b)
    assert rejected(answer) == expected
    assert answer.groups == ()
    keys = [mid for mid, dead in zip("0123", expected, strict=True) if not dead]
    assert [each.key for each in b.negotiation.session.transports] == keys
    assert [media.ice_ufrag is None for media in answer.media] == [False] * 4


def test_a_rejected_tagged_section_hands_the_bundle_on() -> None:
    speex = ["m=audio 9 UDP/TLS/RTP/SAVPF 99", *carried("0", "a=rtcp-mux", "a=rtpmap:99 speex/8000")]
    b = Peer("b")
    answer = answer_to(sdp("a=group:BUNDLE 0 1 2", speex, video("1"), data("2")), b)
    assert answer.bundle_groups == (("1", "2"),)
    (transport,) = b.negotiation.session.transports
    assert transport.remote is not None
    assert transport.remote.ice_ufrag == "ufra1"


def test_a_bundle_without_any_transport_of_its_own_is_rejected_whole() -> None:
    speex = ["m=audio 9 UDP/TLS/RTP/SAVPF 99", *carried("0", "a=rtcp-mux", "a=rtpmap:99 speex/8000")]
    lone = ["m=video 0 UDP/TLS/RTP/SAVPF 96", "a=bundle-only", "a=mid:1", "a=rtpmap:96 VP8/90000"]
    answer = answer_to(sdp("a=group:BUNDLE 0 1", speex, lone))
    assert rejected(answer) == [True, True]
    assert answer.bundle_groups == ()


def test_bundle_only_sections_are_accepted_without_saying_so() -> None:
    lone = ["m=video 0 UDP/TLS/RTP/SAVPF 96", "a=bundle-only", "a=mid:1", "a=rtpmap:96 VP8/90000"]
    b = Peer("b")
    answer = answer_to(sdp("a=group:BUNDLE 0 1", audio("0"), lone), b)
    assert rejected(answer) == [False, False]
    assert not any(media.bundle_only for media in answer.media)
    assert b.sections[1].rtcp_mux
    assert [section.transport for section in b.sections] == ["0", "0"]


def test_two_bundles() -> None:
    b = Peer("b", bundle_policy=BundlePolicy.MAX_COMPAT)
    offer = sdp("a=group:BUNDLE 0 1", "a=group:BUNDLE 3 2", audio("0"), video("1"), audio("2"), data("3"))
    answer = answer_to(offer, b)
    assert answer.bundle_groups == (("0", "1"), ("3", "2"))
    assert [section.transport for section in b.sections] == ["0", "0", "3", "3"]
    # our own offers keep them apart, and put what is new into the first
    b.add("audio")
    again = b.offer()
    assert again.parsed is not None
    assert again.parsed.bundle_groups == (("0", "1", "4"), ("2", "3"))
    b.set_local(again)
    assert [section.transport for section in b.sections] == ["0", "0", "3", "3", "0"]
    assert [each.mid for each in b.negotiation.session.transports] == ["0", "2"]


def test_a_second_data_section_is_rejected() -> None:
    assert rejected(answer_to(sdp("a=group:BUNDLE 0 1", data("0"), data("1")))) == [False, True]


def test_a_peer_that_knows_no_mids() -> None:
    b = Peer("b", bundle_policy=BundlePolicy.MAX_COMPAT)
    offer = "".join(
        line + "\r\n" for line in sdp(audio("0"), video("1")).split("\r\n") if line and "mid" not in line
    )
    answer = answer_to(offer, b)
    assert [media.mid for media in answer.media] == [None, None]
    assert [section.mid for section in b.sections] == ["0", "1"]
    assert b.mids() == ["0", "1"]
    # again: the sections are the same
    answer_to(offer, b)
    assert b.mids() == ["0", "1"]


@pytest.mark.parametrize("protocol", ["RTP/AVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF"])
def test_profiles_are_repeated_in_answers_and_put_right_in_offers(protocol: str) -> None:
    b = Peer("b")
    assert answer_to(sdp(audio("0", proto=protocol)), b).media[0].protocol == protocol
    again = b.offer().parsed
    assert again is not None
    assert again.media[0].protocol == "UDP/TLS/RTP/SAVPF"


@pytest.mark.parametrize("protocol", ["UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP"])
def test_data_profiles(protocol: str) -> None:
    b = Peer("b")
    media = answer_to(sdp(data("0", protocol)), b).media[0]
    assert (media.protocol, media.sctp_port) == (protocol, 5000)


def test_data_as_it_was_written_before_the_standard() -> None:
    b = Peer("b")
    old = ["m=application 9 DTLS/SCTP 5001", *carried("0", "a=sctpmap:5001 webrtc-datachannel 1024")]
    media = answer_to(sdp(old), b).media[0]
    assert media.formats == ("5001",)
    assert lines(media, "sctpmap") == ["5000 webrtc-datachannel 65535"]
    sctp = b.sections[0].sctp
    assert sctp is not None
    assert (sctp.remote_port, sctp.max_message_size) == (5001, 65536)


def test_port_zero_closes_the_association() -> None:
    a, b = pair(data=True)
    assert a.sections[0].sctp is not None
    offer = a.offer()
    a.set_local(offer)
    b.set_remote(offer.sdp.replace("sctp-port:5000", "sctp-port:0"))
    b.set_local(b.answer())
    assert b.sections[0].sctp is None
    assert not b.sections[0].rejected


def test_simulcast_that_the_peer_would_send() -> None:
    rids = ("a=rid:q send", "a=rid:h send", "a=simulcast:send q,h;~h;q")
    b = Peer("b")
    media = answer_to(sdp(video("0", *rids)), b).media[0]
    assert lines(media, "rid") == ["q recv", "h recv"]
    assert lines(media, "simulcast") == ["recv q;h"]
    assert b.sections[0].receive_rids == ("q", "h")
    proud = Peer("b", capabilities=replace(b.intents.capabilities, receive_simulcast=False))
    assert not answer_to(sdp(video("0", *rids)), proud).media[0].rids


def test_simulcast_that_the_peer_would_take() -> None:
    rids = ("a=rid:q recv", "a=rid:h recv", "a=rid:f recv", "a=simulcast:recv q;h;f")
    b = Peer("b")
    b.add_track("video", send_encodings=(SendEncoding("h"), SendEncoding("q")))
    media = answer_to(sdp(video("0", *rids)), b).media[0]
    assert lines(media, "rid") == ["q send", "h send"]
    assert lines(media, "simulcast") == ["send q;h"]
    assert b.sections[0].send_rids == ("q", "h")


def test_lip_sync_groups_are_kept_when_the_answerer_agrees() -> None:
    offer = sdp("a=group:BUNDLE 0 1", "a=group:LS 0 1", audio("0"), video("1"))

    def groups(*streams: str) -> list[str]:
        b = Peer("b")
        for kind, stream in zip(("audio", "video"), streams, strict=False):
            b.add_track(kind, msids=((stream, "t"),))
        return [str(each) for each in answer_to(offer, b).groups][1:]

    assert groups() == ["LS 0 1"]
    assert groups("s", "s") == ["LS 0 1"]
    assert groups("s", "t") == []


def test_answering_is_pure_and_only_for_offers() -> None:
    b = Peer("b")
    with pytest.raises(InvalidStateError):
        b.answer()
    b.set_remote(sdp(audio("0")))
    before = b.negotiation
    first = b.answer()
    b.version -= 1
    assert b.answer() == first
    assert b.negotiation is before
    b.set_local(first.as_type(SdpType.PRANSWER))
    assert b.answer().parsed is not None


def test_ptime_and_bandwidth_are_read() -> None:
    section = audio("0", "a=ptime:40", "a=maxptime:60")
    section.insert(1, "b=AS:64")
    b = Peer("b")
    answer_to(sdp(section), b)
    remote = b.sections[0].remote
    assert remote is not None
    assert (remote.ptime_ms, remote.max_ptime_ms, remote.bandwidth_bps) == (40, 60, 64 * 950 - 16000)
    section[1] = "b=TIAS:50000"
    b = Peer("b")
    answer_to(sdp(section), b)
    remote = b.sections[0].remote
    assert remote is not None
    assert remote.bandwidth_bps == 50000


def test_sources_and_streams_are_read_however_they_are_written() -> None:
    section = video(
        "0",
        "a=ssrc-group:FID 1 2",
        "a=ssrc:1 cname:c",
        "a=ssrc:1 msid:stream track",
        "a=ssrc:2 cname:c",
    )
    b = Peer("b")
    answer_to(sdp(section), b)
    remote = b.sections[0].remote
    assert remote is not None
    (source,) = remote.sources
    assert (source.ssrc, source.rtx_ssrc, source.cname) == (1, 2, "c")
    assert remote.msids == (("stream", "track"),)
    assert remote.stream_ids == ("stream",)


@pytest.mark.parametrize("repeats", [True, False])
def test_retransmissions_have_a_source_where_they_are_agreed(repeats: bool) -> None:
    section = video("0", *(["a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96"] if repeats else []))
    section[0] += " 97" if repeats else ""
    b = Peer("b")
    b.add_track(
        "video", send_encodings=(SendEncoding(ssrc=11, rtx_ssrc=12),), cname="me", msids=(("s", "t"),)
    )
    answered = answer_to(sdp(section), b).media[0]
    assert lines(answered, "ssrc-group") == (["FID 11 12"] if repeats else [])
    assert [line.split()[0] for line in lines(answered, "ssrc")] == ["11", "11", *["12", "12"] * repeats]
