"""What a peer says that its decoder can take: how large pictures may be, how many, how many bits.

Spec: RFC 6184, sections 8.1 and 8.2.2 (H.264); RFC 7741, section 6.1 (VP8: max-fs, max-fr), which VP9 has
likewise (RFC 9628, section 6.1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from rtcstack.codecs.h264levels import LEVELS, Level

__all__ = ["PictureLimits", "h264_limits", "vpx_limits"]

_HIGH_KILOBIT = 1_250
_KILOBIT = 1_000
_MAX_STEPS = 512


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """Bounds of what is sent; None for none.

    Attributes:
        blocks_per_frame: macroblocks of 16x16 pixels in a picture. A side has at most the root of 8 times
            as many.
        blocks_per_second: macroblocks.
        frame_rate: pictures a second.
        bitrate_bps: bits a second.
    """

    blocks_per_frame: int | None = None
    blocks_per_second: int | None = None
    frame_rate: float | None = None
    bitrate_bps: int | None = None

    def allows(self, width: int, height: int) -> bool:
        """Whether pictures may be so large."""
        most = self.blocks_per_frame
        if most is None:
            return True
        across, down = -(-width // 16), -(-height // 16)
        return across * down <= most and max(across, down) ** 2 <= 8 * most

    def scale(self, width: float, height: float) -> float:
        """What both sides have to be divided by, 1.0 or more."""
        most = self.blocks_per_frame
        if most is None or self.allows(math.ceil(width), math.ceil(height)):
            return 1.0
        area, side = width * height / (256 * most), max(width, height) / 16 / math.sqrt(8 * most)
        scale = max(1.0, math.sqrt(area), side)
        for _ in range(_MAX_STEPS):
            if self.allows(int(width / scale), int(height / scale)):
                break
            scale *= 1.01
        return scale

    def rate(self, width: int, height: int) -> float | None:
        """How many pictures of this size there may be in a second."""
        bounds = []
        if self.frame_rate is not None:
            bounds.append(self.frame_rate)
        if self.blocks_per_second is not None:
            blocks = max(1, -(-width // 16) * -(-height // 16))
            bounds.append(self.blocks_per_second / blocks)
        return min(bounds, default=None)


def h264_limits(level_idc: int, parameters: Mapping[str, str], *, high: bool = False) -> PictureLimits:
    """What H.264's level allows, and what the peer takes beyond it.

    Args:
        level_idc: of the peer, `LEVEL_1B` for 1b; an unknown one counts as the next lower.
        parameters: its format parameters: max-mbps, max-fs and max-br count where they exceed the level.
        high: it is a High profile, whose bit rates are a quarter higher.
    """
    level = _level(level_idc)
    beyond = {name: _positive(parameters.get(name)) for name in ("max-mbps", "max-fs", "max-br")}
    kilobits = max(level.kilobits, beyond["max-br"])
    return PictureLimits(
        blocks_per_frame=max(level.blocks_per_frame, beyond["max-fs"]),
        blocks_per_second=max(level.blocks_per_second, beyond["max-mbps"]),
        bitrate_bps=kilobits * (_HIGH_KILOBIT if high else _KILOBIT),
    )


def _level(level_idc: int) -> Level:
    known = {level.level_idc: level for level in LEVELS}
    if level_idc in known:
        return known[level_idc]
    lower = [level for level in LEVELS if level.level_idc <= level_idc]
    return lower[-1] if lower else LEVELS[0]


def vpx_limits(parameters: Mapping[str, str]) -> PictureLimits | None:
    """What a decoder of VP8 or VP9 takes: max-fs in macroblocks, max-fr in pictures a second."""
    blocks, rate = _positive(parameters.get("max-fs")), _positive(parameters.get("max-fr"))
    if not blocks and not rate:
        return None
    return PictureLimits(blocks_per_frame=blocks or None, frame_rate=float(rate) if rate else None)


def _positive(text: str | None) -> int:
    """A number of the peer's; 0 for none."""
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 9):
        return 0
    return int(text)
