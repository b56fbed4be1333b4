"""getStats.

Spec: webrtc-stats; webrtc-pc, section 8.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rtcstack.errors import InvalidAccessError

if TYPE_CHECKING:
    from rtcstack.connection.connection import Connection
    from rtcstack.connection.receiving import Receiver
    from rtcstack.connection.sending import Sender
    from rtcstack.connection.stats import Chosen
    from rtcstack.media.track import MediaStreamTrack

__all__ = ["RTCStats", "RTCStatsReport", "choose", "collect"]

RTCStats = dict[str, Any]
"""One object of a report: "id", "type", "timestamp" (milliseconds since the Unix epoch) and the
members of its type in webrtc-stats. A member that has no value yet is left out, as there."""


class RTCStatsReport(Mapping[str, RTCStats]):
    """Statistics by id, in the order in which they were gathered; read-only.

    What JavaScript's maplike has and a mapping has not is here, too: `size`, `has`, `entries`, `forEach`.
    ``json.dumps(report.toJSON())`` works.

    Spec: webrtc-pc, section 8.3.
    """

    __slots__ = ("_stats",)

    def __init__(self, stats: Mapping[str, RTCStats]) -> None:
        self._stats = dict(stats)

    @property
    def size(self) -> int:
        """How many objects there are, as `len`."""
        return len(self._stats)

    def has(self, identifier: str) -> bool:
        """Whether there is an object of this id, as `in`."""
        return identifier in self._stats

    def entries(self) -> ItemsView[str, RTCStats]:
        """Ids and objects, as `items`."""
        return self.items()

    def forEach(self, callback: Callable[[RTCStats, str, RTCStatsReport], object]) -> None:
        """Call a function with each object, its id, and this report."""
        for identifier, stats in self._stats.items():
            callback(stats, identifier, self)

    def toJSON(self) -> dict[str, RTCStats]:
        """The objects by id, made of nothing but dicts, strings, numbers, booleans and None."""
        return {identifier: copy_of(stats) for identifier, stats in self._stats.items()}

    def of_type(self, kind: str) -> list[RTCStats]:
        """All objects of a type."""
        return [s for s in self._stats.values() if s["type"] == kind]

    def __getitem__(self, identifier: str) -> RTCStats:
        return self._stats[identifier]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stats)

    def __len__(self) -> int:
        return len(self._stats)

    def __repr__(self) -> str:
        return f"RTCStatsReport({len(self._stats)} objects)"


def copy_of(stats: RTCStats) -> RTCStats:
    """An object that shares nothing with the report's."""
    return {key: dict(value) if isinstance(value, dict) else value for key, value in stats.items()}


def choose(connection: Connection, selector: MediaStreamTrack | Sender | Receiver | None) -> Chosen | None:
    """What a report is to be of; None for the whole connection.

    Raises:
        InvalidAccessError: the selected track is not sent or received here exactly once.
        TypeError: the selected sender or receiver is of another connection.
    """
    if selector is None:
        return None
    from rtcstack.connection.stats import Chosen
    from rtcstack.media.track import MediaStreamTrack

    transceivers = connection.transceivers.all
    if isinstance(selector, MediaStreamTrack):
        live = [t for t in transceivers if connection.is_closed or not t.stopped]
        found = [Chosen(t.sender, None) for t in live if t.sender.track is selector]
        found += [Chosen(None, t.receiver) for t in live if t.receiver.track is selector]
        if len(found) != 1:
            raise InvalidAccessError(
                f"getStats: the track is used by {len(found)} senders and receivers, not 1"
            )
        return found[0]
    for each in transceivers:
        if selector is each.sender:
            return Chosen(each.sender, None)
        if selector is each.receiver:
            return Chosen(None, each.receiver)
    raise TypeError("getStats: the selector is no track, sender or receiver of this connection")


def collect(connection: Connection, chosen: Chosen | None) -> RTCStatsReport:
    """A report as of now."""
    from rtcstack.connection.stats import statistics

    return RTCStatsReport(statistics(connection, chosen))
