"""What rtcstack can do unless it is told otherwise, numbered as Chromium numbers it."""

from __future__ import annotations

from rtcstack.jsep.intents import Capabilities, MediaCapabilities
from rtcstack.jsep.session import Codec, HeaderExtension

__all__ = ["default_capabilities"]

_VIDEO_FEEDBACK = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")

_AUDIO = (
    Codec(
        mime_type="audio/opus",
        clock_rate=48000,
        channels=2,
        payload_type=111,
        parameters="minptime=10;useinbandfec=1",
        rtcp_fb=("transport-cc",),
    ),
    Codec(mime_type="audio/G722", clock_rate=8000, payload_type=9),
    Codec(mime_type="audio/PCMU", clock_rate=8000, payload_type=0),
    Codec(mime_type="audio/PCMA", clock_rate=8000, payload_type=8),
    Codec(mime_type="audio/telephone-event", clock_rate=48000, payload_type=110),
    Codec(mime_type="audio/telephone-event", clock_rate=8000, payload_type=126),
)

_SDES = "urn:ietf:params:rtp-hdrext:sdes:"
_EXPERIMENT = "http://www.webrtc.org/experiments/rtp-hdrext/"

_ABS_SEND_TIME = HeaderExtension(_EXPERIMENT + "abs-send-time", 2)
_TRANSPORT_CC = HeaderExtension(
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", 3
)
_MID = HeaderExtension(_SDES + "mid", 4)

_AUDIO_EXTENSIONS = (
    HeaderExtension("urn:ietf:params:rtp-hdrext:ssrc-audio-level", 1),
    _ABS_SEND_TIME,
    _TRANSPORT_CC,
    _MID,
)
_VIDEO_EXTENSIONS = (
    HeaderExtension("urn:ietf:params:rtp-hdrext:toffset", 14),
    _ABS_SEND_TIME,
    HeaderExtension("urn:3gpp:video-orientation", 13),
    _TRANSPORT_CC,
    HeaderExtension(_EXPERIMENT + "playout-delay", 5),
    _MID,
    HeaderExtension(_SDES + "rtp-stream-id", 10),
    HeaderExtension(_SDES + "repaired-rtp-stream-id", 11),
)


def _video(name: str, payload_type: int, rtx_payload_type: int, parameters: str = "") -> tuple[Codec, Codec]:
    return (
        Codec(
            mime_type=f"video/{name}",
            clock_rate=90000,
            payload_type=payload_type,
            parameters=parameters,
            rtcp_fb=_VIDEO_FEEDBACK,
        ),
        Codec(
            mime_type="video/rtx",
            clock_rate=90000,
            payload_type=rtx_payload_type,
            parameters=f"apt={payload_type}",
        ),
    )


def default_capabilities(*, h264: bool = True, av1: bool = True, h265: bool = False) -> Capabilities:
    """The codecs and header extensions, in order of preference.

    Args:
        h264, av1, h265: whether the coders that are installed know these.
    """
    video = [*_video("VP8", 96, 97), *_video("VP9", 98, 99, "profile-id=0")]
    if h264:
        asymmetry = "level-asymmetry-allowed=1;packetization-mode="
        video += _video("H264", 102, 103, f"{asymmetry}1;profile-level-id=42001f")
        video += _video("H264", 104, 107, f"{asymmetry}0;profile-level-id=42001f")
        video += _video("H264", 108, 109, f"{asymmetry}1;profile-level-id=42e01f")
        video += _video("H264", 114, 115, f"{asymmetry}0;profile-level-id=42e01f")
    if av1:
        video += _video("AV1", 45, 46, "level-idx=5;profile=0;tier=0")
    if h265:
        video += _video("H265", 49, 50, "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST")
    return Capabilities(
        {
            "audio": MediaCapabilities(_AUDIO, _AUDIO, _AUDIO_EXTENSIONS),
            "video": MediaCapabilities(tuple(video), tuple(video), _VIDEO_EXTENSIONS),
        }
    )
