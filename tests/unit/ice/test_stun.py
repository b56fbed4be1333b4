"""STUN messages: the RFCs' vectors, round trips, and bytes of every kind."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.errors import ParseError
from rtcstack.ice.stun import (
    Attribute,
    Class,
    Method,
    StunMessage,
    decode_address,
    encode,
    encode_address,
    error_attribute,
    long_term_key,
)

RFC_KEY = b"VOkJxbRl1RmTxUk/WvJxBt"
RFC_TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")

RFC_REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
"""RFC 5769, section 2.1; its padding is of spaces."""

RFC_RESPONSE_V4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
"""RFC 5769, section 2.2."""

RFC_RESPONSE_V6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)
"""RFC 5769, section 2.3."""


def test_the_rfcs_request() -> None:
    message = StunMessage(RFC_REQUEST)
    assert (message.method, message.kind) == (Method.BINDING, Class.REQUEST)
    assert message.transaction_id == RFC_TRANSACTION
    assert message.text(Attribute.USERNAME) == "evtj:h6vY"
    assert message.number(Attribute.PRIORITY) == 0x6E0001FF
    assert message.number(Attribute.ICE_CONTROLLED, 8) == 0x932FF9B151263B36
    assert message.has_fingerprint
    assert message.is_authentic(RFC_KEY)
    assert not message.is_authentic(RFC_KEY + b"x")


@pytest.mark.parametrize(
    ("data", "address"),
    [
        (RFC_RESPONSE_V4, ("192.0.2.1", 32853)),
        (RFC_RESPONSE_V6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
    ],
)
def test_the_rfcs_responses(data: bytes, address: tuple[str, int]) -> None:
    message = StunMessage(data)
    assert (message.method, message.kind) == (Method.BINDING, Class.SUCCESS)
    assert message.text(Attribute.SOFTWARE) == "test vector"
    assert message.address(Attribute.XOR_MAPPED_ADDRESS) == address
    assert message.is_authentic(RFC_KEY)


def test_the_rfcs_long_term_key() -> None:
    key = long_term_key("\u30de\u30c8\u30ea\u30c3\u30af\u30b9", "example.org", "TheMatrIX")
    # RFC 5769, section 2.4 signs its request with this key
    request = bytes.fromhex(
        "000100602112a44278ad3433c6ad72c029da412e"
        "00060012e3839ee38388e383aae38383e382afe382b90000"
        "0015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b"
        "6578616d706c652e6f726700"
        "00080014f67024656dd64a3e02b8e0712e85c9a28ca89666"
    )
    assert StunMessage(request).is_authentic(key)


attributes = st.lists(
    st.tuples(
        st.sampled_from([Attribute.USERNAME, Attribute.SOFTWARE, Attribute.DATA, Attribute.NONCE, 0x7FFF]),
        st.binary(max_size=40),
    ),
    max_size=6,
    unique_by=lambda a: a[0],
)


@given(attributes, st.binary(min_size=12, max_size=12), st.none() | st.binary(min_size=1), st.booleans())
def test_what_is_written_can_be_read(
    pairs: list[tuple[int, bytes]], transaction_id: bytes, key: bytes | None, fingerprint: bool
) -> None:
    data = encode(Method.ALLOCATE, Class.ERROR, transaction_id, pairs, key=key, fingerprint=fingerprint)
    message = StunMessage(data)
    assert (message.method, message.kind) == (Method.ALLOCATE, Class.ERROR)
    assert message.transaction_id == transaction_id
    assert message.has_fingerprint is fingerprint
    assert [(k, message.get(k)) for k, _ in pairs] == pairs
    assert message.unknown == [0x7FFF] * any(k == 0x7FFF for k, _ in pairs)
    assert message.is_authentic(key or b"no key") is (key is not None)


@given(st.data(), st.binary(min_size=1, max_size=30))
def test_a_changed_byte_is_noticed(data: st.DataObject, key: bytes) -> None:
    message = encode(Method.BINDING, Class.REQUEST, bytes(12), [(Attribute.USERNAME, b"ab:cd")], key=key)
    at = data.draw(st.integers(0, len(message) - 1))
    changed = bytearray(message)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = StunMessage(bytes(changed))
    except ParseError:
        return
    # the changes that are not refused: FINGERPRINT has become something else, or a part of what is before it
    assert not read.has_fingerprint
    assert at >= len(message) - 8 or not read.is_authentic(key)


@given(st.binary(max_size=200), st.booleans())
def test_bytes_of_every_kind(body: bytes, with_header: bool) -> None:
    data = body
    if with_header:
        body = body[: len(body) // 4 * 4]
        data = b"\x01\x01" + len(body).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12) + body
    try:
        message = StunMessage(data)
        for attribute in Attribute:
            message.get(attribute)
            for read in (message.text, message.number, message.address):
                with contextlib.suppress(ParseError):
                    read(attribute)
        message.error()
    except ParseError:
        return
    assert not message.is_authentic(b"key")


@pytest.mark.parametrize(
    "hexadecimal",
    [
        "",
        "0001",
        "000100002112a442" + "00" * 11,
        "000100042112a442" + "00" * 12,
        "000100002112a443" + "00" * 12,
        "c00100002112a442" + "00" * 12,
        "000100042112a442" + "00" * 12 + "00060001",
        "000100042112a442" + "00" * 12 + "00080000",
        "000100082112a442" + "00" * 12 + "8028000400000000",
        "000101042112a442" + "00" * 12 + "00060000" * 65,
    ],
)
def test_refused(hexadecimal: str) -> None:
    with pytest.raises(ParseError):
        StunMessage(bytes.fromhex(hexadecimal))


def test_of_two_equal_attributes_the_first_counts() -> None:
    data = encode(
        Method.BINDING,
        Class.REQUEST,
        bytes(12),
        [(Attribute.USERNAME, b"first"), (Attribute.USERNAME, b"second")],
    )
    assert StunMessage(data).text(Attribute.USERNAME) == "first"


def test_what_follows_the_signature_is_not_read() -> None:
    signed = encode(Method.BINDING, Class.REQUEST, bytes(12), [], key=b"key", fingerprint=False)
    extra = b"\x00\x25\x00\x00"
    data = signed[:2] + (len(signed) - 20 + 4).to_bytes(2, "big") + signed[4:] + extra
    message = StunMessage(data)
    assert message.is_authentic(b"key")
    assert Attribute.USE_CANDIDATE not in message


@given(st.ip_addresses(), st.integers(0, 65535), st.none() | st.binary(min_size=12, max_size=12))
def test_addresses(host: object, port: int, transaction_id: bytes | None) -> None:
    address = (str(host), port)
    assert decode_address(encode_address(address, transaction_id), transaction_id) == address


@pytest.mark.parametrize("value", [b"", b"\0\1\0\1", bytes(8), b"\0\2" + bytes(6), b"\0\1" + bytes(18)])
def test_malformed_addresses(value: bytes) -> None:
    with pytest.raises(ParseError):
        decode_address(value, None)


def test_errors() -> None:
    data = encode(Method.BINDING, Class.ERROR, bytes(12), [error_attribute(487, "Role Conflict")])
    assert StunMessage(data).error() == (487, "Role Conflict")
    assert StunMessage(encode(Method.BINDING, Class.ERROR, bytes(12))).error() is None
