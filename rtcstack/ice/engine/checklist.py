"""The pairs of a generation: which there are, and which is to be checked next.

Spec: RFC 8445, sections 6.1.2 (forming the list) and 6.1.4 (ordinary and triggered checks).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from rtcstack.ice.engine.pair import Pair, PairState, Path, RemoteCandidate
from rtcstack.ice.stun import Address

__all__ = ["Checklist"]

MAX_PAIRS = 100
"""RFC 8445's own number (section 6.1.2.5); beyond, the pairs of the lowest priority go."""

MAX_EVICTIONS = 200
"""Pairs that give way to others in a full list, within a generation's life; what comes after that has no
place. Else a peer that checks from ever other addresses would have pairs come and go without end, and the
application told of it."""

_UNCHECKED = (PairState.WAITING, PairState.FROZEN)
_PENDING = (*_UNCHECKED, PairState.IN_PROGRESS)


class Checklist:
    """Pairs, best first.

    Attributes:
        dropped: how many pairs were refused or gave way.

    Args:
        on_evicted: is told of a pair that gave way to another; nothing holds it any more.
        keeps: whether a pair must not give way.
    """

    def __init__(
        self,
        on_evicted: Callable[[Pair], None] = lambda pair: None,
        keeps: Callable[[Pair], bool] = lambda pair: False,
    ) -> None:
        self._on_evicted = on_evicted
        self._keeps = keeps
        self._evictions = 0
        self._pairs: list[Pair] = []
        self._by_ends: dict[tuple[int, Address], Pair] = {}
        self._triggered: deque[Pair] = deque()
        self.dropped = 0

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def find(self, path: Path, remote: Address) -> Pair | None:
        """The pair with these ends."""
        return self._by_ends.get((path.id, remote))

    def add(self, path: Path, remote: RemoteCandidate, *, controlling: bool, wanted: bool) -> Pair | None:
        """Make a pair, if it is not there yet.

        Args:
            path, remote: its ends.
            controlling: this end's role.
            wanted: the peer has sent a check on it: another gives way for it, whatever its priority.

        Returns:
            The pair, or None when there is no room for it.
        """
        known = self.find(path, remote.address)
        if known is not None:
            return known
        pair = Pair(path, remote, controlling=controlling)
        if len(self._pairs) >= MAX_PAIRS:
            self.dropped += 1
            worst = next((p for p in reversed(self._pairs) if self._may_go(p)), None)
            if worst is None or (not wanted and worst.priority >= pair.priority):
                return None
            if self._evictions >= MAX_EVICTIONS:
                return None
            self._evictions += 1
            self.remove(worst)
            self._on_evicted(worst)
        self._pairs.append(pair)
        self._by_ends[path.id, remote.address] = pair
        self._pairs.sort(key=lambda p: -p.priority)
        self._thaw_new(pair)
        return pair

    def _may_go(self, pair: Pair) -> bool:
        idle = pair.state in (*_UNCHECKED, PairState.FAILED)
        return idle and not pair.nominated and not self._keeps(pair)

    def remove(self, pair: Pair) -> None:
        """Forget a pair."""
        self._pairs.remove(pair)
        del self._by_ends[pair.path.id, pair.remote.address]
        if pair in self._triggered:
            self._triggered.remove(pair)

    def update_priorities(self, *, controlling: bool) -> None:
        """The role, or a candidate, has changed."""
        for pair in self._pairs:
            pair.update_priority(controlling=controlling)
        self._pairs.sort(key=lambda p: -p.priority)

    def _thaw_new(self, pair: Pair) -> None:
        """A new pair waits at once unless another of its foundation speaks for it."""
        alike = [p for p in self._pairs if p is not pair and p.foundation == pair.foundation]
        if not alike or any(p.state is PairState.SUCCEEDED for p in alike):
            pair.state = PairState.WAITING

    def thaw(self, foundation: tuple[str, str]) -> None:
        """A pair of this foundation has succeeded: check those like it (section 7.2.5.3.3)."""
        for pair in self._pairs:
            if pair.state is PairState.FROZEN and pair.foundation == foundation:
                pair.state = PairState.WAITING

    def trigger(self, pair: Pair) -> None:
        """Check this pair before the others."""
        pair.state = PairState.WAITING
        if pair not in self._triggered:
            self._triggered.append(pair)

    def drop_trigger(self, pair: Pair) -> None:
        """A check of this pair leads to nothing any more."""
        if pair in self._triggered:
            self._triggered.remove(pair)

    def revive(self, is_usable: Callable[[Path], bool]) -> None:
        """Check everything again whose path is of use: what worked has gone silent."""
        for pair in self._pairs:
            if pair.state is not PairState.IN_PROGRESS and is_usable(pair.path):
                pair.state = PairState.WAITING

    def has_better_pending(self, pair: Pair) -> bool:
        """Whether a pair of a higher priority may still turn out to work."""
        return any(p.state in _PENDING for p in self._pairs if p.priority > pair.priority)

    def peek_next(self, above: int = -1) -> Pair | None:
        """The pair that is to be checked next, of those with a priority above this, or None."""
        if self._triggered:
            return self._triggered[0]
        frozen: list[Pair] = []
        for pair in self._pairs:
            if pair.priority <= above:
                break
            if pair.state is PairState.WAITING:
                return pair
            if pair.state is PairState.FROZEN:
                frozen.append(pair)
        if not frozen:
            return None
        busy = {p.foundation for p in self._pairs if p.state is PairState.IN_PROGRESS}
        return next((p for p in frozen if p.foundation not in busy), None)

    def take_next(self, above: int = -1) -> Pair | None:
        """The same, taken off the queue of triggered checks."""
        if self._triggered:
            return self._triggered.popleft()
        return self.peek_next(above)

    def best_valid(self) -> Pair | None:
        """The best pair on which a check has succeeded."""
        return next((p for p in self._pairs if p.state is PairState.SUCCEEDED), None)

    @property
    def has_failed(self) -> bool:
        """Whether every pair has failed; an empty list has."""
        return not self._triggered and all(p.state is PairState.FAILED for p in self._pairs)
