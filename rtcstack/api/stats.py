"""getStats.

Spec: webrtc-stats; webrtc-pc, section 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    """Statistics by id.

    Spec: webrtc-pc, section 8.3.
    """

    def __init__(self, stats: Mapping[str, RTCStats]) -> None:
        self._stats = dict(stats)

    def of_type(self, kind: str) -> list[RTCStats]:
        """All objects of a type."""
        return [s for s in self._stats.values() if s["type"] == kind]

    def __getitem__(self, identifier: str) -> RTCStats:
        return self._stats[identifier]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stats)

    def __len__(self) -> int:
        return len(self._stats)


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
        matches = [
            t for t in transceivers if selector in (t.sender.track, t.receiver.track) and not t.stopped
        ]
        if len(matches) != 1:
            raise InvalidAccessError(
                f"getStats: the track is used by {len(matches)} senders and receivers, not 1"
            )
    else:
        matches = [t for t in transceivers if selector in (t.sender, t.receiver)]
        if not matches:
            raise TypeError("getStats: the selector is no track, sender or receiver of this connection")
    (sender, receiver) = matches[0].sender, matches[0].receiver
    return Chosen(
        sender if selector in (sender, sender.track) else None,
        receiver if selector in (receiver, receiver.track) else None,
    )


def collect(connection: Connection, chosen: Chosen | None) -> RTCStatsReport:
    """A report as of now."""
    from rtcstack.connection.stats import Statistics

    statistics = Statistics()
    if chosen is None:
        statistics.add_all(connection)
    else:
        statistics.add_chosen(connection, chosen)
    return RTCStatsReport(statistics.objects)
