"""Tracks whose every frame says which track it is of, and who listens at a connection's receivers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from rtcstack import EncodedMedia, MediaStreamTrack
from tests.scenarios.media import Film, Numbered, Speech, Taken

__all__ = ["CLOCK_RATES", "Listener", "Production", "Studio"]

FILM_RATE = 10

SPEECH_INTERVAL_S = 0.1

SIZE = 200
"""Bytes in a frame: one packet."""

CLOCK_RATES = {"audio/opus": 48_000, "audio/G722": 8_000, "audio/PCMU": 8_000, "audio/PCMA": 8_000}
"""Codecs of sound, and their RTP clocks."""

NUMBERS = 1 << 16
"""Frames of a track before its numbers would be those of the next."""


class _Reel(Film):
    """Pictures of a numbered track."""

    def __init__(self, number: int) -> None:
        super().__init__(FILM_RATE, SIZE)
        self.number = number

    def make(self, number: int) -> EncodedMedia:
        return super().make(self.number * NUMBERS + number)


class _Tape(Speech):
    """Sound of a numbered track."""

    def __init__(self, number: int, codec: str) -> None:
        super().__init__(SIZE, SPEECH_INTERVAL_S)
        self.source.codec = codec
        self.number = number

    def make(self, number: int) -> EncodedMedia:
        made = super().make(self.number * NUMBERS + number)
        rate = CLOCK_RATES[self.source.codec]
        pts = made.pts * rate // 48_000
        return replace(
            made, codec=self.source.codec, pts=pts, time_base=Fraction(1, rate), duration=rate // 50
        )


@dataclass(eq=False, slots=True)
class Production:
    """A track of ours.

    Attributes:
        number: in its frames.
        made: gives the frames.
        track: the track.
    """

    number: int
    made: Numbered
    track: MediaStreamTrack

    @property
    def codec(self) -> str:
        """The MIME type of its frames."""
        return self.made.source.codec

    @property
    def plays(self) -> bool:
        """Whether its frames go to whoever takes them."""
        return self.track.enabled and str(self.track.readyState.value) == "live"


class Studio:
    """Makes tracks.

    Attributes:
        productions: by their tracks' ids.
    """

    def __init__(self) -> None:
        self.productions: dict[str, Production] = {}

    def make(self, kind: str, codec: str = "audio/opus") -> MediaStreamTrack:
        """A track that flows from now on, while somebody takes it.

        Args:
            kind: "audio" or "video".
            codec: of sound, one of `CLOCK_RATES`.
        """
        number = len(self.productions) + 1
        made: Numbered = _Reel(number) if kind == "video" else _Tape(number, codec)
        track = made.start()
        self.productions[track.id] = Production(number, made, track)
        return track

    def of(self, kind: str) -> list[Production]:
        """All of a kind."""
        return [each for each in self.productions.values() if each.track.kind == kind]

    def stop(self) -> None:
        """End all."""
        for each in self.productions.values():
            each.made.stop()


@dataclass(eq=False, slots=True)
class Listener:
    """Takes what arrives at the receivers of one connection.

    Attributes:
        taken: by the transceivers' numbers.
    """

    taken: dict[int, Taken] = field(default_factory=dict)

    def attach(self, transceivers: dict[Any, int]) -> None:
        """Listen at those that nobody listens at yet."""
        for transceiver, number in transceivers.items():
            if number not in self.taken and transceiver.receiver.track.readyState == "live":
                self.taken[number] = Taken(transceiver.receiver.encodedTrack)

    def forget(self) -> None:
        """Forget what came."""
        for each in self.taken.values():
            each.forget()

    def heard(self, number: int) -> set[int]:
        """Numbers of the tracks whose frames came to a transceiver."""
        taken = self.taken.get(number)
        return set() if taken is None else {each // NUMBERS for each in taken.numbers}

    def stop(self) -> None:
        """Take no more."""
        for each in self.taken.values():
            each.stop()
