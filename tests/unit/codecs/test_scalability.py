"""Layers that are made here: each may be left out with those above it, and what is left is decoded."""

from __future__ import annotations

import av
import numpy as np
import pytest

from rtcstack.codecs import registry
from rtcstack.codecs.coders.video import EncodedUnit, VideoSettings
from rtcstack.codecs.layers import (
    SHIFTED_MODES,
    SPATIAL_MODES,
    TEMPORAL_MODES,
    LayerPlace,
    ScalabilityMode,
    scalability_mode,
)
from rtcstack.codecs.payload.superframe import superframe, superframe_frames
from rtcstack.codecs.payload.vp8 import Vp8Depacketizer
from rtcstack.codecs.payload.vp9 import Vp9Depacketizer
from rtcstack.rtp.frames import PayloadInfo
from tests.unit.codecs.material import luma, picture, psnr

WIDTH, HEIGHT = 320, 180
PICTURES, KEY = 18, 10
"""Of the second key picture: in the midst of a pattern."""

LEAST_DB = 30.0


def mode_of(name: str) -> ScalabilityMode:
    mode = scalability_mode(name)
    assert mode is not None
    return mode


def place_of(unit: EncodedUnit) -> LayerPlace:
    assert unit.place is not None
    return unit.place


def encoded(codec: str, mode: str, width: int = WIDTH, height: int = HEIGHT) -> list[list[EncodedUnit]]:
    settings = VideoSettings(bitrate_bps=500_000, scalability_mode=mode, threads=1)
    encoder = registry.video_encoder(codec, settings)
    made = [encoder.encode(picture(i, width, height), force_key_frame=i in (0, KEY)) for i in range(PICTURES)]
    encoder.close()
    return made


def decoded(codec: str, pictures: list[tuple[int, bytes]]) -> dict[int, av.VideoFrame]:
    """What is shown last of each picture, by number."""
    decoder = av.CodecContext.create("libdav1d" if codec == "av1" else codec, "r")
    shown = {}
    for number, data in [*pictures, (-1, b"")]:
        packet = av.Packet(data) if data else None
        if packet is not None:
            packet.pts = number
        for frame in decoder.decode(packet):  # type: ignore[attr-defined]
            shown[frame.pts] = frame
    return shown


@pytest.mark.parametrize(
    ("codec", "name"),
    [(codec, name) for codec in ("vp8", "av1") for name in TEMPORAL_MODES[1:]]
    + [("vp9", name) for name in TEMPORAL_MODES[1:] + SPATIAL_MODES],
)
def test_every_target_is_decoded_without_the_rest(codec: str, name: str) -> None:
    mode = mode_of(name)
    made = encoded(codec, name)
    steps = [step.temporal_id for step in mode.steps]
    for number, units in enumerate(made):
        position = (number if number < KEY else number - KEY) % len(steps)
        assert [place_of(u).spatial_id for u in units] == list(range(mode.spatial_layers))
        assert {place_of(u).temporal_id for u in units} == {steps[position]}
        assert [u.key_frame for u in units] == [i == 0 and number in (0, KEY) for i in range(len(units))]
    for spatial in range(mode.spatial_layers):
        whole: dict[int, av.VideoFrame] = {}
        for temporal in reversed(range(mode.temporal_layers)):
            kept = []
            for number, units in enumerate(made):
                if place_of(units[0]).temporal_id > temporal:
                    continue
                wanted = [u for u in units if is_needed(place_of(u), spatial)]
                kept.append((number, superframe([u.data for u in wanted])))
            shown = decoded(codec, kept)
            assert list(shown) == [number for number, _ in kept]
            whole = whole or shown
            for number, frame in shown.items():
                # to the last bit as if nothing had been left out
                assert np.array_equal(luma(frame), luma(whole[number]))
                top = made[number][spatial]
                assert (frame.width, frame.height) == (top.width, top.height)
                source = picture(number, WIDTH, HEIGHT)
                if spatial < mode.spatial_layers - 1:
                    source = source.reformat(frame.width, frame.height)
                assert psnr(source, frame) > LEAST_DB


@pytest.mark.parametrize(("width", "height"), [(WIDTH, HEIGHT), (48, 48), (640, 360)])
@pytest.mark.parametrize("mode", ["L1T2", "L1T3"])
def test_av1_pictures_depend_on_no_more_than_is_said(mode: str, width: int, height: int) -> None:
    """Each is decoded with those alone that its place names, and those that these need."""
    made = [unit for (unit,) in encoded("av1", mode, width, height)]
    whole = decoded("av1", [(number, unit.data) for number, unit in enumerate(made)])
    for number in range(len(made)):
        needed = [number]
        for each in needed:
            needed += [each - back for back in place_of(made[each]).differences]
        shown = decoded("av1", [(each, made[each].data) for each in sorted(set(needed))])
        assert np.array_equal(luma(shown[number]), luma(whole[number]))


def is_needed(place: LayerPlace, spatial: int) -> bool:
    """Whether the frame is, for this spatial layer: what lower layers only show themselves is left out."""
    return place.spatial_id == spatial or (place.spatial_id < spatial and place.serves_upper)


@pytest.mark.parametrize("codec", ["vp8", "vp9", "av1"])
def test_pictures_of_the_top_layer_are_said_to_be_of_no_use_to_others(codec: str) -> None:
    made = encoded(codec, "L1T3")
    assert [u.discardable for (u,) in made[:5]] == [False, True, False, True, False]


def test_the_modes_that_are_known() -> None:
    assert len(TEMPORAL_MODES) == 3
    assert len(SPATIAL_MODES) == 2 * 3 * 5
    for name in ("L4T1", "L1T4", "L1T2h", "L1T1_KEY", "l1t1", "S1T1", "", "S2T1_KEY", *SHIFTED_MODES):
        assert scalability_mode(name) is None
    assert scalability_mode("L3T1h") is mode_of("L3T1h")
    assert [float(mode_of("L3T1").scale(i)) for i in range(3)] == [0.25, 0.5, 1]


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_other_codecs_make_no_layers(codec: str) -> None:
    assert registry.scalability_modes(codec) == ("L1T1",)
    units = registry.video_encoder(codec, VideoSettings(scalability_mode="L1T3")).encode(picture(0))
    assert all(unit.place is None for unit in units)


def cut(codec: str, name: str) -> list[list[list[PayloadInfo]]]:
    """Of each picture, of each layer's frame, what its payloads say."""
    packetizer = registry.video_packetizer(codec, {})
    depacketizer = Vp8Depacketizer() if codec == "vp8" else Vp9Depacketizer()
    return [
        [
            [
                depacketizer.depacketize(payload)
                for payload in packetizer.packetize(
                    unit.data,
                    key_frame=unit.key_frame,
                    place=unit.place,
                    discardable=unit.discardable,
                    max_payload_bytes=300,
                )
            ]
            for unit in units
        ]
        for units in encoded(codec, name)
    ]


def test_vp8_payloads_tell_the_layer() -> None:
    pictures = [infos for (infos,) in cut("vp8", "L1T3")]
    for number, infos in enumerate(pictures):
        step = mode_of("L1T3").steps[(number if number < KEY else number - KEY) % 4]
        for info in infos:
            assert info.temporal_id == step.temporal_id
            assert info.layer_sync is (step.is_sync and step.temporal_id > 0)
            assert info.discardable is step.is_discardable
            assert info.picture_id == ((pictures[0][0].picture_id or 0) + number) & 0x7FFF
    lowest = [infos[0] for infos in pictures if infos[0].temporal_id == 0]
    assert [((i.tl0_pic_idx or 0) - (lowest[0].tl0_pic_idx or 0)) & 0xFF for i in lowest] == list(
        range(len(lowest))
    )


def test_vp9_payloads_tell_the_layers() -> None:
    pictures = cut("vp9", "L3T3_KEY")
    for number, layers in enumerate(pictures):
        is_key = number in (0, KEY)
        for spatial_id, infos in enumerate(layers):
            assert {info.spatial_id for info in infos} == {spatial_id}
            assert [info.continues for info in infos] == [False] + [True] * (len(infos) - 1)
            assert [info.continued for info in infos] == [True] * (len(infos) - 1) + [False]
            assert all(info.key_frame is (is_key and not spatial_id) for info in infos)
            assert infos[0].layer_count == (3 if is_key and not spatial_id else 1)
        first = layers[0][0]
        assert first.starts_frame
        assert len({info.picture_id for infos in layers for info in infos}) == 1
        if is_key:
            assert (first.width, first.height) == (WIDTH, HEIGHT)
        whole = Vp9Depacketizer().assemble([info for infos in layers for info in infos])
        assert len(superframe_frames(whole)) == 3
    ids = [layers[0][0].picture_id or 0 for layers in pictures]
    assert [(i - ids[0]) & 0x7FFF for i in ids] == list(range(PICTURES))


@pytest.mark.parametrize(("width", "height"), [(2, 2), (17, 9), (33, 21), (320, 2), (131, 77)])
def test_pictures_of_any_size_are_made_in_layers(width: int, height: int) -> None:
    settings = VideoSettings(bitrate_bps=200_000, scalability_mode="L3T3", threads=1)
    encoder = registry.video_encoder("vp9", settings)
    for i in range(6):
        units = encoder.encode(picture(i, width, height), force_key_frame=i == 4)
        assert [place_of(unit).spatial_id for unit in units] == [0, 1, 2]
        assert (units[-1].width, units[-1].height) == (width, height)
    # another size begins anew: spatial layers keep theirs
    (first, *_) = encoder.encode(picture(6, 64, 36))
    assert first.key_frame
    encoder.close()
