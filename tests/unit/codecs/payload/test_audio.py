"""Audio payload formats: Opus' table of contents, sample-based codecs, redundancy."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtcstack.codecs.payload.g711 import OctetDepacketizer
from rtcstack.codecs.payload.opus import OpusDepacketizer, OpusPacket, parse_opus
from rtcstack.codecs.payload.red import RedDepacketizer, RedPacketizer
from rtcstack.errors import ParseError


class TestOpus:
    @pytest.mark.parametrize(
        ("packet", "count", "duration", "stereo"),
        [
            (bytes([0 << 3]) + b"a", 1, 480, False),
            (bytes([3 << 3 | 4]) + b"a", 1, 2880, True),
            (bytes([13 << 3]) + b"a", 1, 960, False),
            (bytes([16 << 3]) + b"a", 1, 120, False),
            (bytes([31 << 3 | 4 | 1]) + b"ab", 2, 1920, True),
            (bytes([31 << 3 | 2, 1]) + b"ab", 2, 1920, False),
            (bytes([28 << 3 | 3, 48]) + b"", 48, 5760, False),
            (bytes([28 << 3 | 3, 0xC2, 3, 1, 7]) + b"ab" + b"\x00\x00\x00", 2, 240, False),
            (bytes([31 << 3]), 1, 960, False),
        ],
    )
    def test_table_of_contents(self, packet: bytes, count: int, duration: int, stereo: bool) -> None:
        assert parse_opus(packet)[:3] == (count, duration, stereo)

    def test_flag_of_in_band_fec(self) -> None:
        wide = 9 << 3  # SILK wideband, 20 ms
        assert parse_opus(bytes([wide, 0x40])).has_fec
        assert not parse_opus(bytes([wide, 0x80])).has_fec
        assert parse_opus(bytes([wide | 4, 0x10])).has_fec  # the second channel's
        assert parse_opus(bytes([11 << 3, 0x10])).has_fec  # 60 ms: three flags of activity before it
        assert not parse_opus(bytes([31 << 3, 0xFF])).has_fec  # CELT has none

    @pytest.mark.parametrize(
        "packet",
        [
            b"",
            bytes([1]) + b"abc",
            bytes([2]),
            bytes([2, 200]) + b"abc",
            bytes([2, 252]),
            bytes([3]),
            bytes([3, 0]),
            bytes([28 << 3 | 3, 49]),
            bytes([3 << 3 | 3, 3]),
            bytes([28 << 3 | 3, 0x43, 255, 255]),
            bytes([28 << 3 | 3, 0x41, 200, 1]),
            bytes([28 << 3 | 3, 0x83, 200, 200]) + b"abc",
            bytes([28 << 3 | 3, 2]) + b"abc",
        ],
    )
    def test_lies_are_refused(self, packet: bytes) -> None:
        with pytest.raises(ParseError):
            OpusDepacketizer().split(packet)

    @given(st.binary(max_size=300))
    @example(bytes([31 << 3 | 3, 0x41]) + b"\xff" * 290)
    def test_any_bytes(self, packet: bytes) -> None:
        try:
            result = parse_opus(packet)
        except ParseError:
            return
        assert isinstance(result, OpusPacket)
        assert 120 <= result.duration <= 5760
        assert 1 <= result.frame_count <= 48


def test_sample_based_codecs_tell_their_duration() -> None:
    (unit,) = OctetDepacketizer().split(b"x" * 160)
    assert (unit.duration, unit.timestamp_offset) == (160, 0)
    with pytest.raises(ParseError):
        OctetDepacketizer().split(b"")


class TestRed:
    reader = RedDepacketizer(111, OctetDepacketizer())

    @given(
        frames=st.lists(st.binary(min_size=1, max_size=1100), min_size=1, max_size=8),
        depth=st.integers(1, 4),
        start=st.integers(0, 2**32 - 1),
    )
    def test_each_packet_carries_the_frames_before_it(
        self, frames: list[bytes], depth: int, start: int
    ) -> None:
        packetizer = RedPacketizer(111, depth)
        for i, frame in enumerate(frames):
            payload = packetizer.packetize(frame, (start + 960 * i) & 0xFFFF_FFFF)
            assert len(payload) <= max(1160, len(frame) + 1)
            *earlier, own = self.reader.split(payload)
            assert (own.data, own.timestamp_offset, own.redundant) == (frame, 0, False)
            for back, unit in enumerate(reversed(earlier), 1):
                assert (unit.data, unit.timestamp_offset) == (frames[i - back], -960 * back)
                assert unit.redundant

    def test_bytes_of_the_rfc(self) -> None:
        packetizer = RedPacketizer(111)
        assert packetizer.packetize(b"one", 1000) == b"\x6fone"
        assert packetizer.packetize(b"two", 1960) == b"\xef\x0f\x00\x03\x6fonetwo"

    def test_a_gap_too_long_for_the_offset_leaves_the_frame_out(self) -> None:
        packetizer = RedPacketizer(111)
        packetizer.packetize(b"one", 0)
        assert packetizer.packetize(b"two", 1 << 14) == b"\x6ftwo"

    def test_blocks_of_other_codecs_are_passed_over(self) -> None:
        units = self.reader.split(b"\x8d\x0f\x00\x03\x6fonetwo")
        assert [u.data for u in units] == [b"two"]

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"\xef",
            b"\xef\x0f\x00\x03",
            b"\xef\x0f\x00\x30\x6fabc",
            b"\x6f",
            b"\x0dabc",
            b"\xef\0\0\0" * 50,
        ],
    )
    def test_refused(self, payload: bytes) -> None:
        with pytest.raises(ParseError):
            self.reader.split(payload)

    @given(st.binary(max_size=100))
    def test_any_bytes(self, payload: bytes) -> None:
        try:
            units = self.reader.split(payload)
        except ParseError:
            return
        assert sum(len(u.data) for u in units) <= len(payload)
