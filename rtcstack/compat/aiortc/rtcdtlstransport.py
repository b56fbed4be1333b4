"""RTCCertificate and RTCDtlsTransport: the security of a connection's path."""

from __future__ import annotations

import datetime
from enum import Enum
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from pyee.asyncio import AsyncIOEventEmitter

from rtcstack.api.certificate import RTCCertificate as NativeCertificate
from rtcstack.api.certificate import certificate_key, generate_certificate
from rtcstack.compat.aiortc.dtlsparameters import RTCDtlsFingerprint, RTCDtlsParameters
from rtcstack.compat.aiortc.rtcicetransport import RTCIceTransport
from rtcstack.compat.aiortc.rtcrtpparameters import RTCRtpReceiveParameters, RTCRtpSendParameters
from rtcstack.compat.aiortc.rtp import RtpPacket
from rtcstack.compat.aiortc.stats import RTCStatsReport, RTCTransportStats

if TYPE_CHECKING:
    from rtcstack.api.dtlstransport import RTCDtlsTransport as NativeTransport

__all__ = [
    "X509_DIGEST_ALGORITHMS",
    "RTCCertificate",
    "RTCDtlsFingerprint",
    "RTCDtlsParameters",
    "RTCDtlsTransport",
    "RTCRtpReceiveParameters",
    "RTCRtpSendParameters",
    "RTCStatsReport",
    "RTCTransportStats",
    "RtpPacket",
    "State",
    "certificate_digest",
]

X509_DIGEST_ALGORITHMS: dict[str, hashes.HashAlgorithm] = {
    "sha-256": hashes.SHA256(),
    "sha-384": hashes.SHA384(),
    "sha-512": hashes.SHA512(),
}
"""The digests that certificates are described with, by their names in descriptions. A program may take some
away, or set it anew. Descriptions name SHA-256, which every peer knows, and nothing else."""


class State(Enum):
    """How far DTLS is."""

    NEW = 0
    CONNECTING = 1
    CONNECTED = 2
    CLOSED = 3
    FAILED = 4


def certificate_digest(certificate: x509.Certificate, algorithm: str) -> str:
    """A certificate's digest.

    Args:
        certificate: the certificate.
        algorithm: one of `X509_DIGEST_ALGORITHMS`.
    """
    return certificate.fingerprint(X509_DIGEST_ALGORITHMS[algorithm]).hex(":").upper()


class RTCCertificate:
    """A certificate and its key; `native` is this stack's."""

    def __init__(self, certificate: NativeCertificate) -> None:
        self.native = certificate

    @property
    def expires(self) -> datetime.datetime:
        """When it expires."""
        return datetime.datetime.fromtimestamp(self.native.expires / 1000, datetime.UTC)

    def getFingerprints(self) -> list[RTCDtlsFingerprint]:
        """Its digests, with each of `X509_DIGEST_ALGORITHMS`."""
        certificate = x509.load_der_x509_certificate(certificate_key(self.native).der)
        return [
            RTCDtlsFingerprint(name, certificate_digest(certificate, name)) for name in X509_DIGEST_ALGORITHMS
        ]

    @classmethod
    def generateCertificate(cls) -> RTCCertificate:
        """A new one."""
        return cls(generate_certificate({"name": "ECDSA", "namedCurve": "P-256"}))


class RTCDtlsTransport(AsyncIOEventEmitter):
    """The security of a path. A connection's transceivers have one each, or share it, as its bundle policy
    says; once the peer has answered, those of a bundle share one.

    Args:
        transport: the path.
        certificates: of this end.

    Events: statechange.
    """

    def __init__(self, transport: RTCIceTransport, certificates: list[RTCCertificate]) -> None:
        super().__init__()
        self._ice = transport
        self._certificates = certificates
        self._transport: NativeTransport | None = None
        self._is_closed = False

    def bind(self, transport: NativeTransport) -> None:
        """Show this one from now on."""
        if self._transport is None:
            self._transport = transport
            self._ice.bind(transport.iceTransport)
            transport.on("statechange", lambda: self._is_closed or self.emit("statechange"))

    def end(self) -> None:
        """The connection is closed."""
        if not self._is_closed:
            was = self.state
            self._is_closed = True
            self._ice.end()
            if was != "closed":
                self.emit("statechange")
            self.remove_all_listeners()

    @property
    def state(self) -> str:
        """ "new", "connecting", "connected", "closed" or "failed"."""
        if self._is_closed:
            return "closed"
        return "new" if self._transport is None else str(self._transport.state)

    @property
    def transport(self) -> RTCIceTransport:
        """The path."""
        return self._ice

    def getLocalParameters(self) -> RTCDtlsParameters:
        """What descriptions say of this end."""
        return RTCDtlsParameters([each for one in self._certificates for each in one.getFingerprints()])
