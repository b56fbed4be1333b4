"""What all RTCP packets begin with.

Spec: RFC 3550, section 6.4.1.
"""

from __future__ import annotations

from struct import Struct

__all__ = ["HEADER", "HEADER_BYTES", "UINT32", "packet_bytes"]

#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |V=2|P|  count  |  packet type  |   length, in 32-bit words - 1 |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
HEADER = Struct("!BBH")
HEADER_BYTES = 4
UINT32 = Struct("!I")


def packet_bytes(packet_type: int, count: int, body: bytes) -> bytes:
    """A packet with its header.

    Args:
        packet_type: e.g. 200.
        count: the five bits after version and padding: a count, subtype or format.
        body: a multiple of four bytes.
    """
    assert 0 <= count <= 31
    assert len(body) % 4 == 0
    return HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body
