"""The certificate that identifies one end of a DTLS association.

Spec: RFC 8827, section 6.5; webrtc-pc, section 4.9 (certificate management).
"""

from __future__ import annotations

import datetime
import functools
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from rtcstack.clock import unix_time
from rtcstack.dtls.fingerprint import Fingerprint, certificate_fingerprint
from rtcstack.entropy import random_bytes
from rtcstack.platform import installed

__all__ = ["Certificate", "KeyAlgorithm", "PrivateKey"]

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

DEFAULT_LIFETIME = datetime.timedelta(days=30)
"""What browsers give a certificate that the application did not ask a lifetime for."""

MAX_LIFETIME = datetime.timedelta(days=365)
"""webrtc-pc lets the user agent cap `expires`; a year is the specification's own default cap."""

_CLOCK_SKEW = datetime.timedelta(days=1)
"""Validity starts this long ago, for peers whose clock is behind. No browser looks, some stacks do."""

_COMMON_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "WebRTC")])
"""Every certificate has the same name: it must tell nothing of its owner (RFC 8827, section 6.5)."""


class KeyAlgorithm(StrEnum):
    """Keys that certificates can be generated with."""

    ECDSA_P256 = "ecdsa-p256"
    RSA_2048 = "rsa-2048"


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """A self-signed X.509 certificate and its private key.

    Attributes:
        x509: the certificate.
        private_key: an ECDSA or RSA key that belongs to it.
    """

    x509: x509.Certificate
    private_key: PrivateKey

    @classmethod
    def generate(
        cls,
        algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256,
        *,
        lifetime: datetime.timedelta = DEFAULT_LIFETIME,
        rsa_bits: int = 2048,
        rsa_exponent: int = 65537,
    ) -> Certificate:
        """Make a key and a certificate that it signs.

        Args:
            algorithm: kind of key.
            lifetime: how long the certificate is valid from now on; at most `MAX_LIFETIME` counts.
            rsa_bits: length of the modulus for RSA keys.
            rsa_exponent: public exponent for RSA keys.

        Raises:
            ValueError: the RSA parameters are refused by the cryptography library.
        """
        key: PrivateKey
        if algorithm is KeyAlgorithm.ECDSA_P256:
            key = ec.generate_private_key(ec.SECP256R1())
        else:
            key = rsa.generate_private_key(public_exponent=rsa_exponent, key_size=rsa_bits)
        now = datetime.datetime.fromtimestamp(unix_time(), datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_COMMON_NAME)
            .issuer_name(_COMMON_NAME)
            .public_key(key.public_key())
            .serial_number(int.from_bytes(random_bytes(20)) >> 1 or 1)
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + min(lifetime, MAX_LIFETIME))
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def usual(cls) -> Certificate:
        """What a connection has that was given none: a new one, or what the running loop has of its own."""
        own = installed()
        return cls.generate() if own is None or own.identity is None else _of_pem(own.identity())

    @classmethod
    def from_pem(cls, pem: bytes, password: bytes | None = None) -> Certificate:
        """Read a certificate and its private key from PEM text that holds both.

        Raises:
            ValueError: not PEM, the key is neither ECDSA nor RSA, or it is not the certificate's.
        """
        certificate = x509.load_pem_x509_certificate(pem)
        key = serialization.load_pem_private_key(pem, password)
        if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
            raise ValueError(f"DTLS needs an ECDSA or RSA key, not {type(key).__name__}")
        if key.public_key() != certificate.public_key():
            raise ValueError("the private key does not belong to the certificate")
        return cls(certificate, key)

    def to_pem(self) -> bytes:
        """Certificate and private key (PKCS #8, not encrypted) as PEM, for `from_pem`."""
        return self.x509.public_bytes(serialization.Encoding.PEM) + self.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def expires(self) -> datetime.datetime:
        """End of validity, in UTC."""
        return self.x509.not_valid_after_utc

    @property
    def der(self) -> bytes:
        """The certificate as it goes over the wire."""
        return self.x509.public_bytes(serialization.Encoding.DER)

    def fingerprint(self, algorithm: str = "sha-256") -> Fingerprint:
        """The certificate's fingerprint under one of `fingerprint.SUPPORTED_ALGORITHMS`."""
        return certificate_fingerprint(self.der, algorithm)


@functools.lru_cache(maxsize=8)
def _of_pem(pem: bytes) -> Certificate:
    return Certificate.from_pem(pem)
