"""What peers send and how a test looks at what arrives: pictures and tones, by their content.

A peer sends a `Card` (coloured quarters, and the picture's number as a strip of black and white
cells) or a `Tone`. What arrives is handed over almost raw, as thumbnails and samples, so that one
judge (see `judge`) decides for all stacks. This file needs nothing but the standard library: the
peers run it in processes where there is nothing else.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, TypedDict

__all__ = [
    "CELLS",
    "CODE_BITS",
    "LISTEN_S",
    "LOOK_PICTURES",
    "LOOK_S",
    "THUMB_HEIGHT",
    "THUMB_WIDTH",
    "Card",
    "Colour",
    "Looks",
    "Pictures",
    "Sound",
    "Source",
    "Stats",
    "Tone",
    "Transceiver",
    "TransceiverInfo",
    "code_of",
    "draw_i420",
    "source_from_json",
    "source_to_json",
]

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

THUMB_WIDTH, THUMB_HEIGHT = 64, 48
"""Every picture is handed over scaled to this, as packed RGB."""

CODE_BITS = 12
CELLS = CODE_BITS + 4
"""Cells of the strip: the number, and four bits that check it."""

LOOK_PICTURES = 8
LOOK_S = 4.0
LISTEN_S = 0.3
"""How many pictures a look takes and how long it waits for them at most; how much sound is listened to."""


@dataclass(frozen=True, slots=True)
class Card:
    """A test card: four quarters of one colour each, and the picture's number below them.

    The strip is the lowest sixth. The colours are bright, yet not at the ends of their range, where
    a clipped conversion would look right.
    """

    colours: tuple[Colour, Colour, Colour, Colour] = (
        (200, 50, 50),
        (50, 150, 60),
        (50, 70, 190),
        (200, 190, 70),
    )
    """Upper left, upper right, lower left, lower right."""
    width: int = 320
    height: int = 240
    frame_rate: int = 15
    squares: int = 0
    """Grey ones that wander over it, for bits to be needed: what sees the colours wants none."""

    kind = "video"


@dataclass(frozen=True, slots=True)
class Tone:
    """A sine."""

    frequency_hz: float = 440.0
    level: float = 0.4
    """Of the peak, 0 to 1."""

    kind = "audio"


Source = Card | Tone

Stats = dict[str, Any]
"""One dictionary of getStats, by the W3C's names."""


def source_to_json(source: Source | None) -> Any:
    """A source, or none, for another process."""
    return None if source is None else {"kind": source.kind} | asdict(source)


def source_from_json(value: Any) -> Source | None:
    """What `source_to_json` made."""
    if value is None:
        return None
    given = {name: item for name, item in value.items() if name != "kind"}
    if value["kind"] == "audio":
        return Tone(**given)
    red, green, blue, last = (tuple(colour) for colour in given.pop("colours"))
    return Card((red, green, blue, last), **given)


def code_of(number: int) -> int:
    """The bits of a number's strip, the first cell's being the highest."""
    number &= (1 << CODE_BITS) - 1
    check = (number >> 8 ^ number >> 4 ^ number ^ 0b1010) & 0xF
    return number << 4 | check


def strip_top(height: int) -> int:
    """The first line of the strip."""
    return height - height // 6


@lru_cache(maxsize=16)
def _quarters(card: Card) -> tuple[bytes, bytes, bytes]:
    """The three planes down to the strip (BT.601, limited range)."""
    planes = []
    for plane in range(3):
        shift = 1 if plane else 0
        columns, lines = card.width >> shift, strip_top(card.height) >> shift
        left, right = columns // 2, columns - columns // 2
        upper, lower = lines // 2, lines - lines // 2
        a, b, c, d = (bytes((_yuv(colour)[plane],)) for colour in card.colours)
        planes.append((a * left + b * right) * upper + (c * left + d * right) * lower)
    return planes[0], planes[1], planes[2]


def _yuv(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (value / 255 for value in colour)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return (
        round(16 + 219 * luma),
        round(128 + 224 * (blue - luma) / 1.772),
        round(128 + 224 * (red - luma) / 1.402),
    )


SQUARE = 16
"""Side of one that wanders, in pixels."""


def _with_squares(luma: bytearray, card: Card, number: int) -> bytes:
    for i in range(card.squares):
        left = (i * 97 + number * (i % 7 + 1) * 3) % (card.width - SQUARE)
        top = (i * 57 + number * (i % 5 + 1) * 2) % (strip_top(card.height) - SQUARE)
        row = bytes((16 + i * 37 % 220,)) * SQUARE
        for at in range(top * card.width + left, (top + SQUARE) * card.width + left, card.width):
            luma[at : at + SQUARE] = row
    return bytes(luma)


def draw_i420(card: Card, number: int) -> bytes:
    """One picture of a card: the planes Y, U and V, lines without padding."""
    luma, blue, red = _quarters(card)
    if card.squares:
        luma = _with_squares(bytearray(luma), card, number)
    code = code_of(number)
    edges = [i * card.width // CELLS for i in range(CELLS + 1)]
    line = b"".join(
        bytes((235 if code >> (CELLS - 1 - i) & 1 else 16,)) * (edges[i + 1] - edges[i]) for i in range(CELLS)
    )
    strip_lines = card.height - strip_top(card.height)
    chroma = (card.height // 2 - (strip_top(card.height) >> 1)) * (card.width // 2)
    grey = b"\x80" * chroma
    return b"".join((luma, line * strip_lines, blue, grey, red, grey))


@dataclass(slots=True)
class Pictures:
    """Pictures that followed one another."""

    width: int = 0
    """Of the last one, in pixels, before it was made a thumbnail."""
    height: int = 0
    times_s: list[float] = field(default_factory=list)
    """When each came, by some clock."""
    thumbs: list[bytes] = field(default_factory=list)
    """Each as RGB of THUMB_WIDTH x THUMB_HEIGHT."""

    def to_json(self) -> Any:
        """For another process."""
        return {
            "width": self.width,
            "height": self.height,
            "times": self.times_s,
            "thumbs": [base64.b64encode(thumb).decode() for thumb in self.thumbs],
        }

    @classmethod
    def from_json(cls, value: Any) -> Pictures:
        """What `to_json`, or a page, made."""
        thumbs = [base64.b64decode(thumb) for thumb in value["thumbs"]]
        return cls(value["width"], value["height"], value["times"], thumbs)


@dataclass(slots=True)
class Sound:
    """Samples that followed one another, all channels mixed to one."""

    sample_rate: int = 0
    samples: bytes = b""
    """16-bit integers of this machine's byte order."""

    def to_json(self) -> Any:
        """For another process."""
        return {"rate": self.sample_rate, "samples": base64.b64encode(self.samples).decode()}

    @classmethod
    def from_json(cls, value: Any) -> Sound:
        """What `to_json`, or a page, made."""
        return cls(value["rate"], base64.b64decode(value["samples"]))


class TransceiverInfo(TypedDict):
    """What a transceiver says of itself."""

    mid: str | None
    kind: str
    direction: str
    currentDirection: str | None


class Looks(ABC):
    """What can be looked at and listened to.

    Attributes:
        name: of the peer that looks.
    """

    name = "our side"

    @abstractmethod
    async def look(self, pictures: int = LOOK_PICTURES, timeout_s: float = LOOK_S) -> Pictures:
        """The pictures that come next, fewer when the time is up before."""

    @abstractmethod
    async def listen(self, duration_s: float = LISTEN_S, timeout_s: float = LOOK_S) -> Sound:
        """What is heard next; less, or nothing, when the time is up before."""


class Transceiver(Looks):
    """A transceiver at one peer."""

    @abstractmethod
    async def info(self) -> TransceiverInfo:
        """Its mid, kind and directions. A stopped one may say "stopped", or "inactive"."""

    @abstractmethod
    async def prefer(self, *codecs: str) -> None:
        """setCodecPreferences with these alone (by name, as in "VP8"), and their retransmission."""

    @abstractmethod
    async def replace(self, source: Source | None) -> None:
        """replaceTrack."""

    @abstractmethod
    async def enable(self, enabled: bool) -> None:
        """Set `enabled` of the track that is sent."""

    async def encode(self, **changes: Any) -> None:
        """setParameters: change these members of the first encoding."""
        raise NotImplementedError(f"{self.name} has no setParameters here")

    async def stats(self) -> list[Stats]:
        """getStats of the sender and of the receiver; nothing where the stack has none."""
        return []

    @abstractmethod
    async def turn(self, direction: str) -> None:
        """Set the direction that is wanted."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop it; to be negotiated."""
