"""Encoding video: what belongs to the encoder's thread."""

from __future__ import annotations

from dataclasses import replace

import av

from rtcstack.clock import monotonic
from rtcstack.codecs.coders.video import EncodedUnit, FrameFitter, VideoEncoder, VideoSettings
from rtcstack.codecs.payload.quantizers import vp8_quantizer
from rtcstack.codecs.registry import video_encoder
from rtcstack.media.frames import capture_time

__all__ = ["VideoCoder"]


class VideoCoder:
    """What belongs to the encoder's thread. The loop only sets the two wishes."""

    __slots__ = (
        "_encoder",
        "_fitter",
        "_fitter_scale",
        "_settings",
        "bitrate_bps",
        "codec",
        "encode_time_s",
        "implementation",
        "key_frame_wanted",
        "scale",
    )

    def __init__(self, codec: str, settings: VideoSettings) -> None:
        self._encoder: VideoEncoder | None = None
        # sizes are brought down here, so that they can change without another encoder
        self._settings = replace(settings, scale_down_by=1.0)
        self._fitter = FrameFitter("yuv420p", settings.scale_down_by)
        self._fitter_scale = settings.scale_down_by
        self.scale = settings.scale_down_by
        self.codec = codec
        self.bitrate_bps = settings.bitrate_bps
        self.key_frame_wanted = True
        self.implementation = ""
        self.encode_time_s = 0.0

    def encode(self, frame: av.VideoFrame) -> tuple[list[EncodedUnit], float | None]:
        """On the thread: one picture."""
        began = monotonic()
        encoder = self._encoder
        if encoder is None:
            settings = replace(self._settings, bitrate_bps=self.bitrate_bps)
            encoder = self._encoder = video_encoder(self.codec, settings)
            self.implementation = encoder.implementation
        encoder.set_bitrate(self.bitrate_bps)
        captured = capture_time(frame)
        scale = self.scale
        if scale != self._fitter_scale:
            self._fitter, self._fitter_scale = FrameFitter("yuv420p", scale), scale
        if scale != 1.0:
            notes = frame.opaque
            frame = self._fitter.fit(frame)
            frame.opaque = notes
        force, self.key_frame_wanted = self.key_frame_wanted, False
        try:
            units = encoder.encode(frame, force_key_frame=force)
        except Exception:
            self.key_frame_wanted = True
            raise
        if force and not any(unit.key_frame for unit in units):
            self.key_frame_wanted = True  # the picture was left out
        self.encode_time_s += monotonic() - began
        if self.codec == "vp8":
            for unit in units:
                unit.qp = vp8_quantizer(unit.data)
        return units, captured

    def close(self) -> None:
        """On the thread."""
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None
