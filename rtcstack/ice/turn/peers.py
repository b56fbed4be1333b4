"""What a relay knows of one peer: permission, channel, and what waits for them.

Spec: RFC 8656, sections 9 (permissions) and 12 (channels).
"""

from __future__ import annotations

from enum import Enum

from rtcstack.ice.stun import Address

__all__ = ["Channel", "Grant", "Permission"]

MAX_WAITING = 16
"""Datagrams of one address that wait for its permission; later ones are dropped."""


class Grant(Enum):
    """How far a request to the server has come."""

    NONE = 0
    ASKED = 1
    GRANTED = 2
    DENIED = 3


class Permission:
    """A peer's address, without a port, that may send to us through the relay.

    Attributes:
        state: how far it has come.
        refresh_at: when it is asked for again.
        used_at: when something was last sent there.
        waiting: what is sent once it is granted.
    """

    __slots__ = ("refresh_at", "state", "used_at", "waiting")

    def __init__(self, now: float) -> None:
        self.state = Grant.NONE
        self.refresh_at = now
        self.used_at = now
        self.waiting: list[tuple[Address, bytes]] = []

    def hold(self, peer: Address, data: bytes) -> bool:
        """Keep a datagram until the permission is there; False when too much waits."""
        if len(self.waiting) >= MAX_WAITING:
            return False
        self.waiting.append((peer, data))
        return True


class Channel:
    """A short header for one peer's data.

    Its number is the peer's, and the peer's number this one, for as long as the server may know the binding
    and five minutes more, whether anything is sent on it or not (RFC 8656, section 12).

    Attributes:
        number: 0x4000 to 0x4FFF.
        peer: its address.
        state: how far it has come; NONE also when it has expired, and may be bound again.
        asked_at: when the server was last asked for it.
        bound_until: until when the server has it bound for sure.
        refresh_at: when it is bound again.
        free_at: when its number may be another peer's, and its peer's another number.
        used_at: when something was last sent on it.
    """

    __slots__ = ("asked_at", "bound_until", "free_at", "number", "peer", "refresh_at", "state", "used_at")

    def __init__(self, number: int, peer: Address, now: float) -> None:
        self.number = number
        self.peer = peer
        self.state = Grant.NONE
        self.asked_at = now
        self.bound_until = now
        self.refresh_at = now
        self.free_at = now
        self.used_at = now
