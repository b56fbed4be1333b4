"""The same pictures and sound become the same bytes each time: no encoder chooses by the time it takes."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import pytest

from rtcstack.codecs import registry
from rtcstack.codecs.coders.audio import AudioSettings
from rtcstack.codecs.coders.av_encoder import AvEncoder, recipes
from rtcstack.codecs.coders.video import VideoEncoder, VideoSettings
from rtcstack.codecs.coders.vpx_encoder import _SPEEDS
from rtcstack.errors import OperationError
from rtcstack.media.recording import raw
from rtcstack.media.testsources import ToneSource, test_picture

PICTURES = 80


def pictures(count: int = PICTURES) -> list[av.VideoFrame]:
    made = []
    for i in range(count):
        frame = test_picture(i * 7, 192, 128)
        frame.pts, frame.time_base = i, Fraction(1, 30)
        made.append(frame)
    return made


def encoded(encoder: VideoEncoder) -> list[bytes]:
    """What comes of pictures at a bit rate that changes, with a key frame in between."""
    made = []
    for i, frame in enumerate(pictures()):
        if i == PICTURES // 2:
            encoder.set_bitrate(100_000)
        made += [unit.data for unit in encoder.encode(frame, force_key_frame=i == 20)]
    encoder.close()
    return made


def settings() -> VideoSettings:
    return VideoSettings(bitrate_bps=400_000, parameters={"packetization-mode": "1"})


@pytest.mark.parametrize("codec", ["vp8", "vp9", "h264", "h265", "av1"])
def test_pictures(codec: str) -> None:
    try:
        first = encoded(registry.video_encoder(codec, settings()))
    except OperationError as exc:
        pytest.skip(str(exc))
    assert len(first) == PICTURES
    assert encoded(registry.video_encoder(codec, settings())) == first


@pytest.mark.parametrize("codec", ["vp8", "vp9"])
def test_pictures_through_ffmpeg(codec: str) -> None:
    try:
        first = encoded(AvEncoder(codec, settings()))
    except OperationError as exc:
        pytest.skip(str(exc))
    assert encoded(AvEncoder(codec, settings())) == first


def test_vp8_is_told_its_speed() -> None:
    """A positive one lets it choose by the time that it measures."""
    assert all(speed < 0 for speed in _SPEEDS["vp8"])
    for recipe in recipes("vp8"):
        assert int(recipe.options(settings(), 400_000, 1)["cpu-used"]) < 0
    assert int(raw._VIDEO_OPTIONS["libvpx"]["cpu-used"]) < 0


@pytest.mark.parametrize("codec", ["opus", "g722", "pcmu", "pcma"])
def test_sound(codec: str) -> None:
    def once() -> list[bytes]:
        encoder, tone = registry.audio_encoder(codec, AudioSettings()), ToneSource(440)
        made = [packet.data for i in range(100) for packet in encoder.encode(tone.make(i))]
        encoder.close()
        return made

    first = once()
    assert len(first) >= 99
    assert once() == first


@pytest.mark.parametrize(
    ("form", "codec"), [("webm", "libvpx"), ("webm", "libvpx-vp9"), ("matroska", "libx264")]
)
def test_recorded_pictures(form: str, codec: str) -> None:
    def once() -> list[bytes]:
        file = io.BytesIO()
        with av.open(file, "w", format=form) as container:
            writer = raw.RawVideoWriter(codec, 400_000)
            writer.open(container, pictures(1)[0], 0.0)
            for i, frame in enumerate(pictures()):
                writer.write(frame, i / 30)
            writer.flush()
        file.seek(0)
        with av.open(file) as container:
            return [bytes(packet) for packet in container.demux(video=0) if packet.size]

    first = once()
    assert len(first) == PICTURES
    assert once() == first
