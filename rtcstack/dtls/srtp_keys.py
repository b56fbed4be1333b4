"""SRTP keys from a DTLS handshake.

Spec: RFC 5764, section 4.2 (key derivation); RFC 7714, section 12 (AEAD profiles).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EXPORTER_LABEL", "SRTP_PROFILES", "SrtpKeys", "SrtpProfile", "split_keys"]

EXPORTER_LABEL = b"EXTRACTOR-dtls_srtp"


@dataclass(frozen=True, slots=True)
class SrtpProfile:
    """A protection profile: its IANA name and the lengths of what it is keyed with, in bytes."""

    name: str
    key_bytes: int
    salt_bytes: int

    @property
    def material_bytes(self) -> int:
        """How much the exporter must give: key and salt for both directions."""
        return 2 * (self.key_bytes + self.salt_bytes)


SRTP_PROFILES: dict[str, SrtpProfile] = {
    p.name: p
    for p in (
        SrtpProfile("SRTP_AEAD_AES_256_GCM", 32, 12),
        SrtpProfile("SRTP_AEAD_AES_128_GCM", 16, 12),
        SrtpProfile("SRTP_AES128_CM_SHA1_80", 16, 14),
    )
}


@dataclass(frozen=True, slots=True, repr=False)
class SrtpKeys:
    """Master key and salt, joined as libsrtp takes them, for each direction."""

    profile: SrtpProfile
    local: bytes
    remote: bytes


def split_keys(profile: SrtpProfile, material: bytes, *, is_client: bool) -> SrtpKeys:
    """Cut exported keying material into the two directions.

    The material is client key, server key, client salt, server salt, in this order.
    """
    k, s = profile.key_bytes, profile.salt_bytes
    client = material[:k] + material[2 * k : 2 * k + s]
    server = material[k : 2 * k] + material[2 * k + s : 2 * k + 2 * s]
    return SrtpKeys(profile, client, server) if is_client else SrtpKeys(profile, server, client)
