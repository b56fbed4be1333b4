"""The phases of an association, and why it drops things."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["AssociationState", "Drop"]


class AssociationState(StrEnum):
    """The states that matter to the layer above; those of the RFC are in `Opening` and `Closing`."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    SHUTTING_DOWN = "shutting-down"
    CLOSED = "closed"


class Drop(StrEnum):
    """Why a packet or chunk was dropped."""

    MALFORMED = "malformed"
    CHECKSUM = "checksum"
    PORTS = "ports"
    TAG = "tag"
    UNEXPECTED = "unexpected"
    COOKIE = "cookie"
    ACKED_UNSENT = "acked-unsent"
