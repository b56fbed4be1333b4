"""The judge of what peers see and hear: right things pass, wrong ones do not."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.judge import hear, see
from tests.support.media import (
    Card,
    Pictures,
    Sound,
    Tone,
    code_of,
    source_from_json,
    source_to_json,
)
from tests.support.w3c_media import card_frame, sine, thumbnail

CARD = Card()


def pictures(card: Card, numbers: list[int], *, rate: float | None = None) -> Pictures:
    """What a perfect transport brings of a card."""
    rate = card.frame_rate if rate is None else rate
    made = [card_frame(card, number) for number in numbers]
    return Pictures(
        card.width, card.height, [i / rate for i in range(len(made))], [thumbnail(one) for one in made]
    )


def sound(wave: Callable[[float], float], duration_s: float = 0.3, rate: int = 48000) -> Sound:
    """A wave, a function of the time in seconds."""
    samples = array("h", (round(32767 * wave(i / rate)) for i in range(int(rate * duration_s))))
    return Sound(rate, samples.tobytes())


def tone_of(tone: Tone) -> Callable[[float], float]:
    return lambda t: tone.level * math.sin(2 * math.pi * tone.frequency_hz * t)


@pytest.mark.parametrize("first", [0, 100, 4090])
@pytest.mark.parametrize("size", [(320, 240), (640, 480), (160, 120), (320, 180), (366, 206)])
def test_a_card_is_known(first: int, size: tuple[int, int]) -> None:
    card = replace(CARD, width=size[0], height=size[1])
    seen = see(pictures(card, list(range(first, first + 10))))
    assert seen.faults(card) == []
    assert list(seen.numbers) == [number % 4096 for number in range(first, first + 10)]


def test_pictures_may_be_left_out() -> None:
    assert see(pictures(CARD, [0, 1, 2, 4, 5, 6, 8, 9], rate=13)).faults(CARD) == []


def test_frozen_pictures_are_found() -> None:
    (fault,) = see(pictures(CARD, [7] * 10)).faults(CARD)
    assert "does not move" in fault


def test_pictures_that_go_back_are_found() -> None:
    assert any(
        "goes back" in fault for fault in see(pictures(CARD, [0, 1, 5, 3, 4, 2, 6, 7, 8, 9])).faults(CARD)
    )


def test_wrong_colours_are_found() -> None:
    other = Card(colours=CARD.colours[::-1])
    faults = see(pictures(other, list(range(10)))).faults(CARD)
    assert len(faults) == 4
    one = Card(colours=((200, 50, 120), *CARD.colours[1:]))
    (fault,) = see(pictures(one, list(range(10)))).faults(CARD)
    assert "upper left" in fault


def test_grey_pictures_are_found() -> None:
    # what is left when the colour planes are lost or in each other's place
    grey = Card(colours=((110,) * 3,) * 4)
    assert len(see(pictures(grey, list(range(10)))).faults(CARD)) == 4
    swapped = Card(colours=tuple((b, g, r) for r, g, b in CARD.colours))
    assert see(pictures(swapped, list(range(10)))).faults(CARD)


def test_another_size_is_found() -> None:
    half = replace(CARD, width=160, height=120)
    (fault,) = see(pictures(half, list(range(10)))).faults(CARD)
    assert "160x120" in fault
    assert see(pictures(half, list(range(10)))).faults(CARD, scaled_by=2) == []


def test_unreadable_numbers_are_found() -> None:
    made = pictures(CARD, list(range(10)))
    row = 64 * 3
    made.thumbs = [thumb[: 40 * row] + bytes((128,)) * (8 * row) for thumb in made.thumbs]
    (fault,) = see(made).faults(CARD)
    assert "readable" in fault


def test_noise_is_not_a_number() -> None:
    """One cell that is wrong is found by the check bits."""
    for number in (0, 1, 1234, 4095):
        code = code_of(number)
        for bit in range(16):
            assert code_of((code ^ 1 << bit) >> 4) != code ^ 1 << bit


def test_too_slow_and_too_fast_are_found() -> None:
    assert any("pace" in fault for fault in see(pictures(CARD, list(range(10)), rate=5)).faults(CARD))
    assert any("pace" in fault for fault in see(pictures(CARD, list(range(10)), rate=40)).faults(CARD))
    assert any(
        "a second" in fault for fault in see(pictures(CARD, list(range(0, 30, 3)), rate=5)).faults(CARD)
    )


def test_no_pictures_are_found() -> None:
    assert see(Pictures()).faults(CARD) == ["0 pictures"]
    assert see(pictures(CARD, [1, 2])).faults(CARD) == ["2 pictures"]


@pytest.mark.parametrize("frequency_hz", [200.0, 440.0, 1000.0, 3000.0])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_a_tone_is_known(frequency_hz: float, rate: int) -> None:
    tone = Tone(frequency_hz)
    assert hear(sound(tone_of(tone), rate=rate)).faults(tone) == []


def test_what_peers_play_is_the_tone() -> None:
    tone = Tone(440)
    assert hear(Sound(48000, b"".join(sine(tone, index) for index in range(40, 60)))).faults(tone) == []


def test_another_tone_is_found() -> None:
    for frequency_hz in (430.0, 450.0, 880.0, 220.0):
        (fault,) = hear(sound(tone_of(Tone(frequency_hz)))).faults(Tone(440))
        assert "instead of 440 Hz" in fault


def test_silence_is_found() -> None:
    for wave in (lambda _: 0.0, tone_of(Tone(440, level=0.005))):
        (fault,) = hear(sound(wave)).faults(Tone(440))
        assert "silence" in fault
    assert hear(Sound()).faults(Tone(440)) == ["only 0.00 s of sound"]


def test_gaps_and_noise_are_found() -> None:
    tone = tone_of(Tone(440))
    # every second frame of 20 ms is missing, or comes from somewhere else
    assert hear(sound(lambda t: tone(t) if int(t * 50) % 2 else 0.0)).faults(Tone(440))
    assert hear(sound(lambda t: tone(t + 0.0007 * int(t * 50)))).faults(Tone(440))
    assert hear(sound(lambda t: 0.5 * tone(t) + 0.2 * math.sin(9999 * t * t * 700))).faults(Tone(440))


def test_clipping_and_wrong_sample_formats_are_found() -> None:
    tone = tone_of(Tone(440))
    assert hear(sound(lambda t: math.copysign(0.5, tone(t)))).faults(Tone(440))
    good = sound(tone)
    data = array("h", good.samples)
    data.byteswap()
    assert hear(Sound(48000, data.tobytes())).faults(Tone(440))


def test_sources_go_to_other_processes() -> None:
    for source in (CARD, Card(width=64, height=64, frame_rate=5), Tone(1000, 0.1), None):
        assert source_from_json(source_to_json(source)) == source


def test_what_was_seen_comes_back_from_other_processes() -> None:
    seen, heard = pictures(CARD, [1, 2, 3]), sound(tone_of(Tone(440)))
    assert Pictures.from_json(seen.to_json()) == seen
    assert Sound.from_json(heard.to_json()) == heard
