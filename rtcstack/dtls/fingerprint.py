"""Certificate fingerprints as SDP carries them.

Spec: RFC 8122, section 5 (fingerprint attribute); RFC 8827, section 6.5.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["SUPPORTED_ALGORITHMS", "Fingerprint", "certificate_fingerprint", "matches_any"]

_HASHES = {"sha-512": hashlib.sha512, "sha-384": hashlib.sha384, "sha-256": hashlib.sha256}

SUPPORTED_ALGORITHMS: tuple[str, ...] = tuple(_HASHES)
"""Hash functions that identify a peer, strongest first. MD2, MD5, SHA-1 and SHA-224 are refused:
RFC 8122 forbids the first two and none of them resists a collision that an attacker prepares."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One ``a=fingerprint`` value.

    Attributes:
        algorithm: lower-case hash name of RFC 8122, e.g. ``"sha-256"``.
        value: upper-case hex pairs separated by colons.
    """

    algorithm: str
    value: str

    @classmethod
    def normalised(cls, algorithm: str, value: str) -> Fingerprint:
        """A fingerprint with the letter case that comparison expects."""
        return cls(algorithm.strip().lower(), value.strip().upper())


def certificate_fingerprint(der: bytes, algorithm: str) -> Fingerprint:
    """The fingerprint of a certificate.

    Args:
        der: the certificate, as it goes over the wire. It is hashed and not parsed: a peer's need
            not be well-formed.
        algorithm: one of `SUPPORTED_ALGORITHMS`.

    Raises:
        KeyError: the algorithm is not supported.
    """
    return Fingerprint(algorithm, _HASHES[algorithm](der).digest().hex(":").upper())


def matches_any(der: bytes, fingerprints: Iterable[Fingerprint]) -> bool:
    """Whether the certificate has one of the given fingerprints.

    Of the hash functions offered, only the strongest that is supported counts, so that an
    attacker who can forge a weaker one gains nothing by adding it (RFC 8122, section 5.1).
    Several fingerprints of that hash are alternatives. No supported hash at all is no match.
    """
    offered = [Fingerprint.normalised(f.algorithm, f.value) for f in fingerprints]
    for algorithm in SUPPORTED_ALGORITHMS:
        candidates = [f for f in offered if f.algorithm == algorithm]
        if candidates:
            actual = certificate_fingerprint(der, algorithm).value.encode()
            return any(hmac.compare_digest(actual, f.value.encode()) for f in candidates)
    return False
