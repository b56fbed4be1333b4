"""Parameter sets are remembered, replaced, bounded, and put before key frames that lack them."""

from __future__ import annotations

import base64
from fractions import Fraction
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.codecs.payload.annexb import START_CODE, nal_units
from rtcstack.codecs.payload.parametersets import MAX_SETS, MAX_SETS_BYTES, ParameterSets, described_sets
from rtcstack.codecs.payload.sequence import h264_sequence, h265_sequence
from tests.unit.codecs.material import picture

ENCODERS = {
    "h264": ("libx264", {"preset": "ultrafast", "tune": "zerolatency"}),
    "h265": ("libx265", {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none"}),
}


def encoded(codec: str, width: int = 320, height: int = 240, **options: str) -> list[bytes]:
    """The NAL units of one key frame."""
    name, settings = ENCODERS[codec]
    context: Any = av.CodecContext.create(name, "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, 30)
    context.options = settings | options
    packets = [*context.encode(picture(0, width, height)), *context.encode(None)]
    return nal_units(b"".join(bytes(p) for p in packets))


def kind(codec: str, unit: bytes) -> int:
    return unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63


def is_set(codec: str, unit: bytes) -> bool:
    return kind(codec, unit) in ((7, 8) if codec == "h264" else (32, 33, 34))


def stream(units: list[bytes]) -> bytes:
    return START_CODE + START_CODE.join(units)


both = pytest.mark.parametrize("codec", ENCODERS)


@both
def test_a_key_frame_without_its_sets_is_given_them(codec: str) -> None:
    units = encoded(codec)
    sets = [unit for unit in units if is_set(codec, unit)]
    slices = [unit for unit in units if not is_set(codec, unit)]
    memory = ParameterSets(codec)
    assert memory.complete(stream(slices), key_frame=True) == stream(slices)
    memory.learn(sets)
    assert nal_units(memory.complete(stream(slices), key_frame=True)) == [*sets, *slices]
    whole = stream(units)
    assert memory.complete(whole, key_frame=True) is whole
    delta = stream(slices)
    assert memory.complete(delta, key_frame=False) is delta


@both
def test_a_key_frame_that_lacks_some_is_given_the_rest(codec: str) -> None:
    units = encoded(codec)
    sets = [unit for unit in units if is_set(codec, unit)]
    slices = [unit for unit in units if not is_set(codec, unit)]
    memory = ParameterSets(codec)
    memory.learn(sets)
    assert nal_units(memory.complete(stream([sets[0], *slices]), key_frame=True)) == [*sets, *slices]


@both
def test_a_changed_set_replaces_the_old(codec: str) -> None:
    small, large = encoded(codec), encoded(codec, 640, 360)
    memory = ParameterSets(codec)
    memory.complete(stream(small), key_frame=True)
    count = len(memory)
    memory.complete(stream(large), key_frame=True)
    assert len(memory) == count
    assert memory.units == [unit for unit in large if is_set(codec, unit)]


@both
@given(st.lists(st.tuples(st.integers(0, 63), st.binary(max_size=60)), max_size=300))
def test_whatever_comes_is_bounded_and_never_raises(codec: str, units: list[tuple[int, bytes]]) -> None:
    memory = ParameterSets(codec)
    for number, body in units:
        head = bytes((number,)) if codec == "h264" else bytes((number << 1, 1))
        memory.learn([head + body, head + body * 200])
        assert len(memory) <= MAX_SETS
        assert sum(map(len, memory.units)) <= MAX_SETS_BYTES
        memory.complete(START_CODE + head + body, key_frame=True)


def test_sets_without_end_are_bounded() -> None:
    memory = ParameterSets("h264")
    for number in range(1000):
        code = bin(number + 1)[2:]
        bits = "0" * (len(code) - 1) + code
        body = int(bits.ljust(32, "0"), 2).to_bytes(4, "big")
        memory.learn([b"\x68" + body + bytes(1000)])
    assert len(memory) <= MAX_SETS
    assert sum(map(len, memory.units)) <= MAX_SETS_BYTES
    memory.learn([b"\x68\x80" + bytes(MAX_SETS_BYTES)])
    assert all(len(unit) < MAX_SETS_BYTES for unit in memory.units)


def test_descriptions_tell_sets() -> None:
    sps, pps, vps = b"\x67\x42\x00\x1f\xaa", b"\x68\xce\x3c\x80", b"\x40\x01\x0c"
    texts = [base64.b64encode(unit).decode() for unit in (sps, pps, vps)]
    assert described_sets("h264", {"sprop-parameter-sets": f"{texts[0]}, {texts[1].rstrip('=')}"}) == (
        sps,
        pps,
    )
    told = {"sprop-vps": texts[2], "sprop-sps": texts[0], "sprop-pps": f"{texts[1]},*damaged*,"}
    assert described_sets("h265", told) == (vps, sps, pps)
    assert described_sets("vp8", told) == ()


@both
@pytest.mark.parametrize("size", [(320, 240), (322, 182), (1920, 1080), (8192, 4320)])
def test_sequence_parameter_sets_tell_size_and_references(codec: str, size: tuple[int, int]) -> None:
    private = "x264-params" if codec == "h264" else "x265-params"
    units = encoded(
        codec, *size, **{private: "ref=4:keyint=100" + (":log-level=none" if codec == "h265" else "")}
    )
    sps = next(unit for unit in units if kind(codec, unit) == (7 if codec == "h264" else 33))
    found = (h264_sequence if codec == "h264" else h265_sequence)(sps)
    assert found is not None
    assert (found.width, found.height) == size
    assert found.coded_width >= size[0]
    assert found.coded_height >= size[1]
    assert 3 <= found.references <= 6
    assert found.bit_depth == 8
