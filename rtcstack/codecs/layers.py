"""Scalability modes: which layers a stream has, and which frames need which.

Spec: webrtc-svc, section 5 (Scalability modes) and section 9 (their dependency diagrams).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import NamedTuple

__all__ = [
    "SHIFTED_MODES",
    "SINGLE_LAYER",
    "SPATIAL_MODES",
    "TEMPORAL_MODES",
    "LayerPlace",
    "ScalabilityMode",
    "Step",
    "layer_bitrates",
    "scalability_mode",
]

SINGLE_LAYER = "L1T1"

TEMPORAL_MODES = (SINGLE_LAYER, "L1T2", "L1T3")
"""Modes of one spatial layer."""

SHIFTED_MODES = ("L2T2_KEY_SHIFT", "L2T3_KEY_SHIFT", "L3T2_KEY_SHIFT", "L3T3_KEY_SHIFT")
"""Modes whose spatial layers are at different places of the temporal pattern: no encoder here makes them."""


class Step(NamedTuple):
    """A picture's place in time.

    Attributes:
        temporal_id: its temporal layer, 0 the lowest.
        back: how many pictures before it the one stands that it refers to.
        is_sync: whether that one is of the lowest temporal layer: with this picture a receiver may
            take up its temporal layer.
        is_discardable: no later picture refers to it.
    """

    temporal_id: int
    back: int
    is_sync: bool
    is_discardable: bool


_STEPS = {
    1: (Step(0, 1, True, False),),
    2: (Step(0, 2, True, False), Step(1, 1, True, True)),
    3: (
        Step(0, 4, True, False),
        Step(2, 1, True, True),
        Step(1, 2, True, False),
        Step(2, 1, False, True),
    ),
}

_NAME = re.compile(r"([LS])([123])T([123])(h|_KEY)?")


@dataclass(frozen=True, slots=True)
class ScalabilityMode:
    """One of the modes of webrtc-svc.

    Attributes:
        name: "L3T3_KEY".
        spatial_layers, temporal_layers: 1 to 3.
        ratio: width of a spatial layer to that of the next.
        inter_layer: when a spatial layer refers to the one below: "always", "key" (in key pictures
            only) or "never" (an S mode).
    """

    name: str
    spatial_layers: int
    temporal_layers: int
    ratio: Fraction
    inter_layer: str

    @property
    def is_simulcast(self) -> bool:
        """Whether it is an S mode: several encodings in one RTP stream."""
        return self.inter_layer == "never"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The temporal layers' pattern, which begins anew with each key picture."""
        return _STEPS[self.temporal_layers]

    def scale(self, spatial_id: int) -> Fraction:
        """Width of a spatial layer, as a part of the picture's."""
        return self.ratio ** (self.spatial_layers - 1 - spatial_id)


@cache
def _modes() -> dict[str, ScalabilityMode]:
    names = list(TEMPORAL_MODES)
    for spatial in (2, 3):
        for suffix in ("", "h", "_KEY"):
            names += [f"L{spatial}T{temporal}{suffix}" for temporal in (1, 2, 3)]
        for suffix in ("", "h"):
            names += [f"S{spatial}T{temporal}{suffix}" for temporal in (1, 2, 3)]
    return {name: mode for name in names if (mode := _read(name)) is not None}


def _read(name: str) -> ScalabilityMode | None:
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    kind, spatial, temporal, suffix = found.groups()
    inter_layer = "never" if kind == "S" else "key" if suffix == "_KEY" else "always"
    ratio = Fraction(2, 3) if suffix == "h" else Fraction(1, 2)
    return ScalabilityMode(name, int(spatial), int(temporal), ratio, inter_layer)


def scalability_mode(name: str) -> ScalabilityMode | None:
    """A mode by its identifier, whose case counts; None for one that is not known here.

    L2T2_KEY_SHIFT and its like are not: their spatial layers are at different places of the pattern.
    """
    return _modes().get(name)


SPATIAL_MODES = tuple(name for name in _modes() if name not in TEMPORAL_MODES)
"""Modes of several spatial layers."""


@dataclass(frozen=True, slots=True)
class LayerPlace:
    """Where a frame stands among the layers of its stream.

    Attributes:
        mode: the stream's.
        position: of its picture in the mode's pattern; 0 for a key picture.
        spatial_id: its spatial layer, 0 the lowest.
        key_picture: its picture needs no other.
        sizes: width and height of each spatial layer.
    """

    mode: ScalabilityMode
    position: int = 0
    spatial_id: int = 0
    key_picture: bool = False
    sizes: tuple[tuple[int, int], ...] = ()

    @property
    def step(self) -> Step:
        """Its picture's place in time."""
        return self.mode.steps[self.position]

    @property
    def temporal_id(self) -> int:
        """Its temporal layer."""
        return self.step.temporal_id

    @property
    def is_last(self) -> bool:
        """Whether no other frame of its picture follows."""
        return self.spatial_id == self.mode.spatial_layers - 1

    @property
    def needs_lower(self) -> bool:
        """Whether it refers to the spatial layer below."""
        return self.spatial_id > 0 and self._predicts_layers

    @property
    def serves_upper(self) -> bool:
        """Whether the spatial layer above refers to it."""
        return not self.is_last and self._predicts_layers

    @property
    def _predicts_layers(self) -> bool:
        inter_layer = self.mode.inter_layer
        return inter_layer == "always" or (inter_layer == "key" and self.key_picture)

    @property
    def differences(self) -> tuple[int, ...]:
        """How many frames before it those stand that it refers to; each spatial layer's frame counts."""
        below = (1,) if self.needs_lower else ()
        if self.key_picture:
            return below
        return (*below, self.step.back * self.mode.spatial_layers)


_CUMULATED = {1: (1.0,), 2: (0.6, 1.0), 3: (0.4, 0.6, 1.0)}
"""Of a bit rate, what goes to a temporal layer and those below it."""

_PIXEL_WORTH = 0.7
"""Bits grow slower than pixels: a spatial layer's share is its pixels to this power."""


def layer_bitrates(mode: ScalabilityMode, bitrate: int) -> list[tuple[int, ...]]:
    """How a bit rate is shared out.

    Args:
        mode: the layers.
        bitrate: of all, in any unit.

    Returns:
        For each spatial layer, the rate of each of its temporal layers with those below it.
    """
    worth = [float(mode.scale(i)) ** (2 * _PIXEL_WORTH) for i in range(mode.spatial_layers)]
    return [
        tuple(int(bitrate * each / sum(worth) * part) for part in _CUMULATED[mode.temporal_layers])
        for each in worth
    ]
