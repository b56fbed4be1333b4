"""What an application does whose tracks flow."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from rtcstack import MediaStreamTrack, RTCRtpCodec
from tests.support.model.transceiver import Encoding
from tests.support.walk.both import Both, is_auxiliary
from tests.support.walk.moves import Moves
from tests.support.walk.studio import CLOCK_RATES, Studio

__all__ = ["CodecMoves", "MediaMoves", "RestartMoves"]

MODIFICATION = "InvalidModificationError"


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
        return self._make_track(kind)

    def _make_track(self, kind: str) -> MediaStreamTrack:
        return self.studio.make(kind)

    def _encodings(self, kind: str) -> tuple[list[dict[str, Any]], list[Encoding], str | None]:
        given, told, error = super()._encodings(kind)
        # one alone: encoded frames cannot be made smaller
        return ([], [], None) if len(told) > 1 else (given, told, error)

    def stop_track(self) -> None:
        """End a track; its sender keeps it."""
        if self.dice.random() < 0.5:
            return
        track = self._sent_track()
        if track is not None:
            self.both.story.append(f"{self.both.name}: track {self._number(track)} stops")
            track.stop()

    def set_enabled(self) -> None:
        """Disable a track, or enable it again."""
        track = self._sent_track()
        if track is not None:
            track.enabled = self.dice.random() < 0.6
            self.both.story.append(f"{self.both.name}: track {self._number(track)} enabled {track.enabled}")

    def _sent_track(self) -> MediaStreamTrack | None:
        sent = [each.track for each in self.both.pc.getSenders() if each.track is not None]
        return self.dice.choice(sent) if sent else None

    def _number(self, track: MediaStreamTrack) -> int:
        return self.studio.productions[track.id].number


class CodecMoves(MediaMoves):
    """Calls with tracks of several codecs, and any preferences among them, wrong ones, too."""

    def __init__(self, both: Both, dice: random.Random, studio: Studio) -> None:
        super().__init__(both, dice, studio)
        self.moves += [self.set_codec_preferences, self.set_codec_preferences]
        # without data: its section is rejected with the bundle, where no section that carries it can be taken
        self.moves.remove(self.create_channel)

    def _make_track(self, kind: str) -> MediaStreamTrack:
        return self.studio.make(kind, self.dice.choice(list(CLOCK_RATES)))

    def _preferences(self, kind: str) -> tuple[list[RTCRtpCodec], str | None]:
        known, dice = self._known(kind), self.dice
        match dice.randrange(12):
            case 0:
                return [RTCRtpCodec(mimeType=f"{kind}/x-none", clockRate=90_000), *known], MODIFICATION
            case 1:
                return [replace(known[0], clockRate=12_345)], MODIFICATION
            case 2:
                return [each for each in known if is_auxiliary(each)], MODIFICATION
        names = list(dict.fromkeys(each.mimeType for each in known))
        chosen = self._forms(known, dice.sample(names, dice.choice((0, 1, 2, 3, len(names)))))
        if all(is_auxiliary(each) for each in chosen):
            return [], None
        return chosen, None


class RestartMoves(MediaMoves):
    """Calls among which ICE is restarted often."""

    def __init__(self, both: Both, dice: random.Random, studio: Studio) -> None:
        super().__init__(both, dice, studio)
        self.moves += [self.restart_ice] * 4
