"""A connection and its model: every call is made on both, and what they show is the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rtcstack import RTCPeerConnection, RTCRtpCodec, RTCRtpReceiver
from tests.support.model.errors import DivergenceError, RefusedError
from tests.support.model.peer import Peer
from tests.support.model.slots import Channel
from tests.support.model.tasks import Operation, Step
from tests.support.model.text import AUXILIARY, RECV
from tests.support.model.transceiver import Transceiver
from tests.support.walk.watched import Call, Watched, error_name

__all__ = ["Both"]


def name_of(codec: RTCRtpCodec) -> str:
    """As a=rtpmap has it: name, clock rate and channels, in lower case."""
    channels = f"/{codec.channels}" if (codec.channels or 1) > 1 else ""
    return f"{codec.mimeType.split('/')[1]}/{codec.clockRate}{channels}".lower()


def is_auxiliary(codec: RTCRtpCodec) -> bool:
    """Whether it goes with others, and carries no media by itself."""
    return name_of(codec).split("/")[0] in AUXILIARY


def known_codecs() -> frozenset[str]:
    """What can be received; all of it can be sent, too."""
    found: set[str] = set()
    for kind in ("audio", "video"):
        known = RTCRtpReceiver.getCapabilities(kind)
        assert known is not None
        found.update(name_of(each) for each in known.codecs)
    return frozenset(found)


def shown_model(peer: Peer) -> dict[str, Any]:
    """What the model's slots say, as the attributes do."""
    slots = peer.slots
    descriptions = {
        "currentLocalDescription": slots.current_local,
        "pendingLocalDescription": slots.pending_local,
        "currentRemoteDescription": slots.current_remote,
        "pendingRemoteDescription": slots.pending_remote,
    }
    return {
        "signalingState": slots.signaling_state,
        "descriptions": {name: None if each is None else each[0] for name, each in descriptions.items()},
        "sctp": slots.has_sctp,
        "canTrickle": slots.can_trickle,
        "set": [each.number for each in slots.transceivers],
        "senders": [each.number for each in slots.transceivers if not each.stopped],
        "receivers": [each.number for each in slots.transceivers if not each.stopped],
        "transceivers": {each.number: _shown_transceiver(each) for each in slots.ever},
        "streams": {
            stream: sorted(slots.stream_tracks.get(stream, ())) for stream in sorted(slots.stream_ids)
        },
    }


def _shown_transceiver(each: Transceiver) -> dict[str, Any]:
    return {
        "kind": each.kind,
        "mid": each.shown_mid,
        "direction": each.shown_direction,
        "currentDirection": each.shown_current_direction,
        "track": each.track,
        "muted": each.muted,
        "transport": each.has_transport,
        "same transport": True,
        "encodings": [
            (e.rid, e.scale if each.kind == "video" else None, e.active, e.max_bitrate)
            for e in each.encodings
        ],
    }


class Both:
    """One side.

    Attributes:
        name: for messages.
        watched: the connection.
        model: its model.
        story: what was called, for whoever reads a failure.
        is_honest: whether it gets the peer's descriptions as they were made.
        is_lite: whether it is an ICE lite agent.
        has_media: whether media may arrive, and unmute tracks when it does.
    """

    def __init__(self, name: str, pc: RTCPeerConnection, story: list[str]) -> None:
        self.name = name
        self.watched = Watched(pc)
        self.model = Peer()
        self.model.slots.known_codecs = known_codecs()
        self.story = story
        self.is_honest = True
        self.is_lite = False
        self.has_media = False
        self._refused: set[int] = set()
        self._waiting: list[tuple[str, Call, Operation]] = []
        self._parameters: list[tuple[str, Call, list[str]]] = []
        self.channels: list[tuple[Any, Channel]] = []

    @property
    def pc(self) -> RTCPeerConnection:
        return self.watched.pc

    def face(self, transceiver: Transceiver) -> Any:
        """The connection's transceiver."""
        return self.watched.transceiver(transceiver.number)

    # -- calls ------------------------------------------------------------------------------------

    def call(self, what: str, real: Callable[[], Any], model: Callable[[], Any]) -> Any:
        """A method that returns at once.

        Returns:
            What the connection gave; None where both refuse.
        """
        self.story.append(f"{self.name}.{what}")
        expected = got = ""
        value = None
        try:
            model()
        except RefusedError as error:
            expected = error.name
        try:
            value = real()
        except Exception as error:
            got = error_name(error)
        if got != expected:
            raise DivergenceError(f"{self.name}.{what}: {got or 'no error'}, not {expected or 'no error'}")
        self.watched.shown()  # what is new gets its number
        return value

    def chain(
        self,
        what: str,
        real: Callable[[], Any],
        steps: Callable[[Operation], Step],
        *,
        may_be_refused: bool = False,
    ) -> Call:
        """A method that chains an operation; it is looked at by `settle`."""
        self.story.append(f"{self.name}.{what}")
        operation = Operation(what, steps)
        operation.may_be_refused = "perhaps" if may_be_refused else None
        call = Call(self.watched, real())
        self._waiting.append((what, call, operation))

        def on_settled() -> None:
            operation.shown = shown_model(self.model)

        operation.on_settled = on_settled
        # what the model reads of the connection's texts is known when its turn is over
        self.model.chain.chain(operation)
        return call

    def promise(
        self, what: str, real: Callable[[], Any], model: Callable[[Callable[[str], None]], None]
    ) -> Call:
        """A method whose promise is outside of the chain."""
        self.story.append(f"{self.name}.{what}")
        outcome: list[str] = []
        model(outcome.append)
        call = Call(self.watched, real())
        self._parameters.append((what, call, outcome))
        return call

    async def settle(self) -> None:
        """Wait until all promises are settled, run the model's tasks, and compare."""
        calls = [call.done for _, call, _ in self._waiting] + [call.done for _, call, _ in self._parameters]
        if calls:
            await asyncio.wait_for(asyncio.gather(*calls), 60)
        for _ in range(4):
            await asyncio.sleep(0)
        for _, call, operation in self._waiting:
            if call.value is not None and hasattr(call.value, "sdp"):
                operation.made.append(call.value.sdp)
            elif call.made is not None:
                operation.made.append(call.made)
            if operation.may_be_refused is not None:
                refused = call.outcome in ("InvalidAccessError", "OperationError")
                operation.may_be_refused = call.outcome if refused else None
        self.model.tasks.run()
        self.compare()

    def compare(self) -> None:
        """Whether outcomes, what is shown, and events are the model's."""
        for what, call, outcome in self._parameters:
            self._same(f"outcome of {what}", call.outcome, outcome[0] if outcome else None)
        for what, call, operation in self._waiting:
            self._same(f"outcome of {what}", call.outcome, operation.outcome)
            self._same_shown(f"after {what}", call.shown, operation.shown)
        self._waiting.clear()
        self._parameters.clear()
        # when a track ends is told in a task of its own, and setLocalDescription may take one or two
        got, expected = self.watched.events, self.model.slots.events
        if self.has_media:
            # whether a track is muted before a description mutes it is a matter of what has arrived
            self._check_muted()
            got = [each for each in got if each[0] != "mute"]
        for is_end in (False, True):
            self._same(
                "events",
                [each for each in got if (each[0] == "ended") is is_end],
                [each for each in expected if (each[0] == "ended") is is_end],
            )
        self._same_shown("now", self.watched.shown(), shown_model(self.model))
        for channel, made in self.channels:
            self._same(f"id of {channel.label} is there", channel.id is not None, made.has_id)
            if made.id is not None:
                self._same("id", channel.id, made.id)
            elif channel.id is not None and self.model.slots.dtls_client is not None and self.is_honest:
                self._same("parity of the id", channel.id % 2, 0 if self.model.slots.dtls_client else 1)
            if made.state == "closed" or (made.is_closing and self.pc.sctp is None):
                self._same("state", str(channel.readyState), "closed")

    def _check_muted(self) -> None:
        """A track of which a description has said that nothing comes is muted."""
        for each in self.model.slots.transceivers:
            track = self.face(each).receiver.track
            is_told = each.receptive or each.fired_direction in RECV
            if not each.stopping and not is_told and not track.muted:
                raise DivergenceError(
                    f"{self.name}: transceiver {each.number} is {each.fired_direction} and not muted"
                )

    def _note_refused(self) -> None:
        """Transceivers that outlive the answer which refused their sections: whether they show a transport
        that is closed, and whether a rollback gives it back, is not looked at from then on."""
        slots = self.model.slots
        described = [each[1] for each in (slots.current_local, slots.current_remote) if each is not None]
        self._refused |= {
            each.number
            for each in slots.transceivers
            if not each.stopped
            and any((m := text.of_mid(each.mid)) is not None and m.rejected for text in described)
        }

    def _same_shown(self, when: str, got: Any, expected: Any) -> None:
        if got is None or expected is None:
            return
        self._note_refused()
        for transceivers in (got["transceivers"], expected["transceivers"]):
            for number, transceiver in transceivers.items():
                if self.has_media:
                    transceiver.pop("muted", None)
                if number in self._refused:
                    transceiver.pop("transport", None)
        got["streams"] = {name: sorted(got["streams"][name]) for name in sorted(got["streams"])}
        for key, value in expected.items():
            if key == "transceivers":
                for number in sorted(value.keys() | got[key].keys()):
                    if when != "now":
                        # setParameters' task may have run between the promise and whoever awaits it
                        got[key].get(number, {}).pop("encodings", None)
                        value.get(number, {}).pop("encodings", None)
                    self._same(f"transceiver {number} {when}", got[key].get(number), value.get(number))
            else:
                self._same(f"{key} {when}", got[key], value)

    def _same(self, what: str, got: Any, expected: Any) -> None:
        if got == expected:
            return
        if isinstance(got, dict) and isinstance(expected, dict):
            names = [name for name in expected if got.get(name) != expected[name]]
            got, expected = ({name: each.get(name) for name in names} for each in (got, expected))
        if isinstance(got, list) and isinstance(expected, list) and len(got) + len(expected) > 12:
            same = 0
            while same < min(len(got), len(expected)) and got[same] == expected[same]:
                same += 1
            got, expected = got[max(same - 2, 0) :], expected[max(same - 2, 0) :]
        raise DivergenceError(f"{self.name}: {what}: {got}, not {expected}")
