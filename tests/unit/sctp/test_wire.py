"""Wire formats: what is written can be read, and nothing that is read can do harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.errors import ParseError
from rtcstack.sctp.chunks import ChunkType, ForwardTsn, Init, Sack, SkippedStream
from rtcstack.sctp.cookie import Cookie, CookieSealer
from rtcstack.sctp.dcep import OpenMessage
from rtcstack.sctp.packet import PacketWriter, chunk_bytes, split_chunks, verify_checksum
from rtcstack.sctp.params import MAX_PARAMS, cause_bytes, describe_causes, param_bytes, split_params

u8, u16, u32 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32))
positive32 = st.integers(1, (1 << 32) - 1)
positive16 = st.integers(1, 65535)


def body_of(chunk: bytes) -> bytes:
    """The body of a chunk that stands alone."""
    ((_, _, body),) = split_chunks(bytes(12) + chunk)
    return body


@given(
    u16, u16, u32, st.lists(st.tuples(u8, u8, st.binary(max_size=60)), min_size=1, max_size=6), st.booleans()
)
def test_a_packet_comes_apart_as_it_was_put_together(
    source: int, destination: int, tag: int, chunks: list[tuple[int, int, bytes]], zero: bool
) -> None:
    writer = PacketWriter(source, destination, tag)
    writer.zero_checksum = zero
    packet = writer.write([chunk_bytes(*chunk) for chunk in chunks])
    assert split_chunks(packet) == chunks
    assert verify_checksum(packet, accept_zero=zero)
    assert len(packet) % 4 == 0
    assert verify_checksum(packet) or zero


def test_the_checksum_is_crc32c_low_byte_first() -> None:
    # RFC 9260, appendix A: CRC32c of "123456789" is 0xe3069283; here over a whole packet, by hand.
    from google_crc32c import value

    packet = PacketWriter(5000, 5000, 7).write([chunk_bytes(ChunkType.COOKIE_ACK, 0, b"")])
    expected = value(packet[:8] + bytes(4) + packet[12:])
    assert packet[8:12] == expected.to_bytes(4, "little")
    assert not verify_checksum(packet[:-1] + b"x")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_chunks_or_a_parse_error(data: bytes) -> None:
    try:
        chunks = split_chunks(bytes(12) + data)
    except ParseError:
        return
    assert sum(len(body) + 4 for _, _, body in chunks) <= len(data)


@given(st.lists(st.tuples(u16, st.binary(max_size=40)), max_size=10))
def test_parameters_come_apart(params: list[tuple[int, bytes]]) -> None:
    assert split_params(b"".join(param_bytes(*param) for param in params)) == params


@given(st.binary(max_size=120))
def test_arbitrary_bytes_are_parameters_or_a_parse_error(data: bytes) -> None:
    try:
        split_params(data)
    except ParseError:
        assert describe_causes(data)[0] is None


def test_parameters_are_counted() -> None:
    with pytest.raises(ParseError):
        split_params(param_bytes(9, b"") * (MAX_PARAMS + 1))


@given(
    st.builds(
        Init,
        positive32,
        u32,
        positive16,
        positive16,
        u32,
        st.binary(min_size=1, max_size=6),
        st.booleans(),
        st.booleans(),
        st.none() | st.binary(max_size=100),
    )
)
def test_init(init: Init) -> None:
    assert Init.parse(body_of(init.to_bytes())) == init


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_an_init_or_a_parse_error(data: bytes) -> None:
    try:
        init = Init.parse(data)
    except ParseError:
        return
    assert init.initiate_tag
    assert init.inbound_streams
    assert init.outbound_streams


def test_unknown_parameters_go_by_their_high_bits() -> None:
    base = Init(1, 2, 3, 4, 5)

    def parse(*params: int) -> Init:
        tail = b"".join(param_bytes(kind, b"abcd") for kind in params) + param_bytes(0xC000, b"")
        return Init.parse(body_of(base.to_bytes()) + tail)

    assert not parse(0x0123).forward_tsn  # 00: stop
    assert parse(0x0123).unrecognized == ()
    assert not parse(0x4123).forward_tsn  # 01: stop and report
    assert parse(0x4123).unrecognized == (param_bytes(0x4123, b"abcd"),)
    assert parse(0x8123).forward_tsn  # 10: skip
    assert parse(0x8123).unrecognized == ()
    assert parse(0xC123).forward_tsn  # 11: skip and report
    assert parse(0xC123).unrecognized == (param_bytes(0xC123, b"abcd"),)


@st.composite
def sacks(draw: st.DrawFn) -> Sack:
    edges = sorted(draw(st.lists(positive16, unique=True, max_size=40)))
    gaps = tuple(edges[: len(edges) // 2 * 2])
    return Sack(draw(u32), draw(u32), gaps, tuple(draw(st.lists(u32, max_size=20))))


@given(sacks())
def test_sack(sack: Sack) -> None:
    assert Sack.parse(body_of(sack.to_bytes())) == sack


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_a_sack_or_a_parse_error(data: bytes) -> None:
    try:
        sack = Sack.parse(data)
    except ParseError:
        return
    gaps = sack.gaps
    assert all(gaps[i] <= gaps[i + 1] for i in range(len(gaps) - 1))
    assert not gaps or gaps[0] > 0


@given(u32, st.lists(st.tuples(u16, u32, st.booleans()), max_size=20), st.booleans())
def test_forward_tsn(tsn: int, streams: list[tuple[int, int, bool]], interleaved: bool) -> None:
    skipped = tuple(
        SkippedStream(stream_id, number if interleaved else number & 0xFFFF, unordered and interleaved)
        for stream_id, number, unordered in streams
    )
    forward = ForwardTsn(tsn, skipped)
    body = body_of(forward.to_bytes(interleaved=interleaved))
    assert ForwardTsn.parse(body, interleaved=interleaved) == forward


@given(st.binary(max_size=60), st.booleans())
def test_arbitrary_bytes_are_a_forward_tsn_or_a_parse_error(data: bytes, interleaved: bool) -> None:
    try:
        ForwardTsn.parse(data, interleaved=interleaved)
    except ParseError:
        assert len(data) < 4 or (len(data) - 4) % (8 if interleaved else 4)


@given(
    st.text(max_size=30),
    st.text(max_size=30),
    st.booleans(),
    st.none() | u16,
    st.booleans(),
    u16,
)
def test_dcep_open(
    label: str, protocol: str, ordered: bool, limit: int | None, timed: bool, priority: int
) -> None:
    message = OpenMessage(
        label, protocol, ordered, None if timed else limit, limit if timed else None, priority
    )
    assert OpenMessage.parse(message.to_bytes()) == message


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_an_open_or_a_parse_error(data: bytes) -> None:
    for candidate in (data, b"\x03\x00" + data):
        try:
            message = OpenMessage.parse(candidate)
        except ParseError:
            continue
        assert candidate[0] == 3
        assert message.max_retransmits is None or message.max_packet_lifetime_ms is None


@given(st.binary(max_size=120), st.integers(0, 10_000))
def test_a_cookie_opens_only_with_its_key_and_unaltered(noise: bytes, flip: int) -> None:
    sealer = CookieSealer(b"key")
    cookie = Cookie(1.5, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
    sealed = sealer.seal(cookie)
    assert sealer.unseal(sealed) == cookie
    assert CookieSealer(b"other").unseal(sealed) is None
    position = flip % (8 * len(sealed))
    altered = bytearray(sealed)
    altered[position // 8] ^= 1 << position % 8
    assert sealer.unseal(bytes(altered)) is None
    assert sealer.unseal(noise) is None


def test_causes_are_told_in_words() -> None:
    assert describe_causes(cause_bytes(12, b"bye")) == (12, "user initiated abort: bye")
    assert describe_causes(cause_bytes(3, b"abcd")) == (3, "stale cookie")
    assert describe_causes(cause_bytes(9999)) == (9999, "cause 9999")
    assert describe_causes(b"") == (None, "no cause given")
