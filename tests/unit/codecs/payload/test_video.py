"""Video payload formats: what is cut comes together again, and hostile payloads only cost a ParseError."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtcstack.codecs.layers import LayerPlace, scalability_mode
from rtcstack.codecs.payload.annexb import START_CODE, nal_units
from rtcstack.codecs.payload.av1 import Av1Depacketizer, Av1Packetizer
from rtcstack.codecs.payload.base import Packetizer, split_evenly
from rtcstack.codecs.payload.h264 import H264Depacketizer, H264Packetizer, h264_frame_size
from rtcstack.codecs.payload.h265 import H265Depacketizer, H265Packetizer
from rtcstack.codecs.payload.vp8 import Vp8Depacketizer, Vp8Packetizer
from rtcstack.codecs.payload.vp9 import Vp9Depacketizer, Vp9Packetizer, vp9_frame_size
from rtcstack.errors import ParseError
from rtcstack.rtp.frames import Depacketizer

FORMATS: dict[str, tuple[Callable[[], Packetizer], Depacketizer]] = {
    "VP8": (Vp8Packetizer, Vp8Depacketizer()),
    "VP9": (Vp9Packetizer, Vp9Depacketizer()),
}

limits = st.integers(64, 1400)


@given(length=st.integers(0, 20_000), limit=st.integers(1, 2000))
def test_pieces_are_few_and_equal(length: int, limit: int) -> None:
    pieces = split_evenly(length, limit)
    assert len(pieces) == -(-length // limit)
    sizes = [end - start for start, end in pieces]
    assert sum(sizes) == length
    if sizes:
        assert max(sizes) <= limit
        assert max(sizes) - min(sizes) <= 1
        assert all(a[1] == b[0] for a, b in pairwise(pieces))


@pytest.mark.parametrize("name", FORMATS)
@given(
    frame=st.binary(min_size=1, max_size=6000),
    limit=limits,
    key_frame=st.booleans(),
    position=st.none() | st.integers(0, 3),
)
def test_frames_survive(name: str, frame: bytes, limit: int, key_frame: bool, position: int | None) -> None:
    make, depacketizer = FORMATS[name]
    mode = scalability_mode("L1T3")
    assert mode is not None
    place = None if position is None else LayerPlace(mode, position, key_picture=key_frame)
    payloads = make().packetize(
        frame,
        key_frame=key_frame,
        max_payload_bytes=limit,
        place=place,
    )
    assert all(len(p) <= limit for p in payloads)
    infos = [depacketizer.depacketize(p) for p in payloads]
    assert depacketizer.assemble(infos) == frame
    assert [i.starts_frame for i in infos] == [True] + [False] * (len(infos) - 1)
    assert len({i.picture_id for i in infos}) == 1
    if place is not None:
        assert all(i.temporal_id == place.temporal_id for i in infos)
        assert all(i.tl0_pic_idx == (0 if place.temporal_id == 0 else 255) for i in infos)
        if place.temporal_id:
            assert all(i.layer_sync is place.step.is_sync for i in infos)
    if name == "VP9":
        assert all(i.key_frame is key_frame for i in infos)


@pytest.mark.parametrize(
    "depacketizer",
    [Vp8Depacketizer(), Vp9Depacketizer(), H264Depacketizer(), H265Depacketizer(), Av1Depacketizer()],
    ids=lambda d: type(d).__name__,
)
@given(payload=st.binary(max_size=80))
@example(payload=b"")
@example(payload=b"\x18" + b"\x00\x00" * 20)
@example(payload=b"\x18" + b"\x00\x01\x09" * 300)
@example(payload=b"\x1a" + b"\xff" * 60)
def test_any_bytes_cost_a_parse_error_at_most(depacketizer: Depacketizer, payload: bytes) -> None:
    try:
        info = depacketizer.depacketize(payload)
        depacketizer.assemble([info, info])
    except ParseError:
        pass


class TestVp8:
    def test_descriptor_of_the_rfc(self) -> None:
        # RFC 7741, section 4.6: X=1, S=1, I=1, M=1, 15-bit picture id 0x1234; a key frame 640x480
        payload = bytes.fromhex("90809234") + bytes.fromhex("1002009d012a8002e001") + b"x" * 20
        info = Vp8Depacketizer().depacketize(payload)
        assert (info.picture_id, info.picture_id_bits) == (0x1234, 15)
        assert (info.key_frame, info.width, info.height) == (True, 640, 480)
        assert info.starts_frame

    def test_no_extension(self) -> None:
        info = Vp8Depacketizer().depacketize(b"\x00abc")
        assert (info.data, info.starts_frame, info.picture_id) == (b"abc", False, None)

    def test_a_later_partition_does_not_start_a_frame(self) -> None:
        assert not Vp8Depacketizer().depacketize(b"\x11abc").starts_frame

    def test_short_picture_id_and_key_index(self) -> None:
        info = Vp8Depacketizer().depacketize(bytes.fromhex("b0f00507a301"))
        assert (info.picture_id, info.picture_id_bits, info.tl0_pic_idx) == (5, 7, 7)
        assert (info.temporal_id, info.layer_sync, info.discardable) == (2, True, True)
        assert info.data == b"\x01"

    def test_picture_id_wraps_at_15_bits(self) -> None:
        packetizer = Vp8Packetizer(picture_id=32767)
        read = Vp8Depacketizer().depacketize
        assert [read(packetizer.packetize(b"\x01x")[0]).picture_id for _ in range(2)] == [32767, 0]

    @pytest.mark.parametrize("hexa", ["", "90", "9080", "908092", "90809234", "9040", "9020", "10"])
    def test_cut_short(self, hexa: str) -> None:
        with pytest.raises(ParseError):
            Vp8Depacketizer().depacketize(bytes.fromhex(hexa))


class TestVp9:
    def test_flexible_mode_with_references(self) -> None:
        # I P L F B: picture id 7 bits, layer octet, two P_DIFFs, data
        info = Vp9Depacketizer().depacketize(bytes.fromhex("f805320304") + b"d")
        assert (info.picture_id, info.picture_id_bits) == (5, 7)
        assert (info.temporal_id, info.spatial_id, info.layer_sync) == (1, 1, True)
        assert (info.data, info.key_frame, info.starts_frame) == (b"d", False, False)
        assert info.tl0_pic_idx is None

    def test_four_references_are_too_many(self) -> None:
        with pytest.raises(ParseError, match="three references"):
            Vp9Depacketizer().depacketize(bytes.fromhex("500303030302") + b"d")

    def test_scalability_structure(self) -> None:
        structure = bytes.fromhex("38014000f0028001e0020401080102")
        info = Vp9Depacketizer().depacketize(bytes.fromhex("8a8001") + structure + b"data")
        assert (info.width, info.height, info.data) == (640, 480, b"data")
        assert (info.key_frame, info.starts_frame) == (True, True)

    @pytest.mark.parametrize("cut", range(1, 14))
    def test_structure_cut_short(self, cut: int) -> None:
        whole = bytes.fromhex("8a800138014000f0028001e0020401080102ff")
        with pytest.raises(ParseError):
            Vp9Depacketizer().depacketize(whole[:-1][: len(whole) - 1 - (cut - 1)])

    @given(st.binary(max_size=20))
    def test_size_of_anything(self, frame: bytes) -> None:
        vp9_frame_size(frame)

    @pytest.mark.parametrize(("width", "is_told"), [(65_535, True), (65_536, False)])
    def test_a_key_frame_larger_than_the_structure_can_tell(self, width: int, is_told: bool) -> None:
        """A received one, perhaps, that is sent on."""
        header = 0b10_0_0_0_0_1_0 << 24 | 0x498342
        bits = (header << 4 | 0b0010) << 32 | (width - 1) << 16 | (480 - 1)
        frame = (bits << 12).to_bytes(10, "big") + b"data"
        assert vp9_frame_size(frame) == (width, 480)
        (payload,) = Vp9Packetizer().packetize(frame, key_frame=True)
        info = Vp9Depacketizer().depacketize(payload)
        assert (info.width, info.height) == ((width, 480) if is_told else (None, None))
        assert info.data == frame


def units(*kinds_and_sizes: tuple[int, int]) -> list[bytes]:
    return [
        bytes((0x60 | kind,)) + bytes((i % 250) + 1 for i in range(size - 1))
        for kind, size in kinds_and_sizes
    ]


nal = st.builds(
    lambda kind, nri, body: bytes((nri << 5 | kind,)) + body.replace(b"\x00", b"\x01") + b"\x80",
    st.sampled_from([1, 5, 6]),
    st.integers(0, 3),
    st.binary(max_size=3000),
)


class TestH264:
    @given(frame=st.lists(nal, min_size=1, max_size=8), limit=limits)
    def test_units_survive(self, frame: list[bytes], limit: int) -> None:
        stream = b"".join(START_CODE + unit for unit in frame)
        payloads = H264Packetizer().packetize(stream, max_payload_bytes=limit)
        assert all(len(p) <= limit for p in payloads)
        read = H264Depacketizer()
        assert read.assemble([read.depacketize(p) for p in payloads]) == stream

    def test_small_units_travel_together(self) -> None:
        frame = units((6, 20), (1, 50))
        stream = b"".join(START_CODE + unit for unit in frame)
        (payload,) = H264Packetizer().packetize(stream)
        assert payload[0] & 0x1F == 24
        assert payload[1:3] == b"\x00\x14"

    def test_fragments_are_of_equal_size(self) -> None:
        payloads = H264Packetizer().packetize(START_CODE + units((5, 3001))[0], max_payload_bytes=1002)
        assert [len(p) for p in payloads] == [1002, 1002, 1002]
        assert [p[1] & 0xC0 for p in payloads] == [0x80, 0, 0x40]

    def test_mode_0_neither_aggregates_nor_fragments(self) -> None:
        frame = units((6, 20), (1, 50))
        stream = b"".join(START_CODE + unit for unit in frame)
        assert H264Packetizer(0).packetize(stream) == frame
        with pytest.raises(ParseError, match="mode 0"):
            H264Packetizer(0).packetize(START_CODE + units((5, 3000))[0])

    def test_parameter_sets_are_put_before_a_bare_idr(self) -> None:
        sps, pps = bytes.fromhex("6742001f95a014016e40"), bytes.fromhex("68ce3c80")
        idr = units((5, 30))[0]
        packetizer = H264Packetizer(0)
        first = packetizer.packetize(b"".join(START_CODE + u for u in (sps, pps, idr)))
        assert first == [sps, pps, idr]
        assert packetizer.packetize(START_CODE + idr) == first
        assert packetizer.packetize(START_CODE + units((1, 30))[0]) == units((1, 30))

    def test_access_unit_delimiter_is_dropped(self) -> None:
        stream = START_CODE + b"\x09\xf0" + START_CODE + units((1, 30))[0]
        assert H264Packetizer().packetize(stream) == units((1, 30))

    def test_a_missing_fragment_is_noticed(self) -> None:
        read = H264Depacketizer()
        payloads = H264Packetizer().packetize(START_CODE + units((5, 3000))[0], max_payload_bytes=1000)
        infos = [read.depacketize(p) for p in payloads]
        for broken in (infos[1:], infos[:-1], infos[:1] + infos[:1]):
            with pytest.raises(ParseError):
                read.assemble(broken)

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"\x65",
            b"\xe5abc",
            b"\x1dabcd",
            b"\x00abc",
            b"\x7c\x85",
            b"\x7c\xc5ab",
            b"\x7c\x9cab",
            b"\x18\x00\x05ab",
            b"\x18\x00\x00ab",
            b"\x18\x00",
            b"\x18\x00\x02\x18a",
        ],
    )
    def test_refused(self, payload: bytes) -> None:
        with pytest.raises(ParseError):
            H264Depacketizer().depacketize(payload)

    @pytest.mark.parametrize(
        ("sps", "size"),
        [
            ("6742c01eda0280f684000003000400000300f23c58ba80", (640, 480)),
            ("6742c01eda0280bfa9a10000030001000003003c8f162ea0", (638, 358)),
            ("6742c028da01e0089f9610000003001000000303c8f1832a", (1920, 1080)),
            ("67f4000d91968150878f8f84000003000400000300f23c50aa80", (322, 242)),
        ],
    )
    def test_a_parameter_set_tells_the_size(self, sps: str, size: tuple[int, int]) -> None:
        info = H264Depacketizer().depacketize(bytes.fromhex(sps))
        assert (info.width, info.height) == size
        assert info.key_frame

    @given(st.binary(max_size=200))
    def test_size_of_any_parameter_set(self, tail: bytes) -> None:
        h264_frame_size(b"\x67" + tail)

    @pytest.mark.parametrize("stream", [b"", b"abc", b"\x01\x00\x00\x01a", START_CODE, START_CODE * 3])
    def test_not_a_byte_stream(self, stream: bytes) -> None:
        with pytest.raises(ParseError):
            nal_units(stream)


@pytest.mark.parametrize(
    "packetizer", [H264Packetizer(), H264Packetizer(0), H265Packetizer(), Av1Packetizer()]
)
@given(frame=st.binary(max_size=300))
def test_any_frame_costs_a_parse_error_at_most(packetizer: Packetizer, frame: bytes) -> None:
    for each in (frame, START_CODE + frame):
        with contextlib.suppress(ParseError):
            packetizer.packetize(each)


hevc_nal = st.builds(
    lambda kind, body: bytes((kind << 1, 1)) + body.replace(b"\x00", b"\x01") + b"\x80",
    st.sampled_from([0, 1, 19, 39]),
    st.binary(max_size=3000),
)


class TestH265:
    @given(frame=st.lists(hevc_nal, min_size=1, max_size=8), limit=limits)
    def test_units_survive(self, frame: list[bytes], limit: int) -> None:
        stream = b"".join(START_CODE + unit for unit in frame)
        payloads = H265Packetizer().packetize(stream, max_payload_bytes=limit)
        assert all(len(p) <= limit for p in payloads)
        read = H265Depacketizer()
        infos = [read.depacketize(p) for p in payloads]
        assert read.assemble(infos) == stream
        assert any(i.key_frame for i in infos) is any(unit[0] >> 1 == 19 for unit in frame)

    def test_parameter_sets_are_put_before_a_bare_random_access_picture(self) -> None:
        sets = [bytes((kind << 1, 1, 0x0C, 7)) for kind in (32, 33, 34)]
        picture = bytes((19 << 1, 1)) + b"x" * 30
        packetizer = H265Packetizer()
        read = H265Depacketizer()
        whole = b"".join(START_CODE + u for u in (*sets, picture))
        for stream in (whole, START_CODE + picture):
            payloads = packetizer.packetize(stream)
            assert read.assemble([read.depacketize(p) for p in payloads]) == whole

    @pytest.mark.parametrize(
        "hexa",
        ["", "2601", "a601aa", "2600aa", "620193", "6201d3aa", "6201b0aa", "60010005aa", "6600aa", "6601aa"],
    )
    def test_refused(self, hexa: str) -> None:
        with pytest.raises(ParseError):
            H265Depacketizer().depacketize(bytes.fromhex(hexa))


def leb128(value: int) -> bytes:
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


obu = st.tuples(st.sampled_from([1, 3, 4, 5, 6]), st.booleans(), st.binary(max_size=3000))


class TestAv1:
    @given(obus=st.lists(obu, min_size=1, max_size=8), limit=limits)
    @example(obus=[(6, False, b"")], limit=64)
    def test_units_survive(self, obus: list[tuple[int, bool, bytes]], limit: int) -> None:
        unit = b"\x12\x00"
        for kind, extended, body in obus:
            head = bytes((kind << 3 | 2 | 4 * extended,)) + b"\x28" * extended
            unit += head + leb128(len(body)) + body
        payloads = Av1Packetizer().packetize(unit, max_payload_bytes=limit)
        assert all(len(p) <= limit for p in payloads)
        read = Av1Depacketizer()
        infos = [read.depacketize(p) for p in payloads]
        assert read.assemble(infos) == unit
        assert [i.key_frame for i in infos] == [any(o[0] == 1 for o in obus)] + [False] * (len(infos) - 1)
        assert not infos[0].continues
        assert not infos[-1].continued
        if obus[0][1]:
            assert (infos[0].temporal_id, infos[0].spatial_id) == (1, 1)

    def test_packets_are_of_equal_size(self) -> None:
        payloads = Av1Packetizer().packetize(b"\x32" + leb128(4000) + b"x" * 4000, max_payload_bytes=1100)
        sizes = [len(p) for p in payloads]
        assert len(sizes) == 4
        assert max(sizes) - min(sizes) <= 8

    def test_element_with_a_size_of_its_own(self) -> None:
        read = Av1Depacketizer()
        info = read.depacketize(b"\x10\x32\x03abc")
        assert read.assemble([info]) == b"\x12\x00\x32\x03abc"

    def test_delimiters_and_tile_lists_are_dropped(self) -> None:
        read = Av1Depacketizer()
        info = read.depacketize(b"\x30\x01\x10\x02\x40z\x30abc")
        assert read.assemble([info]) == b"\x12\x00\x32\x03abc"

    @pytest.mark.parametrize(
        "hexa", ["", "10", "8830", "00ff", "00ffffffffff01", "2005aa", "20aa", "0003aabb"]
    )
    def test_refused(self, hexa: str) -> None:
        with pytest.raises(ParseError):
            Av1Depacketizer().depacketize(bytes.fromhex(hexa))

    def test_a_missing_fragment_is_noticed(self) -> None:
        read = Av1Depacketizer()
        payloads = Av1Packetizer().packetize(b"\x32" + leb128(3000) + b"x" * 3000)
        infos = [read.depacketize(p) for p in payloads]
        for broken in (infos[1:], infos[:-1]):
            with pytest.raises(ParseError):
                read.assemble(broken)
