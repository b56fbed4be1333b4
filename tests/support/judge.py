"""Judges what a peer saw and heard: is it the card, is it the tone, does it move, is it whole.

The tolerances are what codecs do to a small picture and a sine at their usual bit rates, and what
browsers do to colours (BT.601 read as BT.709 moves a channel by up to 30).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.support.media import (
    CELLS,
    THUMB_HEIGHT,
    THUMB_WIDTH,
    Card,
    Colour,
    Looks,
    Pictures,
    Sound,
    Tone,
    code_of,
    strip_top,
)

__all__ = [
    "Heard",
    "Seen",
    "expect_black",
    "expect_card",
    "expect_no_pictures",
    "expect_silence",
    "expect_tone",
    "hear",
    "see",
]

COLOUR_TOLERANCE = 45
"""How far a channel of a quarter may be off: half of what any two colours of a card differ by."""

READABLE = 0.7
"""The part of the pictures whose number must be readable."""

PACE = (0.6, 1.5)
"""How fast the numbers may go, by the card's frame rate: slower than real time is a queue that grows."""

RATE = 0.5
"""The part of the card's frame rate that must arrive: encoders skip pictures on a busy machine."""

PURITY = 0.9
"""The part of a sound's energy that must be in its tone."""

QUIET = 0.005
"""Below this level it is silence: G.711's smallest step is 0.0003, comfort noise more."""

LOUD = 0.02

EXPECT_S = 15.0
"""How long pictures and tones may take to become right."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What some pictures show."""

    width: int
    height: int
    pictures: int
    colours: tuple[Colour, ...]
    """Of the four quarters, the mean of all pictures."""
    numbers: tuple[int, ...]
    """Those that could be read, in the order of arrival."""
    duration_s: float
    """From the first picture to the last."""

    def faults(self, card: Card, *, scaled_by: float = 1.0) -> list[str]:
        """How this differs from a card that is being sent; nothing when it does not."""
        if self.pictures < 3:
            return [f"{self.pictures} pictures"]
        faults = []
        size = round(card.width / scaled_by), round(card.height / scaled_by)
        if (self.width, self.height) != size:
            faults.append(f"{self.width}x{self.height} instead of {size[0]}x{size[1]}")
        for name, seen, sent in zip(
            ("upper left", "upper right", "lower left", "lower right"),
            self.colours,
            card.colours,
            strict=True,
        ):
            if max(abs(a - b) for a, b in zip(seen, sent, strict=True)) > COLOUR_TOLERANCE:
                faults.append(f"{name} is {seen} instead of {sent}")
        if len(self.numbers) < max(3, READABLE * self.pictures):
            return [*faults, f"only {len(self.numbers)} of {self.pictures} numbers are readable"]
        steps = [(b - a + 2048) % 4096 - 2048 for a, b in zip(self.numbers, self.numbers[1:], strict=False)]
        if min(steps) < 0:
            faults.append(f"goes back: {self.numbers}")
        if sum(steps) == 0:
            return [*faults, f"does not move: {self.numbers}"]
        pace = sum(steps) / max(self.duration_s, 0.001) / card.frame_rate
        if not PACE[0] <= pace <= PACE[1]:
            faults.append(f"moves at {pace:.2f} of its pace: {self.numbers} in {self.duration_s:.2f} s")
        different = 1 + sum(step > 0 for step in steps)
        rate = different / max(self.duration_s, 0.001)
        if rate < RATE * card.frame_rate:
            faults.append(f"{rate:.1f} pictures a second instead of {card.frame_rate}")
        return faults


@dataclass(frozen=True, slots=True)
class Heard:
    """What a sound is."""

    duration_s: float
    level: float
    """Root of the mean square, of 1."""
    frequency_hz: float
    """Of the strongest tone."""
    purity: float
    """The part of the energy that is in it."""

    def faults(self, tone: Tone) -> list[str]:
        """How this differs from a tone that is being sent; nothing when it does not."""
        faults = []
        if self.duration_s < 0.15:
            return [f"only {self.duration_s:.2f} s of sound"]
        if self.level < LOUD:
            return [f"silence (level {self.level:.4f})"]
        if abs(self.frequency_hz - tone.frequency_hz) > 3 + 0.005 * tone.frequency_hz:
            faults.append(f"{self.frequency_hz:.1f} Hz instead of {tone.frequency_hz:g} Hz")
        if self.purity < PURITY:
            faults.append(f"only {self.purity:.0%} of the sound is the tone")
        return faults


def see(pictures: Pictures) -> Seen:
    """Look at pictures."""
    colours: list[npt.NDArray[Any]] = []
    numbers = []
    for thumb in pictures.thumbs:
        picture = np.frombuffer(thumb, np.uint8).reshape(THUMB_HEIGHT, THUMB_WIDTH, 3).astype(float)
        colours.append(_quarters(picture))
        number = _number(picture)
        if number is not None:
            numbers.append(number)
    mean = np.mean(colours, axis=0) if colours else np.zeros((4, 3))
    times = pictures.times_s
    return Seen(
        pictures.width,
        pictures.height,
        len(pictures.thumbs),
        tuple((int(red), int(green), int(blue)) for red, green, blue in mean),
        tuple(numbers),
        times[-1] - times[0] if times else 0.0,
    )


def _quarters(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The mean colour of the middle of each quarter: a codec smears across the borders."""
    lines, columns = strip_top(THUMB_HEIGHT) // 2, THUMB_WIDTH // 2
    means = []
    for top in (0, lines):
        for left in (0, columns):
            middle = picture[top + 4 : top + lines - 4, left + 6 : left + columns - 6]
            means.append(middle.mean(axis=(0, 1)))
    return np.array(means)


def _number(picture: npt.NDArray[Any]) -> int | None:
    """The number in the strip, None when it does not fit its check bits or the cells are not clear."""
    cell = THUMB_WIDTH // CELLS
    strip = picture[strip_top(THUMB_HEIGHT) + 2 : THUMB_HEIGHT - 2].mean(axis=(0, 2))
    code = 0
    for i in range(CELLS):
        value = strip[i * cell + 1 : (i + 1) * cell - 1].mean()
        if 90 < value < 165:
            return None
        code = code << 1 | int(value > 127)
    number = code >> 4
    return number if code_of(number) == code else None


def hear(sound: Sound) -> Heard:
    """Listen to a sound."""
    samples = np.frombuffer(sound.samples, np.int16).astype(float) / 32768
    count = len(samples)
    if count < 64 or not sound.sample_rate:
        return Heard(0.0, 0.0, 0.0, 0.0)
    level = float(np.sqrt(np.mean(samples**2)))
    duration = count / sound.sample_rate
    if level < 1e-6:
        return Heard(duration, level, 0.0, 0.0)
    spectrum = np.abs(np.fft.rfft((samples - samples.mean()) * np.hanning(count))) ** 2
    peak = int(spectrum.argmax())
    around = slice(max(0, peak - 3), peak + 4)
    # the window spreads a sine over these bins: their middle is finer than a bin
    bins = np.arange(len(spectrum))[around]
    middle = float((bins * spectrum[around]).sum() / spectrum[around].sum())
    purity = float(spectrum[around].sum() / spectrum.sum())
    return Heard(duration, level, middle * sound.sample_rate / count, purity)


async def _expect(attempt: Callable[[], Awaitable[list[str]]], what: str, timeout_s: float) -> None:
    """Try until there are no faults; nothing is right at once, and what is wrong for good stays so."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    faults = await attempt()
    while faults:
        if loop.time() > deadline:
            raise AssertionError(f"{what}: {'; '.join(faults)}")
        await asyncio.sleep(0.05)
        faults = await attempt()


async def expect_card(
    where: Looks, card: Card, *, scaled_by: float = 1.0, timeout_s: float = EXPECT_S
) -> None:
    """Wait until what arrives is this card, whole, moving and in time.

    Raises:
        AssertionError: it never was; with what was seen last.
    """

    async def attempt() -> list[str]:
        return see(await where.look()).faults(card, scaled_by=scaled_by)

    await _expect(attempt, f"the picture at {where.name}", timeout_s)


async def expect_tone(where: Looks, tone: Tone, *, timeout_s: float = EXPECT_S) -> None:
    """Wait until what arrives is this tone, without gaps or noise.

    Raises:
        AssertionError: it never was; with what was heard last.
    """

    async def attempt() -> list[str]:
        return hear(await where.listen()).faults(tone)

    await _expect(attempt, f"the tone at {where.name}", timeout_s)


async def expect_silence(where: Looks, *, timeout_s: float = EXPECT_S) -> None:
    """Wait until nothing is heard: zeros, or no samples at all."""

    async def attempt() -> list[str]:
        heard = hear(await where.listen(timeout_s=0.8))
        return [f"level {heard.level:.4f} at {heard.frequency_hz:.0f} Hz"] if heard.level > QUIET else []

    await _expect(attempt, f"silence at {where.name}", timeout_s)


async def expect_black(where: Looks, *, timeout_s: float = EXPECT_S) -> None:
    """Wait until black pictures arrive."""

    async def attempt() -> list[str]:
        seen = see(await where.look(3))
        if seen.pictures < 1:
            return ["no pictures"]
        return [] if max(max(colour) for colour in seen.colours) < 30 else [f"shows {seen.colours}"]

    await _expect(attempt, f"black at {where.name}", timeout_s)


async def expect_no_pictures(where: Looks, *, timeout_s: float = EXPECT_S) -> None:
    """Wait until no more pictures come."""

    async def attempt() -> list[str]:
        seen = see(await where.look(2, timeout_s=0.7))
        # one may be on its way
        return [f"{seen.pictures} pictures came"] if seen.pictures > 1 else []

    await _expect(attempt, f"no pictures at {where.name}", timeout_s)
