"""What a TURN client tells.

Spec: RFC 8656.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtcstack.ice.stun import Address

__all__ = ["Relayed", "TurnAllocated", "TurnEvent", "TurnFailed", "TurnPeerDenied", "TurnRedirected"]


@dataclass(frozen=True, slots=True)
class TurnAllocated:
    """The relay has an address for us; told of each, if there are two.

    Attributes:
        relayed: where peers reach us.
        mapped: where the server sees us.
        lifetime_s: what the server granted.
    """

    relayed: Address
    mapped: Address | None
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """There is no allocation, or no longer.

    Attributes:
        code: a STUN error code, or 701 when the server did not answer (webrtc-pc, section 4.8.2).
        reason: what the server said, or what went wrong.
    """

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class TurnRedirected:
    """The server asks us to use another one (RFC 8489, section 10).

    Attributes:
        server: its address.
    """

    server: Address


@dataclass(frozen=True, slots=True)
class TurnPeerDenied:
    """The server will not relay to an address.

    Attributes:
        host: of the peer.
        code: the STUN error code.
    """

    host: str
    code: int


Relayed = tuple[Address, bytes, float]
"""What a peer has sent through a relay: from where, the datagram, when it reached this machine."""

TurnEvent = TurnAllocated | TurnFailed | TurnRedirected | TurnPeerDenied
