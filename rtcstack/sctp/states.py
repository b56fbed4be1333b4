"""The states of an association, and why it drops things.

Spec: RFC 9260, section 4.
"""

from __future__ import annotations

from enum import Enum, StrEnum

__all__ = ["AssociationState", "Drop", "Phase"]


class AssociationState(StrEnum):
    """The states that matter to the layer above."""

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


class Phase(Enum):
    """The RFC's states. Spec: RFC 9260, section 4."""

    NEW = "new"
    COOKIE_WAIT = "cookie-wait"
    COOKIE_ECHOED = "cookie-echoed"
    ESTABLISHED = "established"
    SHUTDOWN_PENDING = "shutdown-pending"
    SHUTDOWN_SENT = "shutdown-sent"
    SHUTDOWN_RECEIVED = "shutdown-received"
    SHUTDOWN_ACK_SENT = "shutdown-ack-sent"
    CLOSED = "closed"


STATE_OF = {
    Phase.NEW: AssociationState.NEW,
    Phase.COOKIE_WAIT: AssociationState.CONNECTING,
    Phase.COOKIE_ECHOED: AssociationState.CONNECTING,
    Phase.ESTABLISHED: AssociationState.CONNECTED,
    Phase.SHUTDOWN_PENDING: AssociationState.SHUTTING_DOWN,
    Phase.SHUTDOWN_SENT: AssociationState.SHUTTING_DOWN,
    Phase.SHUTDOWN_RECEIVED: AssociationState.SHUTTING_DOWN,
    Phase.SHUTDOWN_ACK_SENT: AssociationState.SHUTTING_DOWN,
    Phase.CLOSED: AssociationState.CLOSED,
}
SENDS_DATA = frozenset({Phase.ESTABLISHED, Phase.SHUTDOWN_PENDING, Phase.SHUTDOWN_RECEIVED})
TAKES_DATA = frozenset({Phase.ESTABLISHED, Phase.SHUTDOWN_PENDING, Phase.SHUTDOWN_SENT})
SHUTTING_DOWN = frozenset(
    {Phase.SHUTDOWN_PENDING, Phase.SHUTDOWN_SENT, Phase.SHUTDOWN_RECEIVED, Phase.SHUTDOWN_ACK_SENT}
)
ACCEPTS_MESSAGES = frozenset({Phase.NEW, Phase.COOKIE_WAIT, Phase.COOKIE_ECHOED, Phase.ESTABLISHED})
