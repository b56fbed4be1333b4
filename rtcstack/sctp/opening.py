"""An association that comes up: which packet of the handshake is sent, how often, and until when.

    COOKIE-WAIT     our INIT is on its way
    COOKIE-ECHOED   the peer has answered it; our COOKIE ECHO is on its way

Only who has begun is here. Who answers alone is connected by the peer's COOKIE ECHO, out of nothing.

Spec: RFC 9260, section 5.1.
"""

from __future__ import annotations

from rtcstack.sctp.chunks import ChunkType
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.packet import chunk_bytes

__all__ = ["Opening"]


class Opening:
    """Our side of a handshake, with its timer (T1).

    Attributes:
        cookie_echo: the chunk, once we have the peer's cookie.
        is_due: whether an INIT or a COOKIE ECHO is to be sent.
        attempt: which of our INITs is next, see `Handshake`.
        due_at: when `handle_timeout` has something to do.
    """

    __slots__ = (
        "_give_up_at",
        "_options",
        "_retries",
        "_wait_s",
        "attempt",
        "cookie_echo",
        "due_at",
        "is_due",
    )

    def __init__(self, options: SctpOptions, now: float) -> None:
        self._options = options
        self._retries = 0
        self._wait_s = options.rto_initial_s
        timeout_s = options.handshake_timeout_s
        self._give_up_at = None if timeout_s is None else now + timeout_s
        self.attempt = 0
        self.cookie_echo = b""
        self.is_due = True
        self.due_at = now + self._wait_s

    @property
    def is_fresh(self) -> bool:
        """Whether what is due has not been sent before."""
        return self._retries == 0

    def echo(self, cookie: bytes, now: float) -> None:
        """The peer has answered our INIT: send its cookie back."""
        self.cookie_echo = chunk_bytes(ChunkType.COOKIE_ECHO, 0, cookie)
        self.is_due = True
        self._retries = 0
        self._wait_s = self._options.rto_initial_s
        self.due_at = now + self._wait_s

    def begin_anew(self) -> None:
        """The cookie has grown stale on its way: get another (section 5.2.6)."""
        self.cookie_echo = b""
        self.is_due = True

    def handle_timeout(self, now: float) -> str:
        """Ask again, if it is time. Returns why it is given up, or nothing."""
        if now < self.due_at:
            return ""
        options = self._options
        self._retries += 1
        self._wait_s = min(self._wait_s * 2, options.handshake_rto_max_s)
        self.due_at = now + self._wait_s
        limit = options.max_init_retransmissions
        if limit is not None and self._retries > limit:
            return f"no answer to {limit + 1} handshake packets"
        if self._give_up_at is not None and now >= self._give_up_at:
            return f"no association within {options.handshake_timeout_s:g} s"
        if not self.cookie_echo:
            self.attempt += 1
        self.is_due = True
        return ""
