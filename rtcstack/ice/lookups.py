"""Names in the peer's candidates: which are looked up, and what waits for that.

Spec: RFC 8839, section 5.1 (FQDN); draft-ietf-mmusic-mdns-ice-candidates, section 3.2.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from rtcstack.ice.config import GatherPolicy, IceConfig
from rtcstack.platform import Network
from rtcstack.sdp.candidate import Candidate

__all__ = ["Lookups"]

logger = logging.getLogger("rtcstack.ice.agent")

MAX_RESOLUTIONS = 32
"""mDNS names being resolved at once."""

MAX_LOOKUPS = 4
"""Names of other kinds that are looked up at once: each may hold one of the loop's own few threads for
as long as the system's resolver likes. A candidate beyond is not used."""


class Lookups:
    """The names that one agent looks up, by the generation, as its ufrag says it, that they are for."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._waiting: dict[str, Callable[[], None]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return self._open.total()

    def takes(self, candidate: Candidate, config: IceConfig) -> bool:
        """Whether a candidate's name is to be asked for.

        Where only relays are to be used nobody is told of the call: neither the local network, by a
        question for a ".local" name, nor the domain name system.
        """
        if config.policy is GatherPolicy.RELAY:
            return False
        others = len(self)
        if candidate.is_mdns:
            return others < MAX_RESOLUTIONS
        return config.options.resolve_remote_names and others < MAX_LOOKUPS

    def look_up(
        self, network: Network, candidate: Candidate, ufrag: str, found: Callable[[str | None], None]
    ) -> Coroutine[Any, Any, None]:
        """Look a name up.

        Args:
            network: who is asked.
            candidate: with the name.
            ufrag: of our generation.
            found: takes the address, or None when there is none.

        Returns:
            What does it; the name counts from now on.
        """
        self._open[ufrag] += 1
        return self._look_up(network, candidate, ufrag, found)

    async def _look_up(
        self, network: Network, candidate: Candidate, ufrag: str, found: Callable[[str | None], None]
    ) -> None:
        address: str | None = None
        try:
            address, *_ = await network.resolve(candidate.address)
        except (OSError, ValueError) as exc:  # nobody answers, it is no name, or there is no multicast
            logger.debug("%r is not resolved: %s", candidate.address, exc)
        finally:
            self._open[ufrag] -= 1
        found(address)
        if not self._open[ufrag]:
            del self._open[ufrag]
            then = self._waiting.pop(ufrag, None)
            if then is not None:
                then()

    def when_done(self, ufrag: str, then: Callable[[], None]) -> None:
        """Call this when no name is looked up for a generation: at once, if that is so."""
        if self._open[ufrag]:
            self._waiting[ufrag] = then
        else:
            then()
