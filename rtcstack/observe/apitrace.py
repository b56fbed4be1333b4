"""A record of connections: their calls, events and statistics, with times.

    trace = ApiTrace()
    pc = RTCPeerConnection(settings=Settings(trace=trace))
    ...
    trace.save("dump.json")  # what chrome://webrtc-internals saves, for the viewers of such dumps

What is called and what is fired is named as Chrome's webrtc-internals names it; so are the values' texts. Not
recorded: what only reads (getStats, getParameters), packets and messages.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from rtcstack.api.peerconnection import RTCPeerConnection
from rtcstack.clock import timestamp_ms
from rtcstack.events import call_handler
from rtcstack.observe.internalsdump import internals_dump
from rtcstack.observe.tracedconnection import TracedConnection

__all__ = ["ApiTrace", "TraceEntry", "read_trace"]

logger = logging.getLogger("rtcstack.trace")

MAX_ENTRIES = 10_000
"""Calls and events that are kept; of more, the oldest are dropped and counted."""

MAX_SAMPLES = 1_000
"""Reports of statistics that are kept, of all connections together; likewise."""

MAX_VALUE_LENGTH = 200_000
"""Characters of one value; a longer one is cut, and says so."""


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One thing that happened.

    Attributes:
        connection: which connection: the process and a number.
        timestamp: milliseconds since the Unix epoch.
        type: "createOffer", "createOfferOnSuccess", "createOfferOnFailure", "icecandidate", ...; "create" for
            the connection's beginning, and "getStats" for a sample of its statistics.
        value: the arguments, the result, the error or the event as text; statistics by id.
    """

    connection: str
    timestamp: float
    type: str
    value: str | dict[str, Any]


class ApiTrace:
    """Keeps a record of connections: of one, of some, of all of a program.

    Connections whose `Settings` name it are watched from their beginning on. It costs nothing where there is
    none. What is recorded has descriptions with ICE's passwords, and addresses; no credentials of servers.

    Args:
        sink: called with each entry, within the call or event that it tells of, as handlers of events are.
        path: of a file that each entry is appended to, one JSON object a line. A file that cannot be written
            is told of in the log, and left.
        stats_interval_s: seconds between samples of each connection's statistics; None for no samples.

    Attributes:
        dropped: entries and samples that are kept no longer.

    Raises:
        OSError: the file cannot be opened.
        ValueError: an interval that is not above 0.
    """

    def __init__(
        self,
        sink: Callable[[TraceEntry], object] | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        stats_interval_s: float | None = 1.0,
    ) -> None:
        if stats_interval_s is not None and not stats_interval_s > 0:
            raise ValueError(f"stats_interval_s must be above 0, not {stats_interval_s}")
        self._sink = sink
        self._file: IO[str] | None = (
            None
            if path is None
            else Path(path).open(  # noqa: SIM115 - until `close`
                "a", encoding="utf-8"
            )
        )
        self._interval_s = stats_interval_s
        self._entries: deque[TraceEntry] = deque(maxlen=MAX_ENTRIES)
        self._samples: deque[TraceEntry] = deque(maxlen=MAX_SAMPLES)
        self._watched = 0
        self.dropped = 0

    def watch(self, connection: RTCPeerConnection) -> None:
        """Record this connection from now on; one that is watched by another is watched by this instead."""
        self._watched += 1
        TracedConnection(f"{os.getpid()}-{self._watched}", connection, self._record, self._interval_s)

    @property
    def entries(self) -> list[TraceEntry]:
        """What is kept, in order."""
        return sorted((*self._entries, *self._samples), key=lambda entry: entry.timestamp)

    def dump(self) -> dict[str, Any]:
        """What is kept, in the form that Chrome's webrtc-internals saves; `json.dumps` takes it."""
        return internals_dump(self.entries)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `dump()` to a file.

        Raises:
            OSError: it cannot be written.
        """
        Path(path).write_text(json.dumps(self.dump()), encoding="utf-8")

    def close(self) -> None:
        """Close the file. Connections that are open are recorded on, without it."""
        self._drop_file()

    def _drop_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # what is buffered fails once more
                file.close()

    def _record(self, connection: str, kind: str, value: str | dict[str, Any]) -> None:
        if isinstance(value, str) and len(value) > MAX_VALUE_LENGTH:
            value = f"{value[:MAX_VALUE_LENGTH]}... ({len(value)} characters)"
        entry = TraceEntry(connection, timestamp_ms(), kind, value)
        kept = self._entries if isinstance(value, str) else self._samples
        self.dropped += len(kept) == kept.maxlen
        kept.append(entry)
        if self._sink is not None:
            call_handler(self._sink, entry)
        if self._file is not None:
            try:
                self._file.write(json.dumps(asdict(entry)) + "\n")
                self._file.flush()
            except (OSError, ValueError) as exc:
                logger.error("the trace's file cannot be written, and is left: %s", exc)
                self._drop_file()


def read_trace(lines: Iterable[str]) -> list[TraceEntry]:
    """The entries of a file that an `ApiTrace` wrote; `internals_dump` makes a dump of them.

    Args:
        lines: of the file. One that was not written to its end, as the last may be, is left out.
    """
    entries = []
    for line in lines:
        try:
            entries.append(TraceEntry(**json.loads(line)))
        except (ValueError, TypeError):
            logger.warning("a line of a trace is damaged: %.100r", line)
    return entries
