"""What the payload formats share: the packetizer's shape, and how frames are cut.

What the receiving halves give stands in `rtcstack.rtp.frames`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rtcstack.codecs.layers import LayerPlace
from rtcstack.rtp.frames import PayloadInfo

__all__ = [
    "DEFAULT_PAYLOAD_BYTES",
    "MIN_PAYLOAD_BYTES",
    "Packetizer",
    "PictureNumbers",
    "joined",
    "split_evenly",
]

DEFAULT_PAYLOAD_BYTES = 1160
"""Bytes of a payload when nothing else is asked for: with RTP header, extensions, SRTP tag, UDP and
IPv6 headers it stays under the 1,280 bytes that every IPv6 path carries."""

MIN_PAYLOAD_BYTES = 64
"""Below this, descriptors would fill the packets."""


class Packetizer(Protocol):
    """Cuts the frames of one video stream; counts what the format counts (picture ids)."""

    def packetize(
        self,
        frame: bytes,
        *,
        key_frame: bool = False,
        max_payload_bytes: int = DEFAULT_PAYLOAD_BYTES,
        place: LayerPlace | None = None,
        discardable: bool = False,
    ) -> list[bytes]:
        """The payloads of one frame, in order; sizes are as equal as the format allows.

        Args:
            frame: as the encoder gave it. H.264 and H.265: Annex B; AV1: the low-overhead format.
            key_frame: the frame needs no other.
            max_payload_bytes: of each payload, descriptor included; `MIN_PAYLOAD_BYTES` or more.
            place: where it stands among the layers; None when the stream has none.
            discardable: no later frame refers to this one.

        Raises:
            ParseError: the frame is not of the codec's form.
        """


class PictureNumbers:
    """What VP8 and VP9 count: pictures, and those of the lowest temporal layer.

    Args:
        picture_id: of the first frame, 0 to 32767; random is best, so that a stream that begins
            again is not taken for the old one.
        tl0_pic_idx: of the first base-layer frame, 0 to 255.
    """

    __slots__ = ("_picture_id", "_tl0_pic_idx")

    def __init__(self, picture_id: int, tl0_pic_idx: int) -> None:
        self._picture_id = (picture_id - 1) & 0x7FFF
        self._tl0_pic_idx = (tl0_pic_idx - 1) & 0xFF

    def take(self, place: LayerPlace | None) -> tuple[int, int]:
        """The next frame's picture id, and the number of the lowest layer's picture that goes with it."""
        if place is None or place.spatial_id == 0:
            self._picture_id = (self._picture_id + 1) & 0x7FFF
            if place is not None and place.temporal_id == 0:
                self._tl0_pic_idx = (self._tl0_pic_idx + 1) & 0xFF
        return self._picture_id, self._tl0_pic_idx


def joined(payloads: Sequence[PayloadInfo]) -> bytes:
    """The payloads' data, one behind the other."""
    if len(payloads) == 1:
        return payloads[0].data
    return b"".join([p.data for p in payloads])


def split_evenly(length: int, limit: int) -> list[tuple[int, int]]:
    """Cut `length` bytes into the fewest pieces of at most `limit`, with sizes one apart at most.

    Equal pieces make equal datagrams, which leave in one call (UDP segmentation offload), and a last
    packet that carries three bytes costs as much as a full one.

    Returns:
        (start, end) of each piece; none for no bytes.
    """
    assert limit > 0
    count = -(-length // limit)
    if count <= 1:
        return [(0, length)] if length else []
    small, extra = divmod(length, count)
    pieces = []
    start = 0
    for i in range(count):
        end = start + small + (i < extra)
        pieces.append((start, end))
        start = end
    return pieces
