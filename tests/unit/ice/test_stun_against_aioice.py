"""aioice's STUN codec beside ours: what one writes the other reads, and each difference has its reason here.

A second opinion of the wire format, from people who have read the same RFCs.
"""

from __future__ import annotations

import struct
from typing import Any

from aioice import stun as theirs
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.errors import ParseError
from rtcstack.ice.stun import (
    MAGIC_COOKIE,
    Attribute,
    Class,
    Method,
    StunMessage,
    encode,
    encode_address,
    error_attribute,
)

KEY = b"a password of 22 chars"

NAMES = {
    Attribute.MAPPED_ADDRESS: "MAPPED-ADDRESS",
    Attribute.USERNAME: "USERNAME",
    Attribute.ERROR_CODE: "ERROR-CODE",
    Attribute.CHANNEL_NUMBER: "CHANNEL-NUMBER",
    Attribute.LIFETIME: "LIFETIME",
    Attribute.XOR_PEER_ADDRESS: "XOR-PEER-ADDRESS",
    Attribute.DATA: "DATA",
    Attribute.REALM: "REALM",
    Attribute.NONCE: "NONCE",
    Attribute.XOR_RELAYED_ADDRESS: "XOR-RELAYED-ADDRESS",
    Attribute.REQUESTED_TRANSPORT: "REQUESTED-TRANSPORT",
    Attribute.XOR_MAPPED_ADDRESS: "XOR-MAPPED-ADDRESS",
    Attribute.PRIORITY: "PRIORITY",
    Attribute.USE_CANDIDATE: "USE-CANDIDATE",
    Attribute.SOFTWARE: "SOFTWARE",
    Attribute.ICE_CONTROLLED: "ICE-CONTROLLED",
    Attribute.ICE_CONTROLLING: "ICE-CONTROLLING",
}
ADDRESSES = (
    Attribute.MAPPED_ADDRESS,
    Attribute.XOR_PEER_ADDRESS,
    Attribute.XOR_RELAYED_ADDRESS,
    Attribute.XOR_MAPPED_ADDRESS,
)
TEXTS = (Attribute.USERNAME, Attribute.REALM, Attribute.SOFTWARE)
NUMBERS = {
    Attribute.LIFETIME: 4,
    Attribute.REQUESTED_TRANSPORT: 4,
    Attribute.PRIORITY: 4,
    Attribute.ICE_CONTROLLED: 8,
    Attribute.ICE_CONTROLLING: 8,
}

addresses = st.tuples(st.ip_addresses().map(str), st.integers(0, 65535))


@st.composite
def values(draw: st.DrawFn, attribute: Attribute) -> Any:
    """What an attribute means, as aioice has it."""
    if attribute in ADDRESSES:
        return draw(addresses)
    if attribute in TEXTS:
        return draw(st.text(max_size=100))
    if attribute in NUMBERS:
        return draw(st.integers(0, 256 ** NUMBERS[attribute] - 1))
    if attribute is Attribute.ERROR_CODE:
        return draw(st.integers(300, 699)), draw(st.text(max_size=50))
    if attribute is Attribute.CHANNEL_NUMBER:
        return draw(st.integers(0x4000, 0x4FFF))
    if attribute is Attribute.USE_CANDIDATE:
        return None
    return draw(st.binary(max_size=100))


@st.composite
def contents(draw: st.DrawFn) -> dict[Attribute, Any]:
    """Attributes, each once, in any order."""
    kinds = draw(st.lists(st.sampled_from(list(NAMES)), unique=True, max_size=8))
    return {kind: draw(values(kind)) for kind in kinds}


methods = st.sampled_from(list(Method))
kinds = st.sampled_from(list(Class))
transactions = st.binary(min_size=12, max_size=12)


def as_bytes(attribute: Attribute, value: Any, transaction_id: bytes) -> bytes:
    """A value as our callers write it."""
    if attribute in ADDRESSES:
        plain = attribute is Attribute.MAPPED_ADDRESS
        return encode_address(value, None if plain else transaction_id)
    if attribute in TEXTS:
        return bytes(value.encode())
    if attribute in NUMBERS:
        return int(value).to_bytes(NUMBERS[attribute], "big")
    if attribute is Attribute.ERROR_CODE:
        return error_attribute(*value)[1]
    if attribute is Attribute.CHANNEL_NUMBER:
        return struct.pack("!HH", value, 0)
    return bytes(value or b"")


def as_value(message: StunMessage, attribute: Attribute) -> Any:
    """What an attribute of a message that we have read means, as aioice has it."""
    if attribute in ADDRESSES:
        return message.address(attribute)
    if attribute in TEXTS:
        return message.text(attribute)
    if attribute in NUMBERS:
        return message.number(attribute, NUMBERS[attribute])
    if attribute is Attribute.ERROR_CODE:
        return message.error()
    value = message.get(attribute)
    assert value is not None
    if attribute is Attribute.CHANNEL_NUMBER:
        return struct.unpack("!HH", value)[0]
    return None if attribute is Attribute.USE_CANDIDATE else value


def written_by_aioice(
    method: int, kind: int, transaction_id: bytes, content: dict[Attribute, Any], key: bytes | None
) -> bytes:
    message = theirs.Message(
        theirs.Method(method), theirs.Class(kind), transaction_id, {NAMES[a]: v for a, v in content.items()}
    )
    if key is None:
        message.add_fingerprint()
    else:
        message.add_message_integrity(key)
    return bytes(message)


@given(methods, kinds, transactions, contents(), st.sampled_from([None, KEY]))
def test_both_write_the_same_bytes(
    method: Method, kind: Class, transaction_id: bytes, content: dict[Attribute, Any], key: bytes | None
) -> None:
    attributes = [(a, as_bytes(a, v, transaction_id)) for a, v in content.items()]
    ours = encode(method, kind, transaction_id, attributes, key=key)
    assert ours == written_by_aioice(method, kind, transaction_id, content, key)


@given(methods, kinds, transactions, contents())
def test_each_reads_what_the_other_writes(
    method: Method, kind: Class, transaction_id: bytes, content: dict[Attribute, Any]
) -> None:
    data = written_by_aioice(method, kind, transaction_id, content, KEY)
    message, other = StunMessage(data), theirs.parse_message(data)
    assert (message.method, message.kind) == (other.message_method, other.message_class) == (method, kind)
    assert message.transaction_id == other.transaction_id == transaction_id
    assert message.is_authentic(KEY)
    assert other.check_message_integrity(KEY)
    assert not message.is_authentic(b"another")
    assert not other.check_message_integrity(b"another")
    for attribute, value in content.items():
        assert as_value(message, attribute) == value
        assert other.attributes[NAMES[attribute]] == value


def read_by_us(data: bytes) -> StunMessage | None:
    """None for what we refuse, at the latest when all that we know of it has been asked for."""
    try:
        message = StunMessage(data)
        for attribute in NAMES:
            if attribute in message:
                as_value(message, attribute)
    except (ParseError, struct.error):  # the latter is CHANNEL-NUMBER's, of this test
        return None
    return message


def read_by_aioice(data: bytes) -> theirs.Message | None:
    """None for what it refuses; it raises more than ValueError."""
    try:
        return theirs.parse_message(data)
    except (ValueError, struct.error, IndexError):
        return None


def attributes_of(data: bytes) -> list[tuple[int, int, int]]:
    """Type, position and length of each, without any check; for the explanations below."""
    found, at = [], 20
    while at + 4 <= len(data):
        kind, length = struct.unpack_from("!HH", data, at)
        found.append((kind, at, length))
        at += 4 + length + (-length & 3)
    return found


def why_we_refuse(data: bytes) -> bool:
    """Whether one of the reasons holds for which we refuse what aioice takes."""
    _, length, cookie = struct.unpack_from("!HHI", data)
    listed = attributes_of(data)
    end = listed[-1][1] + 4 + listed[-1][2] if listed else 20
    last_fingerprint = [i for i, (kind, _, _) in enumerate(listed) if kind == Attribute.FINGERPRINT]
    return (
        cookie != MAGIC_COOKIE  # aioice does not look at it: RTP, or anything, may be a message to it
        or data[0] >= 0x40  # nor at the two bits that are zero
        or length % 4 != 0  # nor at whether the length is a whole number of words
        or end > len(data)  # it cuts an attribute that is longer than the message
        or any(start + 4 > len(data) for _, start, _ in listed)
        or (last_fingerprint != [] and last_fingerprint[0] != len(listed) - 1)  # what follows FINGERPRINT
        or any(kind == Attribute.MESSAGE_INTEGRITY and size != 20 for kind, _, size in listed)
        or any(kind == Attribute.CHANNEL_NUMBER and size != 4 for kind, _, size in listed)  # takes any from 2
        or len(listed) > 64  # our bound
    )


def why_aioice_refuses(data: bytes) -> bool:
    """Whether one of the reasons holds for which aioice refuses what we take."""
    listed = attributes_of(data)
    method = struct.unpack_from("!H", data)[0] & 0x3EEF
    known = {kind for kind, *_ in theirs.ATTRIBUTES}
    counted = [kind for kind, _, _ in listed]
    return (
        method not in set(theirs.Method)  # to us an unknown method is a message, to be answered with 400
        or any(kind in known - set(NAMES) for kind in counted)  # it reads attributes that we do not know
        or len(counted) != len(set(counted))  # of several, we look at the first alone
        or Attribute.ERROR_CODE in counted  # it wants UTF-8 of a reason, of which we show what we can
        or Attribute.NONCE in counted
    )


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A message of which a few bytes are not what they were, or which was cut."""
    content = draw(contents())
    data = bytearray(
        written_by_aioice(
            draw(methods), draw(kinds), draw(transactions), content, draw(st.sampled_from([None, KEY]))
        )
    )
    if draw(st.booleans()):  # or the fingerprint finds nearly everything
        del data[-8:]
        struct.pack_into("!H", data, 2, len(data) - 20)
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(20, len(data)))] if draw(st.booleans()) else data)


@given(damaged())
def test_what_one_refuses_and_the_other_takes_has_a_reason(data: bytes) -> None:
    ours, other = read_by_us(data), read_by_aioice(data)
    if ours is None and other is not None:
        assert why_we_refuse(data)
    elif ours is not None and other is None:
        assert why_aioice_refuses(data)
    elif ours is not None and other is not None:
        assert ours.transaction_id == other.transaction_id
        assert (ours.method, ours.kind) == (other.message_method, other.message_class)
        assert ours.is_authentic(KEY) == other.check_message_integrity(KEY)


@given(transactions)
def test_a_packet_that_is_none_is_a_message_to_aioice(transaction_id: bytes) -> None:
    """Why the agent around it never shows it what does not begin like STUN: it reads no cookie."""
    data = bytearray(encode(Method.BINDING, Class.REQUEST, transaction_id, fingerprint=False))
    data[4:8] = b"\0\0\0\0"
    data[0] |= 0x80
    assert read_by_us(bytes(data)) is None
    assert read_by_aioice(bytes(data)) is not None
