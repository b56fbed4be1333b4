"""A connection whose events are written down, and what it shows of itself, in the model's words."""

from __future__ import annotations

import asyncio
from typing import Any

from rtcstack import MediaStream, RTCDataChannel, RTCPeerConnection, RTCRtpTransceiver

__all__ = ["Call", "Watched", "error_name"]


def error_name(error: BaseException) -> str:
    """The W3C's name of an exception."""
    name = type(error).__name__
    return "RangeError" if name == "ValueError" else name


class Call:
    """A promise of the connection, and what it came to.

    Attributes:
        outcome: name of the error, or "" where it was fulfilled; None before.
        value: what it was fulfilled with.
        made: the local description's text behind it.
        shown: what the connection showed of itself then.
    """

    def __init__(self, pc: Watched, promise: Any) -> None:
        self.outcome: str | None = None
        self.value: Any = None
        self.made: str | None = None
        self.shown: dict[str, Any] | None = None
        self.done = asyncio.get_running_loop().create_future()
        self._pc = pc
        # waits from now on: a task would begin in the next turn, and hear of it behind the next operation
        self._waiting = promise.__await__()
        self._go_on()

    def _go_on(self, _: object = None) -> None:
        try:
            waits_for = self._waiting.send(None)
        except StopIteration as stop:
            self.value, self.outcome = stop.value, ""
            local = self._pc.pc.localDescription
            self.made = None if local is None else local.sdp
        except Exception as error:
            self.outcome = error_name(error)
            self.error = error
        else:
            if waits_for is None:
                asyncio.get_running_loop().call_soon(self._go_on)
            else:
                waits_for.add_done_callback(self._go_on)
            return
        self.shown = self._pc.shown()
        self.done.set_result(None)


class Watched:
    """A connection.

    Attributes:
        pc: the connection.
        events: in the order in which they were fired.
        numbers: of the transceivers, in the order in which they were made.
        candidates: that were found and not handed on.
    """

    def __init__(self, pc: RTCPeerConnection) -> None:
        self.pc = pc
        self.events: list[Any] = []
        self.numbers: dict[RTCRtpTransceiver, int] = {}
        self.channels: list[RTCDataChannel] = []
        self.candidates: list[Any] = []
        self._streams: dict[str, MediaStream] = {}
        pc.on(
            "signalingstatechange",
            lambda _: self.events.append(("signalingstatechange", str(pc.signalingState))),
        )
        pc.on("negotiationneeded", lambda _: self.events.append(("negotiationneeded",)))
        pc.on("track", self._on_track)
        pc.on("datachannel", lambda event: self.channels.append(event.channel))
        pc.on("icecandidate", lambda event: self.candidates.append(event.candidate))

    def number(self, transceiver: RTCRtpTransceiver) -> int:
        """The number of a transceiver; those that were not seen before get theirs."""
        for each in self.pc.getTransceivers():
            if each not in self.numbers:
                number = self.numbers[each] = len(self.numbers)
                self._watch_track(each.receiver.track, number)
        return self.numbers[transceiver]

    def has_channel(self, label: str) -> bool:
        """Whether the peer has announced a channel of this label."""
        return any(each.label == label for each in self.channels)

    def _watch_track(self, track: Any, number: int) -> None:
        for name in ("mute", "ended"):
            track.on(name, lambda _, name=name: self.events.append((name, number)))

    def _on_track(self, event: Any) -> None:
        number = self.number(event.transceiver)
        assert event.track is event.transceiver.receiver.track
        assert event.receiver is event.transceiver.receiver
        self.events.append(("track", number, tuple(stream.id for stream in event.streams)))
        for stream in event.streams:
            known = self._streams.setdefault(stream.id, stream)
            assert known is stream, "another object for the same stream"
            if not getattr(stream, "_is_watched", False):
                self._watch_stream(stream)

    def _watch_stream(self, stream: MediaStream) -> None:
        def number_of(track: Any) -> int:
            for each in self.pc.getTransceivers():
                self.number(each)
            return next(number for each, number in self.numbers.items() if each.receiver.track is track)

        stream._is_watched = True  # type: ignore[attr-defined]
        for name in ("addtrack", "removetrack"):
            stream.on(
                name, lambda event, name=name: self.events.append((name, stream.id, number_of(event.track)))
            )

    def transceiver(self, number: int) -> RTCRtpTransceiver:
        """The transceiver of this number."""
        return next(each for each, known in self.numbers.items() if known == number)

    def shown(self) -> dict[str, Any]:
        """What the attributes say, as `shown_model` does."""
        pc = self.pc
        for each in pc.getTransceivers():
            self.number(each)
        live = pc.getTransceivers()
        return {
            "signalingState": str(pc.signalingState),
            "descriptions": {
                name: None if (each := getattr(pc, name)) is None else str(each.type.value)
                for name in (
                    "currentLocalDescription",
                    "pendingLocalDescription",
                    "currentRemoteDescription",
                    "pendingRemoteDescription",
                )
            },
            "sctp": pc.sctp is not None,
            "canTrickle": pc.canTrickleIceCandidates,
            "set": [self.numbers[each] for each in live],
            "senders": [self.numbers[t] for s in pc.getSenders() for t in self.numbers if t.sender is s],
            "receivers": [
                self.numbers[t] for r in pc.getReceivers() for t in self.numbers if t.receiver is r
            ],
            "transceivers": {number: _shown_transceiver(each) for each, number in self.numbers.items()},
            "streams": {
                stream.id: [
                    number
                    for track in stream.getTracks()
                    for each, number in self.numbers.items()
                    if each.receiver.track is track
                ]
                for stream in self._streams.values()
            },
        }


def _shown_transceiver(each: RTCRtpTransceiver) -> dict[str, Any]:
    sender, receiver = each.sender, each.receiver
    return {
        "kind": each.kind,
        "mid": each.mid,
        "direction": str(each.direction.value),
        "currentDirection": None if each.currentDirection is None else str(each.currentDirection.value),
        "track": None if sender.track is None else sender.track.id,
        "muted": receiver.track.muted,
        "transport": sender.transport is not None,
        "same transport": sender.transport is receiver.transport,
        "encodings": [
            (e.rid, e.scaleResolutionDownBy, e.active, e.maxBitrate) for e in sender.getParameters().encodings
        ],
    }
