"""Parameters (of INIT, INIT ACK, HEARTBEAT, RE-CONFIG) and error causes: type, length, value.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |        Parameter Type         |       Parameter Length        |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Spec: RFC 9260, sections 3.2.1 and 3.3.10.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

from rtcstack.errors import ParseError
from rtcstack.sctp.packet import PADDING

__all__ = ["CauseCode", "ParamType", "cause_bytes", "describe_causes", "param_bytes", "split_params"]

_HEADER = Struct("!HH")
HEADER_BYTES = _HEADER.size

MAX_PARAMS = 64
"""Parameters read from one chunk; no sensible peer sends more than a dozen."""


class ParamType(IntEnum):
    """Parameter types. The two high bits say what one who does not know a type does with it."""

    HEARTBEAT_INFO = 1
    STATE_COOKIE = 7
    UNRECOGNIZED = 8
    OUTGOING_RESET = 13
    INCOMING_RESET = 14
    SSN_TSN_RESET = 15
    RECONFIG_RESPONSE = 16
    ADD_OUTGOING_STREAMS = 17
    ADD_INCOMING_STREAMS = 18
    ZERO_CHECKSUM = 0x8001
    SUPPORTED_EXTENSIONS = 0x8008
    FORWARD_TSN_SUPPORTED = 0xC000


class CauseCode(IntEnum):
    """Error causes of ABORT and ERROR."""

    NONE = 0
    INVALID_STREAM = 1
    MISSING_PARAMETER = 2
    STALE_COOKIE = 3
    OUT_OF_RESOURCE = 4
    UNRESOLVABLE_ADDRESS = 5
    UNRECOGNIZED_CHUNK = 6
    INVALID_PARAMETER = 7
    UNRECOGNIZED_PARAMETERS = 8
    NO_USER_DATA = 9
    COOKIE_WHILE_SHUTTING_DOWN = 10
    RESTART_WITH_NEW_ADDRESSES = 11
    USER_INITIATED_ABORT = 12
    PROTOCOL_VIOLATION = 13


def param_bytes(kind: int, value: bytes) -> bytes:
    """A parameter or error cause with header and padding."""
    length = HEADER_BYTES + len(value)
    return _HEADER.pack(kind, length) + value + PADDING[length & 3]


def cause_bytes(code: int, info: bytes = b"") -> bytes:
    """An error cause; the form is that of a parameter."""
    return param_bytes(code, info)


def split_params(body: bytes, start: int = 0) -> list[tuple[int, bytes]]:
    """The parameters (or error causes) of `body` from `start` on, as (type, value).

    Raises:
        ParseError: a length is impossible, or there are more than `MAX_PARAMS`.
    """
    params: list[tuple[int, bytes]] = []
    end = len(body)
    while start < end:
        if end - start < HEADER_BYTES:
            raise ParseError("a parameter header is cut off")
        kind, length = _HEADER.unpack_from(body, start)
        if length < HEADER_BYTES or start + length > end:
            raise ParseError(f"parameter of type {kind} claims {length} of {end - start} bytes")
        if len(params) == MAX_PARAMS:
            raise ParseError(f"more than {MAX_PARAMS} parameters")
        params.append((kind, body[start + HEADER_BYTES : start + length]))
        start += (length + 3) & ~3
    return params


def describe_causes(body: bytes) -> tuple[int | None, str]:
    """The first cause code of an ABORT or ERROR, and a text for people.

    A malformed list yields (None, text): an ABORT counts however badly it is written.
    """
    try:
        causes = split_params(body)
    except ParseError:
        return None, "malformed error causes"
    if not causes:
        return None, "no cause given"
    code, info = causes[0]
    try:
        text = CauseCode(code).name.lower().replace("_", " ")
    except ValueError:
        text = f"cause {code}"
    if code in (CauseCode.USER_INITIATED_ABORT, CauseCode.PROTOCOL_VIOLATION) and info:
        text += ": " + info[:200].decode("utf-8", "replace")
    return code, text
