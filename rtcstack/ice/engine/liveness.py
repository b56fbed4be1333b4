"""Whether the peer is there: what it lets us send, and how long it has been silent, on the selected pair.

Spec: RFC 7675 (consent); webrtc-pc, section 5.6 ("disconnected").
"""

from __future__ import annotations

from rtcstack.ice.engine.core import Core
from rtcstack.ice.engine.generation import Generation
from rtcstack.ice.engine.pair import Pair

__all__ = ["Liveness"]

FOLLOW_AFTER = 1.5
"""Intervals of consent checks for which the selected pair is silent while the peer speaks on another
that works, after which packets go where it speaks."""

REVIVE_S = 5.0
"""How often all pairs are checked again while the selected one is silent."""


class Liveness:
    """Asks the peer for its consent, and all pairs for another way while the selected one is silent.

    Args:
        core: shared by the agent.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._consent_due: float | None = None
        self._revive_due: float | None = None

    def on_selected(self, pair: Pair, now: float) -> None:
        """Packets take this pair from now on."""
        pair.heard_at = max(pair.heard_at, pair.valid_at or now)
        if pair.consent_at < now - self._core.config.keepalive_s and pair.valid_at is not None:
            # Its last check may be long ago, and says nothing of whether the peer wants packets on
            # it now: it is asked at once, and has its whole time for an answer.
            pair.consent_at = self._consent_due = now
        pair.consent_at = max(pair.consent_at, pair.valid_at or now)

    def begin(self, now: float) -> None:
        """There is a selected pair: consent is asked for from now on."""
        if self._consent_due is None:
            self._consent_due = now + self._interval()

    def _interval(self) -> float:
        """Randomised by a fifth (RFC 7675, section 5.1)."""
        return self._core.config.keepalive_s * (0.8 + 0.4 * self._core.random())

    def silent_at(self, pair: Pair) -> float:
        """When, as things are, it will be too long ago that the pair was heard."""
        return pair.heard_at + self._core.config.disconnected_timeout_s

    def is_heard(self, pair: Pair, now: float) -> bool:
        """Whether packets may come on a pair, and do."""
        return self._core.is_usable(pair.path) and now < self.silent_at(pair)

    def is_suspect(self, pair: Pair, now: float) -> bool:
        """Whether a pair is silent long enough to believe the peer that it is elsewhere."""
        return now - pair.heard_at >= FOLLOW_AFTER * self._core.config.keepalive_s

    def revive(self, generation: Generation, now: float) -> None:
        """The selected pair is silent, or another address may help: check all pairs, now and every while."""
        self._revive_due = now + REVIVE_S
        generation.revive(now)

    def rest(self) -> None:
        """The selected pair is heard, or is given up: the others are left alone."""
        self._revive_due = None

    def handle_timeout(self, generation: Generation, selected: Pair | None, now: float) -> None:
        """Ask whom it is time to ask."""
        if self._revive_due is not None and self._revive_due <= now:
            self.revive(generation, now)
        if self._consent_due is not None and self._consent_due <= now:
            self._consent_due = now + self._interval()
            generation.check_consent(now)
            generation.selection.check_others(now)
            if selected is not None and self.is_suspect(selected, now):
                generation.gathering.relays.probe(selected.path, now)

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due."""
        return min((t for t in (self._consent_due, self._revive_due) if t is not None), default=None)
