"""The grammar, its limits, and the line number of each fault."""

from __future__ import annotations

import contextlib
import time

import pytest

from rtcstack.errors import ParseError
from rtcstack.sdp import (
    Attribute,
    Bandwidth,
    Connection,
    Direction,
    MediaDescription,
    Origin,
    SessionDescription,
    Timing,
    parse_session,
    write_session,
)
from rtcstack.sdp import parser as limits

HEAD = ("v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0")
MEDIA = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0"


def sdp(*lines: str, head: tuple[str, ...] = HEAD) -> str:
    return "\r\n".join((*head, *lines, ""))


def fails_at(text: str, line: int, message: str) -> None:
    with pytest.raises(ParseError, match=message) as caught:
        parse_session(text)
    assert caught.value.line == line
    assert len(str(caught.value)) < 200


def test_every_line_of_rfc_8866_survives() -> None:
    text = sdp(
        "v=0",
        "o=jdoe 3724394400 3724394405 IN IP6 2001:db8::1",
        "s=Call to John Smith",
        "i=SDP Offer #1",
        "u=http://www.jdoe.example.com/home.html",
        "e=Jane Doe <jane@jdoe.example.com>",
        "e=second@example.com",
        "p=+1 617 555-6011",
        "c=IN IP4 198.51.100.1",
        "b=CT:128",
        "b=X-YZ:9",
        "t=3724394400 3724398000",
        "r=7d 1h 0 25h",
        "r=604800 3600 0 90000",
        "t=0 0",
        "z=2882844526 -1h 2898848070 0",
        "k=prompt",
        "a=recvonly",
        "a=x-own:with:colons and spaces ",
        "a=x-empty:",
        "m=audio 49170/2 RTP/AVP 0 8",
        "i=a title",
        "c=IN IP4 233.252.0.1/127",
        "c=IN IP4 233.252.0.2/127",
        "b=AS:64",
        "k=clear:abc",
        "a=rtpmap:0 PCMU/8000",
        "m=message 0 TCP/MSRP *",
        head=(),
    )
    description = parse_session(text)
    assert write_session(description) == text
    assert description.origin == Origin(3724394400, 3724394405, "jdoe", "IN", "IP6", "2001:db8::1")
    assert description.connection == Connection(address="198.51.100.1")
    assert description.bandwidths == (Bandwidth("CT", 128), Bandwidth("X-YZ", 9))
    assert description.times[0] == Timing(3724394400, 3724398000, ("7d 1h 0 25h", "604800 3600 0 90000"))
    assert description.attributes[1:] == (
        Attribute("x-own", "with:colons and spaces "),
        Attribute("x-empty", ""),
    )
    assert description.media[0].port_count == 2
    assert description.media[0].direction is Direction.RECVONLY


def test_writing_what_was_built_by_hand() -> None:
    description = SessionDescription(
        Origin(7, 8),
        media=(MediaDescription("application", 9, "UDP/DTLS/SCTP", ("webrtc-datachannel",)),),
    )
    assert write_session(description) == (
        "v=0\r\no=- 7 8 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
    )


def test_bandwidth_behind_attributes_is_taken_where_peers_put_it() -> None:
    description = parse_session(sdp(MEDIA, "a=mid:0", "b=AS:500", "c=IN IP4 1.2.3.4"))
    assert description.media[0].bandwidths == (Bandwidth("AS", 500),)
    assert description.media[0].connections == (Connection(address="1.2.3.4"),)


def test_trailing_empty_lines_are_no_matter() -> None:
    assert parse_session(sdp(MEDIA) + "\r\n\n") == parse_session(sdp(MEDIA))
    assert parse_session(sdp(MEDIA).rstrip()) == parse_session(sdp(MEDIA))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "empty"),
        ("\r\n\r\n", 1, "empty"),
        ("hello", 1, "<type>=<value>"),
        (sdp("v=1", head=()), 1, "version"),
        (sdp("o=- 1 1 IN IP4 0", head=()), 1, "v= line is missing"),
        (sdp("v=0", "s=-", head=()), 2, "o= line is missing"),
        (sdp(*HEAD[:2], "t=0 0", head=()), 3, "s= line is missing"),
        (sdp(*HEAD[:3], MEDIA, head=()), 4, "t= line is missing"),
        (sdp(*HEAD[:3], "a=x", head=()), 4, "t= line is missing"),
        (sdp(*HEAD[:3], head=()), 3, "t= line is missing"),
        (sdp("v=0", "v=0", head=()), 2, "second v="),
        (sdp(*HEAD[:2], HEAD[1], head=()), 3, "second o="),
        (sdp("i=late"), 5, "out of order"),
        (sdp("a=x", "b=AS:1"), 6, "out of order"),
        (sdp("q=1"), 5, "unknown"),
        (sdp(MEDIA, "q=1"), 6, "may not stand"),
        (sdp(MEDIA, "", "a=x"), 6, "<type>=<value>"),
        (sdp(MEDIA, "a=x\0"), 6, "NUL"),
        (sdp(MEDIA, "a=x\ry"), 6, "CR"),
        (sdp("m=audio 9 RTP/AVP"), 5, "needs at least 4"),
        (sdp("m=audio 65536 RTP/AVP 0"), 5, "port"),
        (sdp("m=audio -1 RTP/AVP 0"), 5, "port"),
        (sdp("m=audio 9 RTP/AVP 128"), 5, "payload type"),
        (sdp("m=audio 9 RTP/AVP opus"), 5, "payload type"),
        (sdp("m=au dio 9 RTP/AVP 0"), 5, "port"),
        (sdp("m=audio 9 RTP//AVP 0"), 5, "protocol"),
        (sdp(MEDIA, "c=IN IP4"), 6, "fields"),
        (sdp(MEDIA, "b=AS"), 6, "malformed"),
        (sdp(MEDIA, "b=AS:-1"), 6, "number"),
        (sdp(MEDIA, "b=AS:99999999999999999999999"), 6, "number"),
        (sdp(MEDIA, "a=rtpmap:200 opus/48000/2"), 6, "payload type"),
        (sdp(MEDIA, "a=rtpmap:111 opus"), 6, "malformed"),
        (sdp(MEDIA, "a=rtpmap:111 opus/0"), 6, "clock rate"),
        (sdp(MEDIA, "a=rtpmap:\u0661\u0661\u0661 opus/48000/2"), 6, "not a number"),
        (sdp(MEDIA, "a=extmap:0 urn:x"), 6, "extmap id"),
        (sdp(MEDIA, "a=extmap:1/up urn:x"), 6, "direction"),
        (sdp(MEDIA, "a=extmap:1"), 6, "malformed"),
        (sdp(MEDIA, "a=ssrc:4294967296 cname:x"), 6, "ssrc"),
        (sdp(MEDIA, "a=ssrc-group:FID 1 x"), 6, "ssrc"),
        (sdp(MEDIA, "a=rid:1 both"), 6, "rid"),
        (sdp(MEDIA, "a=rid:? send"), 6, "rid"),
        (sdp(MEDIA, "a=simulcast:send"), 6, "simulcast"),
        (sdp(MEDIA, "a=simulcast:send 1 send 2"), 6, "simulcast"),
        (sdp(MEDIA, "a=simulcast:send 1;;2"), 6, "simulcast"),
        (sdp(MEDIA, "a=simulcast:send 1" + ";1" * 128), 6, "more than 128"),
        (sdp(MEDIA, "a=ssrc-group:SIM" + " 1" * 129), 6, "more than 128"),
        (sdp(MEDIA, "a=rid:1 send a" + ";a" * 128), 6, "more than 128"),
        (sdp(MEDIA, "a=ice-ufrag:abc"), 6, "ice-ufrag"),
        (sdp(MEDIA, "a=ice-pwd:" + "x" * 21), 6, "ice-pwd"),
        (sdp(MEDIA, "a=ice-pwd:" + "x" * 257), 6, "ice-pwd"),
        (sdp(MEDIA, "a=ice-options:"), 6, "ice-options"),
        (sdp(MEDIA, "a=fingerprint:sha-256 AB:CD"), 6, "sha-256"),
        (sdp(MEDIA, "a=fingerprint:sha-256 XY"), 6, "fingerprint"),
        (sdp(MEDIA, "a=setup:maybe"), 6, "setup"),
        (sdp(MEDIA, "a=sctp-port:65536"), 6, "sctp-port"),
        (sdp(MEDIA, "a=sctpmap:5000"), 6, "sctpmap"),
        (sdp(MEDIA, "a=max-message-size:x"), 6, "max-message-size"),
        (sdp(MEDIA, "a=max-message-size:18446744073709551616"), 6, "max-message-size"),
        (sdp(MEDIA, "a=msid:"), 6, "msid"),
        (sdp(MEDIA, "a=msid:a b c"), 6, "msid"),
        (sdp(MEDIA, "a=mid:"), 6, "mid"),
        (sdp(MEDIA, "a=mid:a", "a=mid:b"), 7, "second"),
        (sdp(MEDIA, "a=sendrecv:no"), 6, "takes no value"),
        (sdp(MEDIA, "a=rtcp-mux:"), 6, "takes no value"),
        (sdp("a=group:"), 5, "group"),
    ],
)
def test_malformed(text: str, line: int, message: str) -> None:
    fails_at(text, line, message)


@pytest.mark.parametrize(
    "line",
    [
        "a=:x",
        "a=b@d:x",
        "a=has a space:x",
        "a=rtcp",
        "a=rtcp:",
        "a=rtcp:99999",
        "a=rtcp-fb:111",
        "a=rtcp-fb:x nack",
        "a=tls-id:s",
        "a=ptime:0",
        "a=ptime:nan",
        "a=maxptime:0",
        "a=candidate:1 0 udp 1 192.0.2.1 5 typ host",
        "a=candidate:1 1 udp 1 1.2.3.4 5",
    ],
)
def test_what_a_call_can_do_without_is_left_out(line: str) -> None:
    """Cameras and gateways write them, and browsers take their descriptions."""
    assert parse_session(sdp(MEDIA, line, "a=mid:0")) == parse_session(sdp(MEDIA, "a=mid:0"))


def test_spaces_behind_attributes_and_titles_behind_addresses() -> None:
    media = parse_session(sdp(MEDIA, "c=IN IP4 0.0.0.0", "i=title", "a=sendonly ", "a=rtcp-mux ")).media[0]
    assert media.direction == "sendonly"
    assert media.rtcp_mux
    assert media.information == "title"


@pytest.mark.parametrize("number", ["19599440071187478912", "-5", "9" * 400, "0"])
def test_session_ids_of_any_length_and_sign(number: str) -> None:
    text = sdp(MEDIA).replace("o=- 1 2 ", f"o=- {number} {number} ")
    parsed = parse_session(text)
    assert parsed.origin.session_id == parsed.origin.session_version == int(number)
    assert write_session(parsed) == text


@pytest.mark.parametrize("number", ["9" * 1025, "x", "--1", "", "1.5"])
def test_session_ids_that_are_none(number: str) -> None:
    with pytest.raises(ParseError):
        parse_session(sdp(MEDIA).replace("o=- 1 2 ", f"o=- {number} 2 "))


def test_repeating_the_same_value_is_harmless() -> None:
    media = parse_session(sdp(MEDIA, "a=mid:a", "a=mid:a", "a=sendonly", "a=rtcp-mux", "a=rtcp-mux")).media[0]
    assert media.mid == "a"


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (["a=x"] * (limits.MAX_ATTRIBUTES + 1), 6 + limits.MAX_ATTRIBUTES),
        (
            ["a=candidate:1 1 udp 1 1.2.3.4 5 typ host"] * (limits.MAX_CANDIDATES + 1),
            6 + limits.MAX_CANDIDATES,
        ),
        (["m=x 0 y z"] * limits.MAX_MEDIA_SECTIONS, 5 + limits.MAX_MEDIA_SECTIONS),
        (["b=AS:1"] * (limits.MAX_REPEATED_LINES + 1), 6 + limits.MAX_REPEATED_LINES),
        (["a=x:" + "y" * limits.MAX_LINE_LENGTH], 6),
        (["m=x 0 y" + " z" * (limits.MAX_FORMATS + 1)], 6),
    ],
)
def test_limits(lines: list[str], line: int) -> None:
    fails_at(sdp(MEDIA, *lines), line, "than")


def test_a_description_that_is_too_long_is_not_even_split() -> None:
    fails_at(sdp(MEDIA) + "a=x\r\n" * limits.MAX_SDP_LENGTH, 1, "longer than")


@pytest.mark.parametrize(
    "filler",
    [
        "a=x\r\n",
        "m=audio 9 RTP/AVP 0\r\n",
        "a=candidate:1 1 udp 1 1.2.3.4 5 typ host\r\n",
        "a=simulcast:send " + "a;" * 14_000 + "a\r\n",
        "m=audio 9 RTP/AVP" + " 0" * 500 + "\r\n",
        "a=rid:1 send " + "a=b;" * 7_000 + "a=b\r\n",
        "a=fmtp:1 " + ";" * 30_000 + "\r\n",
        "\r\n",
        "a=ssrc-group:FID" + " 1" * 15_000 + "\r\n",
    ],
    ids=lambda filler: filler[:12].strip(),
)
def test_a_megabyte_of_hostility_is_dealt_with_quickly(filler: str) -> None:
    text = sdp(MEDIA) + filler * ((limits.MAX_SDP_LENGTH - 200) // len(filler))
    start = time.process_time()
    with contextlib.suppress(ParseError):
        parse_session(text)
    assert time.process_time() - start < 1.0


def test_session_level_values_hold_for_sections_without_their_own() -> None:
    print_a, print_b = ":".join(["AA"] * 32), ":".join(["BB"] * 32)
    description = parse_session(
        sdp(
            f"a=fingerprint:sha-256 {print_a}",
            "a=setup:active",
            "a=ice-ufrag:sess",
            "a=ice-pwd:0123456789012345678901",
            "a=ice-options:trickle",
            "a=ice-lite",
            "a=sendonly",
            "a=extmap-allow-mixed",
            MEDIA,
            MEDIA,
            "a=setup:passive",
            "a=ice-ufrag:sect",
            f"a=fingerprint:sha-256 {print_b}",
            "a=inactive",
        )
    )
    first, second = description.media
    assert first.fingerprints[0].value == print_a
    assert (first.setup, first.ice_ufrag, first.ice_options) == ("active", "sess", ("trickle",))
    assert first.direction is Direction.SENDONLY
    assert first.ice_lite
    assert first.extmap_allow_mixed
    assert [each.value for each in second.fingerprints] == [print_b]
    assert (second.setup, second.ice_ufrag) == ("passive", "sect")
    assert second.direction is Direction.INACTIVE
    assert first.attributes == ()


def test_values_compare_without_regard_to_how_they_were_made() -> None:
    assert parse_session(sdp(MEDIA, "a=mid:0")).media[0] == MediaDescription(
        "audio", 9, "UDP/TLS/RTP/SAVPF", ("111", "0"), (Attribute("mid", "0"),)
    )
