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
    "video_planes",
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
    array: npt.NDArray[Any],
    format: str = "rgb24",  # noqa: A002 - PyAV's name
    *,
    pts: int | None = None,
    time_base: Fraction = VIDEO_TIME_BASE,
    copy: bool = True,
) -> av.VideoFrame:
    """A frame of a numpy array.

    Args:
        array: height x width x channels for "rgb24", "bgr24" and "rgba", height x width for
            "gray", 3/2 height x width for "yuv420p".
        format: FFmpeg's name of the pixel format.
        pts: when it is to be shown, in `time_base`; None to take the time when it is pushed, or (in
            `processed`) that of the frame it was made from.
        time_base: seconds in a tick.
        copy: False for a frame that *is* the array: leave the array alone from then on, encoders read
            it on threads of their own.

    Raises:
        ValueError: the array has no such shape; or without a copy, it is not contiguous or PyAV has to
            arrange this format anew.
    """
    made = av.VideoFrame.from_ndarray if copy else av.VideoFrame.from_numpy_buffer
    frame = made(array, format)
    if pts is not None:
        frame.pts = pts
    frame.time_base = time_base
    return frame


def video_to_numpy(
    frame: av.VideoFrame,
    format: str = "rgb24",  # noqa: A002 - PyAV's name
    *,
    copy: bool = True,
) -> npt.NDArray[Any]:
    """A picture as an array; see `video_frame`.

    Args:
        frame: the picture.
        format: that of the array, to which the picture is converted.
        copy: False for a view, which cannot be written to: see `video_planes`.

    Raises:
        ValueError: without a copy, the picture is of another format, or of several planes.
    """
    if copy:
        array: Any = frame.to_ndarray(format=format)
        return array  # type: ignore[no-any-return]
    if frame.format.name != format or len(frame.planes) != 1:
        raise ValueError(f"a view of {frame.format.name!r} as {format!r} needs a copy: see `video_planes`")
    return video_planes(frame)[0]


def video_planes(frame: av.VideoFrame) -> tuple[npt.NDArray[Any], ...]:
    """The planes of a picture as they lie in memory: views, nothing copied, not to be written to.

    Decoders give "yuv420p": brightness (height x width) and two of colour (half of each). Planes are
    DLPack's, too (PyAV from 17 on): `torch.from_dlpack(frame.planes[0])`.

    Returns:
        For each plane height x width, or height x width x channels where pixels lie together.

    Raises:
        ValueError: pixels of this format are not integers of one or two whole bytes of their own.
    """
    import numpy as np

    planes = []
    kind = frame.format
    wide = np.dtype(">u2" if kind.is_big_endian else "<u2")
    odd = kind.has_palette or "f16" in kind.name or any(each.bits > 16 for each in kind.components)
    if odd:  # numbers of a table, or floating point, or longer
        raise ValueError(f"{kind.name!r} cannot be shown without converting it")
    for index, plane in enumerate(frame.planes):
        shown = [each for each in kind.components if each.plane == index]
        size = 1 if shown[0].bits <= 8 else 2
        pixel = least = len(shown) * size
        if len(frame.planes) == 1:  # there may be bytes that show nothing
            pixel = kind.padded_bits_per_pixel // 8
        if pixel < least or pixel % size or len({(each.bits > 8, each.width) for each in shown}) > 1:
            raise ValueError(f"{kind.name!r} cannot be shown without converting it")
        lines = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * plane.height].reshape(
            plane.height, -1
        )
        view = lines[:, : plane.width * pixel].view(np.uint8 if size == 1 else wide)
        if pixel > size:
            view = view.reshape(plane.height, plane.width, -1)
        view.flags.writeable = False
        planes.append(view)
    return tuple(planes)


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


def audio_to_numpy(frame: av.AudioFrame, *, copy: bool = True) -> npt.NDArray[Any]:
    """Samples x channels, of the frame's own sample format.

    Args:
        frame: the sound.
        copy: False for a view, which cannot be written to.

    Raises:
        ValueError: without a copy, the channels lie apart.
    """
    import numpy as np

    channels = frame.layout.nb_channels
    array: Any
    if copy:
        array = frame.to_ndarray()
        return array.T if frame.format.is_planar else array.reshape(-1, channels)  # type: ignore[no-any-return]
    if frame.format.is_planar and channels > 1:
        raise ValueError(f"a view of {frame.format.name!r}, whose channels lie apart, needs a copy")
    kind = np.dtype(_SAMPLES[frame.format.packed.name])
    array = np.frombuffer(memoryview(frame.planes[0]), kind)[: frame.samples * channels].reshape(-1, channels)
    array.flags.writeable = False
    return array  # type: ignore[no-any-return]


_SAMPLES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
"""FFmpeg's names of sample formats, and numpy's."""


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
