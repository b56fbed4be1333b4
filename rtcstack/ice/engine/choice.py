"""What the application says of a generation's pairs: which one packets take, which may be nominated, which
are gone for good.

Spec: webrtc-extensions, section "RTCIceTransport extensions".
"""

from __future__ import annotations

from rtcstack.ice.engine.core import Core
from rtcstack.ice.engine.events import ChoiceEnded, PairProposed
from rtcstack.ice.engine.pair import Pair, PairState, Path
from rtcstack.ice.stun import Address

__all__ = ["Choice"]


class Choice:
    """The application's word on the pairs of one generation.

    Attributes:
        pair: that packets are to take while it works, or None: nobody has chosen one, or it has failed.
        is_open: whether `ChoiceEnded` is to come.
        is_taken: whether it has turned out to work, and packets are to take it from then on.
        proposed: the pair whose nomination waits for the application's word, or None.

    Args:
        core: shared by the agent.
    """

    __slots__ = ("_core", "_declined", "_removed", "is_open", "is_taken", "pair", "proposed")

    def __init__(self, core: Core) -> None:
        self._core = core
        self.pair: Pair | None = None
        self.is_open = self.is_taken = False
        self.proposed: Pair | None = None
        self._declined: set[Pair] = set()  # pairs of the checklist: no more than that has
        self._removed: dict[tuple[int, Address], Pair] = {}
        """By their ends, so that neither a check nor a late candidate brings them back. No more than the
        application has removed: paths times remote candidates, which are bounded both."""

    # -- which packets take -----------------------------------------------------------------------

    def choose(self, pair: Pair) -> None:
        """Packets are to take this pair; what was chosen before and does not work yet is given up."""
        self._declined.discard(pair)
        if pair is self.pair and self.is_open:
            return  # it waits already
        self.end(works=False)
        self.pair = pair
        self.is_open = True

    @property
    def working(self) -> Pair | None:
        """The pair that was chosen, while packets get through on it."""
        pair = self.pair
        return pair if pair is not None and self.is_taken and pair.state is PairState.SUCCEEDED else None

    def waits_for(self, pair: Pair) -> bool:
        """Whether this pair was chosen, and has yet to prove that it works."""
        return pair is self.pair and not self.is_taken

    def end(self, *, works: bool) -> None:
        """Packets take what was chosen; or it does not work, or another was chosen in its place."""
        pair, was_open = self.pair, self.is_open
        self.is_open = False
        if not works:
            self.pair = None
            self.is_taken = False
        if pair is not None and was_open:
            self._core.events.append(ChoiceEnded(pair, works))

    def lose(self, pair: Pair) -> None:
        """A pair has failed, or is none any more."""
        if pair is self.pair:
            self.end(works=False)
        if pair is self.proposed:
            self.proposed = None

    def keeps(self, pair: Pair) -> bool:
        """Whether a pair must not give way to others: somebody waits for what comes of it."""
        return pair is self.pair or pair is self.proposed

    # -- which may be nominated -------------------------------------------------------------------

    def propose(self, pair: Pair) -> bool:
        """Ask whether a pair may be nominated, if somebody wants to be asked.

        Returns:
            Whether it may be at once. Otherwise it waits for a word (one pair at a time), or was declined.
        """
        if not self._core.holds_nominations:
            return True
        if self.proposed is None and pair not in self._declined:
            self.proposed = pair
            self._core.events.append(PairProposed(pair))
        return False

    def answer(self, pair: Pair, *, accepted: bool) -> bool:
        """The application's word.

        Returns:
            Whether the pair may be nominated: not where it is no longer the one that was proposed.
        """
        if pair is not self.proposed:
            return False
        self.proposed = None
        if not accepted:
            self._declined.add(pair)
        return accepted

    def forget_answers(self) -> None:
        """This end's role is another: what was proposed, or declined, counts no more."""
        self.proposed = None
        self._declined.clear()

    # -- which are gone ---------------------------------------------------------------------------

    def remove(self, pair: Pair) -> None:
        """A pair is gone for good."""
        self.lose(pair)
        self._declined.discard(pair)
        self._removed[pair.path.id, pair.remote.address] = pair

    def removed(self, path: Path, remote: Address) -> Pair | None:
        """The pair with these ends, if it is gone for good."""
        return self._removed.get((path.id, remote)) if self._removed else None
