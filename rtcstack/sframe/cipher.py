"""Cipher suites, and a key that is ready for use.

Spec: RFC 9605, sections 4.4 and 4.5.
"""

from __future__ import annotations

import hmac
from enum import StrEnum
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rtcstack.sframe.header import write_header

__all__ = ["CipherSuite", "FrameKey"]

NONCE_BYTES = 12
"""Of all suites (Nn)."""


class CipherSuite(StrEnum):
    """Which cipher, hash and length of tag (RFC 9605, section 4.5)."""

    AES_128_CTR_HMAC_SHA256_80 = "AES_128_CTR_HMAC_SHA256_80"
    AES_128_CTR_HMAC_SHA256_64 = "AES_128_CTR_HMAC_SHA256_64"
    AES_128_CTR_HMAC_SHA256_32 = "AES_128_CTR_HMAC_SHA256_32"
    AES_128_GCM_SHA256_128 = "AES_128_GCM_SHA256_128"
    AES_256_GCM_SHA512_128 = "AES_256_GCM_SHA512_128"


class _Constants(NamedTuple):
    """Table 1 of RFC 9605, and table 3's numbers."""

    number: int
    hash: HashAlgorithm
    key_bytes: int
    tag_bytes: int
    is_gcm: bool


_CONSTANTS = {
    CipherSuite.AES_128_CTR_HMAC_SHA256_80: _Constants(1, SHA256(), 48, 10, is_gcm=False),
    CipherSuite.AES_128_CTR_HMAC_SHA256_64: _Constants(2, SHA256(), 48, 8, is_gcm=False),
    CipherSuite.AES_128_CTR_HMAC_SHA256_32: _Constants(3, SHA256(), 48, 4, is_gcm=False),
    CipherSuite.AES_128_GCM_SHA256_128: _Constants(4, SHA256(), 16, 16, is_gcm=True),
    CipherSuite.AES_256_GCM_SHA512_128: _Constants(5, SHA512(), 32, 16, is_gcm=True),
}


class _Aead(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """Ciphertext and tag."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """Raises `InvalidTag`."""


class _CtrHmac:
    """AES in counter mode and a tag (RFC 9605, section 4.5.1). Args: key, of Nka + Nh octets; tag_bytes."""

    __slots__ = ("_cipher_key", "_tag_bytes", "_tag_key")

    def __init__(self, key: bytes, tag_bytes: int) -> None:
        self._cipher_key = AES(key[:16])
        self._tag_key = key[16:]
        self._tag_bytes = tag_bytes

    def _tag(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        sizes = (len(associated_data), len(data), self._tag_bytes)
        head = b"".join([size.to_bytes(8, "big") for size in sizes])
        message = b"".join((head, nonce, associated_data, data))
        return hmac.digest(self._tag_key, message, "sha256")[: self._tag_bytes]

    def _crypt(self, nonce: bytes, data: bytes) -> bytes:
        # both directions are the same
        return Cipher(self._cipher_key, CTR(nonce + bytes(4))).encryptor().update(data)

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """See `_Aead`."""
        sealed = self._crypt(nonce, data)
        return sealed + self._tag(nonce, sealed, associated_data)

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """See `_Aead`."""
        sealed, tag = data[: -self._tag_bytes], data[-self._tag_bytes :]
        if not hmac.compare_digest(tag, self._tag(nonce, sealed, associated_data)):
            raise InvalidTag
        return self._crypt(nonce, sealed)


class FrameKey:
    """What a base key is used as, with one suite.

    Args:
        suite: the cipher suite.
        key_id: 0 to 2^64 - 1.
        base_key: as the ends have agreed on it; at least one octet.

    Attributes:
        key_id: as above.
        tag_bytes: by which a frame grows, beside its header.
    """

    __slots__ = ("_aead", "_salt", "key_id", "tag_bytes")

    def __init__(self, suite: CipherSuite, key_id: int, base_key: bytes) -> None:
        constants = _CONSTANTS[suite]
        self.key_id = key_id
        self.tag_bytes = constants.tag_bytes
        use = key_id.to_bytes(8, "big") + constants.number.to_bytes(2, "big")
        key_info, salt_info = b"SFrame 1.0 Secret key " + use, b"SFrame 1.0 Secret salt " + use
        key = HKDF(constants.hash, constants.key_bytes, None, key_info).derive(base_key)
        salt = HKDF(constants.hash, NONCE_BYTES, None, salt_info).derive(base_key)
        self._salt = int.from_bytes(salt, "big")
        self._aead: _Aead = AESGCM(key) if constants.is_gcm else _CtrHmac(key, constants.tag_bytes)

    def seal(self, counter: int, data: bytes, metadata: bytes = b"") -> bytes:
        """A ciphertext with its header.

        Args:
            counter: for this frame alone.
            data: the frame.
            metadata: what goes beside it in the clear, and is to be vouched for.
        """
        header = write_header(self.key_id, counter)
        return header + self._aead.encrypt(self._nonce(counter), data, header + metadata)

    def open(self, counter: int, header: bytes, data: bytes, metadata: bytes = b"") -> bytes:
        """What was sealed.

        Args:
            counter: of the header.
            header: as it came.
            data: all behind it.
            metadata: what came beside it.

        Raises:
            InvalidTag: it is not what was sealed with this key.
        """
        return self._aead.decrypt(self._nonce(counter), data, header + metadata)

    def _nonce(self, counter: int) -> bytes:
        return (self._salt ^ counter).to_bytes(NONCE_BYTES, "big")
