"""The contract with the native libraries: each thing that a release may move has a test that names it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest

from rtcstack.codecs import registry
from rtcstack.codecs.coders.audio import AudioSettings
from rtcstack.codecs.coders.av_encoder import AvEncoder
from rtcstack.codecs.coders.opus import AvOpusDecoder, AvOpusEncoder
from rtcstack.codecs.coders.video import VideoSettings, threads_for
from rtcstack.codecs.native import library, opus, vpx
from rtcstack.codecs.native.vpx_structures import VpxConfig
from rtcstack.errors import OperationError, ParseError
from tests.unit.codecs.material import picture, tone

needs_vpx = pytest.mark.skipif(not vpx.available(), reason="libvpx cannot be called here")
needs_opus = pytest.mark.skipif(not opus.available(), reason="libopus cannot be called here")


@pytest.fixture
def no_libraries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in (vpx, opus):
        monkeypatch.setattr(module, "load", lambda _: None)
        module._library.cache_clear()
    yield
    for module in (vpx, opus):
        module._library.cache_clear()


def test_pyav_brings_the_libraries() -> None:
    assert vpx.available(), "PyAV's libvpx: not found, or of another layout"
    assert opus.available(), "PyAV's libopus: not found, or without a function"


def test_a_library_that_is_not_there() -> None:
    assert library.load("surely-not-a-library") is None


@needs_vpx
def test_vpx_defaults_stand_where_they_are_read() -> None:
    found = vpx._library()
    assert found is not None
    for interface in found.interfaces.values():
        config = VpxConfig()
        assert found.lib.vpx_codec_enc_config_default(interface, ctypes.byref(config), 0) == 0
        assert vpx._as_known(config)
        for name in ("g_w", "rc_target_bitrate", "rc_max_quantizer", "rc_buf_sz", "kf_min_dist"):
            before = getattr(config, name)
            setattr(config, name, before + 1)
            assert not vpx._as_known(config), name
            setattr(config, name, before)


@needs_vpx
@pytest.mark.parametrize("codec", ["vp8", "vp9"])
def test_vpx_packets_are_what_they_say(codec: str) -> None:
    encoder = vpx.Vpx(codec, 320, 240, bitrate_bps=400_000, speed=-10 if codec == "vp8" else 8)
    sent = [picture(i) for i in range(3)]
    for i, frame in enumerate(sent):
        y, u, v = frame.planes
        (packet,) = encoder.encode(
            (y.buffer_ptr, u.buffer_ptr, v.buffer_ptr),
            (y.line_size, u.line_size, v.line_size),
            i * 3000,
            3000,
            key_frame=i == 1,
        )
        assert packet.key_frame is (i < 2)
        assert not packet.discardable
        assert 0 < encoder.quantizer <= 63
    assert encoder.set_size(160, 120)
    assert not encoder.set_size(640, 480)
    encoder.close()
    encoder.close()


@needs_vpx
def test_vpx_refuses_what_it_cannot_do() -> None:
    with pytest.raises(OperationError, match="VP8"):
        vpx.Vpx("vp8", 0, 0, bitrate_bps=1, speed=-10)


@needs_vpx
@pytest.mark.parametrize("codec", ["vp8", "vp9"])
def test_vpx_with_threads_and_screens(codec: str) -> None:
    settings = VideoSettings(content="detail", threads=4)
    encoder, decoder = registry.video_encoder(codec, settings), registry.video_decoder(codec)
    for i in range(3):
        (unit,) = encoder.encode(picture(i, 640, 480))
        assert len(decoder.decode(unit.data)) == 1


@needs_opus
def test_opus_settings_reach_libopus() -> None:
    lib = opus._library()
    assert lib is not None
    encoder = opus.NativeOpusEncoder(48_000, 1, opus.Application.VOIP)
    asked = (
        (4003, lambda: encoder.set_bitrate(23_000), 23_000),
        (4011, lambda: encoder.set_complexity(3), 3),
        (4007, lambda: encoder.set_variable_bitrate(False), 0),
        (4013, lambda: encoder.set_in_band_fec(True, 17), 1),
        (4015, lambda: encoder.set_in_band_fec(True, 17), 17),
        (4017, lambda: encoder.set_dtx(True), 1),
        (4005, lambda: encoder.set_max_playback_rate(16_000), 1103),
    )
    for getter, change, expected in asked:
        change()
        value = ctypes.c_int32()
        assert lib.opus_encoder_ctl(encoder._encoder, getter, ctypes.byref(value)) == 0
        assert value.value == expected, getter
    with pytest.raises(OperationError):
        encoder.set_complexity(11)
    with pytest.raises(OperationError):
        encoder.encode(bytes(100), 50)
    encoder.close()
    encoder.close()


@needs_opus
def test_opus_decoder_refuses_lies() -> None:
    decoder = opus.NativeOpusDecoder(48_000, 2)
    room = ctypes.create_string_buffer(opus.MAX_DECODED_SAMPLES * 4)
    with pytest.raises(ParseError):
        decoder.decode(b"\x03\x00", ctypes.addressof(room), opus.MAX_DECODED_SAMPLES)
    decoder.reset()
    assert decoder.decode(None, ctypes.addressof(room), 960) == 960
    decoder.close()
    with pytest.raises(OperationError):
        opus.NativeOpusDecoder(44_100, 2)


@pytest.mark.usefixtures("no_libraries")
def test_without_them_pyav_does_it() -> None:
    encoder = registry.video_encoder("vp8", VideoSettings())
    assert isinstance(encoder, AvEncoder)
    assert len(encoder.encode(picture(0))) == 1
    sound = registry.audio_encoder("opus", AudioSettings())
    assert isinstance(sound, AvOpusEncoder)
    assert isinstance(registry.audio_decoder("opus"), AvOpusDecoder)
    assert len([p for i in range(5) for p in sound.encode(tone(i))]) >= 4
    with pytest.raises(OperationError, match="libvpx"):
        vpx.Vpx("vp8", 320, 240, bitrate_bps=1, speed=-10)
    with pytest.raises(OperationError, match="libopus"):
        opus.NativeOpusEncoder(48_000, 1, opus.Application.VOIP)


def test_threads_that_spin_leave_half_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, spinning, others in ((1, 1, 1), (2, 1, 2), (4, 2, 4), (16, 8, 8)):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        assert threads_for(3840, 2160, None, spins=True) == spinning
        assert threads_for(3840, 2160, None) == others
        assert threads_for(640, 480, 16, spins=True) == spinning
        assert threads_for(640, 480, 16) == 16
