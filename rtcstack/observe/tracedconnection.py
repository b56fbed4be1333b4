"""One connection that is recorded: what is called on it, what it fires, and how its statistics go."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rtcstack.api.datachannel import RTCDataChannel
from rtcstack.api.home import Resident, home_of
from rtcstack.api.peerconnection import RTCPeerConnection
from rtcstack.api.stats import RTCStatsReport
from rtcstack.events import Event, EventTarget, tap
from rtcstack.observe.tracetexts import call_text, configuration_text, event_text, text, transceiver_text
from rtcstack.promises import Operation, upon

__all__ = ["TracedConnection"]

R = TypeVar("R")
logger = logging.getLogger("rtcstack.trace")

_READ_ONLY = frozenset(("getStats", "getParameters", "sendPackets"))
"""Calls that change nothing, or that come with packets."""

_NEGOTIATING = frozenset(("setLocalDescription", "setRemoteDescription"))
_ADDING = frozenset(("addTrack", "addTransceiver"))
_UNTOLD = frozenset(("message",))
_FAILED = {"addIceCandidate": "addIceCandidateFailed"}


class TracedConnection:
    """Hears of one connection, as its `Tracer`.

    Args:
        name: which it is.
        connection: the connection.
        record: takes the name, a type and a value; does not raise.
        interval_s: between samples of its statistics; None for none.
    """

    __slots__ = (
        "__weakref__",
        "_connection",
        "_interval_s",
        "_is_closed",
        "_name",
        "_record",
        "_timer",
        "_transceivers",
    )

    def __init__(
        self,
        name: str,
        connection: RTCPeerConnection,
        record: Callable[[str, str, str | dict[str, Any]], None],
        interval_s: float | None,
    ) -> None:
        self._name = name
        self._connection = weakref.ref(connection)
        self._record = record
        self._interval_s = interval_s
        self._timer: asyncio.TimerHandle | None = None
        self._transceivers: list[str] = []
        self._is_closed = False
        self._tell("create", lambda: configuration_text(connection.getConfiguration()))
        home_of(connection).tracer = self
        tap(connection, self._on_event)
        self._sample_later()

    # -- calls ------------------------------------------------------------------------------------

    def call(
        self,
        target: Resident,
        name: str,
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
        method: Callable[[], R],
    ) -> R:
        """See `rtcstack.api.home.Tracer`."""
        if name in _READ_ONLY:
            return method()
        if isinstance(target, EventTarget):
            tap(target, self._on_event)
        self._tell(name, lambda: call_text(target, arguments, keywords))
        self._sample_later()
        try:
            result = method()
        except Exception as exc:
            self._failed(name, exc)
            raise
        if isinstance(result, Operation):
            upon(
                result,
                lambda value: self._succeeded(name, value),
                lambda error: self._failed(name, error),
            )
        elif target is self._connection() and name == "close":
            self._end()
        else:
            self._succeeded(name, result)
        return result

    def _succeeded(self, name: str, result: object) -> None:
        if isinstance(result, RTCDataChannel):
            tap(result, self._on_event)
        self._tell(f"{name}OnSuccess", lambda: "" if result is None else text(result))
        if name in _NEGOTIATING or name in _ADDING:
            self._look_at_transceivers(name)

    def _failed(self, name: str, error: BaseException) -> None:
        self._tell(_FAILED.get(name, f"{name}OnFailure"), lambda: f"{type(error).__name__}: {error}")

    def _look_at_transceivers(self, cause: str) -> None:
        """What an operation has made, or has changed; adding changes nothing that was there."""
        connection = self._connection()
        if connection is None:
            return
        transceivers = connection.getTransceivers()
        known = len(self._transceivers)
        del self._transceivers[len(transceivers) :]
        for index in range(known if cause in _ADDING else 0, len(transceivers)):
            now = transceiver_text(index, transceivers[index])
            if index == len(self._transceivers):
                self._transceivers.append(now)
                kind = "transceiverAdded"
            elif now != self._transceivers[index]:
                self._transceivers[index] = now
                kind = "transceiverModified"
            else:
                continue
            self._record(self._name, kind, f"Caused by: {cause}\n\n{now}")
        if len(transceivers) < known:
            self._record(self._name, "transceiverRemoved", f"Caused by: {cause}")

    # -- events -----------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if event.type not in _UNTOLD:
            if event.type == "datachannel":
                tap(event.channel, self._on_event)  # type: ignore[attr-defined]
            self._tell(event.type, lambda: event_text(event))

    # -- statistics -------------------------------------------------------------------------------

    def _sample_later(self) -> None:
        if self._interval_s is None or self._timer is not None or self._is_closed:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # with the next call
        self._timer = loop.call_later(self._interval_s, self._sample)

    def _sample(self) -> None:
        self._timer = None
        connection = self._connection()
        if connection is not None and not self._is_closed:
            upon(connection.getStats(), self._sampled, lambda error: None)
            self._sample_later()

    def _sampled(self, report: RTCStatsReport) -> None:
        self._record(self._name, "getStats", report.toJSON())

    def _end(self) -> None:
        """The connection is closed; its last figures are recorded, too."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        connection = self._connection()
        if self._interval_s is not None and connection is not None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return
            upon(connection.getStats(), self._sampled, lambda error: None)

    def _tell(self, kind: str, value: Callable[[], str]) -> None:
        """Record something; what cannot be put into words costs the words only."""
        try:
            words = value()
        except Exception as exc:  # of an argument's own methods, for example
            words = f"(cannot be told: {exc!r})"
        self._record(self._name, kind, words)
