"""Profiles and levels of H.264, as descriptions name them (RFC 6184, section 8.1)."""

from __future__ import annotations

import re
from enum import Enum, IntEnum

__all__ = ["H264Level", "H264Profile", "parse_h264_profile_level_id"]


class H264Profile(Enum):
    """Of H.264 (RFC 6184, section 8.1)."""

    PROFILE_CONSTRAINED_BASELINE = 0
    PROFILE_BASELINE = 1
    PROFILE_MAIN = 2
    PROFILE_CONSTRAINED_HIGH = 3
    PROFILE_HIGH = 4
    PROFILE_PREDICTIVE_HIGH_444 = 5


class H264Level(IntEnum):
    """Of H.264: ten times its number, -1 for 1b."""

    LEVEL1_B = -1
    LEVEL1 = 10
    LEVEL1_1 = 11
    LEVEL1_2 = 12
    LEVEL1_3 = 13
    LEVEL2 = 20
    LEVEL2_1 = 21
    LEVEL2_2 = 22
    LEVEL3 = 30
    LEVEL3_1 = 31
    LEVEL3_2 = 32
    LEVEL4 = 40
    LEVEL4_1 = 41
    LEVEL4_2 = 42
    LEVEL5 = 50
    LEVEL5_1 = 51
    LEVEL5_2 = 52


_PROFILES = (
    (0x42, 0x4F, 0x40, H264Profile.PROFILE_CONSTRAINED_BASELINE),
    (0x4D, 0x8F, 0x80, H264Profile.PROFILE_CONSTRAINED_BASELINE),
    (0x58, 0xCF, 0xC0, H264Profile.PROFILE_CONSTRAINED_BASELINE),
    (0x42, 0x4F, 0x00, H264Profile.PROFILE_BASELINE),
    (0x58, 0xCF, 0x80, H264Profile.PROFILE_BASELINE),
    (0x4D, 0xAF, 0x00, H264Profile.PROFILE_MAIN),
    (0x64, 0xFF, 0x00, H264Profile.PROFILE_HIGH),
    (0x64, 0xFF, 0x0C, H264Profile.PROFILE_CONSTRAINED_HIGH),
    (0xF4, 0xFF, 0x00, H264Profile.PROFILE_PREDICTIVE_HIGH_444),
)
"""profile_idc, which bits of profile-iop count, and what they are (RFC 6184, table 5)."""


def parse_h264_profile_level_id(profile_str: str) -> tuple[H264Profile, H264Level]:
    """The profile and the level of a profile-level-id (RFC 6184, section 8.1).

    Raises:
        ValueError: it is not six hexadecimal digits, or names none.
    """
    if not isinstance(profile_str, str) or not re.fullmatch("[0-9a-fA-F]{6}", profile_str):
        raise ValueError("Expected a 6 character hexadecimal string")
    idc, flags, level = bytes.fromhex(profile_str)
    profile = next(
        (found for wanted, mask, bits, found in _PROFILES if idc == wanted and flags & mask == bits), None
    )
    if profile is None:
        raise ValueError(f"Unrecognized profile_iop = {flags}, profile_idc = {idc}")
    if level == 11 and flags & 0b0001_0000 and idc in (0x42, 0x4D, 0x58):
        return profile, H264Level.LEVEL1_B
    try:
        return profile, H264Level(level)
    except ValueError:
        raise ValueError(f"{level} is not a valid level") from None
