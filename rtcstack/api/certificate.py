"""RTCCertificate.

Spec: webrtc-pc, section 4.9.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtcstack.errors import NotSupportedError

if TYPE_CHECKING:
    from rtcstack.dtls.certificate import Certificate

__all__ = ["RTCCertificate", "RTCDtlsFingerprint", "certificate_key", "generate_certificate"]

_DEFAULT_EXPIRES_MS = 2_592_000_000
_RSA_EXPONENTS = (3, 65537)


@dataclass(frozen=True, slots=True)
class RTCDtlsFingerprint:
    """A certificate's fingerprint.

    Attributes:
        algorithm: e.g. "sha-256".
        value: lower-case hex pairs separated by colons.

    Spec: webrtc-pc, section 5.5.2.
    """

    algorithm: str
    value: str


class RTCCertificate:
    """A certificate and its private key, for ``RTCConfiguration.certificates``."""

    __slots__ = ("_key",)

    def __init__(self, certificate: Certificate) -> None:
        self._key = certificate

    @property
    def expires(self) -> float:
        """When it expires, in milliseconds since the Unix epoch."""
        return self._key.expires.timestamp() * 1000.0

    def getFingerprints(self) -> list[RTCDtlsFingerprint]:
        """The fingerprints that a session description carries."""
        fingerprint = self._key.fingerprint()
        return [RTCDtlsFingerprint(fingerprint.algorithm, fingerprint.value.lower())]

    def toPEM(self) -> str:
        """Certificate and private key as PEM text, to be kept for `fromPEM`. The key is in the clear."""
        return self._key.to_pem().decode("ascii")

    @classmethod
    def fromPEM(cls, pem: str | bytes, password: bytes | None = None) -> RTCCertificate:
        """A certificate that the application brings: PEM text with certificate and private key.

        Raises:
            ValueError: it cannot be read, or the two do not belong together.
        """
        from rtcstack.dtls.certificate import Certificate

        return cls(Certificate.from_pem(pem.encode() if isinstance(pem, str) else pem, password))


def _generate_rsa(algorithm: Mapping[str, Any], lifetime: datetime.timedelta) -> Certificate:
    bits = algorithm.get("modulusLength", 2048)
    exponent = algorithm.get("publicExponent", 65537)
    if not isinstance(exponent, int):
        exponent = int.from_bytes(bytes(exponent), "big")
    digest = algorithm.get("hash", "SHA-256")
    digest = digest.get("name") if isinstance(digest, Mapping) else digest
    if exponent not in _RSA_EXPONENTS or not isinstance(bits, int) or not 1024 <= bits <= 8192:
        raise NotSupportedError(f"RSA keys of {bits} bits with exponent {exponent} cannot be made")
    if digest != "SHA-256":
        raise NotSupportedError(f"certificates are signed with SHA-256, not {digest!r}")
    from rtcstack.dtls.certificate import Certificate, KeyAlgorithm

    return Certificate.generate(
        KeyAlgorithm.RSA_2048, lifetime=lifetime, rsa_bits=bits, rsa_exponent=exponent
    )


def generate_certificate(keygenAlgorithm: str | Mapping[str, Any]) -> RTCCertificate:
    """See `RTCPeerConnection.generateCertificate`."""
    algorithm: Mapping[str, Any] = (
        {"name": keygenAlgorithm} if isinstance(keygenAlgorithm, str) else keygenAlgorithm
    )
    expires = algorithm.get("expires", _DEFAULT_EXPIRES_MS)
    if isinstance(expires, bool) or not isinstance(expires, (int, float)) or not expires >= 0:
        raise TypeError(f"expires must be milliseconds from now, 0 or more, not {expires!r}")
    lifetime = datetime.timedelta(milliseconds=min(expires, 1e12))
    name = str(algorithm.get("name", "")).upper()
    if name == "ECDSA":
        curve = algorithm.get("namedCurve", "P-256")
        if curve != "P-256":
            raise NotSupportedError(f"ECDSA certificates use the curve P-256, not {curve!r}")
        from rtcstack.dtls.certificate import Certificate, KeyAlgorithm

        return RTCCertificate(Certificate.generate(KeyAlgorithm.ECDSA_P256, lifetime=lifetime))
    if name == "RSASSA-PKCS1-V1_5":
        return RTCCertificate(_generate_rsa(algorithm, lifetime))
    raise NotSupportedError(f"certificates can be made with ECDSA or RSASSA-PKCS1-v1_5, not {name!r}")


def certificate_key(certificate: RTCCertificate) -> Certificate:
    """The certificate with its private key, for DTLS."""
    return certificate._key
