"""RTCP on the wire: reports, descriptions, goodbyes and feedback. Bytes to values and back.

Spec: RFC 3550, section 6; RFC 4585; RFC 5104; RFC 5506; RFC 3611.
"""

from rtcstack.rtp.rtcp.compound import Compound, RtcpPacket, parse
from rtcstack.rtp.rtcp.feedback import (
    FullIntraRequest,
    Nack,
    PictureLossIndication,
    ReceiverEstimate,
)
from rtcstack.rtp.rtcp.reports import (
    Application,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
)
from rtcstack.rtp.rtcp.transport_cc import Arrival, TransportFeedback
from rtcstack.rtp.rtcp.xr import DelayBlock, ExtendedReport

__all__ = [
    "Application",
    "Arrival",
    "Compound",
    "DelayBlock",
    "ExtendedReport",
    "FullIntraRequest",
    "Goodbye",
    "Nack",
    "PictureLossIndication",
    "ReceiverEstimate",
    "ReceiverReport",
    "ReportBlock",
    "RtcpPacket",
    "SenderReport",
    "SourceDescription",
    "TransportFeedback",
    "parse",
]
