"""Which of a generation's pairs do packets take, and which one is nominated?

Packets take the best pair that works, or what the application has chosen, before any is nominated. The
controlling agent nominates one, with the application's word if it wants to be asked; the controlled one
follows its peer.

Spec: RFC 8445, sections 7.2.5.3.4, 7.3.1.5 and 8; webrtc-extensions, "RTCIceTransport extensions".
"""

from __future__ import annotations

from typing import Protocol

from rtcstack.ice.engine.checklist import Checklist
from rtcstack.ice.engine.choice import Choice
from rtcstack.ice.engine.core import Core
from rtcstack.ice.engine.pair import Pair, PairState

__all__ = ["RENEWED_S", "Checker", "Selection"]

NOMINATION_WAIT_S = {"host": 0.0, "prflx": 0.1, "srflx": 0.2, "relay": 0.5}
"""How long a valid pair, by its less direct candidate, waits for a better one before it is nominated.
Packets do not wait: they take it at once."""

RENEWED_S = 3.0
"""A nomination so much later than the last is a decision, and not one of several that an aggressive
peer (RFC 5245) sent for all its pairs: it holds even for a pair of lower priority."""


class Checker(Protocol):
    """The generation whose pairs they are."""

    @property
    def can_check(self) -> bool:
        """Whether checks are made."""

    def check(self, pair: Pair, now: float, *, nomination: int | None = None) -> None:
        """Check a pair; with `nomination` nominate it, by that value of the attribute, 0 without."""


class Selection:
    """The pair that packets take, and what was nominated.

    Attributes:
        choice: what the application says of the pairs.
        selected: the pair that packets take, or None.
        is_changed: whether that is to be told: another one is selected, or it was nominated.
        reviving: whether the selected pair has gone silent, so that any that works takes its place.
        decide_at: when `decide` is due, or None.

    Args:
        core: shared by the agent.
        checklist: the pairs.
        choice: the application's word on them.
        checker: checks them.
    """

    def __init__(self, core: Core, checklist: Checklist, choice: Choice, checker: Checker) -> None:
        self.choice = choice
        self.selected: Pair | None = None
        self.is_changed = False
        self.reviving = False
        self.decide_at: float | None = None
        self._core = core
        self._checklist = checklist
        self._checker = checker
        self._nominating: Pair | None = None
        self._pinned: Pair | None = None
        self._nomination = 0
        self._nominated: Pair | None = None
        """What we have nominated last; `_nominated_at` says when the peer had it."""
        self._nominated_at = 0.0
        self._peers_word: tuple[Pair, int] | None = None
        """What the peer has nominated last, and the value of its NOMINATION."""

    @property
    def floor(self) -> int:
        """Pairs up to this priority need no check any more."""
        selected = self.selected
        if selected is None or not selected.nominated or self.reviving:
            return -1
        return selected.priority

    def _select(self, pair: Pair, *, nominated: bool = False) -> None:
        if self.selected is not pair or nominated:
            self.selected = pair
            self.is_changed = True
        if nominated:
            # it is settled: those that are not better are checked no more (RFC 8445, section 8.1.2)
            for other in self._checklist:
                if other.state is PairState.IN_PROGRESS and other.priority < pair.priority:
                    self._core.transactions.stop_repeating(other)

    # -- what checks have shown -------------------------------------------------------------------

    def on_success(self, pair: Pair, now: float, *, nominated: bool) -> None:
        """A check has succeeded.

        Args:
            pair: of which.
            now: the time.
            nominated: it has nominated the pair.
        """
        if self.choice.waits_for(pair):
            self._take_chosen(pair)
        if nominated:
            self._nominating = None
            pair.nominated = True
            self._nominated, self._nominated_at = pair, now
            pair.nominated_at = now
            if self.choice.working in (None, pair):
                self._select(pair, nominated=True)
        elif pair.nominate_on_success and not self._core.controlling:
            self.on_peers_nomination(pair, now)
        self.decide(now)

    def on_peers_nomination(self, pair: Pair, now: float) -> None:
        """The controlling peer wants this pair, and it is valid here."""
        pair.nominate_on_success = False
        pair.nominated = True
        pair.nominated_at = now
        said, self._peers_word = self._peers_word, (pair, pair.nomination)
        chosen = self.choice.working
        if chosen is not None and chosen is not pair:
            if said == self._peers_word:
                return  # it was said before, and our application has chosen otherwise since
            self.choice.end(works=False)
        current = self.selected
        if current is not None and current.nominated and current is not pair:
            if pair.nomination or current.nomination:
                if pair.nomination < current.nomination:
                    return
            elif pair.priority < current.priority and now - current.nominated_at < RENEWED_S:
                return
        self._select(pair, nominated=True)

    def lose(self, pair: Pair) -> None:
        """A pair has failed."""
        if pair is self._nominating:
            self._nominating = None
        self.choice.lose(pair)

    def remove(self, pair: Pair) -> None:
        """A pair is gone for good."""
        self.choice.remove(pair)
        self._nominating, self._pinned, self._nominated = (
            None if each is pair else each for each in (self._nominating, self._pinned, self._nominated)
        )
        if pair is self.selected:
            self.selected = None

    def on_role(self) -> None:
        """This end's role has turned out to be another."""
        self._nominating = self._pinned = None
        self.choice.forget_answers()

    def revive(self) -> None:
        """The selected pair has gone silent."""
        self.reviving = True
        self._nominating = self._pinned = None
        if self.choice.is_taken:
            self.choice.end(works=False)

    # -- nomination -------------------------------------------------------------------------------

    def decide(self, now: float) -> None:
        """A pair has become valid, or invalid: which one do packets take, which one is nominated?"""
        self.decide_at = None
        chosen = self.choice.working
        best = chosen or self._checklist.best_valid()
        if best is None:
            return
        selected = self.selected
        settled = selected is not None and selected.nominated and not self.reviving
        settled = settled and chosen in (None, selected)
        if not settled:
            self._select(best)
        if not self._core.controlling or self._core.config.options.lite or self._nominating is best:
            return
        if settled and self._pinned is selected:
            return
        if settled and selected is not None and best.priority <= selected.priority:
            return
        if best.nominated and selected is best:
            return
        wait_until = self._nominates_at(best, now, is_chosen=best is chosen)
        if now < wait_until:
            self.decide_at = wait_until
            return
        self._propose(best, now)

    def _nominates_at(self, pair: Pair, now: float, *, is_chosen: bool) -> float:
        """Until when a pair's nomination waits: for a better one; or, where it was chosen, until the peer
        takes it for a decision of its own."""
        if is_chosen:
            is_first = self._nominated in (None, pair) or self._core.config.options.renomination
            return now if is_first else self._nominated_at + RENEWED_S
        valid_at = now if pair.valid_at is None else pair.valid_at
        wait_until = valid_at + NOMINATION_WAIT_S[pair.slowest_type]
        return wait_until if self._checklist.has_better_pending(pair) else now

    def _propose(self, pair: Pair, now: float) -> None:
        """Nominate a pair; where the application wants to be asked, with its word."""
        if self.choice.propose(pair):
            self._nominate(pair, now)

    def answer(self, pair: Pair, now: float, *, accepted: bool) -> None:
        """The application's word on a pair that was proposed."""
        may = self.choice.answer(pair, accepted=accepted)
        may = may and self._checker.can_check and self._core.controlling
        if may and pair.state is PairState.SUCCEEDED:
            self._nominate(pair, now)
        self.decide(now)

    def nominate(self, pair: Pair, now: float) -> None:
        """Tell the peer to use this pair, and stay with it while it works (the controlling agent's
        right)."""
        self._pinned = pair
        self._nominate(pair, now)

    def follow(self, pair: Pair, now: float) -> None:
        """Have packets take a valid pair that nobody has nominated yet: the peer speaks there."""
        if self.choice.is_taken:
            self.choice.end(works=False)
        if self._core.controlling:
            self._pinned = pair
            self._propose(pair, now)
        pair.nominated = True
        self._select(pair)

    def _nominate(self, pair: Pair, now: float) -> None:
        self._nominating = pair
        if self._core.config.options.renomination:
            self._nomination += 1
        self._checker.check(pair, now, nomination=self._nomination)

    # -- what the application wants ---------------------------------------------------------------

    def choose(self, pair: Pair, now: float) -> None:
        """Have packets take this pair, once it is known to work by now, and stay on it while it does."""
        self.choice.choose(pair)
        core = self._core
        is_lite = core.config.options.lite
        is_fresh = is_lite or pair is self.selected or now - pair.consent_at <= core.config.keepalive_s
        if pair.state is PairState.SUCCEEDED and is_fresh:
            self._take_chosen(pair)
            self.decide(now)
        elif not self._checker.can_check or not core.is_usable(pair.path):
            self.choice.end(works=False)
        elif pair.state is PairState.IN_PROGRESS:
            core.transactions.hasten(pair, now)
        elif pair.state is not PairState.SUCCEEDED:
            self._checklist.trigger(pair)
        elif not core.transactions.waits_for(pair):
            self._checker.check(pair, now)

    def _take_chosen(self, pair: Pair) -> None:
        """It works."""
        self.choice.is_taken = True
        if pair is not self._nominated and self._core.controlling:
            pair.nominated = False  # it may have been, once: the peer is to be told anew
        self._select(pair)

    def check_others(self, now: float) -> None:
        """While no pair is nominated, see to it that those that work beside the selected one go on doing so:
        one at a time, the one that was heard longest ago."""
        selected = self.selected
        if selected is None or selected.nominated or not self._checker.can_check:
            return
        waiting = self._core.transactions
        others = [p for p in self._checklist if p.state is PairState.SUCCEEDED and p is not selected]
        others = [p for p in others if not waiting.waits_for(p)]
        if others:
            self._checker.check(min(others, key=lambda p: p.heard_at), now)
