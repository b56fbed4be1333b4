"""Calls of what extends webrtc-pc, most of them wrong: they change nothing, and are refused by name.

Spec: webrtc-extensions (selectCandidatePair, removeCandidatePair, targetLatency); webrtc-encoded-transform,
section 4 (the attribute transform).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rtcstack import (
    RTCIceCandidate,
    RTCIceCandidatePair,
    RTCIceTransport,
    RTCRtpScriptTransform,
    SFrameTransform,
)
from tests.support.model.errors import DivergenceError, RefusedError
from tests.support.walk.both import Both

__all__ = ["ExtraCalls"]

CANDIDATE = "candidate:1 1 udp 2122260223 192.0.2.1 1234 typ host"

IDLE = ("new", "failed", "closed")


class ExtraCalls:
    """What one side's application does with extensions.

    Args:
        both: the side.
        dice: the source of chance.
        has_media: frames must go through; nothing may seal them.
    """

    def __init__(self, both: Both, dice: random.Random, *, has_media: bool = False) -> None:
        self.both = both
        self.dice = dice
        self._make: Callable[[], Any] = (
            (lambda: RTCRtpScriptTransform(lambda frame: frame))
            if has_media
            else (lambda: SFrameTransform({"cipherSuite": "AES_128_GCM_SHA256_128"}))
        )
        self._used: list[Any] = []
        self.moves: list[Callable[[], None]] = [self.foreign_pair, self.target_latency, self.set_transform]

    def foreign_pair(self) -> None:
        """A pair of no transport of ours, or no pair at all."""
        both, dice = self.both, self.dice
        transports = {each.transport for each in both.pc.getSenders()} - {None}
        if not transports:
            return
        ice: RTCIceTransport = next(each for each in transports if each is not None).iceTransport
        name = dice.choice(("selectCandidatePair", "removeCandidatePair"))
        method = getattr(ice, name)
        if dice.random() < 0.3:
            both.call(f"{name}(no pair)", lambda: method({}), self._refuse("TypeError"))
            return
        candidate = RTCIceCandidate(candidate=CANDIDATE, sdpMid="0")
        foreign = RTCIceCandidatePair(candidate, candidate)  # it is the object that counts
        error = "InvalidStateError" if ice.state in IDLE else "NotFoundError"
        both.promise(f"{name}(a foreign pair)", lambda: method(foreign), lambda settled: settled(error))

    def target_latency(self) -> None:
        """It may be changed at any time, to what there is."""
        both = self.both
        wanted = self.dice.choice(("lowest", "none", "middling"))
        given = replace(both.pc.getConfiguration(), targetLatency=wanted)

        def real() -> None:
            both.pc.setConfiguration(given)
            if str(both.pc.getConfiguration().targetLatency) != wanted:
                raise DivergenceError(f"targetLatency is not {wanted}")

        def model() -> None:
            if wanted == "middling":
                raise RefusedError("TypeError")
            if both.model.slots.is_closed:
                raise RefusedError("InvalidStateError")

        both.call(f"setConfiguration(targetLatency {wanted})", real, model)

    def set_transform(self) -> None:
        """A transform serves one sender or receiver, once."""
        both, dice = self.both, self.dice
        ends: list[Any] = [*both.pc.getSenders(), *both.pc.getReceivers()]
        if not ends:
            return
        end = dice.choice(ends)

        def put(value: Any) -> Callable[[], None]:
            return lambda: setattr(end, "transform", value)

        match dice.randrange(4):
            case 0:
                both.call(
                    "transform = no transform", put(dice.choice((1, "x", {}))), self._refuse("TypeError")
                )
            case 1:
                both.call("transform = None", put(None), lambda: None)
            case 2 if self._used:
                both.call(
                    "transform = one in use", put(dice.choice(self._used)), self._refuse("InvalidStateError")
                )
            case _:
                made = self._make()
                both.call("transform = a new one", put(made), lambda: None)
                self._used.append(made)

    @staticmethod
    def _refuse(name: str) -> Callable[[], None]:
        def refuse() -> None:
            raise RefusedError(name)

        return refuse
