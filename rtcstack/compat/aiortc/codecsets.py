"""Which codecs and header extensions connections have, in which order, and which of ours they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtcstack.api.capabilities import capabilities
from rtcstack.compat.aiortc.h264profiles import parse_h264_profile_level_id
from rtcstack.compat.aiortc.rtcrtpparameters import (
    RTCRtcpFeedback,
    RTCRtpCapabilities,
    RTCRtpCodecCapability,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionCapability,
    RTCRtpHeaderExtensionParameters,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rtcstack.api.parameters import RTCRtpCodec

__all__ = [
    "CODECS",
    "G722_CODEC",
    "HEADER_EXTENSIONS",
    "PCMA_CODEC",
    "PCMU_CODEC",
    "common_codecs",
    "get_capabilities",
    "is_rtx",
    "preferences",
]

_FEEDBACK = (("nack", None), ("nack", "pli"), ("goog-remb", None))


def _video(number: int, mime_type: str, **parameters: str) -> list[RTCRtpCodecParameters]:
    names = {name.replace("_", "-"): value for name, value in parameters.items()}
    return [
        RTCRtpCodecParameters(
            mime_type,
            90_000,
            payloadType=number,
            rtcpFeedback=[RTCRtcpFeedback(*each) for each in _FEEDBACK],
            parameters=dict(names),
        ),
        RTCRtpCodecParameters("video/rtx", 90_000, payloadType=number + 1, parameters={"apt": number}),
    ]


def _h264(number: int, profile_level_id: str) -> list[RTCRtpCodecParameters]:
    return _video(
        number,
        "video/H264",
        level_asymmetry_allowed="1",
        packetization_mode="1",
        profile_level_id=profile_level_id,
    )


G722_CODEC = RTCRtpCodecParameters("audio/G722", 8_000, channels=1, payloadType=9)
PCMU_CODEC = RTCRtpCodecParameters("audio/PCMU", 8_000, channels=1, payloadType=0)
PCMA_CODEC = RTCRtpCodecParameters("audio/PCMA", 8_000, channels=1, payloadType=8)

CODECS: dict[str, list[RTCRtpCodecParameters]] = {
    "audio": [
        RTCRtpCodecParameters("audio/opus", 48_000, channels=2, payloadType=96),
        G722_CODEC,
        PCMU_CODEC,
        PCMA_CODEC,
    ],
    "video": [*_video(97, "video/VP8"), *_h264(99, "42001f"), *_h264(101, "42e01f")],
}
"""What connections offer and accept, in order of preference. A program may take some away, or put them in
another order, before it makes a connection."""

_MID = "urn:ietf:params:rtp-hdrext:sdes:mid"

HEADER_EXTENSIONS: dict[str, list[RTCRtpHeaderExtensionParameters]] = {
    "audio": [
        RTCRtpHeaderExtensionParameters(1, _MID),
        RTCRtpHeaderExtensionParameters(2, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
    ],
    "video": [
        RTCRtpHeaderExtensionParameters(1, _MID),
        RTCRtpHeaderExtensionParameters(3, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"),
    ],
}
"""The header extensions that capabilities name."""


def is_rtx(codec: RTCRtpCodecCapability | RTCRtpCodecParameters) -> bool:
    """Whether it only carries retransmissions."""
    return codec.name.lower() == "rtx"


def get_capabilities(kind: str) -> RTCRtpCapabilities:
    """What can be sent and received.

    Raises:
        ValueError: neither "audio" nor "video".
    """
    if kind not in CODECS:
        raise ValueError(f"cannot get capabilities for unknown media {kind}")
    codecs: list[RTCRtpCodecCapability] = []
    for each in CODECS[kind]:
        parameters = {} if is_rtx(each) else each.parameters
        capability = RTCRtpCodecCapability(each.mimeType, each.clockRate, each.channels, parameters)
        if capability not in codecs:
            codecs.append(capability)
    return RTCRtpCapabilities(
        codecs, [RTCRtpHeaderExtensionCapability(each.uri) for each in HEADER_EXTENSIONS[kind]]
    )


def _profile(codec: RTCRtpCodecParameters | RTCRtpCodecCapability) -> tuple[int, object]:
    mode = int(codec.parameters.get("packetization-mode") or 0)
    # without one it is constrained baseline, as older stacks meant it
    return mode, parse_h264_profile_level_id(str(codec.parameters.get("profile-level-id", "42E01F")))[0]


def is_codec_compatible(a: RTCRtpCodecParameters, b: RTCRtpCodecParameters) -> bool:
    """Whether one side's codec is the other's."""
    if a.mimeType.lower() != b.mimeType.lower() or a.clockRate != b.clockRate:
        return False
    if a.mimeType.lower() != "video/h264":
        return True
    try:
        return _profile(a) == _profile(b)
    except ValueError:
        return False


def common_codecs(
    kind: str, preferred: Sequence[RTCRtpCodecCapability], remote: Sequence[RTCRtpCodecParameters]
) -> bool:
    """Whether there is a codec that both sides have, and the application wants.

    Args:
        kind: "audio" or "video".
        preferred: what the application wants; empty for all.
        remote: the peer's.
    """
    mine = [
        each
        for each in CODECS[kind]
        if not is_rtx(each)
        and (not preferred or any(_is_wanted(each, wanted) for wanted in preferred if not is_rtx(wanted)))
    ]
    return any(is_codec_compatible(each, theirs) for each in mine for theirs in remote)


def _is_wanted(codec: RTCRtpCodecParameters, wanted: RTCRtpCodecCapability) -> bool:
    return (
        codec.mimeType.lower() == wanted.mimeType.lower()
        and codec.parameters == wanted.parameters
        and codec.clockRate == wanted.clockRate
    )


def preferences(
    kind: str, preferred: Sequence[RTCRtpCodecCapability], source: str | None = None
) -> list[RTCRtpCodec]:
    """What `RTCRtpTransceiver.setCodecPreferences` of this stack is given.

    Args:
        kind: "audio" or "video".
        preferred: what the application wants, in order; empty for all.
        source: the codec of what is sent, if that is encoded already: it comes first, then.
    """
    found = capabilities(kind, send=False)
    known = () if found is None else found.codecs
    result: list[RTCRtpCodec] = []
    wishes = list(preferred or get_capabilities(kind).codecs)
    if source is not None and not preferred:
        wishes.sort(key=lambda each: each.mimeType.lower() != source.lower())
    for wanted in wishes:
        for each in known:
            if (
                each not in result
                and each.mimeType.lower() == wanted.mimeType.lower()
                and _same(each, wanted)
            ):
                result.append(each)
                break
    return result


def _same(codec: RTCRtpCodec, wanted: RTCRtpCodecCapability) -> bool:
    if wanted.name.lower() != "h264":
        return True
    parts = (part.partition("=") for part in (codec.sdpFmtpLine or "").split(";"))
    mine = RTCRtpCodecCapability("video/H264", 90_000, None, {name: value for name, _, value in parts})
    try:
        return _profile(mine) == _profile(wanted)
    except ValueError:
        return False
