"""The objects of one report, as they are gathered.

Spec: webrtc-pc, sections 8.3 to 8.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rtcstack.clock import monotonic, timestamp_ms
from rtcstack.connection.monitored import Monitored

__all__ = ["Report"]


class Report:
    """Statistics of one moment.

    Args:
        monitored: gives objects their ids.

    Attributes:
        objects: by id.
        now_ms: the moment, milliseconds since the Unix epoch.
        now: the same in monotonic seconds.
        monitored: as above.
    """

    def __init__(self, monitored: Monitored) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.monitored = monitored
        self.now = monotonic()
        self.now_ms = timestamp_ms()

    def add(self, kind: str, name: str, members: Mapping[str, Any], at_ms: float | None = None) -> str:
        """Add an object, or complete one; members that are None are left out.

        Args:
            kind: an RTCStatsType.
            name: what it is known by here; see `Monitored.identify`.
            members: of its dictionary.
            at_ms: when its figures arrived, of what a remote end told; None for now.

        Returns:
            The id.
        """
        identifier = self.monitored.identify(name)
        stats: dict[str, Any] = {
            "id": identifier,
            "timestamp": self.now_ms if at_ms is None else at_ms,
            "type": kind,
        }
        stats.update([(key, value) for key, value in members.items() if value is not None])
        self.objects[identifier] = stats
        return identifier

    def unix_ms(self, at: float | None) -> float | None:
        """A monotonic time on the clock of the report; None for None and 0, which mean never."""
        return self.now_ms - (self.now - at) * 1000 if at else None

    def keep_referenced(self, kinds: Iterable[str]) -> None:
        """Keep the objects of these types, and what they reference directly or indirectly.

        Spec: webrtc-pc, section 8.5 (the stats selection algorithm).
        """
        wanted = set(kinds)
        found: set[str] = set()
        looked_at = [each for each, stats in self.objects.items() if stats["type"] in wanted]
        while looked_at:
            identifier = looked_at.pop()
            if identifier in found or identifier not in self.objects:
                continue
            found.add(identifier)
            looked_at += [v for key, v in self.objects[identifier].items() if key.endswith("Id")]
        self.objects = {each: stats for each, stats in self.objects.items() if each in found}
