"""What a video sender tells of its layers: which it sends, at which bit rates.

Spec: the header extension video-layers-allocation00 of libwebrtc.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rtcstack.codecs.layers import ScalabilityMode, layer_bitrates
from rtcstack.rtp.layers_allocation import (
    MAX_STREAMS,
    AllocatedLayer,
    LayersAllocation,
    write_layers_allocation,
)

__all__ = ["AllocationTeller", "SentStream"]

CHANGE = 0.1
"""By so much a bit rate must change before it is told again."""


class SentStream(NamedTuple):
    """One encoding, as it is sent.

    Attributes:
        mode: its layers.
        bitrate_bps: what its encoder aims at; 0 while it sends nothing.
        width, height: of its pictures; 0 before the first.
        frame_rate: pictures a second.
    """

    mode: ScalabilityMode
    bitrate_bps: int
    width: int
    height: int
    frame_rate: float


class AllocationTeller:
    """Says when one stream has to tell the allocation, and what."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: LayersAllocation | None = None

    def next(self, index: int, streams: Sequence[SentStream], *, key_frame: bool) -> bytes:
        """The extension for the next frame; empty when there is nothing new.

        Args:
            index: of the stream that it is sent on.
            streams: of the sender, all of them.
            key_frame: the frame needs no other: whoever begins with it has to know.
        """
        if len(streams) > MAX_STREAMS:
            return b""
        current = LayersAllocation(index, len(streams), _layers(streams))
        if not key_frame and self._told is not None and _is_like(self._told, current):
            return b""
        self._told = current
        return write_layers_allocation(current)


def _layers(streams: Sequence[SentStream]) -> tuple[AllocatedLayer, ...]:
    layers = []
    for index, stream in enumerate(streams):
        if not stream.bitrate_bps:
            continue
        mode = stream.mode
        below = [0] * mode.temporal_layers
        for spatial_id, bitrates in enumerate(layer_bitrates(mode, stream.bitrate_bps)):
            if mode.inter_layer == "always":
                bitrates = tuple(a + b for a, b in zip(bitrates, below, strict=True))
                below = list(bitrates)
            scale = mode.scale(spatial_id)
            layers.append(
                AllocatedLayer(
                    index,
                    spatial_id,
                    bitrates,
                    round(stream.width * scale),
                    round(stream.height * scale),
                    min(round(stream.frame_rate), 0xFF),
                )
            )
    return tuple(layers)


def _is_like(told: LayersAllocation, current: LayersAllocation) -> bool:
    """Whether the same layers are sent, in the same size and at about the same bit rates."""
    if len(told.layers) != len(current.layers):
        return False
    return all(
        (a.stream, a.spatial_id, a.width, a.height, len(a.bitrates_bps))
        == (b.stream, b.spatial_id, b.width, b.height, len(b.bitrates_bps))
        and all(abs(x - y) <= CHANGE * x for x, y in zip(a.bitrates_bps, b.bitrates_bps, strict=True))
        for a, b in zip(told.layers, current.layers, strict=True)
    )
