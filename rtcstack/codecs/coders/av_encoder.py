"""H.264, H.265 and AV1, and every hardware encoder, through PyAV.

x264 changes its bit rate while it runs; the others must be opened anew for that, which makes a key
frame. How often that happens is bounded here.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from rtcstack.codecs.coders.scheduling import ordinary_scheduling
from rtcstack.codecs.coders.video import (
    CLOCK_RATE,
    EncodedUnit,
    FrameClock,
    FrameFitter,
    VideoSettings,
    threads_for,
)
from rtcstack.codecs.h264levels import lowest_level
from rtcstack.codecs.layers import SINGLE_LAYER, TEMPORAL_MODES, LayerPlace, scalability_mode
from rtcstack.errors import OperationError

__all__ = ["AvEncoder", "Recipe", "recipes"]

_logger = logging.getLogger("rtcstack.media")

_TIME_BASE = Fraction(1, CLOCK_RATE)
_NO_KEY_FRAMES = 1_000_000
"""Frames between key frames that nobody asked for: nine hours at 30 frames a second."""

_RATE_FALLS_BELOW = 0.80
_RATE_RISES_ABOVE = 1.35
_REOPEN_DOWN_TICKS = 2 * CLOCK_RATE
_REOPEN_UP_TICKS = 8 * CLOCK_RATE
"""An encoder that cannot change its rate is opened anew for a change of this much, and this long
after the last time: falling soon, for the path is full, rising late."""

_MAX_PENDING = 64
"""Timestamps of frames that the codec has not given back; more than any low-delay encoder holds."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one of FFmpeg's encoders is set for real time.

    Attributes:
        name: FFmpeg's.
        options: from the settings, the bit rate and the threads.
        pixel_format: what it takes.
        headroom: how many times the first bit rate it is opened with: below that, its bit rate may
            change while it runs. 1 for encoders that must be opened anew.
        min_side: pixels that a picture must have each way.
        rate_from: pixels of the shorter side from which it controls its bit rate; smaller pictures are
            made with `small`, of a quality that suits the bit rate.
        small: options for those.
        modes: the scalability modes that it makes.
    """

    name: str
    options: Callable[[VideoSettings, int, int], dict[str, str]]
    pixel_format: str = "yuv420p"
    headroom: int = 1
    min_side: int = 2
    rate_from: int = 0
    small: Callable[[VideoSettings, int, int], dict[str, str]] | None = None
    modes: tuple[str, ...] = (SINGLE_LAYER,)


_X264_HEADROOM = 6

_H264_PROFILES = {0x42: "baseline", 0x4D: "main", 0x58: "main", 0x64: "high"}


def h264_profile(parameters: VideoSettings) -> str:
    """x264's name for the negotiated profile (RFC 6184, section 8.1)."""
    text = parameters.parameters.get("profile-level-id", "")
    try:
        idc = bytes.fromhex(text)[0]
    except (ValueError, IndexError):
        return "baseline"
    return _H264_PROFILES.get(idc, "baseline")


def _x264(settings: VideoSettings, bitrate_bps: int, threads: int) -> dict[str, str]:
    private = f"scenecut=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:sliced-threads={int(threads > 1)}"
    if settings.parameters.get("packetization-mode", "0") != "1":
        private += ":slice-max-size=1100"  # single NAL units only: each must fit a packet
    return {
        "preset": "veryfast",
        "tune": "zerolatency",
        "profile": h264_profile(settings),
        "forced-idr": "1",
        # x264 lets the bit rate change below the maximum that it was opened with, which must equal the
        # bit rate at that moment; what one frame may take is then the buffer's business
        "maxrate": str(bitrate_bps * _X264_HEADROOM),
        "bufsize": str(bitrate_bps * 3 // 4),
        "x264-params": private,
    }


def _x265(settings: VideoSettings, bitrate_bps: int, threads: int) -> dict[str, str]:
    kilobits = bitrate_bps // 1000
    return {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "forced-idr": "1",
        "x265-params": f"log-level=none:scenecut=0:repeat-headers=1:rc-lookahead=0:bframes=0:"
        f"vbv-maxrate={kilobits}:vbv-bufsize={kilobits // 2}:pools={threads}:frame-threads=1",
    }


def _svt(settings: VideoSettings, bitrate_bps: int, threads: int) -> dict[str, str]:
    screen = ":scm=1" if settings.is_screen else ""
    return {
        "preset": "11",
        "svtav1-params": f"pred-struct=1:rc=2:rtc=1:lp={threads}:scd=0{screen}",
    }


_SMALL_QUALITIES = ((300_000, 32), (120_000, 40), (60_000, 48), (30_000, 56))
"""Bits a second, and the quality (CRF) that pictures of less than 64x64 pixels take about so many for."""


def _svt_small(settings: VideoSettings, bitrate_bps: int, threads: int) -> dict[str, str]:
    """SVT-AV1 has no rate control for pictures that are smaller than its largest blocks.

    Without it, its mode for real time makes two temporal layers, and no more.
    """
    layers = "hierarchical-levels=2" if settings.scalability_mode == "L1T3" else "rtc=1"
    quality = next((crf for bps, crf in _SMALL_QUALITIES if bitrate_bps >= bps), 63)
    return {
        "preset": "11",
        "crf": str(quality),
        "svtav1-params": f"pred-struct=1:rc=0:{layers}:lp={threads}:scd=0",
    }


def _aom(settings: VideoSettings, bitrate_bps: int, threads: int) -> dict[str, str]:
    return {
        "usage": "realtime",
        "cpu-used": "10",
        "lag-in-frames": "0",
        "row-mt": str(int(threads > 1)),
        "aq-mode": "3",
        "maxrate": str(bitrate_bps),
        "minrate": str(bitrate_bps),
        "bufsize": str(bitrate_bps),
    }


def _vpx(settings: VideoSettings, bitrate_bps: int, threads: int) -> dict[str, str]:
    return {
        "deadline": "realtime",
        "cpu-used": "-10",
        "lag-in-frames": "0",
        "static-thresh": "1",
        "maxrate": str(bitrate_bps),
        "minrate": str(bitrate_bps),
        "bufsize": str(bitrate_bps),
    }


def _vpx9(settings: VideoSettings, bitrate_bps: int, threads: int) -> dict[str, str]:
    return _vpx(settings, bitrate_bps, threads) | {"cpu-used": "8", "aq-mode": "3"}


def _hardware(settings: VideoSettings, bitrate_bps: int, threads: int) -> dict[str, str]:
    return {"maxrate": str(bitrate_bps), "bufsize": str(bitrate_bps // 2)}


def _nvenc(settings: VideoSettings, bitrate_bps: int, threads: int) -> dict[str, str]:
    return {
        "preset": "p2",
        "tune": "ull",
        "zerolatency": "1",
        "rc": "cbr",
        "forced-idr": "1",
        **_hardware(settings, bitrate_bps, threads),
    }


_SOFTWARE = {
    "h264": (Recipe("libx264", _x264, headroom=_X264_HEADROOM), Recipe("libopenh264", _hardware)),
    "h265": (Recipe("libx265", _x265, min_side=16),),
    # In low delay SVT-AV1's pictures are three temporal layers, in the pattern of L1T3, anew from each key
    # picture on: with the two lower ones taken for one that is L1T2, too. tests/unit/codecs holds it to that.
    "av1": (
        Recipe("libsvtav1", _svt, min_side=4, rate_from=64, small=_svt_small, modes=TEMPORAL_MODES),
        Recipe("libaom-av1", _aom),
    ),
    "vp8": (Recipe("libvpx", _vpx), Recipe("libvpx-vp8", _vpx)),
    "vp9": (Recipe("libvpx-vp9", _vpx9),),
}


def recipes(codec: str, implementation: str | None = None) -> tuple[Recipe, ...]:
    """The encoders to try, best first.

    Args:
        codec: "h264", "h265", "av1", "vp8" or "vp9".
        implementation: by FFmpeg's name, to be tried before the software ones.
    """
    software = _SOFTWARE.get(codec, ())
    if implementation is None:
        return software
    known = [r for r in software if r.name == implementation]
    if known:
        return (*known, *(r for r in software if r.name != implementation))
    nvenc = implementation.endswith("_nvenc")
    pixel_format = "yuv420p" if nvenc or implementation.endswith("_v4l2m2m") else "nv12"
    chosen = Recipe(implementation, _nvenc if nvenc else _hardware, pixel_format)
    return (chosen, *software)


class AvEncoder:
    """See `VideoEncoder`.

    Args:
        codec: "h264", "h265", "av1", "vp8" or "vp9".
        settings: how to encode.

    Raises:
        OperationError: PyAV knows no encoder for it.
    """

    def __init__(self, codec: str, settings: VideoSettings) -> None:
        self._codec = codec
        self._settings = settings
        self._candidates = [r for r in recipes(codec, settings.implementation) if _is_known(r.name)]
        if not self._candidates:
            wanted = ", ".join(r.name for r in recipes(codec)) or "any encoder"
            raise OperationError(f"{codec.upper()}: PyAV was built without {wanted}")
        self._recipe = self._candidates[0]
        self._context: VideoCodecContext | None = None
        self._has_told = False
        self._fitter = self._make_fitter()
        self._clock = FrameClock(settings.max_frame_rate)
        self._bitrate_bps = settings.bitrate_bps
        self._opened_bps = 0
        self._opened_at = 0
        self._size = (0, 0)
        self._pending: dict[int, tuple[int, int, object]] = {}
        self._key_frames = 0
        self._mode = scalability_mode(settings.scalability_mode)
        self._position = -1  # of the last picture in the mode's pattern

    @property
    def modes(self) -> tuple[str, ...]:
        """The scalability modes that it makes."""
        return self._recipe.modes

    @property
    def implementation(self) -> str:
        """FFmpeg's name of what encodes."""
        return self._recipe.name

    @property
    def key_frames(self) -> int:
        """Key frames made so far."""
        return self._key_frames

    def set_bitrate(self, bitrate_bps: int) -> None:
        """Aim at another bit rate: at once where the codec can, else when it is opened anew."""
        self._bitrate_bps = bitrate_bps

    def encode(self, frame: av.VideoFrame, *, force_key_frame: bool = False) -> list[EncodedUnit]:
        """Encode one frame; see `VideoEncoder`."""
        time = self._clock.tick(frame)
        if time is None:
            return []
        own = self._fitter.own(frame)
        size = own.width, own.height
        context = self._context
        if context is not None and (
            size != self._size or self._must_reopen(time.timestamp, key_frame=force_key_frame)
        ):
            self.close()
            context = None
        if context is None:
            context = self._open(size, time.timestamp)
            if own.format.name != self._recipe.pixel_format:
                own = self._fitter.own(frame)
            if not self._has_told and (own.width > frame.width or own.height > frame.height):
                self._has_told = True
                _logger.warning(
                    "pictures of %dx%d are sent as %dx%d: %s takes none that are smaller than %d pixels",
                    frame.width,
                    frame.height,
                    own.width,
                    own.height,
                    self._recipe.name,
                    self._recipe.min_side,
                )
        if self._recipe.headroom > 1:
            context.bit_rate = min(self._bitrate_bps, self._opened_bps)
        own.pts = time.timestamp
        own.time_base = _TIME_BASE
        own.pict_type = PictureType.I if force_key_frame else PictureType.NONE
        if len(self._pending) >= _MAX_PENDING:
            self._pending.clear()
        self._pending[time.timestamp] = (*size, frame.opaque)
        try:
            packets = context.encode(own)
        except (av.FFmpegError, ValueError) as exc:
            self.close()
            raise OperationError(f"{self._codec.upper()}: {self._recipe.name} failed: {exc}") from exc
        units = []
        for packet in packets:
            timestamp = time.timestamp if packet.pts is None else packet.pts
            width, height, opaque = self._pending.pop(timestamp, (*size, frame.opaque))
            self._key_frames += packet.is_keyframe
            place = self._place(key_frame=packet.is_keyframe)
            units.append(
                EncodedUnit(
                    bytes(packet),
                    timestamp,
                    packet.is_keyframe,
                    width,
                    height,
                    place=place,
                    discardable=packet.is_disposable,
                    opaque=opaque,
                )
            )
        return units

    def _place(self, *, key_frame: bool) -> LayerPlace | None:
        """Where the next picture stands among the layers; None without layers."""
        mode = self._mode
        if mode is None or mode.name == SINGLE_LAYER or mode.name not in self._recipe.modes:
            return None
        self._position = 0 if key_frame else (self._position + 1) % len(mode.steps)
        return LayerPlace(mode, self._position, key_picture=key_frame)

    def _make_fitter(self) -> FrameFitter:
        recipe = self._recipe
        return FrameFitter(
            recipe.pixel_format, self._settings.scale_down_by, even=True, min_side=recipe.min_side
        )

    def _must_reopen(self, now: int, *, key_frame: bool) -> bool:
        wanted, opened = self._bitrate_bps, self._opened_bps
        if wanted == opened:
            return False
        if self._recipe.headroom > 1 and wanted <= opened:
            return False
        if key_frame:
            return True  # a key frame is due anyway
        age = now - self._opened_at
        if wanted < opened * _RATE_FALLS_BELOW:
            return age >= _REOPEN_DOWN_TICKS
        return wanted > opened * _RATE_RISES_ABOVE and age >= _REOPEN_UP_TICKS

    def _open(self, size: tuple[int, int], now: int) -> VideoCodecContext:
        reasons = []
        while self._candidates:
            recipe = self._candidates[0]
            try:
                context = self._try(recipe, size)
            except (av.FFmpegError, ValueError, OSError) as exc:
                reasons.append(f"{recipe.name}: {exc}")
                if len(self._candidates) == 1:
                    break
                del self._candidates[0]
                continue
            if recipe is not self._recipe:
                self._recipe = recipe
                self._fitter = self._make_fitter()
            self._context = context
            self._size = size
            self._opened_bps = context.bit_rate or self._bitrate_bps
            self._opened_at = now
            self._pending.clear()
            return context
        raise OperationError(f"{self._codec.upper()} cannot be opened: {'; '.join(reasons)}")

    def _try(self, recipe: Recipe, size: tuple[int, int]) -> VideoCodecContext:
        width, height = size
        spins = recipe.name.startswith("libvpx")
        threads = threads_for(width, height, self._settings.threads, spins=spins)
        context = cast(VideoCodecContext, av.CodecContext.create(recipe.name, "w"))
        context.width, context.height = size
        context.pix_fmt = recipe.pixel_format
        context.time_base = _TIME_BASE
        context.framerate = Fraction(self._clock.frame_rate).limit_denominator(1001)
        is_small = recipe.small is not None and min(size) < recipe.rate_from
        if not is_small:
            context.bit_rate = self._bitrate_bps * recipe.headroom
        context.gop_size = _NO_KEY_FRAMES
        context.max_b_frames = 0
        context.thread_count = threads
        make = recipe.small if is_small and recipe.small is not None else recipe.options
        options = make(self._settings, self._bitrate_bps, threads)
        if recipe.name == "libsvtav1":
            # it writes its settings to the standard error output, unless its environment says no
            os.environ.setdefault("SVT_LOG", "0")
        if recipe.name == "libx264":
            # stated here, for x264 would go by the maximum bit rate, of which no use is made
            rate = min(self._clock.frame_rate, self._settings.max_frame_rate or math.inf)
            options["level"] = str(lowest_level(width, height, rate))
        context.options = options
        with ordinary_scheduling():
            context.open(strict=False)
        return context

    def close(self) -> None:
        """Give the codec back; the next frame opens it again."""
        self._context = None


def _is_known(name: str) -> bool:
    try:
        av.Codec(name, "w")
    except (av.FFmpegError, ValueError):
        return False
    return True
