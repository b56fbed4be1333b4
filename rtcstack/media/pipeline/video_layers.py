"""Which of the layers of a simulcast that is received is shown.

Spec: RFC 8853.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.receive import ReceiveStream

__all__ = ["ReceivedLayer", "ShownLayer"]

_LAYER_SILENT_S = 1.0
"""A simulcast layer that is silent for so long is not shown any more if another comes."""

_LAYER_MISSED_FRAMES = 4
"""So many frames of others, for each layer, must have come meanwhile: pictures may be seconds apart."""

_LARGER_ASKED_S = 1.0
"""A larger layer that comes again, and without a key frame, is asked for one so often."""


class ReceivedLayer(Protocol):
    """A layer, as whoever chooses knows it.

    Attributes:
        stream: that feeds it now, or None.
        width, height: of its pictures, as far as is known.
        last_frame_at: when its last frame came.
        asked_at: when a key frame was asked for so that it can be shown.
    """

    stream: ReceiveStream | None
    width: int
    height: int
    last_frame_at: float
    asked_at: float

    @property
    def pixels(self) -> int:
        """Of a picture, as far as is known."""

    def request_key_frame(self) -> None:
        """Ask the peer for one."""

    def update_demand(self) -> None:
        """It is shown from now on, or not any more."""


T = TypeVar("T", bound=ReceivedLayer)


class ShownLayer(Generic[T]):
    """The one that is shown: the largest that comes.

    Args:
        layers: all, by rid.

    Attributes:
        shown: the one, or None.
    """

    __slots__ = ("_layers", "_missed", "shown")

    def __init__(self, layers: Mapping[str | None, T]) -> None:
        self._layers = layers
        self._missed = 0  # frames of other layers since the last of the one that is shown
        self.shown: T | None = None

    def compare(self, layer: T, frame: EncodedFrame, now: float) -> None:
        """Of several layers one is shown: see whether it still comes, and whether there is a better one."""
        if layer is self.shown:
            self._missed = 0
        else:
            self._missed += 1
        if frame.key_frame:
            self._choose(layer, frame, now)
        shown = self.shown
        if shown is layer or shown is None:
            return
        if self._is_silent(shown, now):
            if layer is self._best(now):
                layer.request_key_frame()  # with it this one is taken
        elif layer.pixels > shown.pixels and now - layer.asked_at >= _LARGER_ASKED_S:
            layer.asked_at = now
            layer.request_key_frame()

    def _is_silent(self, shown: T, now: float) -> bool:
        if shown.stream is None:
            return True
        missed = self._missed >= _LAYER_MISSED_FRAMES * len(self._layers)
        return missed and now - shown.last_frame_at > _LAYER_SILENT_S

    def _best(self, now: float) -> T | None:
        """The largest layer that comes; of those whose size is not known the first."""
        live = [
            layer
            for layer in self._layers.values()
            if layer.stream is not None and now - layer.stream.last_packet_at <= _LAYER_SILENT_S
        ]
        return max(live, key=lambda layer: layer.pixels, default=None)

    def _choose(self, layer: T, frame: EncodedFrame, now: float) -> None:
        """Of several layers, show the largest that comes."""
        if frame.width and frame.height:
            layer.width, layer.height = frame.width, frame.height
        shown = self.shown
        if shown is layer:
            return
        if shown is None or self._is_silent(shown, now) or layer.pixels > shown.pixels:
            self.show(layer)

    def show(self, layer: T) -> None:
        """Show this one from now on."""
        before, self.shown = self.shown, layer
        self._missed = 0
        if before is not None:
            before.update_demand()
        layer.update_demand()
