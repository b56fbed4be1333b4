"""What a peer's decoder takes, by H.264's levels and the parameters of VP8 and VP9.

Spec: ITU-T H.264, table A-1; RFC 6184, sections 8.1 and 8.2.2; RFC 7741, section 6.1.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.codecs.h264levels import LEVEL_1B, LEVELS, lowest_level
from rtcstack.codecs.picturelimits import PictureLimits, h264_limits, vpx_limits

QCIF, CIF, VGA, HD, FULL = (176, 144), (352, 288), (640, 480), (1280, 720), (1920, 1080)

LARGEST = [
    # level_idc, the largest common size, pictures a second of it, bits a second
    (10, QCIF, 15.0, 64_000),
    (LEVEL_1B, QCIF, 15.0, 128_000),
    (11, CIF, 7.57, 192_000),
    (12, CIF, 15.15, 384_000),
    (13, CIF, 30.0, 768_000),
    (20, CIF, 30.0, 2_000_000),
    (21, (352, 576), 25.0, 4_000_000),
    (22, (720, 576), 12.5, 4_000_000),
    (30, VGA, 33.75, 10_000_000),
    (31, HD, 30.0, 14_000_000),
    (32, HD, 60.0, 20_000_000),
    (40, FULL, 30.12, 20_000_000),
    (41, FULL, 30.12, 50_000_000),
    (42, FULL, 64.0, 50_000_000),
    (50, (2560, 1920), 30.72, 135_000_000),
    (51, (3840, 2160), 30.34, 240_000_000),
    (52, (3840, 2160), 64.0, 240_000_000),
    (60, (7680, 4320), 32.24, 240_000_000),
    (61, (7680, 4320), 64.48, 480_000_000),
    (62, (7680, 4320), 128.9, 800_000_000),
]


def test_all_levels_are_in_the_table() -> None:
    assert [row[0] for row in LARGEST] == [level.level_idc for level in LEVELS]


@pytest.mark.parametrize(("level", "size", "rate", "bps"), LARGEST)
def test_each_level(level: int, size: tuple[int, int], rate: float, bps: int) -> None:
    limits = h264_limits(level, {})
    assert limits.scale(*size) == 1.0
    assert limits.rate(*size) == pytest.approx(rate, abs=0.1)
    assert limits.bitrate_bps == bps
    assert h264_limits(level, {}, high=True).bitrate_bps == bps * 5 // 4
    larger = limits.scale(8 * size[0], 8 * size[1])
    assert 6.5 < larger < 10
    assert limits.allows(int(8 * size[0] / larger), int(8 * size[1] / larger))


def test_what_a_peer_takes_beyond_its_level() -> None:
    """RFC 6184, section 8.1: max-mbps, max-fs, max-br; a value below the level's means nothing."""
    assert h264_limits(31, {"max-fs": "8160", "max-mbps": "244800", "max-br": "20000"}) == PictureLimits(
        8_160, 244_800, None, 20_000_000
    )
    for odd in ({"max-fs": "1"}, {"max-br": "-5"}, {"max-mbps": "x"}, {"max-fs": "9" * 30}):
        assert h264_limits(31, odd) == h264_limits(31, {})


@pytest.mark.parametrize(("unknown", "known"), [(0, 10), (14, 13), (33, 32), (255, 62)])
def test_unknown_levels_count_as_the_next_lower(unknown: int, known: int) -> None:
    assert h264_limits(unknown, {}) == h264_limits(known, {})


def test_a_side_is_bounded_too() -> None:
    limits = h264_limits(10, {})  # 99 blocks: no side of more than 28
    assert not limits.allows(16 * 29, 16)
    assert limits.allows(16 * 28, 16)
    scale = limits.scale(2000, 16)
    assert limits.allows(int(2000 / scale), int(16 / scale))


def test_limits_of_vp8() -> None:
    assert vpx_limits({}) is None
    assert vpx_limits({"max-fs": "12288", "max-fr": "60"}) == PictureLimits(12_288, None, 60.0)
    limits = vpx_limits({"max-fs": "300"})
    assert limits is not None
    assert limits.scale(640, 480) == pytest.approx(2.0, abs=0.1)
    assert limits.rate(640, 480) is None
    assert vpx_limits({"max-fs": "0", "max-fr": "-1"}) is None


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from(LEVELS))
def test_what_is_scaled_fits(width: int, height: int, level: object) -> None:
    limits = h264_limits(level.level_idc, {})  # type: ignore[attr-defined]
    scale = limits.scale(width, height)
    assert scale >= 1.0
    assert limits.allows(int(width / scale), int(height / scale))


@given(st.integers(16, 4096), st.integers(16, 4096), st.floats(1, 60))
def test_the_lowest_level_allows_what_it_is_for(width: int, height: int, rate: float) -> None:
    level = lowest_level(width, height, rate)
    limits = h264_limits(level, {})
    if level != 62:
        assert limits.allows(width, height)
        assert (limits.rate(width, height) or 0) >= rate
