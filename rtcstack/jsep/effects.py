"""What the runtime has to do after a step of the negotiation, in the order in which to do it."""

from __future__ import annotations

from dataclasses import dataclass

from rtcstack.jsep.session import Section, Transport

__all__ = [
    "Effect",
    "EncodingsAgreed",
    "EncodingsProposed",
    "SectionChanged",
    "TransceiverCreated",
    "TransceiverRemoved",
    "TransceiverStopped",
    "TransportAdded",
    "TransportChanged",
    "TransportRemoved",
]


@dataclass(frozen=True, slots=True)
class TransceiverCreated:
    """A remote offer has a section that no transceiver fits: make one, recvonly, with this key.

    Attributes:
        key: names it for its whole life.
        kind: "audio" or "video".
        mid: of the section.
        rids: the simulcast streams that the offer asks for, in order; () is one stream.
    """

    key: int
    kind: str
    mid: str
    rids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TransceiverRemoved:
    """The remote offer that made the transceiver was rolled back: stop it and forget it.

    Never sent for one that addTrack has used since; that one only loses its mid.
    """

    key: int


@dataclass(frozen=True, slots=True)
class TransceiverStopped:
    """Its section was rejected: stop it, if it is not stopped yet."""

    key: int
    mid: str


@dataclass(frozen=True, slots=True)
class EncodingsProposed:
    """A remote offer asks an existing transceiver for simulcast: so it is to send, if it has one stream.

    Attributes:
        key: of the transceiver.
        rids: the streams, in order.
    """

    key: int
    rids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EncodingsAgreed:
    """An answer takes some of the simulcast streams that were offered or asked for: the others are gone.

    Attributes:
        key: of the transceiver.
        rids: the streams that are left; () where simulcast was refused, which leaves the first.
    """

    key: int
    rids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TransportAdded:
    """A transport to start. With a local side: gather. With both sides: connect."""

    transport: Transport


@dataclass(frozen=True, slots=True)
class TransportChanged:
    """A transport whose parameters changed.

    Attributes:
        old, new: what stood before and what stands now.
        local_restart: our ICE credentials changed: gather again. After a rollback they are the old
            ones again, and what was gathered since is void.
        remote_restart: the peer's ICE credentials changed: form the check list anew.
        new_dtls: an answer with other certificates or another tls-id, of either side: a new
            handshake, in roles chosen anew.
    """

    old: Transport
    new: Transport
    local_restart: bool = False
    remote_restart: bool = False
    new_dtls: bool = False


@dataclass(frozen=True, slots=True)
class TransportRemoved:
    """No section uses the transport any longer: stop it."""

    transport: Transport


@dataclass(frozen=True, slots=True)
class SectionChanged:
    """A section appeared (old is None), disappeared (new is None) or changed.

    A recycled section disappears and appears. Rejection is a change to `rejected`.
    """

    old: Section | None
    new: Section | None


Effect = (
    TransceiverCreated
    | TransceiverRemoved
    | TransceiverStopped
    | EncodingsProposed
    | EncodingsAgreed
    | TransportAdded
    | TransportChanged
    | TransportRemoved
    | SectionChanged
)
