"""Whether what two sides negotiated is what arrives: each track at its receiver, and nowhere else.

Spec: webrtc-pc, sections 5.2 (what a sender sends), 9.3 (when a receiver's track is muted).
"""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.model.errors import DivergenceError
from tests.support.model.slots import Slots
from tests.support.model.text import RECV, SEND
from tests.support.model.transceiver import Transceiver
from tests.support.walk.both import Both
from tests.support.walk.codecsets import SENT, check_codecs, negotiated
from tests.support.walk.studio import Listener, Studio

__all__ = ["Flow"]

MAX_WAIT_S = 20.0
"""In this time transports are connected, and key frames asked for and got."""

GRACE_S = 1.0
"""What was under way has arrived by then."""

WINDOW_S = 0.55
"""So long what arrives is looked at: five frames of a track."""

LEAST = 3
"""Frames of a track that arrive in it at least."""


class Flow:
    """What flows between two sides.

    Args:
        sides: the two.
        studio: of the tracks that they send.
    """

    def __init__(self, sides: tuple[Both, Both], studio: Studio) -> None:
        self.sides = sides
        self.studio = studio
        self.listeners = {side.name: Listener() for side in sides}
        self.looks = 0
        self.flows = 0

    def attach(self, side: Both) -> None:
        """Listen at all receivers of a side."""
        self.listeners[side.name].attach(side.watched.numbers)

    def stop(self) -> None:
        """Listen no more."""
        for each in self.listeners.values():
            each.stop()

    # -- what the models say ----------------------------------------------------------------------

    @property
    def is_quiet(self) -> bool:
        """Whether both sides have the same exchange behind them, and none before them."""
        slots = [side.model.slots for side in self.sides]
        return all(
            each.signaling_state == "stable" and each.current_local is not None and not each.is_closed
            for each in slots
        )

    def expected(self) -> dict[tuple[str, int], int]:
        """The track that arrives at each transceiver where one does: (side, number) to the track's number."""
        found: dict[tuple[str, int], int] = {}
        for sender, receiver in (self.sides, self.sides[::-1]):
            for transceiver in sender.model.slots.transceivers:
                number = self._sent(sender.model.slots, transceiver)
                if number is None:
                    continue
                there = receiver.model.slots.of_mid(transceiver.mid or "")
                if there is not None and not there.stopping and there.current_direction in RECV:
                    found[receiver.name, there.number] = number
        return found

    def _sent(self, slots: Slots, transceiver: Transceiver) -> int | None:
        """The number of the track that a sender sends; None where it sends none."""
        if transceiver.stopping or transceiver.stopped or transceiver.mid is None:
            return None
        if transceiver.current_direction not in SEND or not transceiver.encodings[0].active:
            return None
        production = self.studio.productions.get(transceiver.track or "")
        if production is None or not production.plays:
            return None
        names = [each.split("/")[0] for each in negotiated(slots, transceiver, SENT)]
        return production.number if production.codec.split("/")[1].lower() in names else None

    # -- what there is ----------------------------------------------------------------------------

    async def look(self) -> None:
        """Look at all receivers, at a quiet point.

        Raises:
            DivergenceError: something arrives where it must not, or does not arrive where it must.
        """
        for side in self.sides:
            self.attach(side)
        for side in self.sides:
            check_codecs(side)
        expected = self.expected()
        self.looks += 1
        self.flows += len(expected)
        await self._arrives(expected)
        await asyncio.sleep(GRACE_S)
        for each in self.listeners.values():
            each.forget()
        before = {side.name: await self._counts(side) for side in self.sides}
        await asyncio.sleep(WINDOW_S)
        after = {side.name: await self._counts(side) for side in self.sides}
        for side in self.sides:
            self._check_side(side, expected, before[side.name], after[side.name])

    async def _arrives(self, expected: dict[tuple[str, int], int]) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + MAX_WAIT_S
        for each in self.listeners.values():
            each.forget()
        missing = dict(expected)
        while missing:
            await asyncio.sleep(0.02)
            missing = {
                place: number
                for place, number in missing.items()
                if number not in self.listeners[place[0]].heard(place[1])
            }
            if missing and loop.time() > end:
                states = [str(side.pc.connectionState.value) for side in self.sides]
                raise DivergenceError(f"tracks do not arrive: {missing}; {states}")

    def _check_side(
        self,
        side: Both,
        expected: dict[tuple[str, int], int],
        before: dict[int, dict[str, Any]],
        after: dict[int, dict[str, Any]],
    ) -> None:
        listener = self.listeners[side.name]
        for transceiver, number in side.watched.numbers.items():
            what = f"{side.name}: transceiver {number}"
            taken = listener.taken.get(number)
            frames = 0 if taken is None else len(taken.numbers)
            wanted = expected.get((side.name, number))
            heard = listener.heard(number)
            if heard != (set() if wanted is None else {wanted}):
                raise DivergenceError(f"{what} hears the tracks {heard}, not {wanted}")
            if taken is not None and taken.broken:
                raise DivergenceError(f"{what}: {taken.broken} frames are broken")
            muted, direction = transceiver.receiver.track.muted, transceiver.currentDirection
            if wanted is not None:
                if frames < LEAST:
                    raise DivergenceError(f"{what} gets {frames} frames")
                if muted:
                    raise DivergenceError(f"{what} gets frames and is muted")
                codec = self._codec(side, transceiver.mid)
                self._check_counts(what, codec, frames, before.get(number), after.get(number))
            elif direction not in RECV and transceiver.receiver.track.readyState == "live" and not muted:
                raise DivergenceError(f"{what} is {direction} and is not muted")

    def _codec(self, side: Both, mid: str | None) -> str:
        """What its peer sends a section's media with: sound goes in RED where that is preferred."""
        peer = self.sides[1] if side is self.sides[0] else self.sides[0]
        sender = next(each.sender for each in peer.pc.getTransceivers() if each.mid == mid)
        assert sender.track is not None
        agreed = [each.mimeType for each in sender.getParameters().codecs]
        brought = self.studio.productions[sender.track.id].codec
        before = agreed[: agreed.index(brought)]
        return "audio/red" if brought == "audio/opus" and "audio/red" in before else brought

    def _check_counts(
        self,
        what: str,
        codec: str,
        frames: int,
        before: dict[str, Any] | None,
        after: dict[str, Any] | None,
    ) -> None:
        if before is None or after is None:
            raise DivergenceError(f"{what} has no inbound-rtp")
        if after["codec"] != codec:
            raise DivergenceError(f"{what} counts frames of {after['codec']}, not {codec}")
        name = "framesReceived" if codec.startswith("video/") else "packetsReceived"
        counted = after[name] - before[name]
        if counted != frames:
            raise DivergenceError(f"{what} counts {counted} {name}, and {frames} came")

    async def _counts(self, side: Both) -> dict[int, dict[str, Any]]:
        """The inbound-rtp of each transceiver that has one."""
        found: dict[int, dict[str, Any]] = {}
        for transceiver, number in side.watched.numbers.items():
            report = await transceiver.receiver.getStats()
            for stats in report.of_type("inbound-rtp"):
                if stats["trackIdentifier"] != transceiver.receiver.track.id:
                    raise DivergenceError(f"{side.name}: inbound-rtp of another track at {number}")
                codec = report.get(stats.get("codecId") or "")
                found[number] = {
                    "codec": None if codec is None else codec["mimeType"],
                    "packetsReceived": stats["packetsReceived"],
                    "framesReceived": stats.get("framesReceived"),
                }
        return found
