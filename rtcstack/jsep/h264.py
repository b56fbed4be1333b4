"""profile-level-id of H.264: which profiles are the same, and which level an answer states.

Spec: RFC 6184, sections 8.1 and 8.2.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["DEFAULT", "ProfileLevel", "answer_profile_level_id"]

DEFAULT = "42000a"
"""What holds when the parameter is absent: Baseline, level 1 (RFC 6184, section 8.1)."""

_HEX = re.compile(r"[0-9A-Fa-f]{6}")
_CONSTRAINT_SET3 = 0x10
_LEVEL_1B = 9
"""How this file writes level 1b, which lies between 1 (10) and 1.1 (11): see `ProfileLevel.rank`."""

# Profile, profile_idc, mask of the profile_iop bits that matter, their value (RFC 6184, table 5)
_PROFILES = (
    ("constrained-baseline", 0x42, 0x4F, 0x40),
    ("constrained-baseline", 0x4D, 0x8F, 0x80),
    ("constrained-baseline", 0x58, 0xCF, 0xC0),
    ("baseline", 0x42, 0x4F, 0x00),
    ("baseline", 0x58, 0xCF, 0x80),
    ("main", 0x4D, 0xAF, 0x00),
    ("high", 0x64, 0xFF, 0x00),
    ("constrained-high", 0x64, 0xFF, 0x0C),
    ("high-4:4:4-predictive", 0xF4, 0xFF, 0x00),
)


@dataclass(frozen=True, slots=True)
class ProfileLevel:
    """A profile-level-id taken apart.

    Attributes:
        profile: its name, or the two bytes in hexadecimal when they are of no known profile.
        level: level_idc; 9 for level 1b.
    """

    profile: str
    level: int

    @classmethod
    def parse(cls, text: str) -> ProfileLevel | None:
        """The meaning of six hexadecimal digits; None when they are not that."""
        if _HEX.fullmatch(text) is None:
            return None
        idc, iop, level = bytes.fromhex(text)
        profile = next(
            (name for name, wanted, mask, value in _PROFILES if idc == wanted and iop & mask == value),
            text[:4].lower(),
        )
        if level == 11 and iop & _CONSTRAINT_SET3 and idc in (0x42, 0x4D, 0x58):
            level = _LEVEL_1B
        return cls(profile, level)

    @property
    def rank(self) -> float:
        """The level as a number that grows with what it allows."""
        return 10.5 if self.level == _LEVEL_1B else self.level


def answer_profile_level_id(ours: str, theirs: str, *, asymmetry: bool) -> str:
    """The profile-level-id of an answer.

    Args:
        ours: what we can receive.
        theirs: what was offered, of the same profile.
        asymmetry: both sides allow different levels for the two directions; then each states
            what it can receive. Otherwise the lower of both levels is stated.
    """
    ours, theirs = ours or DEFAULT, theirs or DEFAULT
    a, b = ProfileLevel.parse(ours), ProfileLevel.parse(theirs)
    assert a is not None
    assert b is not None
    if asymmetry or a.rank <= b.rank:
        return ours
    # their level, in the spelling of our profile
    iop = int(ours[2:4], 16)
    if b.level == _LEVEL_1B:
        return f"{ours[:2]}{iop | _CONSTRAINT_SET3:02x}0b"
    if b.level == 11:
        iop &= ~_CONSTRAINT_SET3
    return f"{ours[:2]}{iop:02x}{b.level:02x}"
