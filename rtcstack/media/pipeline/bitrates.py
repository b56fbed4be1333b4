"""What pictures of a size can use."""

from __future__ import annotations

__all__ = ["default_bitrate"]


def default_bitrate(width: int, height: int) -> int:
    """Bits a second above which a picture of this size gains little, for a stream without a bound.

    About 0.1 bit a pixel at 30 pictures a second for large pictures, more for small ones.
    """
    pixels = width * height
    for bound, bps in (
        (64 * 64, 50_000),
        (160 * 90, 150_000),
        (320 * 180, 300_000),
        (480 * 270, 600_000),
        (640 * 360, 1_000_000),
    ):
        if pixels <= bound:
            return bps
    if pixels <= 640 * 480:
        return 1_700_000
    if pixels <= 960 * 540:
        return 2_000_000
    if pixels <= 1280 * 720:
        return 2_500_000
    if pixels <= 1920 * 1088:
        return 5_000_000
    return 12_000_000
