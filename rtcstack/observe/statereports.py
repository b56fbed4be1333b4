"""Reports of a connection's state changes, to a function or to an HTTP endpoint.

    reporter = StateReporter(pc, HttpSink("https://example.org/states"), localID="alice")
    ...
    await reporter.close()

A record has localID, originID, remoteID, deviceID, connectionID, timestamp (milliseconds since the
Unix epoch), prevState, newState and changedState ("signalingState", "iceGatheringState",
"iceConnectionState" or "connectionState").
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rtcstack.api.peerconnection import RTCPeerConnection
from rtcstack.clock import timestamp_ms
from rtcstack.entropy import random_uuid

try:
    import aiohttp
except ImportError:  # pragma: no cover - it is optional
    aiohttp = None  # type: ignore[assignment]

__all__ = ["HttpSink", "StateRecord", "StateReporter", "StateSink"]

logger = logging.getLogger("rtcstack.reports")

StateRecord = dict[str, Any]

MAX_WAITING = 1000
"""Records that wait for an endpoint; of more, the oldest are dropped and counted."""

MAX_BATCH = 100
"""Records in one request."""

_EVENTS = {
    "signalingState": "signalingstatechange",
    "iceGatheringState": "icegatheringstatechange",
    "iceConnectionState": "iceconnectionstatechange",
    "connectionState": "connectionstatechange",
}


class StateSink(Protocol):
    """Takes records. A plain function will do."""

    def __call__(self, record: StateRecord) -> None:
        """Take a record; must not block."""


class HttpSink:
    """Posts records to an endpoint, as JSON arrays; needs aiohttp. May serve many reporters.

    Nothing that the endpoint does slows a call: records wait in a bounded queue, are sent in batches
    and, after a failure, again; those that fail every time are dropped and counted.

    Args:
        url: where to.
        headers: of each request, an Authorization for example.
        interval_s: how long records are collected before they are sent.
        retries: how often a batch is sent again, after 1 s, 2 s, 4 s, ...
        timeout_s: of one request.
        retry_delay_s: the first of these delays.

    Raises:
        RuntimeError: aiohttp is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        interval_s: float = 1.0,
        retries: int = 4,
        timeout_s: float = 10.0,
        retry_delay_s: float = 1.0,
    ) -> None:
        if aiohttp is None:
            raise RuntimeError("HttpSink needs aiohttp: pip install aiohttp")
        self.sent = 0
        self.dropped = 0
        self._url = url
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._interval_s = interval_s
        self._retries = retries
        self._retry_delay_s = retry_delay_s
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._waiting: deque[StateRecord] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def __call__(self, record: StateRecord) -> None:
        """Take a record; it is sent soon."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(record)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Send what waits, each batch once more at most, and wait until that is over."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _pause(self, delay_s: float) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), delay_s)
        except TimeoutError:
            return

    async def _run(self) -> None:
        await self._pause(self._interval_s)
        async with aiohttp.ClientSession(timeout=self._timeout, headers=self._headers) as session:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                await self._send(session, batch)

    async def _send(self, session: aiohttp.ClientSession, batch: list[StateRecord]) -> None:
        delay_s = self._retry_delay_s
        for attempt in range(1 + self._retries):
            if attempt:
                if self._closing.is_set():
                    break
                await self._pause(delay_s)
                delay_s *= 2
            try:
                async with session.post(self._url, data=json.dumps(batch)) as response:
                    if response.status < 300:
                        self.sent += len(batch)
                        return
                    reason = f"status {response.status}"
                    if 400 <= response.status < 500 and response.status not in (408, 429):
                        break  # it will not be better the next time
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
                reason = str(exc) or type(exc).__name__
            logger.info("%d records were not taken by %s: %s", len(batch), self._url, reason)
        self.dropped += len(batch)


class StateReporter:
    """Reports every change of a connection's four states.

    Args:
        pc: the connection.
        sink: a function that takes a record, or an `HttpSink`.
        localID, originID, remoteID, deviceID, connectionID: copied into each record; the last is
            random by default.
    """

    def __init__(
        self,
        pc: RTCPeerConnection,
        sink: StateSink | Callable[[StateRecord], None],
        *,
        localID: str | None = None,
        originID: str | None = None,
        remoteID: str | None = None,
        deviceID: str | None = None,
        connectionID: str | None = None,
    ) -> None:
        self._pc = pc
        self._sink = sink
        self._ids = {
            "localID": localID,
            "originID": originID,
            "remoteID": remoteID,
            "deviceID": deviceID,
            "connectionID": connectionID or random_uuid(),
        }
        self._states = {name: str(getattr(pc, name)) for name in _EVENTS}
        self._handlers: list[tuple[str, Callable[[], None]]] = []
        for name, event in _EVENTS.items():
            handler = self._handler(name)
            self._handlers.append((event, handler))
            pc.on(event, handler)

    def _handler(self, name: str) -> Callable[[], None]:
        def on_change() -> None:
            previous, now = self._states[name], str(getattr(self._pc, name))
            if previous == now:
                return
            self._states[name] = now
            self._sink(
                {
                    **self._ids,
                    "timestamp": timestamp_ms(),
                    "prevState": previous,
                    "newState": now,
                    "changedState": name,
                }
            )

        return on_change

    async def close(self) -> None:
        """Report the last states (closing fires no events), stop, and send what an `HttpSink` has."""
        for event, handler in self._handlers:
            handler()
            self._pc.removeEventListener(event, handler)
        self._handlers.clear()
        if isinstance(self._sink, HttpSink):
            await self._sink.close()
