"""What a stream's dependency descriptors say: from the place of each frame among the layers.

Spec: AOM, "RTP Payload Format For AV1" (v1.0), appendix A.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

from rtcstack.codecs.layers import LayerPlace, ScalabilityMode
from rtcstack.rtp.dependency import (
    DependencyDescriptor,
    DependencyStructure,
    Indication,
    Template,
    write_dependency_descriptor,
)

__all__ = ["Dependencies", "FrameDependencies", "structure_of"]

_TEMPLATE_IDS = 64


class FrameDependencies(NamedTuple):
    """One frame, as its descriptor and its metadata tell it.

    Attributes:
        frame_id: its number, which only grows; the lower 16 bits are the descriptor's.
        frame: its layer and what it depends on.
        structure: that holds for it.
        begins: whether the structure begins with it.
    """

    frame_id: int
    frame: Template
    structure: DependencyStructure
    begins: bool

    @property
    def dependencies(self) -> tuple[int, ...]:
        """The ids of the frames that it refers to."""
        return tuple(self.frame_id - each for each in self.frame.differences)

    def write(self, *, first: bool, last: bool) -> bytes:
        """The extension of one of its packets; the first of a key picture carries the structure."""
        structure = self.structure if self.begins and first else None
        descriptor = DependencyDescriptor(first, last, self.frame_id & 0xFFFF, self.frame, structure)
        return write_dependency_descriptor(descriptor, self.structure)


class Dependencies:
    """Numbers the frames of one stream, and says what each depends on.

    Args:
        first: number of the first frame.
    """

    __slots__ = ("_chains", "_first_template", "_next", "_structure")

    def __init__(self, first: int = 0) -> None:
        self._next = first
        self._chains = _Chains(1)
        self._structure: DependencyStructure | None = None
        self._first_template = 0

    def next(self, place: LayerPlace) -> FrameDependencies | None:
        """The next frame; None before the first key picture."""
        frame_id = self._next
        self._next = frame_id + 1
        begins = place.key_picture and not place.spatial_id
        if begins:
            self._begin(place)
        structure = self._structure
        if structure is None:
            return None
        return FrameDependencies(frame_id, self._chains.take(place, frame_id), structure, begins)

    def _begin(self, place: LayerPlace) -> None:
        mode = place.mode
        self._chains = _Chains(mode.spatial_layers)
        structure = structure_of(mode)
        if self._structure is not None:
            # ids that the structure of before did not use: late packets are not mistaken
            self._first_template = (self._first_template + len(self._structure.templates)) % _TEMPLATE_IDS
        sizes = place.sizes if len(place.sizes) == mode.spatial_layers else ()
        self._structure = replace(structure, first_id=self._first_template, resolutions=sizes)


class _Chains:
    """Which frames a chain is made of: for each spatial layer, the lowest temporal layer up to it."""

    __slots__ = ("_last",)

    def __init__(self, count: int) -> None:
        self._last: list[int | None] = [None] * count

    def take(self, place: LayerPlace, number: int) -> Template:
        """What is said of the next frame."""
        distances = tuple(0 if last is None else number - last for last in self._last)
        if place.temporal_id == 0:
            for chain in range(len(self._last)):
                if _is_part(place, chain):
                    self._last[chain] = number
        return Template(
            place.spatial_id, place.temporal_id, _indications(place), place.differences, distances
        )


def _is_part(place: LayerPlace, spatial_id: int) -> bool:
    """Whether who wants a spatial layer needs this frame, as far as spatial layers go."""
    if place.spatial_id == spatial_id:
        return True
    return place.spatial_id < spatial_id and place.serves_upper


def _indications(place: LayerPlace) -> tuple[int, ...]:
    """What the frame is to each decode target: of each spatial layer, with ever more temporal ones."""
    mode = place.mode
    return tuple(
        _indication(place, spatial, temporal)
        for spatial in range(mode.spatial_layers)
        for temporal in range(mode.temporal_layers)
    )


def _indication(place: LayerPlace, spatial: int, temporal: int) -> int:
    if place.temporal_id > temporal or not _is_part(place, spatial):
        return Indication.NOT_PRESENT
    if place.spatial_id < spatial:
        return Indication.REQUIRED
    is_needed = place.temporal_id == 0 or (not place.step.is_discardable and temporal > place.temporal_id)
    return Indication.SWITCH if is_needed else Indication.DISCARDABLE


@cache
def structure_of(mode: ScalabilityMode) -> DependencyStructure:
    """The templates of all frames that a mode makes."""
    chains = _Chains(mode.spatial_layers)
    found: dict[Template, None] = {}
    number = 0
    for picture in range(3 * len(mode.steps)):
        for spatial_id in range(mode.spatial_layers):
            position = picture % len(mode.steps)
            place = LayerPlace(mode, position, spatial_id, key_picture=picture == 0)
            found[chains.take(place, number)] = None
            number += 1
    templates = tuple(sorted(found, key=lambda each: (each.spatial_id, each.temporal_id)))
    protected_by = tuple(
        spatial for spatial in range(mode.spatial_layers) for _ in range(mode.temporal_layers)
    )
    return DependencyStructure(0, templates, protected_by)
