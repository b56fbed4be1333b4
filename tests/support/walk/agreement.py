"""What two sides have agreed on when they have negotiated to the end."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.model.errors import DivergenceError
from tests.support.model.needed import is_negotiation_needed
from tests.support.model.slots import Channel
from tests.support.model.text import reverse
from tests.support.walk.both import Both
from tests.support.walk.exchange import Exchange

__all__ = ["agree"]

MAX_EXCHANGES = 6
"""What is wanted is agreed on in so many exchanges."""


async def agree(exchange: Exchange) -> None:
    """Negotiate until nothing is needed any more, and look at both sides."""
    await exchange.complete()
    for _ in range(MAX_EXCHANGES):
        needy = next((each for each in exchange.sides if is_negotiation_needed(each.model.slots)), None)
        if needy is None:
            break
        await exchange.exchange(needy)
        for side in exchange.sides:
            await side.settle()
    else:
        raise DivergenceError("negotiation is needed for ever")
    a, b = exchange.sides
    _mirror(a, b)
    await _flows(a, b)


def _mirror(a: Both, b: Both) -> None:
    def shown(side: Both) -> dict[str, Any]:
        return {
            each.mid: (each.kind, each.currentDirection and str(each.currentDirection.value))
            for each in side.pc.getTransceivers()
            if each.mid is not None and each.currentDirection is not None and not _is_rejected(side, each.mid)
        }

    mine = shown(a)
    theirs = {mid: (kind, direction and reverse(direction)) for mid, (kind, direction) in shown(b).items()}
    if mine != theirs:
        raise DivergenceError(f"directions do not mirror: {mine}, {theirs}")
    for side in (a, b):
        if side.pc.signalingState != "stable":
            raise DivergenceError(f"{side.name} is not stable")


def _is_rejected(side: Both, mid: str) -> bool:
    """Whether the answer rejects a section: the offerer's transceiver is gone, the answerer's is not."""
    current = side.model.slots.current_local, side.model.slots.current_remote
    return any((media := each[1].of_mid(mid)) is not None and media.rejected for each in current if each)


async def _flows(a: Both, b: Both) -> None:
    """Transports connect, and channels open at both ends."""
    with_transport = [
        side
        for side in (a, b)
        if side.pc.sctp
        or any(
            t.sender.transport and t.mid is not None and not _is_rejected(side, t.mid)
            for t in side.pc.getTransceivers()
        )
    ]
    if not with_transport:
        return
    await _until(lambda: all(side.pc.connectionState == "connected" for side in (a, b)), "connected", a, b)
    roles = {_role(side) for side in (a, b)}
    if roles != {"controlling", "controlled"}:
        raise DivergenceError(f"ICE roles are {roles}")
    for side in (a, b):
        # RFC 8445, section 6.1.1: a lite agent whose peer is none is controlled, whoever offers
        if side.is_lite and _role(side) != "controlled":
            raise DivergenceError(f"{side.name} is an ICE lite agent, and controlling")
    for side, other in ((a, b), (b, a)):
        if side.pc.iceGatheringState != "complete":
            raise DivergenceError(f"{side.name} is still gathering")
        for channel, made in side.channels:
            await _opens(channel, made, side, other)


async def _opens(channel: Any, made: Channel, side: Both, other: Both) -> None:
    """A channel opens, or closes where its end was closed, and so does its other end."""
    if made.negotiated:
        if any(theirs.is_closing and theirs.id == made.id for _, theirs in other.channels):
            return  # the same channel: it is closed at both ends
        await _until(
            lambda: made.is_closing or channel.readyState == "open", f"{channel.label} open", side, other
        )
        return
    end = "closed" if made.is_closing else "open"
    await _until(lambda: str(channel.readyState) == end, f"{channel.label} {end}", side, other)
    if made.is_closing:
        return  # it may never have been there
    await _until(lambda: other.watched.has_channel(channel.label), "announced", side, other)
    there = [each for each in other.watched.channels if each.label == channel.label]
    await _until(lambda: str(there[0].readyState) == str(channel.readyState), "both ends alike", side, other)
    if there[0].id != channel.id or len(there) != 1:
        raise DivergenceError(f"channel {channel.label} has another id at its other end")


def _role(side: Both) -> str:
    transports = {t.sender.transport for t in side.pc.getTransceivers()} - {None}
    if side.pc.sctp is not None:
        transports.add(side.pc.sctp.transport)
    roles = {str(each.iceTransport.role.value) for each in transports if each is not None}
    if len(roles) != 1:
        raise DivergenceError(f"{side.name} has the roles {roles}")
    return roles.pop()


async def _until(condition: Any, what: str, a: Both, b: Both) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    states = [(str(side.pc.connectionState), str(side.pc.iceConnectionState)) for side in (a, b)]
    raise DivergenceError(f"never {what}: {states}")
