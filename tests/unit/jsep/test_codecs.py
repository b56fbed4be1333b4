"""Which formats are the same, which are common, and how answers state them."""

from __future__ import annotations

import pytest

from rtcstack.jsep import Codec, CodecFormat, codecs_match, default_capabilities, same_codec
from rtcstack.jsep.codecs import Match, answered, common
from rtcstack.jsep.h264 import ProfileLevel, answer_profile_level_id
from rtcstack.jsep.numbers import PayloadTypes


def video(name: str, number: int, parameters: str = "", *feedback: str) -> Codec:
    return Codec(
        mime_type=f"video/{name}",
        clock_rate=90000,
        payload_type=number,
        parameters=parameters,
        rtcp_fb=feedback,
    )


# RFC 6184, table 5
@pytest.mark.parametrize(
    ("text", "profile", "level"),
    [
        ("42e01f", "constrained-baseline", 31),
        ("42C02A", "constrained-baseline", 42),
        ("42f00b", "constrained-baseline", 9),
        ("42e00b", "constrained-baseline", 11),
        ("4d8028", "constrained-baseline", 40),
        ("58f00d", "constrained-baseline", 13),
        ("42001f", "baseline", 31),
        ("42801f", "baseline", 31),
        ("58800a", "baseline", 10),
        ("4d001f", "main", 31),
        ("4d401f", "main", 31),
        ("640033", "high", 51),
        ("640c34", "constrained-high", 52),
        ("f4001f", "high-4:4:4-predictive", 31),
        ("7a0020", "7a00", 32),
    ],
)
def test_profiles_of_h264(text: str, profile: str, level: int) -> None:
    assert ProfileLevel.parse(text) == ProfileLevel(profile, level)


@pytest.mark.parametrize("text", ["", "42e01", "42e01g", "42e01f0", "\u0661" * 6])
def test_what_is_no_profile(text: str) -> None:
    assert ProfileLevel.parse(text) is None


def test_an_absent_profile_is_baseline() -> None:
    absent = video("H264", 1)
    assert same_codec(absent, video("H264", 2, "profile-level-id=42001f"))
    assert not same_codec(absent, video("H264", 2, "profile-level-id=42e01f"))
    assert not same_codec(absent, video("H264", 2, "profile-level-id=nonsense"))
    assert not same_codec(absent, video("H264", 2, "packetization-mode=1;x=" + "y" * 1000))


@pytest.mark.parametrize(
    ("ours", "theirs", "asymmetry", "expected"),
    [
        ("42e01f", "42e034", True, "42e01f"),
        ("42e034", "42e01f", True, "42e034"),
        ("42e01f", "42e034", False, "42e01f"),
        ("42e034", "42e01f", False, "42e01f"),
        ("42e034", "4d801f", False, "42e01f"),
        ("42e01f", "42f00b", False, "42f00b"),
        ("42f00b", "42e00b", False, "42f00b"),
        ("42f014", "42e00b", False, "42e00b"),
        ("42001f", "", False, "42000a"),
    ],
)
def test_the_level_of_an_answer(ours: str, theirs: str, asymmetry: bool, expected: str) -> None:
    assert answer_profile_level_id(ours, theirs, asymmetry=asymmetry) == expected


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (video("VP8", 1), video("vp8", 2, "max-fs=12288"), True),
        (video("VP8", 1), video("VP9", 1), False),
        (video("VP9", 1), video("VP9", 2, "profile-id=0"), True),
        (video("VP9", 1, "profile-id=2"), video("VP9", 2), False),
        (video("AV1", 1, "level-idx=5;profile=0;tier=0"), video("AV1", 2), True),
        (video("AV1", 1, "profile=1"), video("AV1", 2), False),
        (video("H264", 1, "packetization-mode=1"), video("H264", 2), False),
        (video("H264", 1, "profile-level-id=42e01f"), video("H264", 2, "profile-level-id=42c034"), True),
        (video("H264", 1, "profile-level-id=42e01f"), video("H264", 2, "profile-level-id=640c1f"), False),
        (video("H265", 1, "profile-id=1;level-id=93"), video("H265", 2, "level-id=180"), True),
        (video("H265", 1, "profile-id=2"), video("H265", 2), False),
        (CodecFormat("audio/opus", 48000, 2), CodecFormat("audio/OPUS", 48000, 2, "stereo=1"), True),
        (CodecFormat("audio/opus", 48000, 2), CodecFormat("audio/opus", 48000), False),
        (CodecFormat("audio/PCMU", 8000), CodecFormat("audio/PCMU", 8000, 1), True),
        (CodecFormat("audio/PCMU", 8000), CodecFormat("audio/PCMU", 16000), False),
    ],
)
def test_same_codec(first: CodecFormat, second: CodecFormat, same: bool) -> None:
    assert same_codec(first, second) is same
    assert same_codec(second, first) is same


@pytest.mark.parametrize(
    ("first", "second", "exact", "symmetrical"),
    [
        (CodecFormat("video/VP8", 90000), CodecFormat("VIDEO/vp8", 90000), True, True),
        (CodecFormat("video/VP8", 90000), CodecFormat("video/VP8", 90000, None, "x=1"), False, False),
        (CodecFormat("audio/opus", 48000, 2), CodecFormat("audio/opus", 48000), False, False),
        (
            CodecFormat("audio/opus", 48000, 2, "minptime=10;useinbandfec=1"),
            CodecFormat("audio/opus", 48000, 2, "useinbandfec=1; minptime=10"),
            True,
            True,
        ),
        (
            CodecFormat("video/AV1", 90000, None, "profile=0;level-idx=5"),
            CodecFormat("video/AV1", 90000, None, "profile=0;level-idx=8"),
            False,
            True,
        ),
        (
            CodecFormat("audio/red", 48000, 2, "111/111"),
            CodecFormat("audio/red", 48000, 2, "112/112"),
            False,
            False,
        ),
    ],
)
def test_codec_dictionary_match(
    first: CodecFormat, second: CodecFormat, exact: bool, symmetrical: bool
) -> None:
    assert codecs_match(first, second) is exact
    assert codecs_match(first, second, ignore_asymmetrical=True) is symmetrical


OURS = default_capabilities().of("video").receive


def numbers(theirs: list[Codec], ours: tuple[Codec, ...] = OURS) -> list[tuple[int, int]]:
    return [(match.ours.payload_type, match.theirs.payload_type) for match in common(ours, theirs)]


def test_common_formats_stand_in_their_order() -> None:
    theirs = [
        video("VP9", 120, "profile-id=0"),
        video("rtx", 121, "apt=120"),
        video("H266", 122),
        video("rtx", 123, "apt=122"),
        video("VP8", 124),
    ]
    assert numbers(theirs) == [(98, 120), (99, 121), (96, 124)]


def test_an_answer_may_leave_out_the_profile_of_a_number() -> None:
    constrained = video("H264", 102, "packetization-mode=1;profile-level-id=42e02a")
    baseline = video("H264", 106, "packetization-mode=1;profile-level-id=42002a")
    answer = video("H264", 102, "packetization-mode=1;level-asymmetry-allowed=1")
    # by itself it says baseline; as an answer, what its number was offered for
    assert [match.ours for match in common([constrained, baseline], [answer])] == [baseline]
    assert [match.ours for match in common([constrained, baseline], [answer], answers=True)] == [constrained]
    assert Match(answer, constrained) in common([answer], [constrained, baseline], answers=True)
    # a number does not make another mode, profile or codec the same
    others = [
        video("H264", 102, "profile-level-id=42e01f"),
        video("H264", 102),
        video("H264", 102, "packetization-mode=1;profile-level-id=64001f"),
        video("VP8", 102),
    ]
    for other in others:
        assert common([constrained], [other], answers=True) == []


def test_an_answer_may_have_other_numbers() -> None:
    offered, answer = video("VP8", 96), video("VP8", 120)
    assert [match.ours for match in common([offered], [answer], answers=True)] == [offered]


def test_retransmission_is_followed_to_what_it_repairs() -> None:
    # in front of it, of nothing, of itself, of another one, of what is malformed
    assert numbers([video("rtx", 97, "apt=96"), video("VP8", 96)]) == [(97, 97), (96, 96)]
    assert numbers([video("rtx", 97, "apt=96")]) == []
    assert numbers([video("rtx", 97, "apt=97"), video("VP8", 96)]) == [(96, 96)]
    assert numbers([video("VP8", 96), video("rtx", 97, "apt=x"), video("rtx", 98)]) == [(96, 96)]
    rtx_of_rtx = [video("VP8", 96), video("rtx", 97, "apt=96"), video("rtx", 98, "apt=97")]
    assert numbers(rtx_of_rtx) == [(96, 96), (97, 97)]


def test_retransmission_that_we_cannot_do() -> None:
    assert numbers([video("VP8", 96), video("rtx", 97, "apt=96")], (video("VP8", 1),)) == [(1, 96)]


def test_red_needs_what_it_carries() -> None:
    ours = (
        Codec(mime_type="audio/opus", clock_rate=48000, channels=2, payload_type=111),
        Codec(mime_type="audio/red", clock_rate=48000, channels=2, payload_type=63, parameters="111/111"),
    )
    opus = Codec(mime_type="audio/opus", clock_rate=48000, channels=2, payload_type=96)
    red = Codec(mime_type="audio/red", clock_rate=48000, channels=2, payload_type=97, parameters="96/96")
    assert numbers([red, opus], ours) == [(63, 97), (111, 96)]
    assert numbers([red], ours) == []
    assert answered(common(ours, [red, opus])[0]).parameters == "96/96"


def test_an_answer_has_their_number_our_parameters_and_the_feedback_of_both() -> None:
    ours = (video("VP9", 98, "profile-id=0;x=1", "nack", "ccm fir"),)
    (match,) = common(ours, [video("vp9", 120, "profile-id=0;y=2", "ccm fir", "goog-remb")])
    assert answered(match) == video("vp9", 120, "profile-id=0;x=1", "ccm fir")


def test_an_answer_states_the_lower_level_unless_both_may_differ() -> None:
    def answer(ours: str, theirs: str) -> str:
        (match,) = common((video("H264", 102, ours),), [video("H264", 100, theirs)])
        return answered(match).parameters

    both = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id="
    assert answer(both + "42e01f", both + "42e00d") == both + "42e01f"
    lone = "packetization-mode=1;profile-level-id="
    assert answer(both + "42e01f", lone + "42e00d") == lone + "42e00d"
    assert answer(lone + "42e01f", both + "42e034") == lone + "42e01f"


def test_payload_types_run_out_gracefully() -> None:
    codecs = [video(f"C{number}", 96) for number in range(100)]
    given = PayloadTypes(()).assign(codecs)
    assert len(given) == len({codec.payload_type for codec in given}) == 32 + 29
    assert not any(64 <= codec.payload_type < 96 for codec in given)


def test_default_capabilities() -> None:
    everything = default_capabilities()
    assert any(codec.name == "h265" for codec in everything.of("video").send)
    shared: dict[int, str] = {}
    for kind in ("audio", "video"):
        for codec in everything.of(kind).send:
            assert shared.setdefault(codec.payload_type, codec.mime_type + codec.parameters) == (
                codec.mime_type + codec.parameters
            )
        ids = [each.id for each in everything.of(kind).header_extensions]
        assert len(set(ids)) == len(ids)
        assert all(1 <= each <= 14 for each in ids)
    assert everything.of("smell").send == ()


def test_capabilities_follow_the_coders() -> None:
    few = default_capabilities(
        lambda codec: codec.name in ("vp8", "pcmu"),
        lambda codec: codec.name in ("vp8", "vp9", "pcmu", "opus"),
    )
    video, audio = few.of("video"), few.of("audio")
    assert [codec.payload_type for codec in video.send] == [96, 97, 122, 121, 123]
    assert [codec.payload_type for codec in video.receive] == [96, 97, 98, 99, 100, 101, 122, 121, 123]
    assert [(codec.name, codec.clock_rate) for codec in audio.send] == [
        ("pcmu", 8000),
        ("telephone-event", 8000),
    ]
    assert [codec.name for codec in audio.receive] == [
        "opus",
        "red",
        "pcmu",
        "telephone-event",
        "telephone-event",
    ]
    nothing = default_capabilities(lambda codec: False, lambda codec: False)
    assert nothing.of("audio").send == nothing.of("video").receive == ()


def test_constrained_high_alone_is_accepted_and_answered_as_such() -> None:
    ours = default_capabilities().of("video").receive
    offered = video("H264", 96, "profile-level-id=640c1f;packetization-mode=1;level-asymmetry-allowed=1")
    (match,) = common(ours, [offered])
    assert answered(match).payload_type == 96
    assert answered(match).fmtp["profile-level-id"] == "640c2a"


def test_high_and_constrained_high_stay_apart() -> None:
    ours = default_capabilities().of("video").receive
    offered = [
        video("H264", number, f"profile-level-id={profile};packetization-mode={mode}")
        for number, profile, mode in (
            (96, "64001f", 1),
            (97, "640c1f", 1),
            (98, "640c1f", 0),
            (99, "64001f", 0),
        )
    ]
    matches = common(ours, offered)
    assert [match.theirs.payload_type for match in matches] == [96, 97, 98, 99]
    assert [answered(match).fmtp["profile-level-id"] for match in matches] == [
        "64001f",
        "640c1f",
        "640c1f",
        "64001f",
    ]
    assert len({match.ours.payload_type for match in matches}) == 4
