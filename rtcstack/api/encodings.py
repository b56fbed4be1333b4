"""The encodings of a sender: the W3C's dictionaries, checked, and what the connection holds.

Spec: webrtc-pc, sections 5.1 (addTransceiver) and 5.2 (setParameters, RTCRtpEncodingParameters).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rtcstack.api.capabilities import capabilities, codec_format, shown_channels
from rtcstack.api.dictionaries import as_dictionary, enforce_range
from rtcstack.api.parameters import RTCResolutionRestriction, RTCRtpCodec, RTCRtpEncodingParameters
from rtcstack.codecs.layers import scalability_mode
from rtcstack.connection.capabilities import can_layer
from rtcstack.connection.encodings import Encoding, halves
from rtcstack.errors import DOMException, InvalidModificationError, OperationError

__all__ = [
    "MAX_BITRATE_BPS",
    "MAX_ENCODINGS",
    "PRIORITIES",
    "changed_encodings",
    "mixes_simulcast",
    "new_encodings",
    "same_codec",
    "shown_encoding",
]

PRIORITIES = ("very-low", "low", "medium", "high")
"""RTCPriorityType (webrtc-priority, section 2)."""

MAX_ENCODINGS = {"audio": 1, "video": 8}
"""Streams of one sender, by kind; of more in addTransceiver the last are cut off."""

MAX_RID_LENGTH = 16
"""What the header extension of RFC 8852 carries in one byte of length."""

MAX_BITRATE_BPS = (1 << 32) - 1
"""What the W3C's unsigned long holds."""


def new_encodings(kind: str, given: Sequence[object]) -> list[Encoding]:
    """The addTransceiver sendEncodings validation steps (webrtc-pc, section 5.1).

    Args:
        kind: "audio" or "video".
        given: dictionaries; without any there is one of defaults.

    Raises:
        TypeError: a rid is missing, malformed or doubled, or a member is of a wrong type.
        OperationError: a codec cannot be sent at all, nor with the scalability mode of its encoding;
            several encodings are active and one has an S mode; or scaleResolutionDownTo is that of some
            encodings only, or without a size.
        InvalidModificationError: ptime beside adaptivePtime.
        ValueError: scaleResolutionDownBy below 1 or a maxFramerate that is not above 0 (RangeError).
    """
    encodings = [as_dictionary(RTCRtpEncodingParameters, each) for each in given] or [
        RTCRtpEncodingParameters()
    ]
    # 1. Rids: well-formed, of all or of none, and different.
    rids = [each.rid for each in encodings]
    for rid in rids:
        if rid is not None and not (0 < len(rid) <= MAX_RID_LENGTH and rid.isascii() and rid.isalnum()):
            raise TypeError(f"rid {rid!r} must be 1 to {MAX_RID_LENGTH} letters or digits")
    if None in rids and (len(rids) > 1 or rids != [None]):
        raise TypeError("each of several encodings needs a rid")
    if len(set(rids)) != len(rids):
        raise TypeError("two encodings have the same rid")
    # 3. Codecs that this end can send.
    known = capabilities(kind, send=True)
    for each in encodings:
        wanted = _codec(each)
        if wanted is not None and not any(same_codec(wanted, c) for c in (known.codecs if known else ())):
            raise OperationError(f"{wanted.mimeType} cannot be sent")
    # webrtc-svc, section 4.2.1
    if kind == "video":
        _check_modes(encodings)
    _check_extensions(kind, encodings, OperationError)
    # 5. to 8. Numbers.
    result = [_checked(kind, each, least_frame_rate=5e-324) for each in encodings]
    # 10. As many as there may be.
    del result[MAX_ENCODINGS[kind] :]
    # 9. and 11. Sizes: those that were given, or halves of each other.
    if kind == "video" and all(each.scaleResolutionDownBy is None for each in encodings):
        scales = halves(len(result))
        result = [replace(each, scale_down_by=by) for each, by in zip(result, scales, strict=True)]
    # 12. A single one has no name.
    return [replace(result[0], rid=None)] if len(result) == 1 else result


def _check_modes(encodings: Sequence[RTCRtpEncodingParameters]) -> None:
    for each in encodings:
        mode, codec = each.scalabilityMode, _codec(each)
        name = None if codec is None else codec_format(codec).name
        if mode is not None and not can_layer(mode, name):
            raise OperationError(f"scalabilityMode {mode!r} cannot be sent with {name or 'any codec'}")
    if mixes_simulcast(encodings):
        raise OperationError("several active encodings, and one that has an S mode")


def mixes_simulcast(encodings: Sequence[RTCRtpEncodingParameters]) -> bool:
    """Whether encodings of a stream each go with encodings that share a stream (an S mode)."""
    active = [each for each in encodings if each.active]
    modes = [scalability_mode(each.scalabilityMode) for each in active if each.scalabilityMode is not None]
    return len(active) > 1 and any(mode is not None and mode.is_simulcast for mode in modes)


def changed_encodings(kind: str, given: Sequence[RTCRtpEncodingParameters]) -> list[Encoding]:
    """The encodings of setParameters, checked by themselves (webrtc-pc, section 5.2).

    Raises:
        TypeError: a member is of a wrong type.
        ValueError: scaleResolutionDownBy below 1 or a negative maxFramerate (RangeError).
        InvalidModificationError: scaleResolutionDownTo is that of some encodings only, or without a size;
            or ptime beside adaptivePtime.
    """
    _check_extensions(kind, given, InvalidModificationError)
    return [_checked(kind, each, least_frame_rate=0.0) for each in given]


def _check_extensions(
    kind: str, given: Sequence[RTCRtpEncodingParameters], error: type[DOMException]
) -> None:
    """What webrtc-extensions adds to the validation of encodings (section on RTCRtpEncodingParameters)."""
    if kind == "audio":
        if any(each.adaptivePtime and each.ptime is not None for each in given):
            raise InvalidModificationError("adaptivePtime leaves the packet time open: ptime must not be set")
        return
    sizes = [_restriction(each) for each in given]
    if any(sizes) and not all(size for size, each in zip(sizes, given, strict=True) if each.active):
        raise error("scaleResolutionDownTo is set for all active encodings, or for none")
    for size in sizes:
        if size is not None and not all(side is not None and side > 0 for side in size):
            raise error(f"scaleResolutionDownTo needs maxWidth and maxHeight above 0, not {size}")


def _restriction(given: RTCRtpEncodingParameters) -> tuple[int | None, int | None] | None:
    if given.scaleResolutionDownTo is None:
        return None
    wanted = as_dictionary(RTCResolutionRestriction, given.scaleResolutionDownTo)
    sides = {"maxWidth": wanted.maxWidth, "maxHeight": wanted.maxHeight}
    width, height = (
        None if side is None else enforce_range(name, side, -MAX_BITRATE_BPS, MAX_BITRATE_BPS)
        for name, side in sides.items()
    )
    return width, height


def same_codec(a: RTCRtpCodec, b: RTCRtpCodec, *, missing_matches_any: bool = True) -> bool:
    """The codec dictionary match of webrtc-pc, section 5.2.

    Args:
        a: what the application has given.
        b: what there is.
        missing_matches_any: whether a format line that `a` leaves out matches any; it is an empty one
            otherwise.
    """
    return (
        a.mimeType.lower() == b.mimeType.lower()
        and a.clockRate == b.clockRate
        and (a.channels or 1) == (b.channels or 1)
        and (
            (missing_matches_any and a.sdpFmtpLine is None) or (a.sdpFmtpLine or "") == (b.sdpFmtpLine or "")
        )
    )


def _codec(given: RTCRtpEncodingParameters) -> RTCRtpCodec | None:
    return None if given.codec is None else as_dictionary(RTCRtpCodec, given.codec)


def _checked(kind: str, given: RTCRtpEncodingParameters, *, least_frame_rate: float) -> Encoding:
    scale, rate = given.scaleResolutionDownBy, given.maxFramerate
    mode = given.scalabilityMode
    bitrate = _checked_bitrate(given.maxBitrate)
    if kind == "audio":
        scale = rate = mode = None
    if scale is not None and not scale >= 1.0:
        raise ValueError(f"scaleResolutionDownBy must be 1.0 or more, not {scale}")
    if rate is not None and not rate >= least_frame_rate:
        least = "above 0" if least_frame_rate else "0 or more"
        raise ValueError(f"maxFramerate must be {least}, not {rate}")
    for name in ("priority", "networkPriority"):
        value = getattr(given, name)
        if value not in PRIORITIES and not (name == "networkPriority" and value is None):
            raise TypeError(f"{name} must be one of {', '.join(PRIORITIES)}, not {value!r}")
    codec = _codec(given)
    size = None if kind == "audio" else _restriction(given)
    ptime = given.ptime
    if ptime is not None:
        ptime = enforce_range("ptime", ptime, 0, MAX_BITRATE_BPS)
    return Encoding(
        rid=given.rid,
        active=bool(given.active),
        max_bitrate_bps=bitrate,
        max_frame_rate=rate,
        scale_down_by=1.0 if scale is None else scale,
        priority=given.priority,
        network_priority=given.networkPriority,
        codec=None if codec is None else codec_format(codec),
        any_parameters=codec is not None and codec.sdpFmtpLine is None,
        scalability_mode=mode,
        adaptive_ptime=given.adaptivePtime,
        scale_down_to=None if size is None or None in size else (size[0] or 0, size[1] or 0),
        ptime_ms=ptime if kind == "audio" else None,
    )


def _checked_bitrate(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise TypeError(f"maxBitrate must be 0 or more bits a second, not {value!r}")
    return min(int(value), MAX_BITRATE_BPS)


def shown_encoding(kind: str, encoding: Encoding, mode: str | None = None) -> RTCRtpEncodingParameters:
    """An encoding as getParameters shows it.

    Args:
        kind: "audio" or "video".
        encoding: as it is wanted.
        mode: the scalability mode, as far as one is shown.
    """
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
            shown_channels(codec),
            None if encoding.any_parameters else codec.parameters,
        ),
        scalabilityMode=mode,
        adaptivePtime=encoding.adaptive_ptime,
        scaleResolutionDownTo=None
        if encoding.scale_down_to is None
        else RTCResolutionRestriction(*encoding.scale_down_to),
        ptime=encoding.ptime_ms,
    )
