"""What is sent and received of what was negotiated."""

from __future__ import annotations

from dataclasses import replace

from rtcstack.connection.binding import accepted_codecs, receive_section, received_codecs
from rtcstack.jsep.session import Codec, MediaParameters, Section
from rtcstack.rtp.parameters import Delivery

VP8 = Codec("video/VP8", 90000, payload_type=96)
VP8_RTX = Codec("video/rtx", 90000, parameters="apt=96", payload_type=97)
VP9 = Codec("video/VP9", 90000, parameters="profile-id=0", payload_type=98, rtcp_fb=("nack", "nack pli"))
OFFERED = Section(
    0, "0", "video", "UDP/TLS/RTP/SAVPF", local=MediaParameters(codecs=(VP8, VP8_RTX, VP9)), receive_codecs=()
)


def test_all_that_was_offered_is_taken_whatever_the_answer_lists() -> None:
    """libwebrtc answers VP9 alone, and sends VP8."""
    agreed = replace(OFFERED, receive_codecs=(VP9,))
    assert accepted_codecs(agreed) == (VP9, VP8, VP8_RTX)
    assert {number: codec.name for number, codec in received_codecs(agreed).items()} == {
        98: "vp9",
        96: "vp8",
    }
    section = receive_section(agreed, Delivery.FRAMES, 0.0)
    assert [codec.payload_type for codec in section.codecs] == [98, 96, 97]
    assert [codec.apt for codec in section.codecs] == [None, None, 96]


def test_what_was_agreed_about_a_number_goes_before_what_was_offered() -> None:
    agreed = replace(VP9, rtcp_fb=("nack",))
    assert accepted_codecs(replace(OFFERED, receive_codecs=(agreed,)))[0] == agreed
    assert accepted_codecs(replace(OFFERED, receive_codecs=(agreed,))).count(VP9) == 0


def test_nothing_is_taken_where_nothing_was_agreed() -> None:
    assert accepted_codecs(OFFERED) == ()


def test_parameter_sets_that_the_sender_tells_go_with_its_format() -> None:
    ours = Codec("video/H264", 90000, parameters="packetization-mode=1", payload_type=96)
    theirs = replace(ours, parameters="sprop-parameter-sets=Z0IAH6o=,aM48gA==;packetization-mode=1")
    section = replace(
        OFFERED,
        local=MediaParameters(codecs=(ours,)),
        remote=MediaParameters(codecs=(theirs,)),
        receive_codecs=(ours,),
    )
    assert received_codecs(section)[96].parameter_sets == (b"\x67\x42\x00\x1f\xaa", b"\x68\xce\x3c\x80")
    assert received_codecs(replace(section, remote=None))[96].parameter_sets == ()
