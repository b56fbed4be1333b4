"""Long-term credentials: what a TURN server wants with each request, and what its challenges change of it.

Spec: RFC 8489, section 9.2.
"""

from __future__ import annotations

from rtcstack.errors import ParseError
from rtcstack.ice.stun import MAX_TEXT_BYTES, Attribute, StunMessage, long_term_key

__all__ = ["Credentials"]


class Credentials:
    """A username and a password, with the realm and nonce that the server has told.

    Args:
        username, password: as configured.

    Attributes:
        key: for a message's integrity; None before the server has told its realm.
        attributes: of a request that is signed with it.
    """

    __slots__ = ("_password", "_realm", "_username", "attributes", "key")

    def __init__(self, username: str, password: str) -> None:
        self.key: bytes | None = None
        self.attributes: tuple[tuple[int, bytes], ...] = ()
        self._username = username
        self._password = password
        self._realm: bytes | None = None

    def take_challenge(self, message: StunMessage, code: int) -> bool:
        """Take what a refusal says.

        Args:
            message: it.
            code: 401 or 438.

        Returns:
            Whether the request may be tried again.
        """
        realm, nonce = message.get(Attribute.REALM), message.get(Attribute.NONCE)
        if nonce is None:
            return False
        if len(nonce) > MAX_TEXT_BYTES or len(realm or b"") > MAX_TEXT_BYTES:
            return False  # each request would have to carry them
        if code == 401 and (realm is None or self.key is not None):
            return False  # these credentials were refused (RFC 8489, section 9.2.5)
        try:
            text = message.text(Attribute.REALM)
        except ParseError:
            return False
        if realm is not None and text is not None:
            self._realm = realm
            self.key = long_term_key(self._username, text, self._password)
        if self._realm is not None:
            self.attributes = (
                (Attribute.USERNAME, self._username.encode()),
                (Attribute.REALM, self._realm),
                (Attribute.NONCE, nonce),
            )
        return self.key is not None
