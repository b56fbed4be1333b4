"""Audio: a tone survives each codec; gaps are concealed; silence is not sent."""

from __future__ import annotations

import random
from itertools import pairwise

import av
import numpy as np
import pytest

from rtcstack.codecs import registry
from rtcstack.codecs.coders.audio import AudioSettings, EncodedAudio, SampleCutter
from rtcstack.codecs.coders.opus import AvOpusDecoder, AvOpusEncoder, OpusDecoder, OpusEncoder
from rtcstack.codecs.payload.opus import parse_opus
from rtcstack.errors import OperationError
from tests.unit.codecs.material import loudest_hz, samples_of, tone

CODECS = {"opus": 48_000, "g722": 16_000, "pcmu": 8_000, "pcma": 8_000}
CLOCKS = {"opus": 48_000, "g722": 8_000, "pcmu": 8_000, "pcma": 8_000}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_survives(codec: str, channels: int) -> None:
    encoder = registry.audio_encoder(codec, AudioSettings(stereo=channels == 2))
    decoder = registry.audio_decoder(codec, channels=channels)
    packets = [p for i in range(50) for p in encoder.encode(tone(i, channels=channels))]
    clock = CLOCKS[codec]
    assert 48 <= len(packets) <= 50
    assert all(p.duration == clock // 50 for p in packets)
    assert [b.timestamp - a.timestamp for a, b in pairwise(packets)] == [clock // 50] * (len(packets) - 1)
    (unit,) = registry.audio_depacketizer(codec).split(packets[0].data)
    assert unit.duration == clock // 50
    frames = [f for p in packets if (f := decoder.decode(p.data)) is not None]
    assert all(f.sample_rate == CODECS[codec] for f in frames)
    wave = samples_of(frames)[CODECS[codec] // 5 :]
    assert abs(loudest_hz(wave, CODECS[codec]) - 440) < 5
    assert 5000 < np.abs(wave).max() < 10_000
    encoder.close()
    decoder.close()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("stereo", [False, True])
@pytest.mark.parametrize(
    ("rate", "layout", "form"),
    [
        (48_000, "stereo", "s16"),
        (48_000, "stereo", "fltp"),
        (16_000, "mono", "s16"),
        (44_100, "stereo", "s16p"),
    ],
)
def test_sound_of_any_form_survives(codec: str, stereo: bool, rate: int, layout: str, form: str) -> None:
    encoder = registry.audio_encoder(codec, AudioSettings(stereo=stereo))
    decoder = registry.audio_decoder(codec)
    source = av.AudioResampler(form, layout, rate, frame_size=rate // 50)
    frames = [frame for i in range(50) for frame in source.resample(tone(i))]
    packets = [packet for frame in frames for packet in encoder.encode(frame)]
    heard = [f for packet in packets if (f := decoder.decode(packet.data)) is not None]
    wave = samples_of(heard)[CODECS[codec] // 5 :]
    assert abs(loudest_hz(wave, CODECS[codec]) - 440) < 5
    assert 5000 < np.abs(wave).max() < 12_000
    encoder.close()
    decoder.close()


@pytest.mark.parametrize("ptime_ms", [2.5, 5, 10, 20, 40, 60])
def test_opus_packets_are_as_long_as_asked_for(ptime_ms: float) -> None:
    encoder = registry.audio_encoder("opus", AudioSettings(ptime_ms=ptime_ms))
    packets = [p for i in range(12) for p in encoder.encode(tone(i))]
    assert len(packets) == int(240 / ptime_ms)
    assert all(parse_opus(p.data).duration == int(ptime_ms * 48) == p.duration for p in packets)


def test_opus_has_no_packets_of_30_ms() -> None:
    with pytest.raises(OperationError, match="30 ms"):
        registry.audio_encoder("opus", AudioSettings(ptime_ms=30))


def test_opus_bit_rate_changes_while_it_runs() -> None:
    encoder = registry.audio_encoder("opus", AudioSettings(bitrate_bps=96_000, variable_bitrate=False))
    before = sum(len(p.data) for i in range(25) for p in encoder.encode(tone(i)))
    encoder.set_bitrate(24_000)
    after = sum(len(p.data) for i in range(25, 50) for p in encoder.encode(tone(i)))
    assert after < before / 3


def test_opus_does_not_send_silence_with_dtx() -> None:
    encoder = registry.audio_encoder("opus", AudioSettings(dtx=True))
    silent = [tone(i, level=0) for i in range(60)]
    packets = [p for frame in silent for p in encoder.encode(frame)]
    assert len(packets) < 30
    assert packets[0].starts_talk
    again = [p for i in range(60, 70) for p in encoder.encode(tone(i))]
    assert again[0].starts_talk
    assert again[0].timestamp == 60 * 960
    assert not again[1].starts_talk


def noise(index: int, chance: np.random.Generator) -> av.AudioFrame:
    """Something like speech: noise that comes and goes."""
    frame = tone(index, hz=180, level=4000)
    wave = samples_of([frame]).astype(np.float64)
    wave = wave * (1 + np.sin(index)) / 2 + chance.normal(0, 600, len(wave))
    frame.planes[0].update(wave.clip(-32768, 32767).astype(np.int16).tobytes())
    return frame


@pytest.mark.parametrize(("bitrate_bps", "content"), [(24_000, "speech"), (None, "")])
def test_opus_packets_carry_the_one_before(bitrate_bps: int | None, content: str) -> None:
    """Under losses, that is; whatever the encoder is tuned for while there are none."""
    chance = np.random.default_rng(1)
    encoder = registry.audio_encoder("opus", AudioSettings(bitrate_bps, content=content))
    encoder.set_packet_loss(20)
    frames = [noise(i, chance) for i in range(60)]
    packets = [p for f in frames for p in encoder.encode(f)]
    assert sum(parse_opus(p.data).has_fec for p in packets) > 20
    without = registry.audio_encoder("opus", AudioSettings(bitrate_bps=24_000, in_band_fec=False))
    assert not any(parse_opus(p.data).has_fec for f in frames for p in without.encode(f))


def test_opus_fec_is_closer_than_concealment() -> None:
    chance = np.random.default_rng(1)
    encoder = OpusEncoder(
        AudioSettings(bitrate_bps=32_000, in_band_fec=True, packet_loss_percent=20, content="speech")
    )
    packets = [p for i in range(100) for p in encoder.encode(noise(i, chance))]
    lost = [i for i in range(10, 95) if parse_opus(packets[i + 1].data).has_fec][::8]
    assert len(lost) > 3

    def run(how: str) -> np.ndarray:  # type: ignore[type-arg]
        decoder = OpusDecoder(1)
        out: list[av.AudioFrame] = []
        for i, packet in enumerate(packets):
            if i not in lost or how == "whole":
                frame = decoder.decode(packet.data)
            elif how == "fec":
                frame = decoder.decode_fec(packets[i + 1].data, 960)
            else:
                frame = decoder.conceal(960)
            assert frame is not None
            assert frame.samples == 960
            out.append(frame)
        return samples_of(out).astype(np.float64)

    whole, fec, concealed = run("whole"), run("fec"), run("conceal")
    at = np.concatenate([np.arange(i * 960, i * 960 + 960) for i in lost])
    assert np.mean((whole[at] - fec[at]) ** 2) < np.mean((whole[at] - concealed[at]) ** 2)


@pytest.mark.parametrize("codec", CODECS)
def test_a_gap_does_not_click(codec: str) -> None:
    rate, clock = CODECS[codec], CLOCKS[codec]
    encoder, decoder = (
        registry.audio_encoder(codec, AudioSettings()),
        registry.audio_decoder(codec, channels=1),
    )
    packets = [p for i in range(30) for p in encoder.encode(tone(i, hz=300))]
    frames: list[av.AudioFrame] = []
    for i, packet in enumerate(packets):
        frame = decoder.conceal(clock // 50) if i in (15, 16) else decoder.decode(packet.data)
        assert frame is not None
        assert frame.samples == rate // 50
        frames.append(frame)
    wave = samples_of(frames).astype(np.int32)
    around = wave[13 * rate // 50 : 20 * rate // 50]
    steepest = 8000 * 2 * np.pi * 300 / rate
    assert np.abs(np.diff(around)).max() < 2.5 * steepest
    # the first lost packet is heard, not silent
    assert np.abs(wave[15 * rate // 50 : 16 * rate // 50]).max() > 3000
    # and a long gap ends in silence
    for _ in range(100):
        last = decoder.conceal(clock // 50)
    assert np.abs(samples_of([last])).max() < 200


@pytest.mark.parametrize("codec", CODECS)
def test_noise_never_raises(codec: str) -> None:
    decoder = registry.audio_decoder(codec)
    chance = random.Random(codec)
    for _ in range(200):
        decoder.decode(chance.randbytes(chance.randrange(300)))
        decoder.decode_fec(chance.randbytes(chance.randrange(300)), 960)
    assert decoder.decode(b"") is None


def test_pyav_alone_also_does_opus() -> None:
    encoder, decoder = AvOpusEncoder(AudioSettings()), AvOpusDecoder(1)
    packets = [p for i in range(30) for p in encoder.encode(tone(i))]
    frames = [f for p in packets if (f := decoder.decode(p.data)) is not None]
    assert abs(loudest_hz(samples_of(frames)[9600:], 48_000) - 440) < 5
    assert decoder.conceal(960).samples == 960


class TestG711:
    def test_codes_of_the_recommendation(self) -> None:
        # G.711, tables 1 and 2: silence, the loudest, and a value between
        mu, a = registry.audio_decoder("pcmu"), registry.audio_decoder("pcma")

        def values(decoder: object, codes: bytes) -> list[int]:
            frame = decoder.decode(codes)  # type: ignore[attr-defined]
            return samples_of([frame]).tolist()

        assert values(mu, bytes((0xFF, 0x80, 0x00, 0xF0, 0x7F))) == [0, 32124, -32124, 120, 0]
        assert values(a, bytes((0xD5, 0x55, 0xAA, 0x2A))) == [8, -8, 32256, -32256]

    @pytest.mark.parametrize("codec", ["pcmu", "pcma"])
    def test_every_code_is_its_own_inverse(self, codec: str) -> None:
        frame = registry.audio_decoder(codec).decode(bytes(range(256)))
        assert frame is not None
        encoder = registry.audio_encoder(codec, AudioSettings(ptime_ms=32))
        (packet,) = encoder.encode(frame)
        differ = [i for i, code in enumerate(packet.data) if code != i]
        assert differ in ([], [0x7F])  # mu-law has two zeros

    @pytest.mark.parametrize("codec", ["pcmu", "pcma"])
    def test_as_ffmpeg_reads_it(self, codec: str) -> None:
        context = av.CodecContext.create({"pcmu": "pcm_mulaw", "pcma": "pcm_alaw"}[codec], "r")
        context.sample_rate, context.layout = 8000, "mono"  # type: ignore[attr-defined]
        (theirs,) = context.decode(av.Packet(bytes(range(256))))  # type: ignore[attr-defined]
        ours = registry.audio_decoder(codec).decode(bytes(range(256)))
        assert ours is not None
        assert samples_of([ours]).tolist() == samples_of([theirs]).tolist()


class TestSampleCutter:
    def test_pieces_of_any_frames(self) -> None:
        cutter = SampleCutter(48_000, 1, 960)
        chance = random.Random(1)
        whole = samples_of([tone(i) for i in range(20)])
        at, pieces = 0, []
        while at < len(whole):
            size = min(chance.randrange(1, 3000), len(whole) - at)
            frame = av.AudioFrame("s16", "mono", size)
            frame.planes[0].update(whole[at : at + size].tobytes())
            frame.sample_rate, frame.pts = 48_000, at
            pieces += [(t, bytes(p)) for t, p in cutter.cut(frame)]
            at += size
        assert [t for t, _ in pieces] == [i * 960 for i in range(20)]
        assert b"".join(p for _, p in pieces) == whole.tobytes()

    def test_a_jump_in_time_begins_anew(self) -> None:
        cutter = SampleCutter(48_000, 1, 960)
        half = av.AudioFrame("s16", "mono", 480)
        half.sample_rate, half.pts = 48_000, 0
        assert cutter.cut(half) == []
        late = tone(100)
        assert [t for t, _ in cutter.cut(late)] == [96_000]

    def test_small_errors_of_time_do_not(self) -> None:
        cutter = SampleCutter(48_000, 1, 960)
        times = []
        for i in range(10):
            frame = tone(i)
            frame.pts = i * 960 + (i % 3) * 40
            times += [t for t, _ in cutter.cut(frame)]
        assert times == [i * 960 for i in range(10)]

    def test_rate_and_layout_are_converted(self) -> None:
        cutter = SampleCutter(8_000, 1, 160)
        pieces = [p for i in range(25) for p in cutter.cut(tone(i, rate=44_100, samples=882, channels=2))]
        assert 23 <= len(pieces) <= 25
        assert all(len(p) == 320 for _, p in pieces)

    def test_endless_frames_are_refused(self) -> None:
        cutter = SampleCutter(48_000, 1, 960)
        with pytest.raises(OperationError):
            cutter.cut(av.AudioFrame("s16", "mono", 1_000_000))


def test_what_the_peer_asks_for() -> None:
    made = registry.audio_settings(
        AudioSettings(bitrate_bps=64_000),
        {
            "stereo": "1",
            "useinbandfec": "1",
            "maxaveragebitrate": "40000",
            "ptime": "40",
            "usedtx": "1",
            "cbr": "1",
            "maxplaybackrate": "16000",
            "minptime": "10",
        },
    )
    assert made == AudioSettings(40_000, 40, True, True, 0, True, False, 6, "", 16_000)
    strange = registry.audio_settings(
        AudioSettings(), {"ptime": "x", "maxaveragebitrate": "9" * 30, "maxptime": "-1"}
    )
    assert strange == AudioSettings(in_band_fec=False)
    assert isinstance(registry.audio_encoder("opus", made).encode(tone(0)), list)
    assert EncodedAudio(b"", 0, 0).starts_talk is False
