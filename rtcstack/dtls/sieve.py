"""What of a datagram is worth giving to OpenSSL: whole records that may be in place.

OpenSSL stops reading at each record that is out of place, ends a handshake for a message that it
cannot read, and takes its memory BIO for a stream, in which a record that claims too much swallows
the datagrams behind it. So it is given nothing of that kind. Whoever can forge a message that is
well-formed and in turn can stop a handshake all the same: DTLS protects none of it before the keys.

Spec: RFC 6347, sections 4.1 and 4.2.2; RFC 5246, section 7.
"""

from __future__ import annotations

from struct import Struct

from rtcstack.engine import Run

__all__ = ["ALERT", "CHANGE_CIPHER_SPEC", "HANDSHAKE", "is_plain", "sift_connected", "sift_handshake"]

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23

MAX_RECORD_BYTES = 16_384 + 2048
"""Longest body of a record (RFC 5246, section 6.2.3)."""

MAX_HANDSHAKE_MESSAGE_BYTES = 65_536
"""Longest handshake message that is taken: chains of certificates here are a few KB."""

MAX_EARLY_ENCRYPTED_BYTES = 1024
"""Longest record of the next epoch that is taken before the handshake is done: a Finished has 48."""

_RECORD = Struct("!BHHHIH")  # type, version, epoch, number (16 and 32 bits), length
_RECORD_BYTES = _RECORD.size
_VERSIONS = (0xFEFD, 0xFEFF)  # DTLS 1.2, and 1.0 for the first records

_MESSAGE_BYTES = 12

_CLIENT_HELLO, _SERVER_HELLO, _HELLO_VERIFY = 1, 2, 3

_TO_SERVER = {_CLIENT_HELLO: range(1), 11: range(1, 2), 16: range(2, 3), 15: range(3, 4)}
"""Message sequence numbers by type, as a server gets them that asks for a certificate and sends no
HelloVerifyRequest: ClientHello, Certificate, ClientKeyExchange, CertificateVerify."""

_FIRST_TO_SERVER = {_CLIENT_HELLO: range(1)}

_TO_CLIENT = {
    _HELLO_VERIFY: range(1),
    _SERVER_HELLO: range(2),
    4: range(5, 9),
    11: range(1, 3),
    12: range(2, 5),
    13: range(3, 6),
    14: range(3, 7),
    22: range(2, 4),
}
"""The same as a client gets them: HelloVerifyRequest, ServerHello, NewSessionTicket, Certificate,
ServerKeyExchange, CertificateRequest, ServerHelloDone, CertificateStatus."""


def is_plain(run: Run) -> bool:
    """Whether each datagram of a run looks like one record of application data and no more."""
    data, segment = run
    size = len(data)
    if size <= segment:
        return (
            size > _RECORD_BYTES
            and data[0] == APPLICATION_DATA
            and (data[11] << 8) + data[12] == size - _RECORD_BYTES
        )
    if segment <= _RECORD_BYTES:
        return False
    full = size // segment
    length = segment - _RECORD_BYTES
    if (
        data[: full * segment : segment] != bytes((APPLICATION_DATA,)) * full
        or data[11 : full * segment : segment] != bytes((length >> 8,)) * full
        or data[12 : full * segment : segment] != bytes((length & 0xFF,)) * full
    ):
        return False
    rest = data[full * segment :]
    return not rest or is_plain(Run(rest, len(rest)))


def _records(datagram: bytes) -> list[tuple[int, int, int, int]]:
    """The whole records of a datagram, as (type, epoch, offset of the header, offset of the end)."""
    records = []
    offset, end = 0, len(datagram)
    while end - offset > _RECORD_BYTES:
        kind, version, epoch, _, _, length = _RECORD.unpack_from(datagram, offset)
        after = offset + _RECORD_BYTES + length
        if after > end:
            break
        if version in _VERSIONS and 0 < length <= MAX_RECORD_BYTES:
            records.append((kind, epoch, offset, after))
        offset = after
    return records


def sift_connected(datagram: bytes) -> bytes:
    """The records that may carry something once the handshake is done."""
    return b"".join(
        [
            datagram[start:end]
            for kind, epoch, start, end in _records(datagram)
            if epoch == 1 and ALERT <= kind <= APPLICATION_DATA
        ]
    )


def sift_handshake(datagram: bytes, *, is_client: bool, has_answered: bool) -> list[tuple[int, int, bytes]]:
    """The records that may be in place during the handshake, as (type, epoch, record).

    Args:
        datagram: as it came.
        is_client: whether this end is the client.
        has_answered: whether this end has sent anything: a server has not, before a ClientHello.
    """
    allowed = _TO_CLIENT if is_client else _TO_SERVER if has_answered else _FIRST_TO_SERVER
    kept = []
    has_change = False
    for kind, epoch, start, end in _records(datagram):
        record = datagram[start:end]
        body_bytes = end - start - _RECORD_BYTES
        if epoch == 1:
            if not (ALERT <= kind <= APPLICATION_DATA):
                continue
            if kind != APPLICATION_DATA and body_bytes > MAX_EARLY_ENCRYPTED_BYTES:
                continue
        elif epoch != 0:
            continue
        elif kind == CHANGE_CIPHER_SPEC:
            if has_change or record[_RECORD_BYTES:] != b"\1":
                continue
            has_change = True  # a second one in a datagram is out of place for certain
        elif kind == ALERT:
            if body_bytes != 2:
                continue
        elif kind != HANDSHAKE or not _is_in_place(record, allowed):
            continue
        kept.append((kind, epoch, record))
    return kept


def _is_in_place(record: bytes, allowed: dict[int, range]) -> bool:
    """Whether a record in the clear has handshake messages of these types and numbers."""
    offset, end = _RECORD_BYTES, len(record)
    while offset < end:
        if end - offset < _MESSAGE_BYTES:
            return False
        kind = record[offset]
        length = int.from_bytes(record[offset + 1 : offset + 4], "big")
        number = int.from_bytes(record[offset + 4 : offset + 6], "big")
        fragment_at = int.from_bytes(record[offset + 6 : offset + 9], "big")
        fragment_bytes = int.from_bytes(record[offset + 9 : offset + 12], "big")
        body = offset + _MESSAGE_BYTES
        offset = body + fragment_bytes
        if (
            offset > end
            or length > MAX_HANDSHAKE_MESSAGE_BYTES
            or fragment_at + fragment_bytes > length
            or (length and not fragment_bytes)
            or number not in allowed.get(kind, ())
        ):
            return False
        if fragment_bytes == length and not _is_well_formed(kind, record[body:offset]):
            return False
    return True


def _is_well_formed(kind: int, body: bytes) -> bool:
    """Whether the lengths in a message add up, where a wrong one would end the handshake."""
    if kind == 14:  # ServerHelloDone
        return not body
    if kind == _HELLO_VERIFY:
        return len(body) >= 3 and len(body) == 3 + body[2]
    if kind == 16:  # ClientKeyExchange: a point on a curve
        return len(body) >= 2 and len(body) == 1 + body[0]
    if kind not in (_CLIENT_HELLO, _SERVER_HELLO):
        return len(body) >= 3
    # Version and random, then what has its length in front: in bytes of it, in order.
    fields = (1, 1, 2, 1) if kind == _CLIENT_HELLO else (1,)
    at = 34
    for width in fields:
        size = int.from_bytes(body[at : at + width], "big")
        if at + width + size > len(body):
            return False
        if width == 2 and (size == 0 or size % 2):
            return False
        at += width + size
    if kind == _CLIENT_HELLO:
        if not size:  # no compression method, not even none
            return False
    else:
        at += 3  # the chosen suite and compression
        if at > len(body):
            return False
    return at == len(body) or _are_extensions(body[at:])


def _are_extensions(data: bytes) -> bool:
    if len(data) < 2 or len(data) != 2 + int.from_bytes(data[:2], "big"):
        return False
    at = 2
    seen = set()
    while at < len(data):
        kind = data[at : at + 2]
        if len(data) - at < 4 or kind in seen:
            return False
        seen.add(kind)
        at += 4 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at == len(data)
