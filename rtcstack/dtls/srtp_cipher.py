"""SRTP's transforms for RTP, on `cryptography`: for what libsrtp, as pylibsrtp has it, cannot do.

A cipher keeps no state between packets: whoever calls it knows a packet's index (rollover counter
and sequence number), and never seals two packets of a source under one.

Spec: RFC 3711, sections 4.1.1 (AES in counter mode), 4.2 (HMAC-SHA1) and 4.3 (key derivation);
RFC 7714, sections 8 and 11 (AES-GCM).
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.hmac import HMAC

from rtcstack.dtls.srtp_keys import SrtpProfile

__all__ = ["CounterModeCipher", "GcmCipher", "SrtpCipher", "derive_key", "make_cipher"]

_ENCRYPTION, _AUTHENTICATION, _SALT = range(3)
"""Labels of what is derived for RTP."""

_AUTHENTICATION_KEY_BYTES = 20


class SrtpCipher(Protocol):
    """Seals and opens RTP packets, given in parts.

    Attributes:
        tag_bytes: by how much a packet grows.
    """

    tag_bytes: int

    def source(self, ssrc: bytes) -> int:
        """What all nonces of a source have in common.

        Args:
            ssrc: its four bytes.
        """

    def seal(self, source: int, index: int, clear: bytes, secret: bytes, csrcs: int = 0) -> bytes:
        """A packet for the wire.

        Args:
            source: see there.
            index: 48 bits: the rollover counter and the sequence number.
            clear: what stays readable: the header; without the sources in it if they are secret.
            secret: what does not.
            csrcs: how many bytes of `secret` stand behind the first twelve of `clear` on the wire.
        """

    def open(self, source: int, index: int, packet: bytes, clear: bytes, secret: bytes) -> bytes | None:
        """What was sealed of a packet; None where it is not authentic.

        Args:
            source, index: as it was sealed with.
            packet: as it came.
            clear, secret: its parts, the latter with the tag.
        """


class GcmCipher:
    """AES-GCM: the clear part is associated data (RFC 7714, section 8).

    Args:
        key: session key of 16 or 32 bytes.
        salt: session salt of 12 bytes.
    """

    __slots__ = ("_gcm", "_salt")

    tag_bytes = 16

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._gcm = AESGCM(key)
        self._salt = int.from_bytes(salt)

    def source(self, ssrc: bytes) -> int:
        """See `SrtpCipher`."""
        return self._salt ^ (int.from_bytes(ssrc) << 48)

    def seal(self, source: int, index: int, clear: bytes, secret: bytes, csrcs: int = 0) -> bytes:
        """See `SrtpCipher`."""
        sealed = self._gcm.encrypt((source ^ index).to_bytes(12), secret, clear)
        if csrcs:
            return clear[:12] + sealed[:csrcs] + clear[12:] + sealed[csrcs:]
        return clear + sealed

    def open(self, source: int, index: int, packet: bytes, clear: bytes, secret: bytes) -> bytes | None:
        """See `SrtpCipher`."""
        try:
            return self._gcm.decrypt((source ^ index).to_bytes(12), secret, clear)
        except InvalidTag:
            return None


class CounterModeCipher:
    """AES in counter mode and HMAC-SHA1 cut to 80 bits (RFC 3711, sections 4.1.1 and 4.2.1).

    Args:
        key: session encryption key of 16 bytes.
        salt: session salt of 14 bytes.
        authentication_key: of 20 bytes.
    """

    __slots__ = ("_counter", "_mac", "_salt")

    tag_bytes = 10

    def __init__(self, key: bytes, salt: bytes, authentication_key: bytes) -> None:
        # one context for all packets, both ways alike; a new one each would cost twice the packet
        self._counter: Any = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
        self._mac = HMAC(authentication_key, SHA1())
        self._salt = int.from_bytes(salt) << 16

    def source(self, ssrc: bytes) -> int:
        """See `SrtpCipher`."""
        return self._salt ^ (int.from_bytes(ssrc) << 64)

    def seal(self, source: int, index: int, clear: bytes, secret: bytes, csrcs: int = 0) -> bytes:
        """See `SrtpCipher`."""
        counter = self._counter
        counter.reset_nonce((source ^ (index << 16)).to_bytes(16))
        sealed = counter.update(secret)
        if csrcs:
            packet: bytes = clear[:12] + sealed[:csrcs] + clear[12:] + sealed[csrcs:]
        else:
            packet = clear + sealed
        return packet + self._tag(packet, index)

    def open(self, source: int, index: int, packet: bytes, clear: bytes, secret: bytes) -> bytes | None:
        """See `SrtpCipher`."""
        if not compare_digest(self._tag(packet[:-10], index), packet[-10:]):
            return None
        counter = self._counter
        counter.reset_nonce((source ^ (index << 16)).to_bytes(16))
        opened: bytes = counter.update(secret[:-10])
        return opened

    def _tag(self, packet: bytes, index: int) -> bytes:
        mac = self._mac.copy()
        mac.update(packet + (index >> 16).to_bytes(4))
        return mac.finalize()[:10]


def derive_key(key: bytes, salt: bytes, label: int, length: int) -> bytes:
    """A session key from the master key and salt, with a key derivation rate of 0.

    Args:
        key: master key.
        salt: master salt of 12 or 14 bytes; the shorter is filled up (RFC 7714, section 11).
        label: what it is for.
        length: in bytes.

    Spec: RFC 3711, section 4.3.
    """
    start = (int.from_bytes(salt.ljust(14, b"\0")) ^ (label << 48)) << 16
    stream = Cipher(algorithms.AES(key), modes.CTR(start.to_bytes(16))).encryptor()
    return stream.update(bytes(length))


def make_cipher(profile: SrtpProfile, material: bytes) -> SrtpCipher:
    """The cipher of one direction.

    Args:
        profile: what was agreed.
        material: master key and salt, joined.
    """
    key, salt = material[: profile.key_bytes], material[profile.key_bytes :]
    session_key = derive_key(key, salt, _ENCRYPTION, profile.key_bytes)
    session_salt = derive_key(key, salt, _SALT, profile.salt_bytes)
    if "GCM" in profile.name:
        return GcmCipher(session_key, session_salt)
    return CounterModeCipher(
        session_key, session_salt, derive_key(key, salt, _AUTHENTICATION, _AUTHENTICATION_KEY_BYTES)
    )
