"""The video layers allocation: what is written is read again, and hostile bytes only cost a ParseError."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.codecs.layers import scalability_mode
from rtcstack.errors import ParseError
from rtcstack.media.pipeline.allocation import AllocationTeller, SentStream
from rtcstack.rtp.layers_allocation import (
    AllocatedLayer,
    LayersAllocation,
    read_layers_allocation,
    write_layers_allocation,
)


@st.composite
def allocations(draw: st.DrawFn) -> LayersAllocation:
    streams = draw(st.integers(1, 4))
    places = draw(st.sets(st.tuples(st.integers(0, streams - 1), st.integers(0, 3)), min_size=1, max_size=16))
    sized = draw(st.booleans())
    sides = st.integers(1, 65_536)
    layers = tuple(
        AllocatedLayer(
            *place,
            tuple(
                kilobits * 1000
                for kilobits in draw(st.lists(st.integers(0, 4_000_000), min_size=1, max_size=4))
            ),
            *((draw(sides), draw(sides), draw(st.integers(0, 255))) if sized else ()),
        )
        for place in sorted(places)
    )
    return LayersAllocation(draw(st.integers(0, streams - 1)), streams, layers)


@given(allocations())
def test_allocations_survive(allocation: LayersAllocation) -> None:
    assert read_layers_allocation(write_layers_allocation(allocation)) == allocation


def test_nothing_is_sent() -> None:
    assert write_layers_allocation(LayersAllocation(0, 3)) == b"\0"
    assert read_layers_allocation(b"\0") == LayersAllocation(0, 0)


@given(st.binary(max_size=255))
def test_anything_may_come(value: bytes) -> None:
    with contextlib.suppress(ParseError):
        read = read_layers_allocation(value)
        assert len(read.layers) <= 16


@pytest.mark.parametrize("hexa", ["", "01", "0100", "1100ffffffffffff", "01000a00", "41000a", "110001"])
def test_what_is_refused(hexa: str) -> None:
    with pytest.raises(ParseError):
        read_layers_allocation(bytes.fromhex(hexa))


def test_the_bytes_of_two_streams_in_two_temporal_layers() -> None:
    layers = (AllocatedLayer(0, 0, (50_000, 100_000)), AllocatedLayer(1, 0, (200_000, 400_000)))
    written = write_layers_allocation(LayersAllocation(1, 2, layers))
    assert written.hex() == "51" + "50" + "32" + "64" + "c801" + "9003"


def stream(name: str, bitrate_bps: int, width: int = 640, height: int = 360) -> SentStream:
    mode = scalability_mode(name)
    assert mode is not None
    return SentStream(mode, bitrate_bps, width, height, 29.97)


def test_rates_are_those_of_all_that_a_layer_needs() -> None:
    told = read_layers_allocation(AllocationTeller().next(0, [stream("L2T2", 1_000_000)], key_frame=True))
    low, high = told.layers
    assert (high.width, high.height, high.frame_rate) == (640, 360, 30)
    assert (low.width, low.height) == (320, 180)
    assert abs(high.bitrates_bps[1] - 1_000_000) <= 1000
    assert low.bitrates_bps[0] < low.bitrates_bps[1] < high.bitrates_bps[0] < high.bitrates_bps[1]
    alone = read_layers_allocation(AllocationTeller().next(0, [stream("S2T2", 1_000_000)], key_frame=True))
    assert alone.layers[1].bitrates_bps[1] < high.bitrates_bps[1]


def test_it_is_told_when_it_changes_and_with_key_frames() -> None:
    teller = AllocationTeller()
    streams = [stream("L1T1", 100_000), stream("L1T1", 1_000_000)]
    assert teller.next(1, streams, key_frame=False)
    assert not teller.next(1, streams, key_frame=False)
    assert teller.next(1, streams, key_frame=True)
    assert not teller.next(1, [streams[0], stream("L1T1", 1_050_000)], key_frame=False)
    changed = teller.next(1, [streams[0], stream("L1T1", 1_500_000)], key_frame=False)
    assert read_layers_allocation(changed).layers[1].bitrates_bps == (1_500_000,)
    paused = read_layers_allocation(teller.next(1, [streams[0], stream("L1T1", 0)], key_frame=False))
    assert [each.stream for each in paused.layers] == [0]
    assert paused.stream == 1


def test_of_more_streams_than_it_can_say_nothing_is_told() -> None:
    assert AllocationTeller().next(0, [stream("L1T1", 1)] * 5, key_frame=True) == b""
