"""Levels of H.264: how large, how frequent and how heavy pictures may be.

Spec: ITU-T H.264, table A-1 (level limits) and section A.3.1; RFC 6184, section 8.1.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LEVELS", "LEVEL_1B", "Level", "lowest_level"]

LEVEL_1B = 9
"""How level 1b is written here, which lies between 1 (10) and 1.1 (11)."""


class Level(NamedTuple):
    """What a level allows.

    Attributes:
        level_idc: ten times its number; `LEVEL_1B` for 1b.
        blocks_per_second: macroblocks of 16x16 pixels (MaxMBPS).
        blocks_per_frame: of one picture (MaxFS); the square of a side is 8 times that at most.
        kilobits: 1,000 bits a second (MaxBR), of Baseline and Main; High has a quarter more.
    """

    level_idc: int
    blocks_per_second: int
    blocks_per_frame: int
    kilobits: int


LEVELS = tuple(
    Level(*row)
    for row in (
        (10, 1_485, 99, 64),
        (LEVEL_1B, 1_485, 99, 128),
        (11, 3_000, 396, 192),
        (12, 6_000, 396, 384),
        (13, 11_880, 396, 768),
        (20, 11_880, 396, 2_000),
        (21, 19_800, 792, 4_000),
        (22, 20_250, 1_620, 4_000),
        (30, 40_500, 1_620, 10_000),
        (31, 108_000, 3_600, 14_000),
        (32, 216_000, 5_120, 20_000),
        (40, 245_760, 8_192, 20_000),
        (41, 245_760, 8_192, 50_000),
        (42, 522_240, 8_704, 50_000),
        (50, 589_824, 22_080, 135_000),
        (51, 983_040, 36_864, 240_000),
        (52, 2_073_600, 36_864, 240_000),
        (60, 4_177_920, 139_264, 240_000),
        (61, 8_355_840, 139_264, 480_000),
        (62, 16_711_680, 139_264, 800_000),
    )
)
"""From the lowest to the highest."""


def lowest_level(width: int, height: int, frame_rate: float) -> int:
    """The lowest level that allows this size and rate, as level_idc; never 1b, nor one that differs from
    another in its bit rate alone."""
    across, down = -(-width // 16), -(-height // 16)
    blocks = across * down
    for level in LEVELS:
        fits = blocks <= level.blocks_per_frame and max(across, down) ** 2 <= 8 * level.blocks_per_frame
        if fits and blocks * frame_rate <= level.blocks_per_second and level.level_idc != LEVEL_1B:
            return level.level_idc
    return LEVELS[-1].level_idc
