"""What a DTLS association is, reports and counts.

Spec: webrtc-pc, section 5.5 (states and roles); RFC 8842.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "DtlsClosed",
    "DtlsConnected",
    "DtlsCounters",
    "DtlsEvent",
    "DtlsFailed",
    "DtlsRole",
    "DtlsState",
]


class DtlsRole(StrEnum):
    """Which end sends the ClientHello (RTCDtlsRole; SDP's "active" is the client)."""

    CLIENT = "client"
    SERVER = "server"


class DtlsState(StrEnum):
    """RTCDtlsTransportState."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DtlsConnected:
    """The handshake is done and the peer is who the fingerprints say.

    Attributes:
        remote_certificates: DER, the end-entity certificate first.
        version: protocol version on the wire, e.g. 0xFEFD for DTLS 1.2.
        cipher: OpenSSL's name of the cipher suite.
        cipher_suite: the same in the names of IANA's registry.
        group: name of the key exchange group, or None where OpenSSL does not tell.
        srtp_profile: name of the SRTP protection profile, or None when the peer offered none.
    """

    remote_certificates: tuple[bytes, ...]
    version: int
    cipher: str
    cipher_suite: str
    group: str | None
    srtp_profile: str | None


@dataclass(frozen=True, slots=True)
class DtlsFailed:
    """The handshake or the connection failed for good.

    Attributes:
        detail: ``"dtls-failure"`` or ``"fingerprint-failure"`` (RTCErrorDetailType).
        reason: what went wrong, for a person.
        received_alert: number of the alert that the peer sent, or None.
        sent_alert: number of the alert that was sent, or None.
    """

    detail: str
    reason: str
    received_alert: int | None = None
    sent_alert: int | None = None


@dataclass(frozen=True, slots=True)
class DtlsClosed:
    """The peer closed the connection with close_notify."""


DtlsEvent = DtlsConnected | DtlsFailed | DtlsClosed


@dataclass(slots=True)
class DtlsCounters:
    """What the engine counts; all since it was made."""

    packets_sent: int = 0
    bytes_sent: int = 0
    packets_received: int = 0
    bytes_received: int = 0
    handshake_retransmissions: int = 0
    dropped_early: int = 0
    dropped_oversize: int = 0
    dropped_out_of_place: int = 0
    dropped_closed: int = 0
    dropped_not_connected: int = 0
    records_refused: int = 0
