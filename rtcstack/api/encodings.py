"""The encodings of a sender: the W3C's dictionaries, checked, and what the connection holds.

Spec: webrtc-pc, sections 5.1 (addTransceiver) and 5.2 (setParameters, RTCRtpEncodingParameters).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rtcstack.api.dictionaries import as_dictionary
from rtcstack.api.parameters import RTCRtpCodec, RTCRtpEncodingParameters
from rtcstack.connection.encodings import Encoding
from rtcstack.jsep import CodecFormat

__all__ = ["MAX_BITRATE_BPS", "MAX_ENCODINGS", "check_encodings", "shown_encoding"]

MAX_ENCODINGS = 8
"""Simulcast streams of one sender; more are cut off (webrtc-pc, section 5.2, addTransceiver)."""

MAX_RID_LENGTH = 255

MAX_BITRATE_BPS = (1 << 32) - 1
"""What the W3C's unsigned long holds."""


def check_encodings(kind: str, encodings: Sequence[object]) -> list[Encoding]:
    """The encodings of addTransceiver or setParameters, checked.

    Raises:
        TypeError: a rid is missing, malformed or doubled, or a value is not allowed for the kind.
        ValueError: scaleResolutionDownBy below 1 or a negative maxFramerate (RangeError).
    """
    given = [as_dictionary(RTCRtpEncodingParameters, e) for e in encodings]
    rids = [e.rid for e in given]
    if len(given) > 1 and None in rids:
        raise TypeError("each of several encodings needs a rid")
    for rid in rids:
        if rid is not None and not (0 < len(rid) <= MAX_RID_LENGTH and rid.isascii() and rid.isalnum()):
            raise TypeError(f"rid {rid!r} must be 1 to {MAX_RID_LENGTH} letters or digits")
    if len(set(rids)) != len(rids):
        raise TypeError("two encodings have the same rid")
    result = [_checked(kind, each) for each in given][:MAX_ENCODINGS]
    if kind == "video" and all(e.scaleResolutionDownBy is None for e in given[:MAX_ENCODINGS]):
        last = len(result) - 1
        result = [replace(each, scale_down_by=float(2 ** (last - i))) for i, each in enumerate(result)]
    return result


def _checked(kind: str, given: RTCRtpEncodingParameters) -> Encoding:
    scale, rate = given.scaleResolutionDownBy, given.maxFramerate
    bitrate = _checked_bitrate(given.maxBitrate)
    if kind == "audio":
        scale = rate = None
    if scale is not None and not scale >= 1.0:
        raise ValueError(f"scaleResolutionDownBy must be 1.0 or more, not {scale}")
    if rate is not None and not rate >= 0.0:
        raise ValueError(f"maxFramerate must be 0 or more, not {rate}")
    codec = None if given.codec is None else as_dictionary(RTCRtpCodec, given.codec)
    return Encoding(
        rid=given.rid,
        active=given.active,
        max_bitrate_bps=bitrate,
        max_frame_rate=rate,
        scale_down_by=1.0 if scale is None else scale,
        priority=given.priority,
        network_priority=given.networkPriority,
        codec=None
        if codec is None
        else CodecFormat(codec.mimeType, codec.clockRate, codec.channels, codec.sdpFmtpLine or ""),
        any_parameters=codec is not None and codec.sdpFmtpLine is None,
        scalability_mode=given.scalabilityMode,
        adaptive_ptime=given.adaptivePtime,
    )


def _checked_bitrate(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise TypeError(f"maxBitrate must be 0 or more bits a second, not {value!r}")
    return min(int(value), MAX_BITRATE_BPS)


def shown_encoding(kind: str, encoding: Encoding) -> RTCRtpEncodingParameters:
    """An encoding as getParameters shows it."""
    codec = encoding.codec
    return RTCRtpEncodingParameters(
        rid=encoding.rid,
        active=encoding.active,
        maxBitrate=encoding.max_bitrate_bps,
        maxFramerate=encoding.max_frame_rate,
        scaleResolutionDownBy=encoding.scale_down_by if kind == "video" else None,
        priority=encoding.priority,
        networkPriority=encoding.network_priority,
        codec=None
        if codec is None
        else RTCRtpCodec(
            codec.mime_type,
            codec.clock_rate,
            codec.channels,
            None if encoding.any_parameters else codec.parameters,
        ),
        scalabilityMode=encoding.scalability_mode,
        adaptivePtime=encoding.adaptive_ptime,
    )
