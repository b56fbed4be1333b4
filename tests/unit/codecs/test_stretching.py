"""Time that is stretched: what is heard is the same, only longer or shorter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.codecs.coders.stretching import MAX_LAG_S, MIN_LAG_S, TimeStretch

RATE = 48_000
FRAME = 960

Samples = npt.NDArray[np.int16]


def seconds(count: float, rate: int = RATE) -> npt.NDArray[np.float64]:
    return np.arange(int(count * rate)) / rate


def tone(frequency: float, length_s: float, rate: int = RATE, phase: float = 0.0) -> Samples:
    return (10_000 * np.sin(2 * np.pi * frequency * seconds(length_s, rate) + phase)).astype(np.int16)


def voice(pitch: float, length_s: float) -> Samples:
    """Harmonics of one pitch under three formants, as of a vowel."""
    at = seconds(length_s)
    heard = np.zeros(len(at))
    for number in range(1, int(4_000 / pitch)):
        frequency = number * pitch
        gain = sum(
            1 / (1 + ((frequency - f) / width) ** 2) for f, width in ((700, 100), (1220, 120), (2600, 160))
        )
        heard += (gain + 0.01) * np.sin(2 * np.pi * frequency * at + 0.3 * number * number)
    return np.asarray(heard / np.abs(heard).max() * 10_000, np.int16)


def noise(length_s: float, seed: int = 1) -> Samples:
    return np.random.default_rng(seed).normal(0, 3_000, int(length_s * RATE)).astype(np.int16)


def stretched(
    samples: Samples,
    ask: Callable[[TimeStretch, int], Callable[..., bytes | None] | None],
    *,
    rate: int = RATE,
    frame: int = FRAME,
    urgent: bool = False,
) -> tuple[Samples, int]:
    """Sound whose frames are stretched as `ask` says of each; and of how many that was done."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    stretch = TimeStretch(rate, channels)
    out, done = [], 0
    for number in range(len(samples) // frame):
        data = samples[number * frame : (number + 1) * frame].tobytes()
        change = ask(stretch, number)
        changed = None if change is None else change(data, urgent=urgent)
        if changed is not None:
            done += 1
            by = abs(len(changed) - len(data)) / (2 * channels)
            assert MIN_LAG_S * rate - 1 <= by <= MAX_LAG_S * rate
        out.append(np.frombuffer(data if changed is None else changed, np.int16))
    return np.concatenate(out).reshape(-1, channels).squeeze(), done


def often(stretch: TimeStretch, number: int) -> Callable[..., bytes | None] | None:
    """Both, one after the other, far more often than anybody plays."""
    return (stretch.shorten, stretch.lengthen)[number // 3 % 2] if number % 3 == 0 else None


def shorter(stretch: TimeStretch, number: int) -> Callable[..., bytes | None] | None:
    return stretch.shorten if number % 3 == 0 else None


def longer(stretch: TimeStretch, number: int) -> Callable[..., bytes | None] | None:
    return stretch.lengthen if number % 3 == 0 else None


WAYS = [often, shorter, longer]


def peak_hz(samples: Samples, rate: int = RATE) -> float:
    """The strongest frequency, by a parabola through the bins around it."""
    spectrum = np.log(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) + 1e-9)
    at = int(spectrum.argmax())
    a, b, c = spectrum[at - 1 : at + 2]
    return float((at + (a - c) / (2 * (a - 2 * b + c))) * rate / len(samples))


def roughness(samples: Samples) -> float:
    """The largest second difference: a click is one, a wave has little."""
    return float(np.abs(np.diff(samples.astype(np.int64), 2)).max())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("frequency", [110, 440, 1000])
def test_a_tone_stays_the_tone_without_clicks(frequency: float, way: Callable[..., None]) -> None:
    clean = tone(frequency, 4)
    heard, done = stretched(clean, way)
    assert done > 50
    assert abs(peak_hz(heard) - frequency) < 1
    assert roughness(heard) < 1.5 * roughness(clean) + 8
    # what is not the tone is far below it
    spectrum = np.abs(np.fft.rfft(heard * np.blackman(len(heard)))) ** 2
    at = int(spectrum.argmax())
    near = spectrum[max(0, at - 200) : at + 200].sum()
    assert spectrum.sum() - near < 0.01 * near


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pitch", [75, 100, 140, 220, 330])
def test_a_voice_keeps_its_pitch(pitch: float, way: Callable[..., None]) -> None:
    clean = voice(pitch, 4)
    heard, done = stretched(clean, way)
    assert done > 50
    lags = np.arange(int(RATE / 450), int(RATE / 60))
    middle = heard[RATE : RATE + 4 * RATE // 10].astype(float)
    likeness = [float(np.dot(middle[:-lag], middle[lag:]) / (len(middle) - lag)) for lag in lags]
    best = max(likeness)
    # of all periods that fit, the shortest is that of the voice
    period = next(
        int(lag)
        for lag, like, before, after in zip(
            lags[1:], likeness[1:], likeness, [*likeness[2:], 0.0], strict=False
        )
        if like > 0.85 * best and like >= before and like >= after
    )
    assert RATE / period == pytest.approx(pitch, rel=0.02)
    assert roughness(heard) < 1.5 * roughness(clean)


@pytest.mark.parametrize("way", WAYS)
def test_noise_keeps_its_energy(way: Callable[..., None]) -> None:
    clean = noise(4)
    heard, done = stretched(clean, way)
    assert done > 50
    assert np.mean(heard.astype(float) ** 2) == pytest.approx(np.mean(clean.astype(float) ** 2), rel=0.015)
    # and in no place is there more or less of it, over 5 ms
    power = np.mean(heard[: len(heard) // 240 * 240].astype(float).reshape(-1, 240) ** 2, axis=1)
    assert power.min() > 0.4 * 3_000**2
    assert power.max() < 2.5 * 3_000**2


@pytest.mark.parametrize("way", WAYS)
def test_channels_keep_their_phase(way: Callable[..., None]) -> None:
    left, right = tone(440, 4), tone(440, 4, phase=1.0)
    heard, done = stretched(np.stack([left, right], axis=1), way)
    assert done > 50
    spectra = [np.fft.rfft(heard[:, channel] * np.hanning(len(heard))) for channel in (0, 1)]
    at = int(np.abs(spectra[0]).argmax())
    assert np.angle(spectra[1][at] / spectra[0][at]) == pytest.approx(1.0, abs=0.01)
    # at every moment, too: the sum of what is left out of step would be heard
    delayed = heard[:, 0] * np.cos(1.0) + np.sin(1.0) * 10_000 * np.sqrt(
        np.maximum(0, 1 - (heard[:, 0] / 10_000) ** 2)
    )
    other = heard[:, 0] * np.cos(1.0) - np.sin(1.0) * 10_000 * np.sqrt(
        np.maximum(0, 1 - (heard[:, 0] / 10_000) ** 2)
    )
    apart = np.minimum(np.abs(heard[:, 1] - delayed), np.abs(heard[:, 1] - other))
    assert np.quantile(apart, 0.999) < 1_500


def test_silence_is_cut_freely_and_by_much() -> None:
    stretch = TimeStretch(RATE, 1)
    data = bytes(2 * FRAME)
    assert len(stretch.shorten(data) or b"") == len(data) - 2 * round(MAX_LAG_S * RATE)
    assert len(stretch.lengthen(data) or b"") == len(data) + 2 * round(MAX_LAG_S * RATE)


def test_the_beginning_of_something_is_left_alone_unless_it_is_urgent() -> None:
    stretch = TimeStretch(RATE, 1)
    onset = noise(0.02).astype(float) * np.concatenate([np.full(FRAME // 2, 0.02), np.ones(FRAME // 2)])
    data = onset.astype(np.int16).tobytes()
    assert stretch.shorten(data) is None
    assert stretch.lengthen(data) is None
    assert len(stretch.shorten(data, urgent=True) or data) < len(data)
    assert len(stretch.lengthen(data, urgent=True) or data) > len(data)


@pytest.mark.parametrize(
    ("rate", "frame"), [(8_000, 160), (16_000, 320), (48_000, 240), (48_000, 480), (48_000, 2880)]
)
def test_other_forms(rate: int, frame: int) -> None:
    clean = tone(400, 2, rate)
    heard, done = stretched(clean, often, rate=rate, frame=frame)
    assert done > 10
    assert abs(peak_hz(heard, rate) - 400) < 1
    assert roughness(heard) < 1.5 * roughness(clean) + 200


@given(
    data=st.binary(max_size=4 * 3_000),
    channels=st.sampled_from([1, 2]),
    rate=st.sampled_from([8_000, 16_000, 48_000]),
    urgent=st.booleans(),
)
def test_any_samples_are_stretched_within_bounds_or_left_alone(
    data: bytes, channels: int, rate: int, urgent: bool
) -> None:
    data = data[: len(data) // (2 * channels) * 2 * channels]
    stretch = TimeStretch(rate, channels)
    for change, sign in ((stretch.shorten, -1), (stretch.lengthen, 1)):
        out = change(data, urgent=urgent)
        if out is not None:
            by = (len(out) - len(data)) * sign / (2 * channels)
            assert MIN_LAG_S * rate - 1 <= by <= MAX_LAG_S * rate
            assert len(out) % (2 * channels) == 0


def test_the_loudest_sound_does_not_overflow() -> None:
    loud = (np.sign(np.sin(2 * np.pi * 200 * seconds(1) + 0.1)) * 32_767).astype(np.int16)
    heard, done = stretched(loud, often)
    assert done
    assert np.abs(heard.astype(int)).max() <= 32_767
    ups = np.count_nonzero(np.diff(heard.astype(int)) > 40_000)
    assert ups == pytest.approx(200, abs=12)
