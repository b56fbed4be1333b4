"""TURN, the client's side: an engine without a socket."""

from rtcstack.ice.turn.client import TurnClient
from rtcstack.ice.turn.events import (
    TurnAllocated,
    TurnEvent,
    TurnFailed,
    TurnPeerDenied,
    TurnRedirected,
)

__all__ = [
    "TurnAllocated",
    "TurnClient",
    "TurnEvent",
    "TurnFailed",
    "TurnPeerDenied",
    "TurnRedirected",
]
