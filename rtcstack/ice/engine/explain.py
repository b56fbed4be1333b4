"""Why a connection did not come about, or was lost, in words for a log."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtcstack.ice.engine.engine import IceEngine

__all__ = ["explain"]


def explain(engine: IceEngine) -> str:
    """What stands against a connection, as far as this end can tell."""
    generation = engine.newest
    counters = engine.counters
    found: list[str] = []
    if generation is engine.active and engine.selected is not None:
        pair = engine.selected
        found.append(f"the peer has stopped answering on {pair.path.address} -> {pair.remote.address}")
    if not generation.gathering.bases:
        found.append("this end has no candidate (policy, filters or servers leave none)")
    if not generation.remotes:
        found.append("the peer's candidates have not come, or none of them could be used")
    pairs = list(generation.checklist)
    if generation.gathering.bases and generation.remotes and not pairs:
        found.append("the two ends share no IP version or protocol")
    if pairs:
        states = Counter(pair.state.value for pair in pairs)
        told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        found.append(f"{len(pairs)} pairs: {told}")
        sent = sum(pair.requests_sent for pair in pairs)
        heard = sum(pair.requests_received for pair in pairs)
        answered = sum(pair.responses_received for pair in pairs)
        found.append(f"{sent} checks sent, {answered} answered, {heard} of the peer's received")
        if not answered and not heard:
            found.append("nothing came back: a firewall, or NATs that need a relay")
        if not any("relay" in (p.local.type, p.remote.candidate.type) for p in pairs):
            found.append("neither end has a relayed candidate")
    if counters.unauthenticated:
        found.append(f"{counters.unauthenticated} messages were not authentic (old or wrong credentials)")
    if counters.candidates:
        found.append(f"{counters.candidates} candidates were not used")
    if counters.malformed:
        found.append(f"{counters.malformed} malformed messages")
    return "; ".join(found)
