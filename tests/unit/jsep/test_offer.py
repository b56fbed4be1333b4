"""What offers look like: RFC 9429, section 5.2."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from rtcstack.errors import InvalidStateError
from rtcstack.jsep import BundlePolicy, CodecFormat, HeaderExtension, SendEncoding
from rtcstack.sdp import Candidate, Direction, SetupRole, parse_session
from tests.unit.jsep.peer import Peer, exchange, lines, pair
from tests.unit.jsep.test_answer import carried, sdp


def parsed(peer: Peer):  # type: ignore[no-untyped-def]
    description = peer.offer().parsed
    assert description is not None
    return description


def test_an_empty_offer() -> None:
    assert Peer().offer().sdp == (
        "v=0\r\no=- 7 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-options:trickle ice2\r\n"
    )


def test_the_text_is_the_value() -> None:
    a = Peer()
    a.add("audio")
    a.add("video", send_encodings=(SendEncoding("a"), SendEncoding("b")))
    a.want_data()
    offer = a.offer()
    assert parse_session(offer.sdp) == offer.parsed


def test_creating_is_pure() -> None:
    a = Peer()
    a.add("audio")
    before = a.negotiation
    first = a.offer()
    a.version -= 1
    assert a.offer() == first
    assert a.negotiation is before


def test_sections_stand_in_the_order_of_transceivers_and_data_comes_last() -> None:
    a = Peer(data_channel=True)
    for kind in ("video", "audio", "video"):
        a.add(kind)
    offer = parsed(a)
    assert [media.kind for media in offer.media] == ["video", "audio", "video", "application"]
    assert [media.mid for media in offer.media] == ["0", "1", "2", "3"]
    assert offer.bundle_groups == (("0", "1", "2", "3"),)


def test_data_in_front_when_the_application_asks_for_it() -> None:
    a = Peer(always_negotiate_data_channels=True)
    a.add("audio")
    offer = parsed(a)
    assert [media.kind for media in offer.media] == ["application", "audio"]
    assert offer.bundle_groups == (("0", "1"),)


def test_mandatory_lines_of_a_media_section() -> None:
    a = Peer()
    a.tls_id = "abcdefghijklmnopqrstuvwxyz"
    a.add("audio")
    audio = parsed(a).media[0]
    assert (audio.port, audio.protocol) == (9, "UDP/TLS/RTP/SAVPF")
    assert audio.connections[0].address == "0.0.0.0"
    assert audio.ice_ufrag
    assert audio.ice_pwd
    assert audio.fingerprints
    assert audio.setup is SetupRole.ACTPASS
    assert audio.tls_id == a.tls_id
    assert audio.rtcp_mux
    assert audio.rtcp_mux_only
    assert audio.rtcp_rsize
    assert lines(audio, "rtcp") == ["9 IN IP4 0.0.0.0"]
    assert audio.direction is Direction.SENDRECV
    assert audio.max_ptime_ms == 120
    for forbidden in ("crypto", "key-mgmt", "ice-lite"):
        assert not audio.has(forbidden)


def test_mandatory_lines_of_the_data_section() -> None:
    data = parsed(Peer(data_channel=True, max_message_size=1234, sctp_port=5001)).media[0]
    assert (data.protocol, data.formats) == ("UDP/DTLS/SCTP", ("webrtc-datachannel",))
    assert (data.sctp_port, data.max_message_size) == (5001, 1234)
    assert not data.has("rtcp-mux")
    assert not data.has("sctp-init")


def test_snap_is_written_when_it_is_wanted() -> None:
    assert lines(parsed(Peer(data_channel=True, sctp_init="AQID")).media[0], "sctp-init") == ["AQID"]


@pytest.mark.parametrize(
    ("policy", "bundle_only"),
    [
        (BundlePolicy.BALANCED, [False, False, True, True, False]),
        (BundlePolicy.MAX_COMPAT, [False, False, False, False, False]),
        (BundlePolicy.MAX_BUNDLE, [False, True, True, True, True]),
    ],
)
def test_bundle_policies_on_the_wire(policy: BundlePolicy, bundle_only: list[bool]) -> None:
    a = Peer(data_channel=True, bundle_policy=policy)
    for kind in ("audio", "video", "audio", "video"):
        a.add(kind)
    offer = a.offer()
    assert offer.parsed is not None
    assert [media.bundle_only for media in offer.parsed.media] == bundle_only
    assert [media.port for media in offer.parsed.media] == [0 if each else 9 for each in bundle_only]
    a.set_local(offer)
    own = [mid for mid, only in zip("01234", bundle_only, strict=True) if not only]
    assert [each.key for each in a.negotiation.session.transports] == own
    assert [section.transport for section in a.sections] == [
        "0" if only else mid for mid, only in zip("01234", bundle_only, strict=True)
    ]


@pytest.mark.parametrize("direction", Direction)
def test_direction_and_msids(direction: Direction) -> None:
    a = Peer()
    a.add("audio", direction=direction, msids=(("s1", "t"), ("s2", "t")))
    a.add("audio", direction=direction, msids=(("-", "t2"),))
    a.add("audio", direction=direction, msids=())
    offer = parsed(a)
    assert [media.direction for media in offer.media] == [direction] * 3
    written = [lines(media, "msid") for media in offer.media]
    assert written == ([["s1 t", "s2 t"], ["- t2"], ["-"]] if direction.send else [[], [], []])


def test_sources_are_written_for_peers_that_route_by_them() -> None:
    a = Peer()
    a.add("video", send_encodings=(SendEncoding(ssrc=11, rtx_ssrc=12),), cname="me", msids=(("s", "t"),))
    video = parsed(a).media[0]
    assert lines(video, "ssrc-group") == ["FID 11 12"]
    assert lines(video, "ssrc") == ["11 cname:me", "11 msid:s t", "12 cname:me", "12 msid:s t"]


def test_sources_stay_while_nothing_is_sent() -> None:
    sources = {"send_encodings": (SendEncoding(ssrc=11),), "cname": "me", "msids": (("s", "t"),)}
    a, b = Peer("a"), Peer("b")
    key = a.add("video", **sources)
    a.add("video", direction=Direction.RECVONLY, **sources)
    exchange(a, b)
    a.change(key, direction=Direction.INACTIVE)
    held, only_received = exchange(a, b)[0].media
    assert (lines(held, "ssrc"), lines(held, "msid")) == (["11 cname:me"], [])
    assert not only_received.ssrcs
    # what is held by the other side's offer is answered with them, too
    a.change(key, direction=Direction.SENDRECV)
    exchange(a, b)
    a.change(key, direction=Direction.INACTIVE)
    _, answer = exchange(b, a)
    assert lines(answer.media[0], "ssrc") == ["11 cname:me"]


def test_simulcast() -> None:
    a = Peer()
    rids = tuple(SendEncoding(rid, ssrc=number) for number, rid in enumerate("qhf"))
    a.add("video", send_encodings=rids)
    a.add("video", send_encodings=rids, direction=Direction.RECVONLY)
    a.add("video", send_encodings=rids[:1])
    first, second, third = parsed(a).media
    assert lines(first, "rid") == ["q send", "h send", "f send"]
    assert lines(first, "simulcast") == ["send q;h;f"]
    assert not first.ssrcs
    assert not second.rids
    # one stream is no simulcast (webrtc-pc, final steps to create an offer)
    assert not third.rids
    assert third.simulcast is None


def test_lip_sync_groups() -> None:
    a = Peer()
    a.add("audio", msids=(("s", "1"), ("alone", "1")))
    a.add("video", msids=(("s", "2"),))
    a.add("video", msids=(("s", "3"),), direction=Direction.RECVONLY)
    a.add("video", msids=(("-", "4"),))
    a.add("video", msids=(("-", "5"),))
    assert [str(group) for group in parsed(a).groups] == ["BUNDLE 0 1 2 3 4", "LS 0 1"]


def test_default_codecs_depend_on_the_direction() -> None:
    a = Peer()
    video = a.intents.capabilities.of("video")
    vp8, vp9 = video.send[:2], video.receive[2:4]
    capabilities = replace(
        a.intents.capabilities, media={"video": replace(video, send=vp8, receive=(*vp9, *vp8))}
    )
    a = Peer(capabilities=capabilities)
    for direction in Direction:
        a.add("video", direction=direction)
    assert [media.payload_types for media in parsed(a).media] == [
        (96, 97),  # sendrecv: both can
        (96, 97),  # sendonly
        (98, 99, 96, 97),  # recvonly
        (96, 97),  # inactive
    ]


def test_codec_preferences_filter_and_order() -> None:
    a = Peer()
    h264 = CodecFormat(
        "video/h264", 90000, None, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
    )
    vp8, rtx = CodecFormat("VIDEO/VP8", 90000), CodecFormat("video/rtx", 90000)
    a.add("video", codec_preferences=(h264, vp8))
    a.add("video", codec_preferences=(h264, rtx, vp8))
    a.add("video", codec_preferences=())
    a.add("video", codec_preferences=(CodecFormat("video/none", 90000),))
    everything = tuple(codec.payload_type for codec in a.intents.capabilities.of("video").send)
    assert [media.payload_types for media in parsed(a).media] == [
        (102, 96),
        (102, 103, 96, 97),
        everything,
        everything,
    ]


def test_header_extensions_of_a_transceiver() -> None:
    a = Peer()
    mid = "urn:ietf:params:rtp-hdrext:sdes:mid"
    a.add(
        "audio",
        header_extensions=(
            HeaderExtension(mid, 4),
            HeaderExtension("urn:mine", 4, Direction.SENDONLY),
            HeaderExtension("urn:not", 5, Direction.INACTIVE),
        ),
    )
    assert lines(parsed(a).media[0], "extmap") == [f"4 {mid}", "14/sendonly urn:mine"]


@pytest.mark.parametrize(
    ("kinds", "numbers"),
    [
        (("audio",), [{"ssrc-audio-level": 1, "abs-send-time": 2, "mid": 4}]),
        (("video",), [{"abs-send-time": 2, "mid": 9, "rtp-stream-id": 10, "repaired-rtp-stream-id": 11}]),
        (
            ("audio", "video"),
            [{"ssrc-audio-level": 1, "abs-send-time": 2, "mid": 4}, {"abs-send-time": 2, "mid": 4}],
        ),
        (
            ("video", "audio"),
            [{"abs-send-time": 2, "mid": 9}, {"ssrc-audio-level": 14, "abs-send-time": 2, "mid": 9}],
        ),
        (("simulcast", "audio"), [{"mid": 9}, {"ssrc-audio-level": 12, "abs-send-time": 2, "mid": 9}]),
    ],
)
def test_extensions_have_the_numbers_that_libwebrtc_gives(
    kinds: tuple[str, ...], numbers: list[dict[str, int]]
) -> None:
    """As they were captured from Chromium: it refuses an offer that meets its own pending one otherwise."""
    a = Peer()
    for kind in kinds:
        if kind == "simulcast":
            a.add("video", send_encodings=(SendEncoding("a"), SendEncoding("b")))
        else:
            a.add(kind)
    for media, wanted in zip(parsed(a).media, numbers, strict=True):
        named = {each.uri.rpartition("/")[2].rpartition(":")[2]: each.id for each in media.extmaps}
        assert named | wanted == named
        wide = "draft-holmer-rmcat-transport-wide-cc-extensions-01"
        assert named[wide] == (3 if kinds[0] == "audio" else 4)


def test_numbers_mean_the_same_in_all_sections() -> None:
    a = Peer()
    for kind in ("audio", "video", "video", "audio"):
        a.add(kind)
    offer = parsed(a)
    extensions: dict[int, str] = {}
    formats: dict[int, str] = {}
    for media in offer.media:
        for each in media.extmaps:
            assert extensions.setdefault(each.id, each.uri) == each.uri
        for each in media.rtpmaps:
            assert formats.setdefault(each.payload_type, each.encoding) == each.encoding
    assert len(set(extensions.values())) == len(extensions)


def test_proposed_numbers_that_collide_are_replaced() -> None:
    a = Peer()
    media = a.intents.capabilities.of("audio")
    clash = tuple(replace(codec, payload_type=96) for codec in media.send[:1])
    a = Peer(
        capabilities=replace(
            a.intents.capabilities,
            media={**a.intents.capabilities.media, "audio": replace(media, send=clash, receive=clash)},
        )
    )
    a.add("audio")
    a.add("video")
    audio, video = parsed(a).media
    assert audio.payload_types == (96,)
    assert video.payload_types[0] != 96
    assert f"{video.payload_types[1]} apt={video.payload_types[0]}" in lines(video, "fmtp")
    assert len({96, *video.payload_types}) == 1 + len(video.payload_types)


def test_gathered_candidates_and_the_default_destination() -> None:
    a = Peer(data_channel=True)
    a.add("audio")
    texts = (
        "1 1 udp 2 192.0.2.1 4000 typ host",
        "2 1 udp 1 198.51.100.9 5000 typ relay raddr 0.0.0.0 rport 0",
        "3 1 tcp 9 192.0.2.1 9 typ host tcptype active",
    )
    transport = replace(
        a.transport("0"), candidates=tuple(map(Candidate.parse, texts)), end_of_candidates=True
    )
    exchange(a, Peer("b"))
    a.transport = lambda key: transport  # type: ignore[method-assign]
    audio, data = parsed(a).media
    assert lines(audio, "candidate") == list(texts)
    assert audio.end_of_candidates
    assert (audio.port, audio.connections[0].address) == (5000, "198.51.100.9")
    # bundled: the same destination, and no candidates of its own
    assert (data.port, data.connections[0].address) == (5000, "198.51.100.9")
    assert data.candidates == ()
    assert not data.end_of_candidates


def test_states() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    b.set_remote(a.offer())
    with pytest.raises(InvalidStateError):
        b.offer()


# Subsequent offers


def test_an_unanswered_offer_can_be_offered_again_with_more() -> None:
    a = Peer()
    a.add("audio")
    first = a.offer()
    a.set_local(first)
    a.add("video")
    second = a.offer()
    assert second.parsed is not None
    assert [media.mid for media in second.parsed.media] == ["0", "1"]
    a.set_local(second)
    b = Peer("b")
    b.set_remote(second)
    answer = b.answer()
    b.set_local(answer)
    a.set_remote(answer)
    assert a.mids() == ["0", "1"]


def test_what_is_agreed_keeps_its_place_name_and_numbers() -> None:
    a, b = pair("audio", "video", data=True)
    before = a.negotiation.current_local
    assert before is not None
    assert before.parsed is not None
    a.add("video")
    again = parsed(a)
    for old, new in zip(before.parsed.media, again.media, strict=False):
        assert (old.mid, old.kind, old.payload_types, old.extmaps) == (
            new.mid,
            new.kind,
            new.payload_types,
            new.extmaps,
        )
        assert (old.ice_ufrag, old.ice_pwd) == (new.ice_ufrag, new.ice_pwd)
    assert [media.kind for media in again.media] == ["audio", "video", "application", "video"]
    assert not any(media.bundle_only or media.rtcp_mux_only for media in again.media)
    assert again.bundle_groups == (("0", "1", "2", "3"),)
    exchange(a, b)
    assert [each.key for each in a.negotiation.session.transports] == ["0"]


def test_formats_go_on_in_the_order_of_the_answer() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("video")
    vp9, vp8 = CodecFormat("video/VP9", 90000, None, "profile-id=0"), CodecFormat("video/VP8", 90000)
    b.add_track("video", codec_preferences=(vp9, vp8))
    exchange(a, b)
    assert parsed(a).media[0].payload_types[:6] == (98, 96, 97, 99, 100, 101)
    # and so do those that the peer numbered
    assert parsed(b).media[0].payload_types == (98, 96)


def test_an_answerer_goes_on_with_the_offerers_numbers() -> None:
    a, b = Peer("a"), Peer("b")
    a.add("audio")
    offer = a.offer()
    renumbered = offer.sdp.replace("111", "120").replace("extmap:4 ", "extmap:9 ")
    b.set_remote(renumbered)
    b.set_local(b.answer())
    again = parsed(b)
    assert again.media[0].payload_types[0] == 120
    assert "9 urn:ietf:params:rtp-hdrext:sdes:mid" in lines(again.media[0], "extmap")
    b.add("video")
    video = parsed(b).media[1]
    assert "9 urn:ietf:params:rtp-hdrext:sdes:mid" in lines(video, "extmap")
    assert 120 not in video.payload_types


def test_stopping_rejects_the_section_and_moves_the_transport() -> None:
    a, b = pair("audio", "video", data=True)
    a.stop(0)
    offer, answer = exchange(a, b)
    assert [media.port for media in offer.media] == [0, 9, 9]
    assert not lines(offer.media[0], "msid")
    assert offer.bundle_groups == answer.bundle_groups == (("1", "2"),)
    for peer in (a, b):
        (transport,) = peer.negotiation.session.transports
        assert (transport.key, transport.mid) == ("0", "1")
        assert peer.sections[0].rejected
        assert peer.sections[0].transport is None
        assert [each.key for each in peer.intents.transceivers] == [1]


def test_rejected_places_are_recycled_under_a_new_mid() -> None:
    a, b = pair("audio", "video", "audio")
    a.stop(2)
    exchange(a, b)
    a.add("video")
    offer, _ = exchange(a, b)
    assert [(media.mid, media.kind) for media in offer.media] == [
        ("0", "audio"),
        ("1", "video"),
        ("3", "video"),
    ]
    assert a.mids() == ["0", "1", "3"]
    assert a.mids() == b.mids()


def test_places_in_front_are_recycled_last() -> None:
    a, b = pair("audio", "video", "audio")
    a.stop(0)
    a.stop(2)
    exchange(a, b)
    a.add("audio")
    assert [media.mid for media in parsed(a).media] == ["0", "1", "3"]
    a.add("audio")
    assert [media.mid for media in parsed(a).media] == ["4", "1", "3"]


def test_both_ends_may_recycle_the_same_place() -> None:
    a, b = pair("audio", "video")
    a.stop(1)
    exchange(a, b)
    b.add("video")
    exchange(b, a)
    assert [each.mid for each in a.sections] == [each.mid for each in b.sections] == ["0", "2"]


def test_a_transceiver_stopped_before_it_was_ever_offered_leaves_no_trace() -> None:
    a = Peer()
    a.add("audio")
    a.add("video")
    a.stop(0)
    assert [media.kind for media in parsed(a).media] == ["video"]


def test_the_mapping_survives_changes_between_create_and_set() -> None:
    a = Peer()
    first, second = a.add("audio"), a.add("audio")
    offer = a.offer()
    a.stop(first)
    a.set_local(offer)
    assert a.negotiation.mid_of(first) == "0"
    assert a.negotiation.mid_of(second) == "1"


def test_text_without_the_mapping_is_matched_in_order() -> None:
    a = Peer()
    audio, video = a.add("audio"), a.add("video")
    a.set_local(replace(a.offer(), transceivers=None))
    assert (a.negotiation.mid_of(audio), a.negotiation.mid_of(video)) == ("0", "1")


def test_new_sections_join_an_existing_bundle_even_as_its_first() -> None:
    a, b = Peer("a"), Peer("b")
    waiting = a.add("audio")
    b.add("video")
    exchange(b, a)
    a.add("video")
    offer, _ = exchange(a, b)
    assert a.negotiation.mid_of(waiting) == "1"
    assert offer.bundle_groups == (("0", "1", "2"),)
    assert [each.key for each in a.negotiation.session.transports] == ["0"]


def test_no_bundling_with_a_peer_that_refused_it() -> None:
    a, b = Peer("a", bundle_policy=BundlePolicy.MAX_COMPAT), Peer("b", bundle_policy=BundlePolicy.MAX_COMPAT)
    a.add("audio")
    a.add("video")
    offer = a.offer()
    a.set_local(offer)
    b.set_remote(offer.sdp.replace("a=group:BUNDLE 0 1\r\n", ""))
    answer = b.answer()
    b.set_local(answer)
    a.set_remote(answer)
    for peer in (a, b):
        assert [each.key for each in peer.negotiation.session.transports] == ["0", "1"]
        assert peer.negotiation.session.bundle_groups == ()
    a.add("video")
    again = parsed(a)
    assert again.bundle_groups == (("2",),)
    exchange(a, b)
    assert [each.transport for each in a.sections] == ["0", "1", "2"]


def test_an_ice_restart_is_new_credentials() -> None:
    a, b = pair("audio", data=True)
    old = a.negotiation.session.transports[0]
    a.restart()
    exchange(a, b)
    new = a.negotiation.session.transports[0]
    assert new.local is not None
    assert new.remote is not None
    assert old.local is not None
    assert old.remote is not None
    assert new.local.ice_ufrag != old.local.ice_ufrag
    assert new.remote.ice_ufrag != old.remote.ice_ufrag
    assert (new.key, new.dtls_role, new.ice_controlling) == (old.key, old.dtls_role, old.ice_controlling)


def test_a_peer_that_uses_up_all_payload_types_leaves_some_for_our_next_section() -> None:
    unknown = [*range(96, 128), *range(35, 64)]
    b = Peer("b")
    media = f"m=audio 9 UDP/TLS/RTP/SAVPF 0 {' '.join(map(str, unknown))}"
    b.set_remote(
        sdp(
            [
                media,
                *carried("0", "a=rtcp-mux"),
                *(f"a=rtpmap:{number} none-{number}/8000" for number in unknown),
            ]
        )
    )
    b.set_local(b.answer())
    b.add("video")
    offer = b.offer()
    assert offer.parsed is not None
    first, second = offer.parsed.media
    assert "0" in first.formats
    assert not set(first.formats) & set(second.formats)
    assert len(set(second.formats)) == len(second.formats)
    for name in ("VP8/90000", "H264/90000", "AV1/90000"):
        assert re.search(rf"a=rtpmap:({'|'.join(second.formats)}) {name}\r\n", offer.sdp)
    b.set_local(offer)
    assert b.offer().parsed.media[1].formats == second.formats
