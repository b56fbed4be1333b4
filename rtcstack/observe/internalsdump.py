"""The file that Chrome's webrtc-internals saves, made of a trace's entries.

There is no specification of it: its viewers read the events of "updateLog" and the series of "stats", whose
names are an object's id and a member's name.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

__all__ = ["internals_dump"]


class Entry(Protocol):
    """One thing that happened; see `rtcstack.observe.apitrace.TraceEntry`."""

    @property
    def connection(self) -> str: ...

    @property
    def timestamp(self) -> float: ...

    @property
    def type(self) -> str: ...

    @property
    def value(self) -> str | dict[str, Any]: ...


def internals_dump(entries: Iterable[Entry]) -> dict[str, Any]:
    """A dump.

    Args:
        entries: of a trace, in order.

    Returns:
        What `json.dumps` makes the file of.
    """
    connections: dict[str, _Connection] = {}
    for entry in entries:
        connection = connections.get(entry.connection)
        if connection is None:
            connection = connections[entry.connection] = _Connection(entry.connection)
        connection.add(entry)
    return {
        "getUserMedia": [],
        "PeerConnections": {name: each.dump() for name, each in connections.items()},
        "UserAgent": f"rtcstack on {platform.python_implementation()} {platform.python_version()}",
    }


class _Connection:
    """What the dump has of one connection."""

    def __init__(self, name: str) -> None:
        self._pid, _, self._number = name.partition("-")
        self._configuration = ""
        self._log: list[dict[str, Any]] = []
        self._series: dict[str, _Series] = {}

    def add(self, entry: Entry) -> None:
        """An entry, or a sample."""
        if not isinstance(entry.value, str):
            for identifier, stats in entry.value.items():
                self._add_stats(identifier, stats)
            return
        if entry.type == "create":
            self._configuration = entry.value
        when = datetime.fromtimestamp(entry.timestamp / 1000, UTC)
        self._log.append(
            {
                "time": when.strftime("%m/%d/%Y, %I:%M:%S %p"),
                "timestamp": str(entry.timestamp),
                "type": entry.type,
                "value": entry.value,
            }
        )

    def _add_stats(self, identifier: str, stats: dict[str, Any]) -> None:
        for member, value in stats.items():
            if member in ("id", "type"):
                continue
            name = f"{identifier}-{member}"
            series = self._series.get(name)
            if series is None:
                series = self._series[name] = _Series(stats["type"], stats["timestamp"])
            series.end_ms = stats["timestamp"]
            series.values.append(value)

    def dump(self) -> dict[str, Any]:
        """All of it."""
        return {
            "pid": int(self._pid) if self._pid.isdigit() else self._pid,
            "rid": 0,
            "lid": int(self._number) if self._number.isdigit() else self._number,
            "url": "",
            "rtcConfiguration": self._configuration,
            "constraints": "",
            "stats": {name: each.dump() for name, each in self._series.items()},
            "updateLog": self._log,
        }


class _Series:
    """The values of one member of one object."""

    __slots__ = ("end_ms", "kind", "start_ms", "values")

    def __init__(self, kind: str, start_ms: float) -> None:
        self.kind = kind
        self.start_ms = self.end_ms = start_ms
        self.values: list[Any] = []

    def dump(self) -> dict[str, str]:
        """As a dump has it: the values are text."""
        return {
            "startTime": _iso(self.start_ms),
            "endTime": _iso(self.end_ms),
            "statsType": self.kind,
            "values": json.dumps(self.values),
        }


def _iso(milliseconds: float) -> str:
    when = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
