"""Records as OpenSSL gives them, back to back, cut into the datagrams that they travel in.

Spec: RFC 6347, section 4.1.
"""

from __future__ import annotations

from rtcstack.dtls.resting import RECORD_NONCE_BYTES
from rtcstack.engine import Run

__all__ = ["RECORD_HEADER_BYTES", "append_runs", "pack_records"]

RECORD_HEADER_BYTES = 13


def pack_records(data: bytes, mtu: int) -> list[bytes]:
    """Cut a flight at its record headers and fill datagrams of at most `mtu` bytes with records."""
    datagrams: list[bytes] = []
    start = offset = 0
    end = len(data)
    while offset < end:
        size = RECORD_HEADER_BYTES + int.from_bytes(data[offset + 11 : offset + 13], "big")
        if offset > start and offset + size - start > mtu:
            datagrams.append(data[start:offset])
            start = offset
        offset += size
    if start < end:
        datagrams.append(data[start:end])
    return datagrams


def append_runs(out: list[Run], data: bytes) -> bytes:
    """Cut records into runs: neighbours of one size, closed by at most one shorter record.

    Returns:
        Header and nonce of the last record.
    """
    start = last = offset = 0
    end = len(data)
    segment = 0
    while offset < end:
        last = offset
        # length field of the record header; 13 is the header itself
        size = 13 + (data[offset + 11] << 8) + data[offset + 12]
        if offset == start:
            segment = size
        elif size > segment:
            out.append(Run(data[start:offset], segment))
            start, segment = offset, size
        elif size < segment:
            offset += size
            out.append(Run(data[start:offset], segment))
            start = offset
            continue
        offset += size
    if start < end:
        out.append(Run(data[start:end], segment))
    return data[last : last + RECORD_NONCE_BYTES]
