"""Two sides that negotiate perfectly, over signalling that takes its time.

Spec: webrtc-pc, section 10.7 (perfect negotiation example).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from rtcstack import MediaStream, MediaStreamTrack, RTCPeerConnection
from tests.support.loops import stand_on

__all__ = ["MAX_SECTIONS", "Negotiator", "settle"]

MAX_SECTIONS = 8
"""More transceivers are not made: what is stopped makes room for others."""

MAX_DELAY_S = 0.4
"""How long signalling takes at most; it keeps order."""


class Negotiator:
    """One side.

    Args:
        name: of its host.
        polite: whether it gives way.
        dice: the source of chance.
        shape: what its descriptions become on their way, by their type.

    Attributes:
        pc: its connection.
        other: the other side.
        collisions: offers that met one of its own.
        offers: that it has made.
        failures: whatever was raised.
    """

    def __init__(
        self,
        name: str,
        *,
        polite: bool,
        dice: random.Random,
        shape: Callable[[str, str], str] = lambda _, sdp: sdp,
        bundle_policy: str = "balanced",
    ) -> None:
        with stand_on(name):
            self.pc = RTCPeerConnection({"bundlePolicy": bundle_policy})
        self.name = name
        self.other: Negotiator | None = None
        self.collisions = 0
        self.offers = 0
        self.failures: list[str] = []
        self._polite = polite
        self._dice = dice
        self._shape = shape
        self._making_offer = False
        self._ignore_offer = False
        self._setting_answer = False
        self._mail: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._next_at = 0.0
        self._busy = 0
        self._streams = [MediaStream() for _ in range(3)]
        self._postman = asyncio.ensure_future(self._read())
        self.pc.on("negotiationneeded", self._negotiate)
        self.pc.on("icecandidate", lambda event: self._send({"candidate": event.candidate}))

    # -- the pattern ------------------------------------------------------------------------------

    async def _negotiate(self, _event: Any) -> None:
        self._busy += 1
        try:
            self._making_offer = True
            await self.pc.setLocalDescription()
            self.offers += 1
            self._describe()
        except Exception as error:
            self.failures.append(f"{self.name}: an offer: {error!r}")
        finally:
            self._making_offer = False
            self._busy -= 1

    def _describe(self) -> None:
        description = self.pc.localDescription
        assert description is not None
        kind = str(description.type.value)
        self._send({"description": {"type": kind, "sdp": self._shape(kind, description.sdp)}})

    def _send(self, letter: dict[str, Any]) -> None:
        """It arrives after a while, behind what was sent before."""
        assert self.other is not None
        loop = asyncio.get_running_loop()
        self._next_at = max(self._next_at, loop.time() + self._dice.uniform(0, MAX_DELAY_S))
        self._busy += 1
        loop.call_at(self._next_at, self._deliver, letter)

    def _deliver(self, letter: dict[str, Any]) -> None:
        self._busy -= 1
        assert self.other is not None
        self.other._mail.put_nowait(letter)

    async def _read(self) -> None:
        while True:
            letter = await self._mail.get()
            self._busy += 1
            try:
                await self._take(letter)
            except Exception as error:
                self.failures.append(
                    f"{self.name}: {'description' if 'description' in letter else letter}: {error!r}"
                )
            finally:
                self._busy -= 1

    async def _take(self, letter: dict[str, Any]) -> None:
        pc = self.pc
        if "candidate" in letter:
            try:
                await pc.addIceCandidate(letter["candidate"])
            except Exception:
                if not self._ignore_offer:
                    raise
            return
        description = letter["description"]
        is_offer = description["type"] == "offer"
        ready = not self._making_offer and (pc.signalingState == "stable" or self._setting_answer)
        self.collisions += is_offer and not ready
        self._ignore_offer = not self._polite and is_offer and not ready
        if self._ignore_offer:
            return
        self._setting_answer = not is_offer
        await pc.setRemoteDescription(description)
        self._setting_answer = False
        if is_offer:
            await pc.setLocalDescription()
            self._describe()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way from here."""
        return not self._busy and self._mail.empty() and self.pc.signalingState == "stable"

    # -- what the application changes -------------------------------------------------------------

    def change(self) -> None:
        """Anything that calls for negotiation, or may."""
        pc, dice = self.pc, self._dice
        transceivers = [each for each in pc.getTransceivers() if each.direction != "stopped"]
        streams = dice.sample(self._streams, dice.choice((0, 1, 1, 2)))
        has_room = len(transceivers) < MAX_SECTIONS
        chosen = dice.choice(transceivers) if transceivers else None
        match dice.randrange(10):
            case 0 | 1 if has_room:
                pc.addTrack(MediaStreamTrack(dice.choice(("audio", "video"))), *streams)
            case 2 if has_room:
                direction = dice.choice(("sendrecv", "sendonly", "recvonly", "inactive"))
                pc.addTransceiver(dice.choice(("audio", "video")), direction=direction, streams=streams)
            case 3 | 4 if chosen is not None:
                chosen.stop()
            case 5 if chosen is not None and chosen.sender.track is not None:
                pc.removeTrack(chosen.sender)
            case 6 if chosen is not None:
                chosen.direction = dice.choice(("sendrecv", "sendonly", "recvonly", "inactive"))
            case 7 if chosen is not None:
                chosen.sender.setStreams(*streams)
            case 8:
                pc.restartIce()
            case _ if chosen is not None:
                chosen.direction = "sendrecv"
            case _:
                pc.addTrack(MediaStreamTrack("audio"), *streams)

    async def stop(self) -> None:
        """End it."""
        self._postman.cancel()
        await self.pc.close()


async def settle(*sides: Negotiator, limit_s: float = 60.0) -> None:
    """Wait until nothing is under way any more.

    Raises:
        AssertionError: there always is.
    """
    quiet = 0
    async with asyncio.timeout(limit_s):
        while quiet < 3:
            await asyncio.sleep(0.3)
            quiet = quiet + 1 if all(each.is_quiet for each in sides) else 0
