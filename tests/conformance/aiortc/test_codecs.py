"""Coders under aiortc's names: what one makes, the other reads."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.compat.aiortc import RTCRtpCodecParameters, RTCRtpReceiver, RTCRtpSender
from rtcstack.compat.aiortc.codecs import (
    CODECS,
    Decoder,
    Encoder,
    depayload,
    get_decoder,
    get_encoder,
    h264,
    is_rtx,
    vpx,
)
from rtcstack.compat.aiortc.jitterbuffer import JitterFrame
from rtcstack.media.testsources import ToneSource, read_frame_number, test_picture

VIDEO = [each for each in CODECS["video"] if not is_rtx(each)][:2]


def test_codecs_stand_in_their_order() -> None:
    assert [str(each) for each in CODECS["audio"]] == ["opus/48000/2", "G722/8000", "PCMU/8000", "PCMA/8000"]
    names = [(each.name, each.parameters.get("profile-level-id")) for each in CODECS["video"]]
    assert names == [
        ("VP8", None),
        ("rtx", None),
        ("H264", "42001f"),
        ("rtx", None),
        ("H264", "42e01f"),
        ("rtx", None),
    ]
    numbers = {each.payloadType: each for each in CODECS["video"]}
    assert [numbers[each.parameters["apt"]].name for each in CODECS["video"] if is_rtx(each)] == [
        "VP8",
        "H264",
        "H264",
    ]
    for kind in ("audio", "video"):
        assert RTCRtpSender.getCapabilities(kind) == RTCRtpReceiver.getCapabilities(kind)
    uris = {each.uri for each in RTCRtpSender.getCapabilities("audio").headerExtensions}
    assert "urn:ietf:params:rtp-hdrext:sdes:mid" in uris


@pytest.mark.parametrize("codec", VIDEO, ids=lambda codec: codec.name)
def test_pictures_survive(codec: RTCRtpCodecParameters) -> None:
    encoder, decoder = get_encoder(codec), get_decoder(codec)
    assert isinstance(encoder, Encoder)
    assert isinstance(decoder, Decoder)
    numbers = []
    for i in range(5):
        picture = test_picture(i, 128, 128)
        picture.pts, picture.time_base = i, Fraction(1, 30)
        payloads, timestamp = encoder.encode(picture, force_keyframe=i == 3)
        assert timestamp == i * 3_000
        assert max(map(len, payloads)) <= 1_300
        data = b"".join(depayload(codec, payload) for payload in payloads)
        for frame in decoder.decode(JitterFrame(data, timestamp)):
            assert (frame.pts, frame.time_base) == (timestamp, Fraction(1, 90_000))
            numbers.append(read_frame_number(frame))  # type: ignore[arg-type]
    assert numbers == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("codec", CODECS["audio"], ids=lambda codec: codec.name)
def test_sound_survives(codec: RTCRtpCodecParameters) -> None:
    encoder, decoder = get_encoder(codec), get_decoder(codec)
    tone, heard = ToneSource(440), []
    for i in range(50):
        payloads, timestamp = encoder.encode(tone.make(i))
        assert len(payloads) <= 1
        for payload in payloads:
            heard += decoder.decode(JitterFrame(payload, timestamp))
    sounds: list[Any] = heard
    samples = np.concatenate([f.to_ndarray().reshape(f.samples, -1)[:, 0] for f in sounds[10:]]).astype(float)
    spectrum = np.abs(np.fft.rfft(samples))
    peak = np.fft.rfftfreq(len(samples), 1 / sounds[0].sample_rate)[spectrum.argmax()]
    assert peak == pytest.approx(440, abs=5)


@pytest.mark.parametrize("codec", VIDEO, ids=lambda codec: codec.name)
def test_packets_are_packed_as_they_are(codec: RTCRtpCodecParameters) -> None:
    made: Any = av.CodecContext.create("libx264" if codec.name == "H264" else "libvpx", "w")
    made.width, made.height, made.pix_fmt, made.time_base = 64, 64, "yuv420p", Fraction(1, 30)
    if codec.name == "H264":
        made.options = {"tune": "zerolatency", "preset": "ultrafast"}
    else:
        made.options = {"deadline": "realtime", "lag-in-frames": "0"}
    picture = test_picture(7, 64, 64)
    picture.pts, picture.time_base = 2, Fraction(1, 30)
    (packet,) = made.encode(picture)
    packet.pts, packet.time_base = 2, Fraction(1, 30)
    payloads, timestamp = get_encoder(codec).pack(packet)
    assert timestamp == 6_000
    data = b"".join(depayload(codec, payload) for payload in payloads)
    (frame,) = get_decoder(codec).decode(JitterFrame(data, timestamp))
    assert read_frame_number(frame) == 7  # type: ignore[arg-type]


@pytest.mark.parametrize(("module", "name"), [(h264, "H264Encoder"), (vpx, "Vp8Encoder")])
def test_rates_stay_within_what_the_module_says(
    module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = getattr(module, name)()
    assert encoder.target_bitrate == module.DEFAULT_BITRATE
    encoder.target_bitrate = 1
    assert encoder.target_bitrate == module.MIN_BITRATE
    encoder.target_bitrate = 1 << 40
    assert encoder.target_bitrate == module.MAX_BITRATE
    monkeypatch.setattr(module, "MAX_BITRATE", 7_000_000)
    encoder.target_bitrate = 6_000_000
    assert encoder.target_bitrate == 6_000_000
    monkeypatch.setattr(module, "DEFAULT_BITRATE", 4_000_000)
    assert getattr(module, name)().target_bitrate == 4_000_000


def test_what_nothing_codes() -> None:
    unknown = RTCRtpCodecParameters("audio/unknown", 8_000, channels=1, payloadType=100)
    for get in (get_encoder, get_decoder):
        with pytest.raises(ValueError, match="audio/unknown"):
            get(unknown)
    assert depayload(unknown, b"as it is") == b"as it is"


@given(st.binary(max_size=60))
def test_noise_is_refused_with_a_value_error(data: bytes) -> None:
    for codec in VIDEO:
        try:
            depayload(codec, data)
        except ValueError:
            continue
