"""Frames: what goes through tracks. They are PyAV's, with a time; here is what PyAV leaves out.

A frame is shared by all who read its track: whoever wants to change one makes another.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import av

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "AUDIO_SAMPLE_RATE",
    "VIDEO_CLOCK_RATE",
    "Frame",
    "as_16_bits",
    "audio_frame",
    "audio_to_numpy",
    "blank",
    "capture_time",
    "frame_bytes",
    "noted_capture_time",
    "rotation",
    "set_capture_time",
    "set_rotation",
    "video_frame",
    "video_to_numpy",
]

Frame = av.VideoFrame | av.AudioFrame

VIDEO_CLOCK_RATE = 90_000
AUDIO_SAMPLE_RATE = 48_000
VIDEO_TIME_BASE = Fraction(1, VIDEO_CLOCK_RATE)

_BLACK, _GREY = 16, 128
_CAPTURE_TIME = "capture_time"
_ROTATION = "rotation"


def frame_bytes(frame: Frame) -> int:
    """What a frame's pictures or samples take."""
    return sum(plane.buffer_size for plane in frame.planes)


def capture_time(frame: Frame) -> float | None:
    """When a frame was captured, in seconds since the Unix epoch, or None when nobody has said."""
    return noted_capture_time(frame.opaque)


def noted_capture_time(notes: object) -> float | None:
    """The same, from a frame's `opaque` alone."""
    return notes.get(_CAPTURE_TIME) if isinstance(notes, dict) else None


def set_capture_time(frame: Frame, seconds: float) -> None:
    """Note when a frame was captured.

    Args:
        frame: a new one, that nobody reads yet.
        seconds: since the Unix epoch.
    """
    notes = frame.opaque if isinstance(frame.opaque, dict) else {}
    frame.opaque = {**notes, _CAPTURE_TIME: seconds}


def rotation(frame: Frame) -> int:
    """Degrees clockwise that a received picture is to be turned by: 0, 90, 180 or 270.

    Anything but 0 only where ``urn:3gpp:video-orientation`` was negotiated, which is not offered
    unless `RTCRtpTransceiver.setHeaderExtensionsToNegotiate` says so.
    """
    notes = frame.opaque
    return int(notes.get(_ROTATION, 0)) if isinstance(notes, dict) else 0


def set_rotation(frame: Frame, degrees: int) -> None:
    """Note by how much a picture is to be turned; see `rotation`."""
    notes = frame.opaque if isinstance(frame.opaque, dict) else {}
    frame.opaque = {**notes, _ROTATION: degrees}


def video_frame(
    array: npt.NDArray[np.uint8],
    format: str = "rgb24",  # noqa: A002 - PyAV's name
    *,
    pts: int | None = None,
    time_base: Fraction = VIDEO_TIME_BASE,
) -> av.VideoFrame:
    """A frame of a numpy array.

    Args:
        array: height x width x channels for "rgb24", "bgr24" and "rgba", height x width for
            "gray", 3/2 height x width for "yuv420p".
        format: FFmpeg's name of the pixel format.
        pts: when it is to be shown, in `time_base`; None to take the time when it is pushed, or (in
            `processed`) that of the frame it was made from.
        time_base: seconds in a tick.
    """
    frame = av.VideoFrame.from_ndarray(array, format=format)
    if pts is not None:
        frame.pts = pts
    frame.time_base = time_base
    return frame


def video_to_numpy(
    frame: av.VideoFrame,
    format: str = "rgb24",  # noqa: A002 - PyAV's name
) -> npt.NDArray[np.uint8]:
    """A picture as an array; see `video_frame`."""
    array: Any = frame.to_ndarray(format=format)
    return array  # type: ignore[no-any-return]


def audio_frame(
    array: npt.NDArray[Any],
    sample_rate: int = AUDIO_SAMPLE_RATE,
    *,
    pts: int | None = None,
) -> av.AudioFrame:
    """A frame of 16-bit samples.

    Args:
        array: samples for mono, samples x channels for more: 16-bit integers as they are, other integers
            by their width, floating point from -1 to 1 (what is louder is clipped).
        sample_rate: in Hz.
        pts: time of the first sample, in samples; None to follow on.

    Raises:
        ValueError: the array has no such shape, or is of no numbers that sound is made of.
    """
    channels = 1 if array.ndim == 1 else array.shape[1] if array.ndim == 2 else 0
    if channels not in (1, 2):
        raise ValueError(f"audio needs an array of samples or samples x 1 or 2, not {array.shape}")
    frame = av.AudioFrame("s16", "mono" if channels == 1 else "stereo", array.shape[0])
    frame.planes[0].update(as_16_bits(array).tobytes())
    frame.sample_rate = sample_rate
    frame.time_base = Fraction(1, sample_rate)
    if pts is not None:
        frame.pts = pts
    return frame


def as_16_bits(array: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Samples of any kind as 16-bit integers; see `audio_frame`.

    Raises:
        ValueError: of no numbers that sound is made of.
    """
    import numpy as np

    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "f":
        scaled = np.nan_to_num(array.astype(np.float64), nan=0.0, posinf=1.0, neginf=-1.0) * 32768.0
        return np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)
    if kind == "i" and size == 2:
        return array.astype(np.int16)
    if kind == "i" and size in (4, 8):
        if array.size and (array.max() > 32767 or array.min() < -32768):
            return (array >> (8 * size - 16)).astype(np.int16)
        return array.astype(np.int16)  # 16-bit samples in a wider type
    if kind == "u" and size == 1:
        return ((array.astype(np.int16) - 128) << 8).astype(np.int16)
    raise ValueError(f"audio needs floating point or signed integer samples, not {array.dtype}")


def audio_to_numpy(frame: av.AudioFrame) -> npt.NDArray[Any]:
    """Samples x channels, of the frame's own sample format."""
    array: Any = frame.to_ndarray()
    if frame.format.is_planar:
        return array.T  # type: ignore[no-any-return]
    return array.reshape(-1, frame.layout.nb_channels)  # type: ignore[no-any-return]


@lru_cache(maxsize=8)
def _filled(value: int, size: int) -> bytes:
    return bytes((value,)) * size


def blank(frame: Frame) -> Frame:
    """Black, or silence, of the same size and time: what a disabled track gives.

    Spec: mediacapture-streams, section 4.2.1 (enabled).
    """
    made: Frame
    if isinstance(frame, av.VideoFrame):
        made = black = av.VideoFrame(frame.width, frame.height, "yuv420p")
        for plane, value in zip(black.planes, (_BLACK, _GREY, _GREY), strict=True):
            plane.update(_filled(value, plane.buffer_size))
    else:
        layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
        made = silence = av.AudioFrame("s16", layout, frame.samples)
        silence.sample_rate = frame.sample_rate
        samples = silence.planes[0]
        samples.update(bytes(samples.buffer_size))
    made.pts = frame.pts
    made.time_base = frame.time_base
    if frame.opaque is not None:
        made.opaque = frame.opaque
    return made
