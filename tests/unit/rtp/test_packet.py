"""RTP packets: what is read, what is refused, and that what is written is read back."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.errors import ParseError
from rtcstack.rtp.header import make_header
from rtcstack.rtp.layout import ONE_BYTE_PROFILE, Layout, extension_elements
from rtcstack.rtp.packet import RtpPacket, is_rtcp, parse


def packet(first: int = 0x80, second: int = 96, rest: bytes = b"") -> bytes:
    return pack("!BBHII", first, second, 1, 2, 3) + rest


def test_fields() -> None:
    p = parse(pack("!BBHII", 0x82, 0x80 | 111, 65535, 2**32 - 1, 7) + pack("!II", 8, 9) + b"media")
    assert (p.payload_type, p.marker, p.sequence_number, p.timestamp, p.ssrc) == (
        111,
        True,
        65535,
        2**32 - 1,
        7,
    )
    assert p.csrcs == (8, 9)
    assert p.payload == b"media"
    assert (p.payload_bytes, p.header_bytes) == (5, 20)
    assert "seq=65535" in repr(p)


def test_padding_is_cut_off() -> None:
    assert parse(packet(0xA0, rest=b"media\0\0\3")).payload == b"media"
    assert parse(packet(0xA0, rest=b"\0\0\0\4")).payload == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        packet()[:11],
        packet(0x40),
        packet(0xC0),
        packet(0x81),  # a CSRC that is not there
        packet(0x90),  # an extension that is not there
        packet(0x90, rest=pack("!HH", 0xBEDE, 1)),  # a lying length
        packet(0x90, rest=pack("!HH", 0xBEDE, 0xFFFF) + bytes(100)),
        packet(0xA0, rest=b"media\0"),  # padding of no length
        packet(0xA0, rest=b"media\x09"),  # more padding than packet
        packet(0xA0),  # where the length of the padding is the SSRC's last byte: 3
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse(data)


@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    try:
        p = parse(data)
    except ParseError:
        return
    assert p.payload_start <= p.payload_end <= len(data)
    assert len(p.csrcs) == data[0] & 15
    assert all(0 < i < 256 for i in p.extensions)


@given(st.binary(max_size=100), st.booleans())
def test_elements_of_arbitrary_blocks(block: bytes, two_byte: bool) -> None:
    end_before = 0
    for identifier, start, end in extension_elements(block, two_byte=two_byte):
        assert identifier
        assert end_before <= start <= end <= len(block)
        end_before = end


@pytest.mark.parametrize(
    ("second", "expected"),
    [(200, True), (192, True), (223, True), (191, False), (224, False), (96, False), (0x80 | 96, False)],
)
def test_rtcp_is_told_apart(second: int, expected: bool) -> None:
    assert is_rtcp(bytes((0x80, second, 0, 0))) is expected
    assert not is_rtcp(b"\x80")


values = st.binary(min_size=1, max_size=16)
two_byte_values = st.binary(min_size=1, max_size=255)


@given(
    st.lists(st.tuples(st.integers(1, 255), two_byte_values), max_size=4, unique_by=lambda e: e[0]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**24 - 1),
    st.integers(0, 2**16 - 1),
    st.binary(max_size=30),
)
def test_headers_are_read_back(
    elements: list[tuple[int, bytes]], times: bool, wide: bool, time: int, number: int, payload: bytes
) -> None:
    taken = {identifier for identifier, _ in elements}
    free = [i for i in (*range(1, 15), *range(15, 256)) if i not in taken]
    ast, twcc = (free[0] if times else 0), (free[1] if wide else 0)
    header = make_header(77, elements, abs_send_time=ast, transport_cc=twcc)
    data = header.write(0x80 | 100, 5, 6, time, number)
    assert len(data) == header.size
    assert len(data) % 4 == 0
    p = parse(data + payload)
    assert (p.ssrc, p.sequence_number, p.timestamp, p.payload_type, p.marker) == (77, 5, 6, 100, True)
    assert p.payload == payload
    expected = dict(elements)
    if times:
        expected[ast] = time.to_bytes(3, "big")
    if wide:
        expected[twcc] = number.to_bytes(2, "big")
    assert p.extensions == expected
    assert all(p.extension(i) == value for i, value in expected.items())
    assert p.extension(0) is None


def test_one_byte_headers_unless_they_will_not_do() -> None:
    assert parse(make_header(1, [(14, bytes(16))]).write(96, 1, 1, 0, 0)).extension_profile == 0xBEDE
    assert parse(make_header(1, [(15, b"x")]).write(96, 1, 1, 0, 0)).extension_profile == 0x1000
    assert parse(make_header(1, [(1, bytes(17))]).write(96, 1, 1, 0, 0)).extension_profile == 0x1000
    assert make_header(1).write(96, 1, 1, 0, 0)[0] == 0x80


def test_extensions_of_unknown_profiles_are_passed_over() -> None:
    p = parse(packet(0x90, rest=pack("!HH", 0x1234, 1) + b"\x10\xff\0\0" + b"media"))
    assert p.extensions == {}
    assert p.payload == b"media"


def test_id_15_ends_a_one_byte_block() -> None:
    assert extension_elements(b"\x10a\xf0b\x20c", two_byte=False) == [(1, 1, 2)]


def test_of_equal_ids_the_first_counts() -> None:
    p = parse(packet(0x90, rest=pack("!HH", 0xBEDE, 1) + b"\x10a\x10b"))
    assert p.extensions == {1: b"a"}


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_layout_fits_exactly_the_blocks_of_its_shape(one: bytes, other: bytes) -> None:
    layout = Layout(one, ONE_BYTE_PROFILE, 3, 4)
    assert layout.fits(one, ONE_BYTE_PROFILE)
    assert not layout.fits(one, 0x1000)
    if layout.fits(other, ONE_BYTE_PROFILE):
        assert Layout(other, ONE_BYTE_PROFILE).spans == layout.spans
    # the same block with other values is of the same shape
    changed = bytearray(one)
    for start, end in layout.spans.values():
        changed[start:end] = bytes(byte ^ 0xFF for byte in one[start:end])
    if len(layout.spans) == len(extension_elements(one, two_byte=False)):
        assert layout.fits(bytes(changed), ONE_BYTE_PROFILE)
        assert Layout(bytes(changed), ONE_BYTE_PROFILE).spans == layout.spans


def test_a_restored_packet_is_written_as_the_original() -> None:
    original = make_header(9, [(1, b"a")]).write(96, 7, 8, 0, 0) + b"media"
    p = parse(original)
    assert p.to_bytes() == original
    p.ssrc, p.sequence_number, p.payload_type, p.marker = 5, 6, 100, True
    again = parse(p.to_bytes())
    assert (again.ssrc, again.sequence_number, again.payload_type, again.marker) == (5, 6, 100, True)
    assert (again.extensions, again.payload) == ({1: b"a"}, b"media")
    padded = parse(packet(0xA0, rest=b"media\0\0\3"))
    assert parse(padded.to_bytes()).payload == b"media"
    assert isinstance(padded, RtpPacket)
