"""What an application does whose tracks flow."""

from __future__ import annotations

import random
from typing import Any

from rtcstack import MediaStreamTrack
from tests.support.model.transceiver import Encoding
from tests.support.walk.both import Both
from tests.support.walk.moves import Moves
from tests.support.walk.studio import Studio

__all__ = ["MediaMoves"]


class MediaMoves(Moves):
    """Calls with tracks that flow, in one encoding each.

    Args:
        both: the side.
        dice: the source of chance.
        studio: makes the tracks.
    """

    def __init__(self, both: Both, dice: random.Random, studio: Studio) -> None:
        super().__init__(both, dice)
        self.studio = studio
        self.moves += [self.stop_track, self.set_enabled, self.replace_track, self.set_direction]

    def _track(self, kind: str) -> MediaStreamTrack:
        """Often one that was sent before, or is sent."""
        known = self.studio.of(kind)
        if known and self.dice.random() < 0.3:
            return self.dice.choice(known).track
        return self.studio.make(kind)

    def _encodings(self, kind: str) -> tuple[list[dict[str, Any]], list[Encoding], str | None]:
        given, told, error = super()._encodings(kind)
        # one alone: encoded frames cannot be made smaller
        return ([], [], None) if len(told) > 1 else (given, told, error)

    def stop_track(self) -> None:
        """End a track; its sender keeps it."""
        if self.dice.random() < 0.5:
            return
        sent = [each for each in self.both.pc.getSenders() if each.track is not None]
        if sent:
            track = self.dice.choice(sent).track
            assert track is not None
            self.both.story.append(f"{self.both.name}: track {self._number(track)} stops")
            track.stop()

    def set_enabled(self) -> None:
        """Disable a track, or enable it again."""
        sent = [each for each in self.both.pc.getSenders() if each.track is not None]
        if sent:
            track = self.dice.choice(sent).track
            assert track is not None
            track.enabled = self.dice.random() < 0.6
            self.both.story.append(f"{self.both.name}: track {self._number(track)} enabled {track.enabled}")

    def _number(self, track: MediaStreamTrack) -> int:
        return self.studio.productions[track.id].number
