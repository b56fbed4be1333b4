"""STUN messages: bytes to values and back.

Reading is strict and cheap: attributes stay bytes until somebody asks for one, and whatever does
not have STUN's form is a `ParseError`. Authentication is a question put to the message, so that
the caller decides with which key.

Spec: RFC 8489 (STUN), RFC 8656 (TURN's attributes), RFC 8445 section 16 (ICE's attributes).
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import struct
import zlib
from collections.abc import Iterable
from enum import IntEnum
from ipaddress import ip_address

from rtcstack.engine import Address
from rtcstack.errors import ParseError

__all__ = [
    "MAGIC_COOKIE",
    "Address",
    "Attribute",
    "Class",
    "Method",
    "StunMessage",
    "decode_address",
    "encode",
    "encode_address",
    "error_attribute",
    "long_term_key",
]

MAGIC_COOKIE = 0x2112A442

MAX_ATTRIBUTES = 64
"""Attributes of one message; a dozen is much."""

MAX_TEXT_BYTES = 763
"""Longest text attribute (RFC 8489: 128 characters of UTF-8 for a reason, realm or nonce)."""

_FINGERPRINT_XOR = 0x5354554E
_INTEGRITY_BYTES = 20

#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |0 0|     STUN Message Type     |         Message Length        |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                         Magic Cookie                          |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                     Transaction ID (96 bits)                  |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
_HEADER = struct.Struct("!HHI12s")

# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |         Type                  |            Length             |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                         Value (padded to 4 bytes)        ....
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
_ATTRIBUTE = struct.Struct("!HH")

# |0 0 0 0 0 0 0 0|    Family     |         X-Port                |
# |                X-Address (32 or 128 bits)                     |
_ADDRESS = struct.Struct("!BBH")

_U16 = struct.Struct("!H")
_U32 = struct.Struct("!I")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class Class(IntEnum):
    """What a message is, in its place within the message type."""

    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


class Method(IntEnum):
    """What it is about (RFC 8489, section 18.2; RFC 8656, section 17)."""

    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009


class Attribute(IntEnum):
    """Attribute types that are read or written here."""

    MAPPED_ADDRESS = 0x0001
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_ADDRESS_FAMILY = 0x0017
    REQUESTED_TRANSPORT = 0x0019
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    ADDITIONAL_ADDRESS_FAMILY = 0x8000
    DRAFT_ADDITIONAL_ADDRESS_FAMILY = 0x8032
    """The same of draft-martinsen-tram-ssoda, which coturn knows (4.6)."""
    ADDRESS_ERROR_CODE = 0x8001
    SOFTWARE = 0x8022
    ALTERNATE_SERVER = 0x8023
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A
    NOMINATION = 0xC001
    """Of draft-thatcher-ice-renomination."""


_KNOWN = frozenset(int(a) for a in Attribute)
_INTEGRITY = int(Attribute.MESSAGE_INTEGRITY)
_FINGERPRINT = int(Attribute.FINGERPRINT)


class StunMessage:
    """A message that was read.

    Attributes:
        method: number of the method, maybe none of `Method`.
        kind: its class.
        transaction_id: 12 bytes.
        unknown: attribute types that must be understood and are not.
        has_fingerprint: whether a (correct) FINGERPRINT was there.
    """

    __slots__ = (
        "_attributes",
        "_data",
        "_integrity_at",
        "_repeated",
        "has_fingerprint",
        "kind",
        "method",
        "transaction_id",
        "unknown",
    )

    def __init__(self, data: bytes) -> None:
        """Read a message.

        Args:
            data: one datagram, or one message out of a stream.

        Raises:
            ParseError: these bytes are no STUN message, or its FINGERPRINT is wrong.
        """
        size = len(data)
        if size < 20:
            raise ParseError(f"STUN message of {size} bytes")
        message_type, length, cookie, transaction_id = _HEADER.unpack_from(data)
        if length + 20 != size or length & 3 or cookie != MAGIC_COOKIE or message_type & 0xC000:
            raise ParseError("not a STUN header")
        self._data = data
        self.method = message_type & 0x3EEF
        self.kind = message_type & 0x0110
        self.transaction_id: bytes = transaction_id
        self.unknown: list[int] = []
        self.has_fingerprint = False
        self._integrity_at = 0
        self._attributes: dict[int, bytes] = {}
        self._repeated: list[tuple[int, bytes]] = []
        self._read(size)

    def _read(self, size: int) -> None:
        data, attributes = self._data, self._attributes
        position = 20
        for _ in range(MAX_ATTRIBUTES):
            if position == size:
                return
            kind, length = _ATTRIBUTE.unpack_from(data, position)
            start = position + 4
            end = start + length
            if end > size:
                raise ParseError("a STUN attribute is longer than its message")
            if kind == _FINGERPRINT:
                self._check_fingerprint(position, end, size)
                return
            # What follows MESSAGE-INTEGRITY is not covered by it (RFC 8489, section 14.5).
            if not self._integrity_at:
                if kind == _INTEGRITY:
                    if length != _INTEGRITY_BYTES:
                        raise ParseError("a STUN MESSAGE-INTEGRITY of the wrong length")
                    self._integrity_at = position
                if kind not in attributes:  # of several, the first counts (section 14)
                    attributes[kind] = data[start:end]
                    if kind < 0x8000 and kind not in _KNOWN:
                        self.unknown.append(kind)
                else:
                    self._repeated.append((kind, data[start:end]))
            position = end + (-length & 3)
        raise ParseError(f"a STUN message with more than {MAX_ATTRIBUTES} attributes")

    def _check_fingerprint(self, position: int, end: int, size: int) -> None:
        if end != size or end - position != 8:
            raise ParseError("a STUN FINGERPRINT that is not the last attribute")
        expected = zlib.crc32(memoryview(self._data)[:position]) ^ _FINGERPRINT_XOR
        if _U32.unpack_from(self._data, position + 4)[0] != expected:
            raise ParseError("a wrong STUN FINGERPRINT")
        self.has_fingerprint = True

    @property
    def data(self) -> bytes:
        """The message as it came."""
        return self._data

    def __contains__(self, attribute: int) -> bool:
        return attribute in self._attributes

    def get(self, attribute: int) -> bytes | None:
        """The bytes of an attribute, or None."""
        return self._attributes.get(attribute)

    def text(self, attribute: int) -> str | None:
        """A text attribute, or None when it is absent.

        Raises:
            ParseError: it is too long, or not UTF-8.
        """
        value = self._attributes.get(attribute)
        if value is None:
            return None
        if len(value) > MAX_TEXT_BYTES:
            raise ParseError("a STUN text attribute is too long")
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise ParseError("a STUN text attribute is not UTF-8") from None

    def number(self, attribute: int, size_bytes: int = 4) -> int | None:
        """An unsigned attribute of that size, or None when it is absent.

        Raises:
            ParseError: it has another size.
        """
        value = self._attributes.get(attribute)
        if value is None:
            return None
        if len(value) != size_bytes:
            raise ParseError("a STUN number of the wrong size")
        return int.from_bytes(value, "big")

    def address(self, attribute: int) -> Address | None:
        """An address attribute, or None when it is absent; unmasked if its type is masked.

        Raises:
            ParseError: it is malformed.
        """
        value = self._attributes.get(attribute)
        if value is None:
            return None
        masked = attribute not in (Attribute.MAPPED_ADDRESS, Attribute.ALTERNATE_SERVER)
        return decode_address(value, self.transaction_id if masked else None)

    def addresses(self, attribute: int) -> list[Address]:
        """All of an address attribute that may be there several times; see `address`."""
        first = self.address(attribute)
        masked = self.transaction_id
        more = [decode_address(value, masked) for kind, value in self._repeated if kind == attribute]
        return more if first is None else [first, *more]

    def error(self) -> tuple[int, str] | None:
        """ERROR-CODE's number and reason, or None when it is absent.

        Raises:
            ParseError: it is malformed.
        """
        value = self._attributes.get(Attribute.ERROR_CODE)
        if value is None:
            return None
        if len(value) < 4:
            raise ParseError("a STUN ERROR-CODE is too short")
        code = (value[2] & 7) * 100 + value[3]
        return code, value[4 : 4 + MAX_TEXT_BYTES].decode("utf-8", "replace")

    def is_authentic(self, key: bytes) -> bool:
        """Whether MESSAGE-INTEGRITY is there and was made with this key."""
        at = self._integrity_at
        if not at:
            return False
        covered = self._data[:2] + _U16.pack(at + 4) + self._data[4:at]
        expected = hmac.digest(key, covered, "sha1")
        return hmac.compare_digest(expected, self._attributes[_INTEGRITY])


def encode(
    method: int,
    kind: int,
    transaction_id: bytes,
    attributes: Iterable[tuple[int, bytes]] = (),
    *,
    key: bytes | None = None,
    fingerprint: bool = True,
) -> bytes:
    """Write a message.

    Args:
        method, kind: see `Method` and `Class`.
        transaction_id: 12 bytes.
        attributes: type and value of each, in order.
        key: with which MESSAGE-INTEGRITY is made, or None for none.
        fingerprint: whether FINGERPRINT is added.
    """
    body = b"".join(
        [_ATTRIBUTE.pack(k, len(value)) + value + _PADDING[len(value) & 3] for k, value in attributes]
    )
    message_type = method | kind
    if key is not None:
        length = len(body) + 24
        covered = _HEADER.pack(message_type, length, MAGIC_COOKIE, transaction_id) + body
        body += _ATTRIBUTE.pack(_INTEGRITY, _INTEGRITY_BYTES) + hmac.digest(key, covered, "sha1")
    if not fingerprint:
        return _HEADER.pack(message_type, len(body), MAGIC_COOKIE, transaction_id) + body
    data = _HEADER.pack(message_type, len(body) + 8, MAGIC_COOKIE, transaction_id) + body
    return data + _ATTRIBUTE.pack(_FINGERPRINT, 4) + _U32.pack(zlib.crc32(data) ^ _FINGERPRINT_XOR)


@functools.lru_cache(maxsize=256)
def _packed(host: str) -> bytes:
    return ip_address(host).packed


def _mask(packed: bytes, transaction_id: bytes) -> bytes:
    size = len(packed)
    pad = (_U32.pack(MAGIC_COOKIE) + transaction_id)[:size]
    return (int.from_bytes(packed, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


def encode_address(address: Address, transaction_id: bytes | None) -> bytes:
    """The value of an address attribute.

    Args:
        address: a literal IPv4 or IPv6 address and a port.
        transaction_id: of the message, for XOR-…-ADDRESS; None for the plain form.
    """
    host, port = address
    packed = _packed(host)
    family = 1 if len(packed) == 4 else 2
    if transaction_id is not None:
        packed, port = _mask(packed, transaction_id), port ^ (MAGIC_COOKIE >> 16)
    return _ADDRESS.pack(0, family, port) + packed


def decode_address(value: bytes, transaction_id: bytes | None) -> Address:
    """Read an address attribute; see `encode_address`.

    Raises:
        ParseError: it is malformed.
    """
    if len(value) not in (8, 20) or value[1] != (1 if len(value) == 8 else 2):
        raise ParseError("a malformed STUN address")
    port = _ADDRESS.unpack_from(value)[2]
    packed = value[4:]
    if transaction_id is not None:
        packed, port = _mask(packed, transaction_id), port ^ (MAGIC_COOKIE >> 16)
    if len(packed) == 4:
        a, b, c, d = packed
        return f"{a}.{b}.{c}.{d}", port
    return str(ip_address(packed)), port


def error_attribute(code: int, reason: str) -> tuple[int, bytes]:
    """ERROR-CODE with this number, 300 to 699, and reason."""
    return Attribute.ERROR_CODE, bytes((0, 0, code // 100, code % 100)) + reason.encode()


def long_term_key(username: str, realm: str, password: str) -> bytes:
    """The key of long-term credentials (RFC 8489, section 9.2.2)."""
    text = f"{username}:{realm}:{password}"
    return hashlib.md5(text.encode(), usedforsecurity=False).digest()
