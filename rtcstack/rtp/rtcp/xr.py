"""Extended reports: how an endpoint that only receives learns the round-trip time.

Spec: RFC 3611, sections 2, 4.4 and 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, NamedTuple

from rtcstack.errors import ParseError
from rtcstack.rtp.rtcp.wire import UINT32, packet_bytes

__all__ = ["DelayBlock", "ExtendedReport"]

#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |     BT        | type-specific |         block length          |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
_BLOCK = Struct("!BBH")
_RECEIVER_TIME = Struct("!Q")

# |                 SSRC_1 (SSRC of first receiver)               |
# |                         last RR (LRR)                         |
# |                   delay since last RR (DLRR)                  |
_DELAY = Struct("!III")

_TYPE_RECEIVER_TIME = 4
_TYPE_DELAY = 5


class DelayBlock(NamedTuple):
    """Answer to a receiver reference time.

    Attributes:
        ssrc: the receiver that is answered.
        last_rr: the middle 32 bits of its reference time.
        delay_since_last_rr: in 1/65536 s.
    """

    ssrc: int
    last_rr: int
    delay_since_last_rr: int


@dataclass(slots=True)
class ExtendedReport:
    """XR.

    Attributes:
        ssrc: the sender of the report.
        receiver_time: 64-bit NTP time of an RRTR block, or None.
        delays: the DLRR blocks.
    """

    packet_type: ClassVar[int] = 207

    ssrc: int
    receiver_time: int | None = None
    delays: tuple[DelayBlock, ...] = ()

    def to_bytes(self) -> bytes:
        """The packet on the wire; delays beyond their field are held at its bounds."""
        body = UINT32.pack(self.ssrc)
        if self.receiver_time is not None:
            body += _BLOCK.pack(_TYPE_RECEIVER_TIME, 0, 2) + _RECEIVER_TIME.pack(self.receiver_time)
        if self.delays:
            body += _BLOCK.pack(_TYPE_DELAY, 0, 3 * len(self.delays))
            body += b"".join(
                [
                    _DELAY.pack(ssrc, last, max(0, min(delay, 0xFFFF_FFFF)))
                    for ssrc, last, delay in self.delays
                ]
            )
        return packet_bytes(self.packet_type, 0, body)

    @classmethod
    def parse(cls, body: bytes) -> ExtendedReport:
        """Read what follows the header; blocks of other types are passed over."""
        if len(body) < 4:
            raise ParseError("RTCP extended report is too short")
        report = cls(UINT32.unpack_from(body)[0])
        delays: list[DelayBlock] = []
        position = 4
        while position + 4 <= len(body):
            kind, _, words = _BLOCK.unpack_from(body, position)
            start, end = position + 4, position + 4 + 4 * words
            if end > len(body):
                raise ParseError("RTCP extended report block is cut off")
            if kind == _TYPE_RECEIVER_TIME and words == 2:
                report.receiver_time = _RECEIVER_TIME.unpack_from(body, start)[0]
            elif kind == _TYPE_DELAY and words % 3 == 0:
                delays += [DelayBlock(*each) for each in _DELAY.iter_unpack(body[start:end])]
            position = end
        report.delays = tuple(delays)
        return report
