"""What connections ask of senders: the rates that programs set, the codec of what is encoded already."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from rtcstack.api.parameters import RTCRtpCodec, RTCRtpSendParameters
from rtcstack.compat.aiortc.codecs import h264, vpx
from rtcstack.compat.aiortc.nativetracks import source_mime_type
from rtcstack.compat.aiortc.rtcrtptransceiver import RTCRtpTransceiver
from rtcstack.errors import InvalidStateError

__all__ = ["adjust_senders"]

_MODULES = {"video/vp8": vpx, "video/h264": h264}
_UNTOUCHED = {
    mime_type: (module.MAX_BITRATE, module.MAX_FRAME_RATE) for mime_type, module in _MODULES.items()
}


async def adjust_senders(transceivers: Sequence[RTCRtpTransceiver]) -> None:
    """After a negotiation: pictures keep below the rates that a program has set (what it has not touched sets
    no limit), and packets that a track brings are sent as the codec that they are of.

    Args:
        transceivers: of a connection.
    """
    for transceiver in transceivers:
        native = transceiver.native
        if transceiver.stopped or native.currentDirection not in ("sendrecv", "sendonly"):
            continue
        parameters = native.sender.getParameters()
        if not parameters.codecs or not parameters.encodings:
            continue
        chosen = _chosen(parameters, source_mime_type(transceiver.sender.track))
        mime_type = (chosen or parameters.codecs[0]).mimeType.lower()
        bit_rate, frame_rate = _limits(mime_type)
        before = [(each.codec, each.maxBitrate, each.maxFramerate) for each in parameters.encodings]
        for encoding in parameters.encodings:
            encoding.codec = chosen
            encoding.maxBitrate = bit_rate or encoding.maxBitrate
            encoding.maxFramerate = frame_rate or encoding.maxFramerate
        if before != [(each.codec, each.maxBitrate, each.maxFramerate) for each in parameters.encodings]:
            with suppress(InvalidStateError):  # closed meanwhile
                await native.sender.setParameters(parameters)


def _chosen(parameters: RTCRtpSendParameters, mime_type: str | None) -> RTCRtpCodec | None:
    """The negotiated codec that a track's packets are of; None where they are frames."""
    if mime_type is None:
        return None
    for codec in parameters.codecs:
        if codec.mimeType.lower() == mime_type.lower():
            return RTCRtpCodec(codec.mimeType, codec.clockRate, codec.channels, codec.sdpFmtpLine)
    return None


def _limits(mime_type: str) -> tuple[int | None, int | None]:
    """Bits and pictures a second, where a program has set them."""
    module = _MODULES.get(mime_type)
    if module is None:
        return None, None
    bit_rate, frame_rate = _UNTOUCHED[mime_type]
    return (
        None if bit_rate == module.MAX_BITRATE else module.MAX_BITRATE,
        None if frame_rate == module.MAX_FRAME_RATE else module.MAX_FRAME_RATE,
    )
