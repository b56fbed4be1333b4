"""The dependency descriptor: which frame a packet is of, and which frames that one needs.

Spec: AOM, "RTP Payload Format For AV1" (v1.0), appendix A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rtcstack.errors import ParseError
from rtcstack.rtp.bitfields import BitReader, BitWriter

__all__ = [
    "MAX_DECODE_TARGETS",
    "MAX_DIFFERENCES",
    "MAX_TEMPLATES",
    "DependencyDescriptor",
    "DependencyStructure",
    "Indication",
    "Template",
    "read_dependency_descriptor",
    "write_dependency_descriptor",
]

MAX_TEMPLATES = 64
"""A template's id has six bits."""

MAX_DECODE_TARGETS = 32
"""Their number has five bits."""

MAX_DIFFERENCES = 16
"""Frames that one frame refers to, as far as they are read: no codec keeps more."""

_MAX_SPATIAL, _MAX_TEMPORAL = 4, 8
"""Layers, as AV1 and VP9 number them."""

_TEMPLATE_IDS = 64
_NEXT_SAME, _NEXT_TEMPORAL, _NEXT_SPATIAL, _NO_MORE = range(4)


class Indication:
    """What a frame is to a decode target (table A.1)."""

    NOT_PRESENT, DISCARDABLE, SWITCH, REQUIRED = range(4)


class Template(NamedTuple):
    """What many frames have in common.

    Attributes:
        spatial_id, temporal_id: their layer, 0 the lowest.
        indications: for each decode target, an `Indication`.
        differences: how many frames before stand those that they refer to.
        chain_differences: for each chain, how many frames before stands the last one of it; 0 for none.
    """

    spatial_id: int
    temporal_id: int
    indications: tuple[int, ...]
    differences: tuple[int, ...] = ()
    chain_differences: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DependencyStructure:
    """How the frames of a stream depend on each other, until the next key frame.

    Attributes:
        first_id: of the first template, 0 to 63.
        templates: by layer.
        protected_by: for each decode target, the chain that protects it; () without chains.
        resolutions: width and height of each spatial layer, or ().
    """

    first_id: int
    templates: tuple[Template, ...]
    protected_by: tuple[int, ...] = ()
    resolutions: tuple[tuple[int, int], ...] = ()

    @property
    def decode_targets(self) -> int:
        """How many there are."""
        return len(self.templates[0].indications)

    @property
    def chains(self) -> int:
        """How many there are."""
        return len(self.templates[0].chain_differences)


@dataclass(frozen=True, slots=True)
class DependencyDescriptor:
    """What a packet says of its frame.

    Attributes:
        starts_frame, ends_frame: whether it is the frame's first packet, and its last.
        number: of the frame, 16 bits, in the order of decoding.
        frame: the frame's layer and dependencies.
        structure: that begins with this frame, or None.
        active_targets: bit mask of the decode targets that are there, or None when not told.
    """

    starts_frame: bool
    ends_frame: bool
    number: int
    frame: Template
    structure: DependencyStructure | None = None
    active_targets: int | None = None


# -- reading --------------------------------------------------------------------------------------


def read_dependency_descriptor(value: bytes, structure: DependencyStructure | None) -> DependencyDescriptor:
    """Read the extension of one packet.

    Args:
        value: its bytes.
        structure: that came last in this stream, or None.

    Raises:
        ParseError: cut short, without a structure, or of a template that the structure has not.
    """
    bits = BitReader(value)
    starts, ends = bool(bits.take(1)), bool(bits.take(1))
    template_id, number = bits.take(6), bits.take(16)
    own: DependencyStructure | None = None
    active: int | None = None
    has_indications = has_differences = has_chains = False
    if len(value) > 3:
        has_structure, has_active = bits.take(1), bits.take(1)
        has_indications, has_differences, has_chains = (bool(bits.take(1)) for _ in range(3))
        if has_structure:
            structure = own = _read_structure(bits)
            active = (1 << own.decode_targets) - 1
        if has_active and structure is not None:
            active = bits.take(structure.decode_targets)
    if structure is None:
        raise ParseError("dependency descriptor without a structure")
    index = (template_id - structure.first_id) % _TEMPLATE_IDS
    if index >= len(structure.templates):
        raise ParseError("dependency descriptor of an unknown template")
    frame = structure.templates[index]
    if has_indications:
        frame = frame._replace(indications=tuple(bits.take(2) for _ in frame.indications))
    if has_differences:
        frame = frame._replace(differences=_read_differences(bits))
    if has_chains:
        frame = frame._replace(chain_differences=tuple(bits.take(8) for _ in frame.chain_differences))
    return DependencyDescriptor(starts, ends, number, frame, own, active)


def _read_differences(bits: BitReader) -> tuple[int, ...]:
    differences: list[int] = []
    while size := bits.take(2):
        if len(differences) >= MAX_DIFFERENCES:
            raise ParseError("dependency descriptor names too many frames")
        differences.append(bits.take(4 * size) + 1)
    return tuple(differences)


def _read_structure(bits: BitReader) -> DependencyStructure:
    first_id = bits.take(6)
    targets = bits.take(5) + 1
    layers = _read_layers(bits)
    indications = [tuple(bits.take(2) for _ in range(targets)) for _ in layers]
    differences = []
    for _ in layers:
        found: list[int] = []
        while bits.take(1):
            if len(found) >= MAX_DIFFERENCES:
                raise ParseError("dependency template names too many frames")
            found.append(bits.take(4) + 1)
        differences.append(tuple(found))
    chains = bits.take_one_of(targets + 1)
    protected_by: tuple[int, ...] = ()
    if chains:
        protected_by = tuple(bits.take_one_of(chains) for _ in range(targets))
    chain_differences = [tuple(bits.take(4) for _ in range(chains)) for _ in layers]
    templates = tuple(
        Template(*layer, *rest)
        for layer, *rest in zip(layers, indications, differences, chain_differences, strict=True)
    )
    resolutions: tuple[tuple[int, int], ...] = ()
    if bits.take(1):
        highest = layers[-1][0]
        resolutions = tuple((bits.take(16) + 1, bits.take(16) + 1) for _ in range(highest + 1))
    return DependencyStructure(first_id, templates, protected_by, resolutions)


def _read_layers(bits: BitReader) -> list[tuple[int, int]]:
    layers: list[tuple[int, int]] = []
    spatial = temporal = 0
    while True:
        if len(layers) >= MAX_TEMPLATES or spatial >= _MAX_SPATIAL or temporal >= _MAX_TEMPORAL:
            raise ParseError("dependency structure with too many templates or layers")
        layers.append((spatial, temporal))
        following = bits.take(2)
        if following == _NO_MORE:
            return layers
        if following == _NEXT_TEMPORAL:
            temporal += 1
        elif following == _NEXT_SPATIAL:
            spatial, temporal = spatial + 1, 0


# -- writing --------------------------------------------------------------------------------------


def write_dependency_descriptor(descriptor: DependencyDescriptor, structure: DependencyStructure) -> bytes:
    """The bytes for one packet.

    Args:
        descriptor: of the packet. A `structure` in it is written, and a mask that is set.
        structure: that holds for the frame: it has a template of the frame's layer, at least.

    Raises:
        ValueError: it has none.
    """
    frame = descriptor.frame
    index, template = _template_for(frame, structure)
    bits = BitWriter()
    bits.put(1, descriptor.starts_frame)
    bits.put(1, descriptor.ends_frame)
    bits.put(6, (structure.first_id + index) % _TEMPLATE_IDS)
    bits.put(16, descriptor.number & 0xFFFF)
    own, active = descriptor.structure, descriptor.active_targets
    if own is not None and active == (1 << own.decode_targets) - 1:
        active = None  # said by the structure
    own_indications = frame.indications != template.indications
    own_differences = frame.differences != template.differences
    own_chains = frame.chain_differences != template.chain_differences
    if own is None and active is None and not (own_indications or own_differences or own_chains):
        return bits.bytes()
    for flag in (own is not None, active is not None, own_indications, own_differences, own_chains):
        bits.put(1, flag)
    if own is not None:
        _write_structure(bits, own)
    if active is not None:
        bits.put(structure.decode_targets, active)
    if own_indications:
        for each in frame.indications:
            bits.put(2, each)
    if own_differences:
        for each in frame.differences:
            size = 1 if each <= 1 << 4 else 2 if each <= 1 << 8 else 3
            bits.put(2, size)
            bits.put(4 * size, each - 1)
        bits.put(2, 0)
    if own_chains:
        for each in frame.chain_differences:
            bits.put(8, min(each, 0xFF))
    return bits.bytes()


def _template_for(frame: Template, structure: DependencyStructure) -> tuple[int, Template]:
    """The template that says most of a frame."""
    layer = frame.spatial_id, frame.temporal_id
    best: tuple[int, int] | None = None
    for i, each in enumerate(structure.templates):
        if (each.spatial_id, each.temporal_id) == layer:
            equal = sum(a == b for a, b in zip(frame, each, strict=True))
            if best is None or equal > best[0]:
                best = equal, i
    if best is None:
        raise ValueError(f"the structure has no template of layer {layer}")
    return best[1], structure.templates[best[1]]


def _write_structure(bits: BitWriter, structure: DependencyStructure) -> None:
    templates = structure.templates
    bits.put(6, structure.first_id)
    bits.put(5, structure.decode_targets - 1)
    for each, following in zip(templates, [*templates[1:], None], strict=True):
        if following is None:
            bits.put(2, _NO_MORE)
        elif following.spatial_id != each.spatial_id:
            bits.put(2, _NEXT_SPATIAL)
        else:
            bits.put(2, _NEXT_SAME if following.temporal_id == each.temporal_id else _NEXT_TEMPORAL)
    for each in templates:
        for indication in each.indications:
            bits.put(2, indication)
    for each in templates:
        for difference in each.differences:
            bits.put(1, 1)
            bits.put(4, difference - 1)
        bits.put(1, 0)
    chains = structure.chains
    bits.put_one_of(structure.decode_targets + 1, chains)
    if chains:
        for chain in structure.protected_by:
            bits.put_one_of(chains, chain)
        for each in templates:
            for difference in each.chain_differences:
                bits.put(4, difference)
    bits.put(1, bool(structure.resolutions))
    for width, height in structure.resolutions:
        bits.put(16, width - 1)
        bits.put(16, height - 1)
