"""The state cookie: what the INIT said, sealed, so that nothing is remembered until it returns.

Spec: RFC 9260, section 5.1.3.
"""

from __future__ import annotations

import hmac
from dataclasses import astuple, dataclass
from hashlib import sha256
from struct import Struct

__all__ = ["Cookie", "CookieSealer"]

_FIELDS = Struct("!dIIIIIIIHHBB")
_MAC_BYTES = 32


@dataclass(frozen=True, slots=True)
class Cookie:
    """What is known when an INIT ACK is sent. Tie tags are 0 where no association exists."""

    made_at: float
    local_tag: int
    peer_tag: int
    local_tsn: int
    peer_tsn: int
    peer_window_bytes: int
    local_tie_tag: int
    peer_tie_tag: int
    peer_outbound_streams: int
    peer_inbound_streams: int
    extensions: int
    reserved: int = 0


class CookieSealer:
    """Signs cookies with a key that is this association's alone, and opens those that return."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, cookie: Cookie) -> bytes:
        """The cookie's bytes with their HMAC."""
        fields = _FIELDS.pack(*astuple(cookie))
        return fields + hmac.digest(self._key, fields, sha256)

    def unseal(self, data: bytes) -> Cookie | None:
        """The cookie, or None where the bytes are not of our making."""
        if len(data) != _FIELDS.size + _MAC_BYTES:
            return None
        fields = data[: _FIELDS.size]
        if not hmac.compare_digest(hmac.digest(self._key, fields, sha256), data[_FIELDS.size :]):
            return None
        return Cookie(*_FIELDS.unpack(fields))
