"""What comes from anybody: which requests are the peer's checks, and what others are answered.

Spec: RFC 8445, sections 7.3 and 7.3.1.1 (role conflicts); RFC 8489, section 9.1.3.
"""

from __future__ import annotations

from collections.abc import Mapping

from rtcstack.ice.engine.checks import Request, error_response, success_response
from rtcstack.ice.engine.core import Core
from rtcstack.ice.engine.generation import Generation
from rtcstack.ice.engine.pair import Path
from rtcstack.ice.stun import Address, Attribute, StunMessage
from rtcstack.refusals import Refusals

__all__ = ["Doorkeeper"]

REFUSALS_AT_ONCE, REFUSALS_PER_S = 32, 10
"""Answers to requests that are not authentic, at once and in the long run; others get none."""

_PHRASES = {400: "Bad Request", 401: "Unauthenticated"}


class Doorkeeper:
    """Answers every request, and lets the peer's checks in.

    Args:
        core: shared by the agent.
        generations: those that may be asked, by ufrag.
        refusals: where what was refused is counted.
    """

    def __init__(self, core: Core, generations: Mapping[str, Generation], refusals: Refusals) -> None:
        self._core = core
        self._generations = generations
        self._refusals = refusals
        self._left = float(REFUSALS_AT_ONCE)
        self._refused_at = 0.0

    def admit(
        self, path: Path, remote: Address, message: StunMessage, now: float
    ) -> tuple[Generation, Request] | None:
        """Answer a request.

        Returns:
            What it says, and the generation that it is for; None when it was refused. What is not answered
            at all: a pair that the application has removed, and a peer in whose place another has answered.

        Raises:
            ParseError: an attribute is malformed.
        """
        core = self._core
        username = message.text(Attribute.USERNAME)
        if username is None or Attribute.MESSAGE_INTEGRITY not in message:
            self._refuse(path, remote, message, 400, "a request without credentials", now)
            return None
        generation = self._generations.get(username.partition(":")[0])
        if generation is None or not message.is_authentic(generation.key):
            self._refuse(path, remote, message, 401, "a request that is not authentic", now)
            return None
        if (
            generation.was_replaced(username.partition(":")[2])
            or generation.choice.removed(path, remote) is not None
        ):
            core.counters.unexpected += 1
            return None
        key = generation.key
        if message.unknown:
            self._refusals.add("stun", "an unknown attribute that must be known", message.data)
            core.transmit(path, remote, error_response(message, 420, "Unknown Attribute", key), now)
            return None
        request = Request.read(message)
        if request is None:
            self._refusals.add("stun", "a request without what a check needs", message.data)
            core.transmit(path, remote, error_response(message, 400, "Bad Request", key), now)
            return None
        if self._is_conflict(request):
            core.transmit(path, remote, error_response(message, 487, "Role Conflict", key), now)
            return None
        core.transmit(path, remote, success_response(message, remote, key), now)
        return generation, request

    def _refuse(
        self, path: Path, remote: Address, message: StunMessage, code: int, reason: str, now: float
    ) -> None:
        """Tell whoever this is that it is nobody, but not as often as anybody likes: the answer is longer
        than the question, and the sender's address may be a victim's."""
        self._core.counters.unauthenticated += 1
        self._refusals.add("stun", reason, message.data)
        credit = min(REFUSALS_AT_ONCE, self._left + (now - self._refused_at) * REFUSALS_PER_S)
        self._refused_at = now
        self._left = credit - 1 if credit >= 1 else credit
        if credit >= 1:
            self._core.transmit(path, remote, error_response(message, code, _PHRASES[code]), now)

    def _is_conflict(self, request: Request) -> bool:
        """Whether the peer must give way; the other way round, we do."""
        core = self._core
        if not core.has_role or core.config.options.lite or request.controlling is not core.controlling:
            return False
        if (core.tie_breaker >= request.tie_breaker) is core.controlling:
            return True
        core.controlling = not core.controlling
        return False
