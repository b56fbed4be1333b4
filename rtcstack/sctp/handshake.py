"""What the four packets of the handshake say: INIT, INIT ACK, and the agreement they lead to.

Spec: RFC 9260, section 5.
"""

from __future__ import annotations

import random
from dataclasses import replace
from enum import Enum

from rtcstack.sctp.agreement import Agreement
from rtcstack.sctp.chunks import ChunkType, Init
from rtcstack.sctp.cookie import Cookie, CookieSealer
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.packet import PacketWriter

__all__ = ["Handshake", "Verdict"]

MAX_UNRECOGNIZED = 4
"""Unrecognized parameters that are reported back to the peer."""

MAX_EXTENDED_INITS = 4
"""INITs that name the extensions which data channels need (RFC 8831, section 5); from here on every
second one names none."""

FORWARD_TSN, ZERO_CHECKSUM, I_DATA, RE_CONFIG = 1, 2, 4, 8
"""Extensions of the peer, as bits for the cookie."""

ALL = FORWARD_TSN | ZERO_CHECKSUM | I_DATA | RE_CONFIG


class Verdict(Enum):
    """What a COOKIE ECHO with a cookie of our making means. Spec: RFC 9260, sections 5.1.5 and 5.2.4."""

    NEW = "new"
    """An association, or (action B) one with a newer tag of the peer's than we knew of."""
    PRESENT = "present"
    """The one that we have (action D): our COOKIE ACK was lost, or both have begun."""
    RESTART = "restart"
    """The peer has lost its state (action A)."""
    LATE = "late"
    """Nothing: a cookie of an earlier handshake (action C), or of none that we know."""
    STALE = "stale"
    """It has been on its way for too long."""


class Handshake:
    """Makes and reads the chunks of the handshake; whose turn it is, is the association's affair.

    Some peers drop an INIT with a parameter that they do not know, though none may (RFC 9260,
    section 3.2.1). So an INIT that is repeated asks for less, under the same tag:

    - the first names everything;
    - the next ones leave out zero checksums, which are newer (RFC 9653) than many peers;
    - of those after `MAX_EXTENDED_INITS` every second one is bare.

    An INIT ACK does not say which INIT it answers, so it is taken for an answer to the last one,
    and only what that one named is used. What the peer makes of a fuller one that it did get is
    understood all the same: zero checksums, FORWARD TSNs and resets are taken if ever offered.
    """

    __slots__ = (
        "_init",
        "_init_chunk",
        "_local_port",
        "_offered",
        "_options",
        "_remote_port",
        "_rng",
        "_sealer",
    )

    def __init__(self, options: SctpOptions, local_port: int, remote_port: int, rng: random.Random) -> None:
        self._options = options
        self._local_port = local_port
        self._remote_port = remote_port
        self._rng = rng
        self._init: Init | None = None
        self._offered = ALL
        self._init_chunk = b""
        self._sealer: CookieSealer | None = None

    @property
    def init(self) -> Init:
        """Our INIT. The tag and the TSN are chosen when it is first asked for."""
        if self._init is None:
            options = self._options
            extensions = [ChunkType.RE_CONFIG]
            if options.partial_reliability:
                extensions.append(ChunkType.FORWARD_TSN)
            if options.interleaving:
                extensions.append(ChunkType.I_DATA)
                if options.partial_reliability:
                    extensions.append(ChunkType.I_FORWARD_TSN)
            self.use(
                Init(
                    initiate_tag=self._rng.randrange(1, 1 << 32),
                    a_rwnd_bytes=options.receive_window_bytes,
                    outbound_streams=options.streams,
                    inbound_streams=options.streams,
                    initial_tsn=self._rng.randrange(1 << 32),
                    extensions=bytes(extensions),
                    forward_tsn=options.partial_reliability,
                    zero_checksum=options.zero_checksum,
                )
            )
        assert self._init is not None
        return self._init

    def use(self, init: Init) -> None:
        """Set our INIT, before it is sent."""
        self._init = init
        self._init_chunk = init.to_bytes()

    @property
    def init_chunk(self) -> bytes:
        """Our INIT as a chunk."""
        return self._init_chunk if self.init else b""

    def repeat_init(self, attempt: int) -> bytes:
        """Our INIT as a chunk, for the first time (`attempt` 0) or again.

        What `agree_on_init_ack` comes to is what the last one named.
        """
        init = self.init
        if attempt == 0:
            self._offered = ALL
            return self._init_chunk
        if attempt < MAX_EXTENDED_INITS or attempt % 2:
            self._offered = ALL & ~ZERO_CHECKSUM
            return replace(init, zero_checksum=False).to_bytes()
        self._offered = 0
        return replace(init, zero_checksum=False, forward_tsn=False, extensions=b"").to_bytes()

    @property
    def local_tag(self) -> int:
        """The tag that packets to us carry; 0 while there is none."""
        return self._init.initiate_tag if self._init is not None else 0

    def answer(self, init: Init, now: float, present: Agreement | None, *, new_tag: bool) -> bytes:
        """The packet with the INIT ACK for a peer's INIT. Nothing is remembered but in its cookie.

        It names only what the INIT has named: what is not known to the peer might have it drop the
        INIT ACK, and what is not offered will not be used.

        Args:
            init: the peer's.
            now: for the cookie's age.
            present: the agreement of the association that exists already, if one does.
            new_tag: whether that association may be in use, so that this may be a restart, which
                gets a tag of its own (section 5.2.2).
        """
        if self._sealer is None:
            self._sealer = CookieSealer(self._rng.randbytes(32))
        local = self.init
        tag, tsn, ties = local.initiate_tag, local.initial_tsn, (0, 0)
        if present is not None:
            ties = (present.local_tag, present.peer_tag)
            if new_tag:
                tag, tsn = self._rng.randrange(1, 1 << 32), self._rng.randrange(1 << 32)
        cookie = Cookie(
            now,
            tag,
            init.initiate_tag,
            tsn,
            init.initial_tsn,
            init.a_rwnd_bytes,
            *ties,
            init.outbound_streams,
            init.inbound_streams,
            _pack_extensions(init),
        )
        reply = Init(
            tag,
            local.a_rwnd_bytes,
            local.outbound_streams,
            local.inbound_streams,
            tsn,
            bytes([kind for kind in local.extensions if kind in init.extensions]),
            local.forward_tsn and init.forward_tsn,
            local.zero_checksum and init.zero_checksum,
            self._sealer.seal(cookie),
            init.unrecognized[:MAX_UNRECOGNIZED],
        )
        writer = PacketWriter(self._local_port, self._remote_port, init.initiate_tag)
        return writer.write([reply.to_bytes(ChunkType.INIT_ACK)], checksum=True)

    def unseal(self, body: bytes) -> Cookie | None:
        """The cookie of a COOKIE ECHO, or None if it is not of our making."""
        return self._sealer.unseal(body) if self._sealer is not None else None

    def judge(self, cookie: Cookie, present: Agreement | None, now: float, *, is_echoing: bool) -> Verdict:
        """What the cookie of a COOKIE ECHO means.

        Args:
            cookie: of our making.
            present: the agreement of the association that exists already, if one does.
            now: for the cookie's age.
            is_echoing: whether we have sent a COOKIE ECHO ourselves, which is not answered yet.
        """
        if present is not None:
            same_local = cookie.local_tag == present.local_tag
            same_peer = cookie.peer_tag == present.peer_tag
            if same_local and same_peer:
                return Verdict.PRESENT
            if not same_local and not same_peer:
                ties = (cookie.local_tie_tag, cookie.peer_tie_tag)
                return Verdict.RESTART if ties == (present.local_tag, present.peer_tag) else Verdict.LATE
            if not same_local or not is_echoing:
                return Verdict.LATE
        return Verdict.STALE if self.staleness_s(cookie, now) > 0 else Verdict.NEW

    def staleness_s(self, cookie: Cookie, now: float) -> float:
        """By how much the cookie is too old."""
        return now - cookie.made_at - self._options.cookie_lifetime_s

    def agree_on_init_ack(self, init: Init) -> Agreement:
        """What our last INIT and the peer's INIT ACK come to."""
        return self._agree(
            self._offered,
            self.init.initiate_tag,
            init.initiate_tag,
            self.init.initial_tsn,
            init.initial_tsn,
            init.a_rwnd_bytes,
            init.outbound_streams,
            init.inbound_streams,
            _pack_extensions(init),
        )

    def agree_on_cookie(self, cookie: Cookie) -> Agreement:
        """What the peer's INIT and our INIT ACK came to, as the cookie remembers it."""
        return self._agree(
            ALL,
            cookie.local_tag,
            cookie.peer_tag,
            cookie.local_tsn,
            cookie.peer_tsn,
            cookie.peer_window_bytes,
            cookie.peer_outbound_streams,
            cookie.peer_inbound_streams,
            cookie.extensions,
        )

    def _agree(
        self,
        offered: int,
        local_tag: int,
        peer_tag: int,
        local_tsn: int,
        peer_tsn: int,
        peer_window_bytes: int,
        peer_outbound: int,
        peer_inbound: int,
        extensions: int,
    ) -> Agreement:
        options = self._options
        return Agreement(
            local_tag,
            peer_tag,
            local_tsn,
            peer_tsn,
            peer_window_bytes,
            min(options.streams, peer_outbound),
            min(options.streams, peer_inbound),
            options.partial_reliability and bool(extensions & offered & FORWARD_TSN),
            options.interleaving and bool(extensions & offered & I_DATA),
            bool(extensions & offered & RE_CONFIG),
            options.zero_checksum and bool(extensions & offered & ZERO_CHECKSUM),
            options.partial_reliability and bool(extensions & FORWARD_TSN),
        )


def _pack_extensions(init: Init) -> int:
    extensions = 0
    if init.forward_tsn:
        extensions |= FORWARD_TSN
    if init.zero_checksum:
        extensions |= ZERO_CHECKSUM
    if ChunkType.I_DATA in init.extensions:
        extensions |= I_DATA
    if ChunkType.RE_CONFIG in init.extensions:
        extensions |= RE_CONFIG
    return extensions
