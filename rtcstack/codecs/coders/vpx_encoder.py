"""VP8 and VP9 through libvpx itself."""

from __future__ import annotations

import av

from rtcstack.codecs.coders.speed import SpeedChooser
from rtcstack.codecs.coders.video import (
    EncodedUnit,
    FrameClock,
    FrameFitter,
    VideoSettings,
    threads_for,
)
from rtcstack.codecs.layers import scalability_mode
from rtcstack.codecs.native.vpx import Vpx, available
from rtcstack.errors import OperationError

__all__ = ["VpxEncoder", "available"]

_SPEEDS = {"vp8": (-6, -10, -14), "vp9": (8, 9)}
"""libvpx's speeds, the most careful first (docs/decisions/codecs-native-libraries.md). VP8's are negative:
above nothing it chooses its speed itself, by the time that it measures."""


class VpxEncoder:
    """See `VideoEncoder`. Bit rate and smaller resolutions change in the running encoder.

    Args:
        codec: "vp8" or "vp9".
        settings: how to encode.

    Raises:
        OperationError: libvpx is not there.
    """

    def __init__(self, codec: str, settings: VideoSettings) -> None:
        if not available():
            raise OperationError(f"{codec.upper()}: libvpx is not there, or of an unknown layout")
        self._codec = codec
        self._settings = settings
        self._bitrate_bps = settings.bitrate_bps
        self._fitter = FrameFitter("yuv420p", settings.scale_down_by)
        self._clock = FrameClock(settings.max_frame_rate)
        self._vpx: Vpx | None = None
        self._size = (0, 0)
        self._key_frames = 0
        self._speed = SpeedChooser(_SPEEDS[codec])

    @property
    def implementation(self) -> str:
        """ "libvpx"."""
        return "libvpx"

    @property
    def key_frames(self) -> int:
        """Key frames made so far."""
        return self._key_frames

    def set_bitrate(self, bitrate_bps: int) -> None:
        """Aim at another bit rate, from the next frame on and without a key frame."""
        self._bitrate_bps = bitrate_bps

    def encode(self, frame: av.VideoFrame, *, force_key_frame: bool = False) -> list[EncodedUnit]:
        """Encode one frame; see `VideoEncoder`."""
        time = self._clock.tick(frame)
        if time is None:
            return []
        frame = self._fitter.fit(frame)
        size = width, height = frame.width, frame.height
        vpx = self._vpx
        if vpx is not None and size != self._size and not vpx.set_size(width, height):
            self.close()
            vpx = None
        if vpx is None:
            vpx = self._vpx = self._open(width, height)
        self._size = size
        vpx.set_bitrate(self._bitrate_bps)
        y, u, v = frame.planes
        try:
            packets = vpx.encode(
                (y.buffer_ptr, u.buffer_ptr, v.buffer_ptr),
                (y.line_size, u.line_size, v.line_size),
                time.timestamp,
                time.duration,
                key_frame=force_key_frame,
            )
        except OperationError:
            self.close()
            raise
        if packets and self._speed.encoded(vpx.quantizer):
            vpx.set_speed(self._speed.speed)
        units = []
        for packet in packets:
            self._key_frames += packet.key_frame
            place = packet.place
            sizes = ((width, height),) if place is None or not place.sizes else place.sizes
            units.append(
                EncodedUnit(
                    packet.data,
                    time.timestamp,
                    packet.key_frame,
                    *sizes[0 if place is None else place.spatial_id],
                    place=place,
                    discardable=packet.discardable,
                )
            )
        return units

    def _open(self, width: int, height: int) -> Vpx:
        return Vpx(
            self._codec,
            width,
            height,
            bitrate_bps=self._bitrate_bps,
            threads=threads_for(width, height, self._settings.threads, spins=True),
            speed=self._speed.speed,
            screen=self._settings.is_screen,
            mode=scalability_mode(self._settings.scalability_mode),
        )

    def close(self) -> None:
        """Give libvpx's memory back; the next frame takes it again."""
        if self._vpx is not None:
            self._vpx.close()
            self._vpx = None
