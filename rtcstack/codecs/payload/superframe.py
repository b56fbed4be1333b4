"""VP9 superframes: the layer frames of one picture as one frame, with an index that tells their sizes.

Spec: VP9 bitstream specification, Annex B.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.errors import ParseError

__all__ = ["MAX_FRAMES", "LayerChoice", "is_vp9_key_frame", "superframe", "superframe_frames"]

MAX_FRAMES = 8
"""Of a superframe: its index tells no more."""

_MARKER, _MARKER_BITS = 0xC0, 0xE0

# The index: a marker octet 110|bytes of a size - 1|frames - 1, the sizes (little-endian), the marker again.


def superframe(frames: Sequence[bytes]) -> bytes:
    """Frames of one picture as one, with an index; a lone frame as it is.

    Raises:
        ParseError: more than an index can tell.
    """
    if len(frames) == 1:
        return frames[0]
    if not 0 < len(frames) <= MAX_FRAMES:
        raise ParseError(f"VP9 superframe of {len(frames)} frames")
    size = max(1, (max(map(len, frames)).bit_length() + 7) // 8)
    if size > 4:
        raise ParseError("VP9 frame is too large for a superframe")
    marker = bytes((_MARKER | (size - 1) << 3 | len(frames) - 1,))
    return b"".join([*frames, marker, *(len(frame).to_bytes(size, "little") for frame in frames), marker])


def superframe_frames(data: bytes) -> list[bytes]:
    """The frames of a superframe; the frame itself where there is no index, or one that lies."""
    if not data or data[-1] & _MARKER_BITS != _MARKER:
        return [data]
    marker = data[-1]
    count, size = (marker & 7) + 1, (marker >> 3 & 3) + 1
    index = 2 + count * size
    if len(data) < index or data[-index] != marker:
        return [data]
    frames = []
    at, end = 0, len(data) - index
    for i in range(count):
        entry = end + 1 + i * size
        length = int.from_bytes(data[entry : entry + size], "little")
        if at + length > end:
            return [data]
        if length:
            frames.append(data[at : at + length])
        at += length
    return frames or [data]


def is_vp9_key_frame(frame: bytes) -> bool:
    """Whether a frame's own header says that it needs no other (section 6.2)."""
    if not frame or frame[0] >> 6 != 2:
        return False
    # frame_marker, two bits of the profile, a reserved one in profile 3; show_existing_frame, frame_type
    shift = 2 if frame[0] >> 4 & 3 != 3 else 1
    return frame[0] >> shift & 3 == 0


class LayerChoice:
    """Brings the spatial layers of a stream into a form that every decoder reads.

    Layers that depend on each other stay together: a decoder shows the highest. Layers that do not
    (scalability modes S2T1 and so on) begin with a key frame each, after which no decoder can go on
    with the lower ones: only the highest is of use.
    """

    __slots__ = ("_independent",)

    def __init__(self) -> None:
        self._independent = 0  # layers that begin with a key frame of their own; 0 when they depend

    def choose(self, data: bytes, *, key_frame: bool) -> bytes | None:
        """What of a picture is to be decoded; None when it cannot be without a key frame.

        Args:
            data: a superframe, or a frame.
            key_frame: the picture needs no other.
        """
        if not key_frame and not self._independent:
            return data
        frames = superframe_frames(data)
        if key_frame:
            keys = len(frames) > 1 and all(map(is_vp9_key_frame, frames))
            self._independent = len(frames) if keys else 0
            return frames[-1] if keys else data
        if len(frames) != self._independent:
            return None  # of the highest layer nothing came; the others were not decoded
        return frames[-1]
