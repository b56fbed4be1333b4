"""The bit and frame rates that programs set on the modules of codecs, applied to what connections send."""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.compat.aiortc.codecs import h264, vpx
from rtcstack.compat.aiortc.rtcrtptransceiver import RTCRtpTransceiver

__all__ = ["limit_rates"]

_MODULES = {"video/vp8": vpx, "video/h264": h264}
_UNTOUCHED = {
    mime_type: (module.MAX_BITRATE, module.MAX_FRAME_RATE) for mime_type, module in _MODULES.items()
}


async def limit_rates(transceivers: Sequence[RTCRtpTransceiver]) -> None:
    """Let senders of pictures keep below what a program has set; what it has not touched sets no limit.

    Args:
        transceivers: of a connection.
    """
    for transceiver in transceivers:
        native = transceiver.native
        if transceiver.kind != "video" or native.currentDirection not in ("sendrecv", "sendonly"):
            continue
        parameters = native.sender.getParameters()
        if not parameters.codecs or not parameters.encodings:
            continue
        mime_type = parameters.codecs[0].mimeType.lower()
        module = _MODULES.get(mime_type)
        if module is None or _UNTOUCHED[mime_type] == (module.MAX_BITRATE, module.MAX_FRAME_RATE):
            continue
        bit_rate, frame_rate = _UNTOUCHED[mime_type]
        for encoding in parameters.encodings:
            if bit_rate != module.MAX_BITRATE:
                encoding.maxBitrate = module.MAX_BITRATE
            if frame_rate != module.MAX_FRAME_RATE:
                encoding.maxFramerate = module.MAX_FRAME_RATE
        await native.sender.setParameters(parameters)
