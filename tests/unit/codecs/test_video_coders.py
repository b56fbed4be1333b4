"""Video: what is encoded is decoded again and looks the same; rates, sizes and damage change midway."""

from __future__ import annotations

import random
from fractions import Fraction

import av
import numpy as np
import pytest

from rtcstack.codecs import registry
from rtcstack.codecs.coders import vpx_encoder
from rtcstack.codecs.coders.av_encoder import AvEncoder
from rtcstack.codecs.coders.video import (
    MAX_ENLARGED_SIDE,
    EncodedUnit,
    FrameClock,
    FrameFitter,
    VideoEncoder,
    VideoSettings,
)
from rtcstack.codecs.coders.video_decoder import VideoDecoder
from rtcstack.errors import OperationError
from tests.unit.codecs.material import picture, psnr

CODECS = ("vp8", "vp9", "h264", "h265", "av1")
PARAMETERS = {"h264": {"packetization-mode": "1", "profile-level-id": "42e01f"}}


def settings_for(codec: str, bitrate_bps: int = 600_000) -> VideoSettings:
    return VideoSettings(bitrate_bps=bitrate_bps, parameters=PARAMETERS.get(codec, {}))


def encoder_for(codec: str, bitrate_bps: int = 600_000) -> VideoEncoder:
    return registry.video_encoder(codec, settings_for(codec, bitrate_bps))


def through_packets(codec: str, unit: EncodedUnit) -> bytes:
    """Cut into payloads and put together again, as on the way to a peer."""
    cut = registry.video_packetizer(codec, PARAMETERS.get(codec, {}))
    read = registry.video_depacketizer(codec)
    payloads = cut.packetize(unit.data, key_frame=unit.key_frame)
    infos = [read.depacketize(p) for p in payloads]
    assert infos[0].key_frame is unit.key_frame
    return read.assemble(infos)


@pytest.mark.parametrize("codec", CODECS)
def test_pictures_survive(codec: str) -> None:
    encoder, decoder = encoder_for(codec), registry.video_decoder(codec)
    sent = [picture(i) for i in range(12)]
    units = [unit for frame in sent for unit in encoder.encode(frame)]
    assert [u.key_frame for u in units] == [True] + [False] * 11
    assert [u.timestamp for u in units] == [i * 3000 for i in range(12)]
    got = [f for u in units for f in decoder.decode(through_packets(codec, u), u.timestamp)]
    assert [f.pts for f in got] == [i * 3000 for i in range(12)]
    assert min(psnr(a, b) for a, b in zip(sent, got, strict=True)) > 30
    encoder.close()


@pytest.mark.parametrize("codec", CODECS)
def test_key_frames_come_when_asked_for(codec: str) -> None:
    encoder = encoder_for(codec)
    keys = [u.key_frame for i in range(9) for u in encoder.encode(picture(i), force_key_frame=i in (4, 6))]
    assert keys == [i in (0, 4, 6) for i in range(9)]
    assert encoder.key_frames == 3


@pytest.mark.parametrize("codec", ["vp8", "vp9", "h264", "av1"])
def test_bit_rate_falls_without_a_storm_of_key_frames(codec: str) -> None:
    encoder = encoder_for(codec, 800_000)
    sizes = []
    for i in range(150):
        # an estimate that trembles, and falls to a fifth after a second
        encoder.set_bitrate((800_000 if i < 30 else 160_000) + (i % 7) * 3000)
        sizes.append(sum(len(u.data) for u in encoder.encode(picture(i, 480, 360))))
    before, after = sum(sizes[5:30]) / 25, sum(sizes[120:]) / 30
    assert after < before / 2
    assert after * 30 * 8 < 300_000
    assert encoder.key_frames <= (1 if codec in ("vp8", "vp9", "h264") else 2)


@pytest.mark.parametrize("codec", ["vp8", "vp9", "h264"])
def test_bit_rate_rises_without_a_key_frame(codec: str) -> None:
    if codec != "h264" and not vpx_encoder.available():
        pytest.skip("libvpx cannot be called here")
    encoder = encoder_for(codec, 100_000)
    sizes = []
    for i in range(120):
        encoder.set_bitrate(100_000 if i < 40 else 500_000)
        sizes.append(sum(len(u.data) for u in encoder.encode(picture(i, 480, 360))))
    assert sum(sizes[90:]) > 2 * sum(sizes[10:40])
    assert encoder.key_frames == 1


@pytest.mark.parametrize("codec", CODECS)
def test_resolution_changes_in_the_middle(codec: str) -> None:
    encoder, decoder = encoder_for(codec), registry.video_decoder(codec)
    sizes = [(320, 240)] * 2 + [(160, 120)] * 2 + [(480, 270)] * 2 + [(321, 241)] * 2
    for i, (width, height) in enumerate(sizes):
        sent = picture(i, width, height)
        (unit,) = encoder.encode(sent)
        if codec in ("h264", "h265", "av1"):
            width, height = width & ~1, height & ~1
        assert (unit.width, unit.height) == (width, height)
        (got,) = decoder.decode(unit.data, unit.timestamp)
        assert (got.width, got.height) == (width, height)
        assert psnr(sent.reformat(got.width, got.height), got) > 25
    assert decoder.failures == 0


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_other_pixel_formats_and_scaling(codec: str) -> None:
    settings = VideoSettings(scale_down_by=2.0, parameters=PARAMETERS.get(codec, {}))
    encoder, decoder = registry.video_encoder(codec, settings), registry.video_decoder(codec)
    for form in ("rgb24", "nv12", "yuv422p", "gray"):
        sent = picture(3).reformat(format=form)
        sent.pts, sent.time_base = None, Fraction(1, 30)  # type: ignore[assignment]
        (unit,) = encoder.encode(sent)
        (got,) = decoder.decode(unit.data)
        assert (got.width, got.height) == (160, 120)
        assert psnr(picture(3).reformat(160, 120), got) > 25


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_a_frame_belongs_to_the_one_who_gave_it(codec: str) -> None:
    frame = picture(1)
    before = bytes(frame.planes[0]), frame.pts, frame.time_base, frame.pict_type
    encoder_for(codec).encode(frame, force_key_frame=True)
    assert (bytes(frame.planes[0]), frame.pts, frame.time_base, frame.pict_type) == before


@pytest.mark.parametrize("codec", CODECS)
def test_damage_never_raises(codec: str) -> None:
    encoder = encoder_for(codec)
    units = [u.data for i in range(6) for u in encoder.encode(picture(i, 160, 120))]
    for seed in range(25):
        chance = random.Random(seed)
        decoder = registry.video_decoder(codec)
        for data in units:
            broken = bytearray(data)
            for _ in range(chance.randrange(1, 6)):
                broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
            if chance.random() < 0.3:
                del broken[chance.randrange(len(broken)) :]
            decoder.decode(bytes(broken), 0)
        decoder.decode(b"", 0)
        # a whole key frame heals it
        assert decoder.decode(units[0], 1, key_frame=True) or decoder.decode(units[1], 2)


@pytest.mark.parametrize("codec", CODECS)
def test_noise_never_raises(codec: str) -> None:
    decoder = registry.video_decoder(codec)
    chance = random.Random(codec)
    for _ in range(100):
        decoder.decode(chance.randbytes(chance.randrange(200)))
    assert decoder.frames_decoded == 0 or codec == "vp8"


def test_h264_claims_no_more_than_was_agreed() -> None:
    names = {"42e01f": "baseline", "4d001f": "main", "64001f": "high"}
    for profile, name in names.items():
        settings = VideoSettings(parameters={"profile-level-id": profile, "packetization-mode": "1"})
        (unit,) = registry.video_encoder("h264", settings).encode(picture(0))
        sps = unit.data[unit.data.index(b"\x00\x00\x01\x67") + 3 :]
        assert sps[1] == bytes.fromhex(profile)[0], name
        assert sps[3] <= 0x1F
        if name == "baseline":
            assert sps[2] & 0x40  # constrained


def test_h264_units_fit_packets_in_mode_0() -> None:
    settings = VideoSettings(bitrate_bps=4_000_000, parameters={"packetization-mode": "0"})
    encoder, decoder = registry.video_encoder("h264", settings), registry.video_decoder("h264")
    cut, read = registry.video_packetizer("h264", {}), registry.video_depacketizer("h264")
    count = 0
    for i in range(3):
        (unit,) = encoder.encode(picture(i, 640, 480))
        payloads = cut.packetize(unit.data)
        count += len(payloads)
        assert all(p[0] & 0x1F < 24 for p in payloads)
        (got,) = decoder.decode(read.assemble([read.depacketize(p) for p in payloads]))
        assert psnr(picture(i, 640, 480), got) > 30
    assert count > 6


def test_hardware_that_is_not_there_falls_back() -> None:
    settings = VideoSettings(implementation="h264_nvenc", parameters=PARAMETERS["h264"])
    encoder = registry.video_encoder("h264", settings)
    assert len(encoder.encode(picture(0))) == 1
    assert encoder.implementation == "libx264"


def test_what_cannot_be_opened_says_what_is_missing() -> None:
    with pytest.raises(OperationError, match="THEORA"):
        registry.video_encoder("theora", VideoSettings())
    with pytest.raises(OperationError, match="THEORA"):
        VideoDecoder("theora")
    with pytest.raises(OperationError, match="NOTHING"):
        AvEncoder("nothing", VideoSettings())
    assert registry.can_encode("vp8")
    assert not registry.can_encode("theora")
    assert registry.can_decode("h264")


def test_decoder_refuses_pictures_of_absurd_size() -> None:
    # a VP8 key frame of 16383x16383
    head = bytes.fromhex("5002009d012aff3fff3f") + bytes(200)
    decoder = registry.video_decoder("vp8")
    assert decoder.decode(head) == []
    assert decoder.failures == 1


def test_av_fallback_for_vp8() -> None:
    encoder = AvEncoder("vp8", VideoSettings(bitrate_bps=500_000))
    decoder = registry.video_decoder("vp8")
    for i in range(4):
        (unit,) = encoder.encode(picture(i))
        (got,) = decoder.decode(unit.data)
        assert psnr(picture(i), got) > 30


class TestFrameClock:
    def frame(self, pts: int | None, base: Fraction = Fraction(1, 1000)) -> av.VideoFrame:
        frame = av.VideoFrame(16, 16, "yuv420p")
        frame.pts, frame.time_base = pts, base  # type: ignore[assignment]
        return frame

    def test_time_grows_whatever_the_frames_say(self) -> None:
        clock = FrameClock()
        times = [clock.tick(self.frame(pts)) for pts in (0, 40, 40, 10, None, 80)]
        ticks = [t.timestamp for t in times if t is not None]
        assert len(ticks) == 6
        assert ticks == sorted(set(ticks))

    @pytest.mark.parametrize(("rate", "expected"), [(30, 30), (15, 15), (10, 10), (60, 30), (24, 24)])
    def test_frames_too_fast_are_left_out_evenly(self, rate: int, expected: int) -> None:
        clock = FrameClock(rate)
        kept = [i for i in range(300) if clock.tick(self.frame(i, Fraction(1, 30))) is not None]
        assert abs(len(kept) - expected * 10) <= 2

    def test_rate_is_that_of_the_frames(self) -> None:
        clock = FrameClock()
        for i in range(3):
            clock.tick(self.frame(i * 100))
        assert clock.frame_rate == 10


@pytest.mark.parametrize("codec", ["h264", "h265", "av1"])
def test_what_is_noted_of_a_frame_goes_with_its_unit(codec: str) -> None:
    if not registry.can_encode(codec):
        pytest.skip(f"no encoder of {codec}")
    encoder = AvEncoder(codec, VideoSettings())
    units = []
    for i in range(10):
        frame = picture(i)
        frame.opaque = {"number": i}
        units += encoder.encode(frame)
    assert len(units) >= 5
    for unit in units:
        assert unit.opaque == {"number": round(unit.timestamp / 3000)}


@pytest.mark.parametrize("form", ["yuv420p", "nv12"])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 5), (63, 64), (33, 200), (3, 16_384)])
def test_what_is_small_fills_what_it_is_enlarged_to(size: tuple[int, int], form: str) -> None:
    fitter = FrameFitter(form, 1.0, even=True, min_side=64)
    green = np.full((size[1], size[0], 3), (0, 200, 0), np.uint8)
    frame = av.VideoFrame.from_ndarray(green, format="rgb24")
    fitted = fitter.own(frame)
    assert fitted.format.name == form
    assert min(fitted.width, fitted.height) >= 64
    assert max(fitted.width, fitted.height) <= max(MAX_ENLARGED_SIDE + 2, *size)
    assert fitted.width % 2 == fitted.height % 2 == 0
    picture = fitted.to_ndarray(format="rgb24").astype(int)
    green = (picture[..., 1] > 150) & (picture[..., 0] < 60) & (picture[..., 2] < 60)
    black = picture.max(axis=2) < 40
    assert (green | black).mean() > 0.98, "nothing but the picture and its border"
    rows, columns = green.any(axis=1).sum(), green.any(axis=0).sum()
    assert rows == fitted.height or columns == fitted.width
    if max(size) / min(size) <= 8:
        assert green.all()
    # it stands in the middle
    assert np.array_equal(green, green[::-1, ::-1]) or max(size) / min(size) > 8


def test_pictures_that_are_scaled_down_to_less_than_the_least_are_not() -> None:
    fitter = FrameFitter("yuv420p", 16.0, even=True, min_side=64)
    fitted = fitter.own(av.VideoFrame(320, 180, "yuv420p"))
    assert (fitted.width, fitted.height) == (114, 64)
