"""Connectivity checks as messages: requests, and the answers to the peer's.

Spec: RFC 8445, sections 7.1 (client), 7.3 (server) and 16 (attributes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rtcstack.ice.engine.core import Core
from rtcstack.ice.engine.pair import Pair
from rtcstack.ice.engine.priority import type_preference
from rtcstack.ice.stun import (
    Address,
    Attribute,
    Class,
    Method,
    StunMessage,
    encode,
    encode_address,
    error_attribute,
)

__all__ = ["Check", "Request", "check_request", "error_response", "success_response"]


class CheckOwner(Protocol):
    """The generation that a check belongs to."""

    def on_answer(self, check: Check, message: StunMessage, sends: int, sent_at: float, now: float) -> None:
        """It was answered, after so many sends."""

    def on_silence(self, check: Check, now: float) -> None:
        """It was not."""


@dataclass(slots=True, eq=False)
class Check:
    """A check of ours, on its way.

    Attributes:
        generation: that it belongs to.
        pair: which is checked.
        key: of the peer's generation that was asked.
        nominate: whether it nominates the pair.
        consent: whether it only asks if the peer still wants our packets.
        controlling: the role that it claimed.
        priority: that a peer-reflexive candidate learnt from it has.
    """

    generation: CheckOwner
    pair: Pair
    key: bytes
    nominate: bool
    consent: bool
    controlling: bool
    priority: int

    def on_answer(self, message: StunMessage, sends: int, sent_at: float, now: float) -> None:
        """See `Generation.on_answer`."""
        self.generation.on_answer(self, message, sends, sent_at, now)

    def on_silence(self, now: float) -> None:
        """See `Generation.on_silence`."""
        self.generation.on_silence(self, now)


@dataclass(frozen=True, slots=True)
class Request:
    """What a check of the peer says.

    Attributes:
        ufrag: of whoever sends it.
        priority: that a peer-reflexive candidate learnt from it has.
        use_candidate: whether the peer nominates the pair.
        nomination: the NOMINATION attribute, 0 without.
        controlling: the role that the peer claims, or None when it claims none.
        tie_breaker: that it claims it with.
    """

    ufrag: str
    priority: int
    use_candidate: bool
    nomination: int
    controlling: bool | None
    tie_breaker: int

    @classmethod
    def read(cls, message: StunMessage) -> Request | None:
        """What an authentic binding request says, or None when it is no check.

        Raises:
            ParseError: an attribute is malformed.
        """
        priority = message.number(Attribute.PRIORITY)
        if priority is None:
            return None
        tie_breaker = message.number(Attribute.ICE_CONTROLLING, 8)
        controlling: bool | None = True
        if tie_breaker is None:
            tie_breaker = message.number(Attribute.ICE_CONTROLLED, 8)
            controlling = False if tie_breaker is not None else None
        nomination = message.number(Attribute.NOMINATION) or 0
        use_candidate = Attribute.USE_CANDIDATE in message or bool(nomination)
        ufrag = (message.text(Attribute.USERNAME) or "").partition(":")[2]
        return cls(ufrag, priority, use_candidate, nomination, controlling, tie_breaker or 0)


def check_request(
    core: Core,
    pair: Pair,
    transaction_id: bytes,
    username: bytes,
    key: bytes,
    *,
    nominate: bool,
    nomination: int = 0,
) -> tuple[bytes, int]:
    """A check.

    Returns:
        The message, and the priority of a peer-reflexive candidate that the peer may learn from it.
    """
    assert pair.path.candidate is not None
    mine = pair.path.candidate.priority
    priority = (type_preference("prflx", pair.path.transport) << 24) | (mine & 0xFF_FFFF)
    role = Attribute.ICE_CONTROLLING if core.controlling else Attribute.ICE_CONTROLLED
    attributes = [
        (Attribute.USERNAME, username),
        (Attribute.PRIORITY, priority.to_bytes(4, "big")),
        (role, core.tie_breaker.to_bytes(8, "big")),
    ]
    if nominate:
        attributes.append((Attribute.USE_CANDIDATE, b""))
    if nomination:
        attributes.append((Attribute.NOMINATION, nomination.to_bytes(4, "big")))
    return encode(Method.BINDING, Class.REQUEST, transaction_id, attributes, key=key), priority


def success_response(request: StunMessage, remote: Address, key: bytes) -> bytes:
    """The answer to a check that came from `remote`."""
    transaction_id = request.transaction_id
    attributes = ((Attribute.XOR_MAPPED_ADDRESS, encode_address(remote, transaction_id)),)
    return encode(Method.BINDING, Class.SUCCESS, transaction_id, attributes, key=key)


def error_response(request: StunMessage, code: int, reason: str, key: bytes | None = None) -> bytes:
    """A refusal."""
    attributes = [error_attribute(code, reason)]
    if code == 420:
        unknown = b"".join(kind.to_bytes(2, "big") for kind in request.unknown)
        attributes.append((Attribute.UNKNOWN_ATTRIBUTES, unknown))
    return encode(request.method, Class.ERROR, request.transaction_id, attributes, key=key)
