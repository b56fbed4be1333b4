"""One encoder for many senders: a track of frames becomes a track of encoded ones.

encoder = MediaEncoder(camera_track, "video/VP8", bitrate_bps=1_500_000)
for pc in viewers:
    pc.addTrack(encoder.track())
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from rtcstack.clock import monotonic
from rtcstack.codecs.coders.audio import AudioSettings
from rtcstack.codecs.coders.video import EncodedUnit, VideoSettings
from rtcstack.codecs.costs import encoding_s
from rtcstack.codecs.pool import MAX_QUEUED_AUDIO, CoderStream
from rtcstack.codecs.registry import can_encode
from rtcstack.errors import OperationError
from rtcstack.media.encoded import RTP_CLOCK_RATES, EncodedMedia
from rtcstack.media.encodedsource import EncodedSource
from rtcstack.media.frames import VIDEO_TIME_BASE, Frame, noted_capture_time
from rtcstack.media.pipeline.audio_out import AudioCoder, AudioResult
from rtcstack.media.pipeline.coders import coder_pool
from rtcstack.media.pipeline.level import dbov
from rtcstack.media.pipeline.told import ToldOnce
from rtcstack.media.pipeline.video_coding import VideoCoder
from rtcstack.media.track import MediaStreamTrack

__all__ = ["KEY_FRAME_INTERVAL_S", "MediaEncoder"]

KEY_FRAME_INTERVAL_S = 1.0
"""However many peers ask, key frames are made no more often than this."""

_DEFAULT_VIDEO_BPS = 1_000_000

_logger = logging.getLogger("rtcstack.media")


class MediaEncoder(EncodedSource):
    """Encodes a track once, for as many as want it. It works while somebody takes its tracks.

    What it cannot do is to follow each peer's congestion: the bit rate is the one that is set here.

    Args:
        track: frames.
        codec: MIME type of what is made: "video/VP8", "audio/opus".
        bitrate_bps: to aim at; None for 1 Mbit/s of video, or the audio codec's own default.
        parameters: of the format, by lower-case name ("profile-level-id", "stereo").
        max_frame_rate: pictures a second at most; None for all.
        scale_down_by: divides width and height.

    Attributes:
        frames: made so far.
        errors: frames that could not be encoded.

    Raises:
        OperationError: nothing here encodes it.
        TypeError: the codec is not of the track's kind.
    """

    def __init__(
        self,
        track: MediaStreamTrack,
        codec: str,
        *,
        bitrate_bps: int | None = None,
        parameters: Mapping[str, str] | None = None,
        max_frame_rate: float | None = None,
        scale_down_by: float = 1.0,
    ) -> None:
        kind, _, name = codec.partition("/")
        if kind.lower() != track.kind:
            raise TypeError(f"{codec} cannot encode a track of {track.kind}")
        if not can_encode(name.lower()):
            raise OperationError(f"{name} cannot be encoded here")
        super().__init__(codec, f"{track.label} as {name}")
        self.frames = 0
        self.errors = 0
        self._tell_error = ToldOnce(self._log_error)
        self._name = name.lower()
        self._input = track
        self._bitrate_bps = bitrate_bps
        self._parameters = dict(parameters or {})
        self._max_frame_rate = max_frame_rate
        self._scale_down_by = scale_down_by
        self._coder: VideoCoder | AudioCoder | None = None
        self._jobs: CoderStream[Any, Any] | None = None
        self._key_frame_at = 0.0

    def set_bitrate(self, bitrate_bps: int) -> None:
        """Aim at another bit rate from the next frame on."""
        self._bitrate_bps = bitrate_bps
        if self._coder is not None:
            self._coder.bitrate_bps = bitrate_bps

    def request_key_frame(self) -> None:
        """Make the next picture a key frame, if the last that was asked for is long enough ago."""
        self.key_frames_wanted += 1
        now = monotonic()
        if isinstance(self._coder, VideoCoder) and now - self._key_frame_at >= KEY_FRAME_INTERVAL_S:
            self._key_frame_at = now
            self._coder.key_frame_wanted = True

    # -- TrackSource ------------------------------------------------------------------------------

    def demanded(self) -> None:
        """Somebody takes frames: encode."""
        pool = coder_pool()
        hint = self._input.contentHint
        if self.kind == "video":
            video = self._coder = VideoCoder(
                self._name,
                VideoSettings(
                    bitrate_bps=self._bitrate_bps or _DEFAULT_VIDEO_BPS,
                    scale_down_by=self._scale_down_by,
                    max_frame_rate=self._max_frame_rate,
                    content=hint,
                    parameters=self._parameters,
                ),
            )
            self._jobs = pool.stream(
                video.encode,
                self._made_video,
                on_error=self._failed,
                finish=video.close,
                cost_of=encoding_s,
            )
        else:
            settings = AudioSettings(
                bitrate_bps=self._bitrate_bps, stereo=self._parameters.get("stereo") == "1", content=hint
            )
            audio = self._coder = AudioCoder(self._name, settings)
            self._jobs = pool.stream(
                audio.encode,
                self._made_audio,
                on_error=self._failed,
                finish=audio.close,
                limit=MAX_QUEUED_AUDIO,
                urgent=True,
                cost_of=encoding_s,
            )
        self._input.add_sink(self)

    def idle(self) -> None:
        """Nobody does."""
        self._input.remove_sink(self)
        if self._jobs is not None:
            self._jobs.close()
        self._jobs = None
        self._coder = None

    def released(self) -> None:
        """Nobody can any more."""
        self.idle()

    # -- TrackSink --------------------------------------------------------------------------------

    def deliver(self, frame: Frame) -> None:
        """A frame to encode."""
        if self._jobs is not None:
            self._jobs.submit(frame)

    def track_ended(self) -> None:
        """The input has ended: so do its encoded tracks."""
        self.end()

    def _failed(self, error: Exception) -> None:
        self.errors += 1
        self._tell_error(error)

    def _log_error(self, error: Exception) -> None:
        _logger.warning("%s: a frame cannot be encoded: %s", self.label, error)

    def _made_video(self, result: tuple[list[EncodedUnit], float | None]) -> None:
        units, captured = result
        for unit in units:
            self.push_encoded(
                EncodedMedia(
                    self.codec,
                    unit.data,
                    unit.timestamp,
                    VIDEO_TIME_BASE,
                    key_frame=unit.key_frame,
                    width=unit.width,
                    height=unit.height,
                    capture_time=captured if unit.opaque is None else noted_capture_time(unit.opaque),
                    discardable=unit.discardable,
                )
            )

    def _made_audio(self, result: AudioResult) -> None:
        rate = RTP_CLOCK_RATES.get(self._name, 48_000)
        for unit in result.units:
            captured = None if result.captured is None else result.captured - result.ahead_s(unit, rate)
            self.push_encoded(
                EncodedMedia(
                    self.codec,
                    unit.data,
                    unit.timestamp,
                    Fraction(1, rate),
                    duration=unit.duration,
                    capture_time=captured,
                    audio_level=dbov(result.power),
                )
            )
