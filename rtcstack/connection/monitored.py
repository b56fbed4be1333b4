"""What a connection's statistics remember from one report to the next.

Spec: webrtc-pc, section 8.4 (ids are stable, and cannot be guessed); webrtc-stats, RTCMediaSourceStats.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from rtcstack.entropy import random_hex

if TYPE_CHECKING:
    from rtcstack.media.pipeline.sourcemeter import SourceMeter

__all__ = ["Monitored", "MonitoredSource"]


@dataclass(slots=True)
class MonitoredSource:
    """A track that is attached to one or more senders, from the first of them to the last.

    Attributes:
        number: tells it from what the same track was before, and will be later.
        meters: of the senders that have it.
        frames_before: frames that its source had given before.
        energy, duration_s, level: of its sound, as the sender knows it that was given most.
    """

    number: int
    meters: frozenset[SourceMeter]
    frames_before: int
    energy: float = 0.0
    duration_s: float = 0.0
    level: float | None = None

    def look(self) -> None:
        """Take over what the meters say; nothing ever falls, also when the sender that knew most has gone."""
        best = max(self.meters, key=lambda meter: meter.duration_s)
        if best.duration_s >= self.duration_s:
            self.energy, self.duration_s = max(self.energy, best.energy), best.duration_s
        self.level = best.level


class Monitored:
    """Ids of monitored objects, and the life of media sources."""

    __slots__ = ("_numbered", "_numbers", "_salt", "_sources", "_sources_made")

    def __init__(self) -> None:
        self._salt: bytes | None = None
        self._numbered = 0
        self._numbers: WeakKeyDictionary[object, str] = WeakKeyDictionary()
        self._sources: dict[str, MonitoredSource] = {}
        self._sources_made = 0

    def identify(self, name: str) -> str:
        """The id of an object: the same whenever it is asked for, and not to be guessed.

        Args:
            name: what it is known by here; never of two objects.
        """
        if self._salt is None:
            self._salt = bytes.fromhex(random_hex(16))
        return name[0] + blake2b(name.encode(), digest_size=10, key=self._salt).hexdigest()

    def number(self, part: object) -> str:
        """Tells a part of the connection from all that have its place before or after it."""
        found = self._numbers.get(part)
        if found is None:
            self._numbered += 1
            found = self._numbers[part] = str(self._numbered)
        return found

    def source(self, track_id: str, meters: Iterable[SourceMeter]) -> MonitoredSource:
        """What is known of an attached track.

        Args:
            track_id: of the track.
            meters: of the senders that it is attached to, one at least. A meter is made anew whenever a track
                is attached: where none is left of before, the track was taken away in between.
        """
        now = frozenset(meters)
        found = self._sources.get(track_id)
        if found is None or found.meters.isdisjoint(now):
            self._sources_made += 1
            before = min(meter.frames_before for meter in now)
            found = self._sources[track_id] = MonitoredSource(self._sources_made, now, before)
        found.meters = now
        found.look()
        return found

    def keep_sources(self, track_ids: Iterable[str]) -> None:
        """Forget the tracks that are attached no more."""
        wanted = set(track_ids)
        for track_id in [each for each in self._sources if each not in wanted]:
            del self._sources[track_id]
