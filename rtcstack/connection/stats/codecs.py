"""Codecs in use, and what is known of coders by their names.

Spec: webrtc-stats, section on RTCCodecStats; powerEfficientEncoder, powerEfficientDecoder.
"""

from __future__ import annotations

from rtcstack.connection.stats.report import Report
from rtcstack.jsep.session import Codec

__all__ = ["add_codec", "is_power_efficient"]

_HARDWARE = ("_nvenc", "_cuvid", "_vaapi", "_qsv", "_videotoolbox", "_v4l2m2m", "_amf", "_mf", "_mediacodec")
"""How FFmpeg names coders that run on hardware of their own."""


def add_codec(report: Report, transport: str, transport_id: str, codec: Codec | None) -> str | None:
    """The codec of a stream. Both directions share one, unless their parameters differ.

    Args:
        report: the report.
        transport: what the transport is known by, of `Monitored.number`.
        transport_id: its id.
        codec: the codec, or None.

    Returns:
        The id, or None.
    """
    if codec is None:
        return None
    name = f"C{transport}_{codec.payload_type}_{codec.mime_type}_{codec.parameters}"
    identifier = report.monitored.identify(name)
    if identifier in report.objects:
        return identifier
    members = {
        "payloadType": codec.payload_type,
        "transportId": transport_id,
        "mimeType": codec.mime_type,
        "clockRate": codec.clock_rate,
        "channels": codec.channels,
        "sdpFmtpLine": codec.parameters or None,
    }
    return report.add("codec", name, members)


def is_power_efficient(implementation: str) -> bool | None:
    """Whether a coder of this name runs on hardware made for it; None for "", when there is none yet."""
    return implementation.endswith(_HARDWARE) if implementation else None
