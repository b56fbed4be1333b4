"""What rtcstack offers unless it is told otherwise, as far as the coders at hand allow.

Numbered as Chromium numbers it where Chromium has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rtcstack.jsep.intents import Capabilities, MediaCapabilities
from rtcstack.jsep.numbers import (
    ABS_SEND_TIME,
    DEPENDENCY_DESCRIPTOR,
    EXPERIMENT,
    HDREXT,
    LAYERS_ALLOCATION,
    MID,
    TRANSPORT_CC,
)
from rtcstack.jsep.session import Codec, CodecFormat, HeaderExtension
from rtcstack.sdp import Direction

__all__ = ["default_capabilities"]

_VIDEO_FEEDBACK = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")

_OPUS = Codec(
    mime_type="audio/opus",
    clock_rate=48000,
    channels=2,
    payload_type=111,
    parameters="minptime=10;useinbandfec=1",
    rtcp_fb=("transport-cc",),
)
_CODED_AT_8_KHZ = (
    Codec(mime_type="audio/G722", clock_rate=8000, payload_type=9),
    Codec(mime_type="audio/PCMU", clock_rate=8000, payload_type=0),
    Codec(mime_type="audio/PCMA", clock_rate=8000, payload_type=8),
)
# What needs no coder of its own, beside the codec that it goes with.
_RED = Codec(mime_type="audio/red", clock_rate=48000, channels=2, payload_type=63, parameters="111/111")
_EVENTS_AT_48_KHZ = Codec(mime_type="audio/telephone-event", clock_rate=48000, payload_type=110)
_EVENTS_AT_8_KHZ = Codec(mime_type="audio/telephone-event", clock_rate=8000, payload_type=126)

# Name, payload type, that of its retransmissions, parameters. H.264's level is 4.2: 1080p at 60 frames
# a second, which one core decodes. The others stay at what peers expect, for some compare levels.
_H264 = "level-asymmetry-allowed=1;packetization-mode="
_VIDEO = (
    ("VP8", 96, 97, ""),
    ("VP9", 98, 99, "profile-id=0"),
    ("VP9", 100, 101, "profile-id=2"),
    ("H264", 102, 103, f"{_H264}1;profile-level-id=42e02a"),
    ("H264", 104, 105, f"{_H264}0;profile-level-id=42e02a"),
    ("H264", 106, 107, f"{_H264}1;profile-level-id=42002a"),
    ("H264", 108, 109, f"{_H264}0;profile-level-id=42002a"),
    ("H264", 127, 125, f"{_H264}1;profile-level-id=4d002a"),
    ("H264", 39, 40, f"{_H264}0;profile-level-id=4d002a"),
    ("H264", 112, 113, f"{_H264}1;profile-level-id=64002a"),
    ("H264", 114, 115, f"{_H264}0;profile-level-id=64002a"),
    # Chromium has no number for these; cameras and old phones offer nothing else.
    ("H264", 116, 117, f"{_H264}1;profile-level-id=640c2a"),
    ("H264", 118, 119, f"{_H264}0;profile-level-id=640c2a"),
    ("AV1", 45, 46, "level-idx=5;profile=0;tier=0"),
    ("H265", 49, 50, "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST"),
)

_ABS_SEND_TIME = HeaderExtension(ABS_SEND_TIME, 2)
_TRANSPORT_CC = HeaderExtension(TRANSPORT_CC, 3)
_MID = HeaderExtension(MID, 4)
# Known, and offered on request only: browsers do not offer it either.
_ABS_CAPTURE_TIME = HeaderExtension(EXPERIMENT + "abs-capture-time", 12, Direction.INACTIVE)

# Offered where layers are sent, and accepted wherever they are offered.
_DEPENDENCY_DESCRIPTOR = HeaderExtension(DEPENDENCY_DESCRIPTOR, 8, Direction.INACTIVE)
_LAYERS_ALLOCATION = HeaderExtension(LAYERS_ALLOCATION, 14, Direction.INACTIVE)

_AUDIO_EXTENSIONS = (
    HeaderExtension(HDREXT + "ssrc-audio-level", 1),
    # Likewise: whatever its number, Chromium has another use for it sooner or later.
    HeaderExtension(HDREXT + "csrc-audio-level", 9, Direction.INACTIVE),
    _ABS_SEND_TIME,
    _TRANSPORT_CC,
    _MID,
    _ABS_CAPTURE_TIME,
)
_VIDEO_EXTENSIONS = (
    _ABS_SEND_TIME,
    # Known, and not offered: without it senders turn the pictures themselves, as readers expect.
    HeaderExtension("urn:3gpp:video-orientation", 13, Direction.INACTIVE),
    _TRANSPORT_CC,
    _MID,
    HeaderExtension(HDREXT + "sdes:rtp-stream-id", 10),
    HeaderExtension(HDREXT + "sdes:repaired-rtp-stream-id", 11),
    _ABS_CAPTURE_TIME,
    _DEPENDENCY_DESCRIPTOR,
    _LAYERS_ALLOCATION,
)

# Behind all codecs, as browsers list them: RED for pictures, its retransmissions, and parity inside RED.
_VIDEO_RED = Codec(mime_type="video/red", clock_rate=90000, payload_type=122)
_VIDEO_RED_RTX = Codec(mime_type="video/rtx", clock_rate=90000, payload_type=121, parameters="apt=122")
_ULPFEC = Codec(mime_type="video/ulpfec", clock_rate=90000, payload_type=123)

Judge = Callable[[CodecFormat], bool]


def default_capabilities(
    can_encode: Judge = lambda codec: True, can_decode: Judge = lambda codec: True
) -> Capabilities:
    """The codecs and header extensions, in order of preference.

    Args:
        can_encode: whether there is an encoder for a format; asked about codecs only, not about
            retransmissions, redundancy and telephone events.
        can_decode: whether there is a decoder.
    """
    return Capabilities(
        {
            "audio": MediaCapabilities(
                tuple(_audio(can_encode)), tuple(_audio(can_decode)), _AUDIO_EXTENSIONS
            ),
            "video": MediaCapabilities(
                tuple(_video(can_encode)), tuple(_video(can_decode)), _VIDEO_EXTENSIONS
            ),
        }
    )


def _audio(is_known: Judge) -> Iterator[Codec]:
    has_opus = is_known(_OPUS)
    if has_opus:
        yield from (_OPUS, _RED)
    others = [codec for codec in _CODED_AT_8_KHZ if is_known(codec)]
    yield from others
    if has_opus:
        yield _EVENTS_AT_48_KHZ
    if others:
        yield _EVENTS_AT_8_KHZ


def _video(is_known: Judge) -> Iterator[Codec]:
    has_any = False
    for name, payload_type, rtx_payload_type, parameters in _VIDEO:
        codec = Codec(
            mime_type=f"video/{name}",
            clock_rate=90000,
            payload_type=payload_type,
            parameters=parameters,
            rtcp_fb=_VIDEO_FEEDBACK,
        )
        if is_known(codec):
            has_any = True
            yield codec
            yield Codec(
                mime_type="video/rtx",
                clock_rate=90000,
                payload_type=rtx_payload_type,
                parameters=f"apt={payload_type}",
            )
    if has_any:
        yield from (_VIDEO_RED, _VIDEO_RED_RTX, _ULPFEC)
