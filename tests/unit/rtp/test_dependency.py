"""The dependency descriptor: what is written is read again, and hostile bytes only cost a ParseError."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.codecs.layers import (
    SPATIAL_MODES,
    TEMPORAL_MODES,
    LayerPlace,
    ScalabilityMode,
    scalability_mode,
)
from rtcstack.errors import ParseError
from rtcstack.media.pipeline.dependencies import Dependencies, structure_of
from rtcstack.rtp.bitfields import BitReader, BitWriter
from rtcstack.rtp.dependency import (
    MAX_DIFFERENCES,
    DependencyDescriptor,
    DependencyStructure,
    Indication,
    Template,
    read_dependency_descriptor,
    write_dependency_descriptor,
)

D, S, R, N = Indication.DISCARDABLE, Indication.SWITCH, Indication.REQUIRED, Indication.NOT_PRESENT


def mode_of(name: str) -> ScalabilityMode:
    mode = scalability_mode(name)
    assert mode is not None
    return mode


@st.composite
def structures(draw: st.DrawFn) -> DependencyStructure:
    targets = draw(st.integers(1, 32))
    chains = draw(st.integers(0, targets))
    layers = draw(
        st.lists(st.integers(1, 3), min_size=1, max_size=4).map(
            lambda counts: [(s, t) for s, count in enumerate(counts) for t in range(count)]
        )
    )
    repeated = draw(st.lists(st.sampled_from(layers), max_size=8))
    templates = tuple(
        Template(
            *layer,
            tuple(draw(st.lists(st.integers(0, 3), min_size=targets, max_size=targets))),
            tuple(draw(st.lists(st.integers(1, 16), max_size=4))),
            tuple(draw(st.lists(st.integers(0, 15), min_size=chains, max_size=chains))),
        )
        for layer in sorted([*layers, *repeated])
    )
    protected_by = (
        tuple(draw(st.lists(st.integers(0, chains - 1), min_size=targets, max_size=targets)))
        if chains
        else ()
    )
    resolutions = tuple((draw(sides), draw(sides)) for _ in range(layers[-1][0] + 1))
    return DependencyStructure(
        draw(st.integers(0, 63)), templates, protected_by, draw(st.sampled_from([(), resolutions]))
    )


sides = st.integers(1, 65_536)


@given(st.data(), structures())
def test_descriptors_survive(data: st.DataObject, structure: DependencyStructure) -> None:
    template = data.draw(st.sampled_from(structure.templates))
    frame = template._replace(
        indications=data.draw(
            st.just(template.indications)
            | st.lists(
                st.integers(0, 3), min_size=structure.decode_targets, max_size=structure.decode_targets
            ).map(tuple)
        ),
        differences=data.draw(
            st.just(template.differences)
            | st.lists(st.integers(1, 4096), max_size=MAX_DIFFERENCES).map(tuple)
        ),
        chain_differences=data.draw(
            st.just(template.chain_differences)
            | st.lists(st.integers(0, 255), min_size=structure.chains, max_size=structure.chains).map(tuple)
        ),
    )
    carries = data.draw(st.booleans())
    active = data.draw(st.none() | st.integers(0, (1 << structure.decode_targets) - 1))
    descriptor = DependencyDescriptor(
        data.draw(st.booleans()),
        data.draw(st.booleans()),
        data.draw(st.integers(0, 0xFFFF)),
        frame,
        structure if carries else None,
        active,
    )
    value = write_dependency_descriptor(descriptor, structure)
    read = read_dependency_descriptor(value, None if carries else structure)
    assert (read.starts_frame, read.ends_frame, read.number) == (
        descriptor.starts_frame,
        descriptor.ends_frame,
        descriptor.number,
    )
    assert read.frame == frame
    assert read.structure == descriptor.structure
    everything = (1 << structure.decode_targets) - 1
    assert read.active_targets == (everything if carries and active is None else active)


@given(st.binary(max_size=255), st.none() | structures())
def test_anything_may_come(value: bytes, structure: DependencyStructure | None) -> None:
    with contextlib.suppress(ParseError):
        read = read_dependency_descriptor(value, structure)
        assert len(read.frame.differences) <= MAX_DIFFERENCES


@given(st.integers(1, 70).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))))
def test_one_of_many_values(case: tuple[int, int]) -> None:
    count, value = case
    bits = BitWriter()
    bits.put_one_of(count, value)
    assert BitReader(bits.bytes()).take_one_of(count) == value


def test_the_table_of_the_specification_for_one_of_five() -> None:
    written = []
    for value in range(5):
        bits = BitWriter()
        bits.put_one_of(5, value)
        written.append(f"{bits.bytes()[0]:08b}"[: 2 if value < 3 else 3])
    assert written == ["00", "01", "10", "110", "111"]


@pytest.mark.parametrize(
    ("hexa", "fault"),
    [("", "cut short"), ("c000", "cut short"), ("c00001", "without a structure"), ("c0000180", "cut short")],
)
def test_what_is_refused(hexa: str, fault: str) -> None:
    with pytest.raises(ParseError, match=fault):
        read_dependency_descriptor(bytes.fromhex(hexa), None)


def test_a_template_that_is_not_there() -> None:
    structure = structure_of(mode_of("L1T1"))
    with pytest.raises(ParseError, match="unknown template"):
        read_dependency_descriptor(bytes((0xC0 | 9, 0, 0)), structure)
    with pytest.raises(ValueError, match="no template"):
        write_dependency_descriptor(DependencyDescriptor(True, True, 0, Template(1, 0, (S,))), structure)


@pytest.mark.parametrize("name", TEMPORAL_MODES + SPATIAL_MODES)
def test_frames_of_every_mode_are_described(name: str) -> None:
    """Three bytes a packet but for key pictures, and who follows the indications can decode."""
    mode = mode_of(name)
    described, structure = Dependencies(0xFFF0), None
    sizes = tuple((160 << i, 90 << i) for i in range(mode.spatial_layers))
    frames = []
    for picture in range(30):
        position = (picture if picture < 13 else picture - 13) % len(mode.steps)
        for spatial_id in range(mode.spatial_layers):
            place = LayerPlace(mode, position, spatial_id, picture in (0, 13), sizes)
            frame = described.next(place)
            assert frame is not None
            value = frame.write(first=True, last=False)
            assert len(value) == 3 or frame.begins
            assert len(frame.write(first=False, last=True)) == 3
            read = read_dependency_descriptor(value, structure)
            structure = read.structure or structure
            assert read.frame == frame.frame
            assert (read.starts_frame, read.ends_frame) == (True, False)
            frames.append(frame)
    assert structure is not None
    assert structure.resolutions == sizes
    assert structure.first_id == len(structure.templates)
    for target in range(structure.decode_targets):
        chain = structure.protected_by[target]
        kept: set[int] = set()
        last_of_chain = None
        for frame in frames:
            indication = frame.frame.indications[target]
            distance = frame.frame.chain_differences[chain]
            if distance:
                assert frame.frame_id - distance == last_of_chain
            spatial_id, temporal_id = frame.frame.spatial_id, frame.frame.temporal_id
            if indication == N:
                continue
            assert set(frame.dependencies) <= kept
            if indication != D:
                kept.add(frame.frame_id)
            if temporal_id == 0 and spatial_id <= chain:
                last_of_chain = frame.frame_id


def test_indications_of_three_temporal_layers() -> None:
    found = {each.temporal_id: each.indications for each in structure_of(mode_of("L1T3")).templates}
    assert found == {0: (S, S, S), 1: (N, D, S), 2: (N, N, D)}


def test_nothing_is_said_before_the_first_key_picture() -> None:
    described = Dependencies(7)
    assert described.next(LayerPlace(mode_of("L1T2"), 1)) is None
    frame = described.next(LayerPlace(mode_of("L1T2"), key_picture=True))
    assert frame is not None
    assert (frame.frame_id, frame.dependencies) == (8, ())
