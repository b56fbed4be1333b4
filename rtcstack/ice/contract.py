"""What a transport needs of an ICE agent, and what an agent tells: whatever makes the checks.

Two agents keep this contract: the engine of ours (`rtcstack.ice.agent`) and one around aioice's
connection (`rtcstack.ice.aioice_agent`). Which one an application gets, `rtcstack.ice.factory` says.

Spec: RFC 8445, RFC 8838, RFC 7675; webrtc-pc, section 5.6 (states); webrtc-stats, RTCIceCandidateStats and
RTCIceCandidatePairStats.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from rtcstack.engine import Address, Run
from rtcstack.ice.config import IceConfig, IceServer
from rtcstack.ice.features import IceFeature
from rtcstack.ice.states import GatheringState, IceState
from rtcstack.refusals import Refusals
from rtcstack.sdp.candidate import Candidate

__all__ = [
    "AnyIceAgent",
    "IceObserver",
    "IceReport",
    "LocalCandidate",
    "PairKey",
    "PairNews",
    "PairReport",
    "PairView",
]


PairKey = tuple[int, Address]
"""Tells a pair from all others that an agent has, for as long as it has it."""


@dataclass(frozen=True, slots=True)
class PairView:
    """A candidate pair at the time when it was told of.

    Attributes:
        local, remote: its candidates.
        key: of the pair; None where the agent tells of selected pairs only.
    """

    local: Candidate
    remote: Candidate
    key: PairKey | None = None


class PairNews(Enum):
    """What an agent with `IceFeature.PAIRS` tells of its pairs."""

    ADDED = "formed"
    REMOVED = "gone, and not by `remove_pair`"
    PROPOSED = "would be nominated, and waits for `answer_nomination`"
    CHOSEN = "packets take it, as `select_pair` wanted"
    NOT_CHOSEN = "packets do not take it: it does not work, is gone, or another was chosen"


@dataclass(frozen=True, slots=True)
class LocalCandidate:
    """A candidate of this end.

    Attributes:
        candidate: as the peer may see it.
        server: that was asked for it, or None.
    """

    candidate: Candidate
    server: IceServer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairReport:
    """A candidate pair, and what was counted on it. None where an agent does not know.

    Attributes:
        key: tells it from the generation's other pairs; the same in each report.
        local, remote: its candidates.
        state: RTCStatsIceCandidatePairState.
        nominated: whether it was nominated.
        is_selected: whether packets take it.
        rtt_s, rtt_total_s: the last round trip, and the sum of all, in seconds.
        requests_sent, requests_received, responses_sent, responses_received, consent_requests_sent: STUN.
        packets_sent, bytes_sent, packets_received, bytes_received: what is not STUN.
        packets_discarded, bytes_discarded: what found no place before a full socket.
        data_sent_at, data_received_at: when such a packet went or came last, in monotonic seconds.
    """

    key: str
    local: Candidate
    remote: Candidate
    state: str
    nominated: bool
    is_selected: bool
    rtt_s: float | None = None
    rtt_total_s: float = 0.0
    requests_sent: int = 0
    requests_received: int = 0
    responses_sent: int = 0
    responses_received: int = 0
    consent_requests_sent: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0
    packets_received: int = 0
    bytes_received: int = 0
    packets_discarded: int = 0
    bytes_discarded: int = 0
    data_sent_at: float | None = None
    data_received_at: float | None = None


@dataclass(frozen=True, slots=True)
class IceReport:
    """Candidates and pairs of the generation that packets take.

    Attributes:
        ufrag, remote_ufrag: its credentials' names; the peer's once it is known.
        local, remote: its candidates; the peer's with those that were learnt from checks.
        pairs: its pairs, in no order.
    """

    ufrag: str
    remote_ufrag: str | None
    local: tuple[LocalCandidate, ...] = ()
    remote: tuple[Candidate, ...] = ()
    pairs: tuple[PairReport, ...] = ()


class IceObserver(Protocol):
    """What an agent tells its owner. Calls come from the event loop, never from within a call in."""

    def on_ice_candidate(self, candidate: Candidate, ufrag: str, server: IceServer | None) -> None:
        """A local candidate of the generation with this ufrag was found (by asking `server`)."""

    def on_ice_gathering(self, state: GatheringState) -> None:
        """The gathering state changed."""

    def on_ice_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """A server failed."""

    def on_ice_path(
        self, state: IceState | None, pair: PairView | None, *, is_unselected: bool = False
    ) -> None:
        """The state changed, the pair that packets take, or both at once.

        Args:
            state: the new one, or None where it stays.
            pair: likewise.
            is_unselected: packets take no pair any more; `pair` is None.
        """

    def on_ice_pair(self, news: PairNews, pair: PairView) -> None:
        """There is something to tell of a pair."""

    def on_datagrams(
        self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
    ) -> None:
        """Packets arrived; see `rtcstack.ice.sorting.Receiver`."""


class AnyIceAgent(Protocol):
    """Finds and keeps a path to one peer.

    Methods must be called from the event loop's thread; none of them blocks or awaits but `close`.

    Attributes:
        observer: who is told.
    """

    observer: IceObserver

    @property
    def features(self) -> frozenset[IceFeature]:
        """What this agent can do beyond the contract."""

    @property
    def config(self) -> IceConfig:
        """The settings in force."""

    @property
    def name(self) -> str:
        """What the log calls this agent."""

    # -- what the session description carries -----------------------------------------------------

    @property
    def ufrag(self) -> str:
        """The newest generation's username fragment."""

    @property
    def pwd(self) -> str:
        """The newest generation's password."""

    @property
    def local_candidates(self) -> tuple[Candidate, ...]:
        """The newest generation's candidates, as far as found."""

    @property
    def gathering_state(self) -> GatheringState:
        """The newest generation's gathering state."""

    @property
    def remote_ufrag(self) -> str | None:
        """The newest generation's remote username fragment, once known."""

    @property
    def remote_pwd(self) -> str | None:
        """The newest generation's remote password, once known."""

    # -- what it has come to ----------------------------------------------------------------------

    @property
    def state(self) -> IceState:
        """How far the path is."""

    @property
    def selected_pair(self) -> PairView | None:
        """The pair that packets take."""

    @property
    def selected_pair_changes(self) -> int:
        """How often a pair was selected."""

    @property
    def controlling(self) -> bool:
        """Whether this end nominates."""

    @property
    def rtt_s(self) -> float | None:
        """The last round trip measured on the selected pair, in seconds."""

    @property
    def refusals(self) -> Refusals:
        """What was refused of the packets that came."""

    def report(self) -> IceReport:
        """Candidates, pairs and what was counted on them, of the generation that packets take."""

    def mappings(self) -> list[tuple[Address, str, Address]]:
        """What STUN servers saw of the newest generation: the local address, the server's URL, and the
        address behind a NAT."""

    # -- life -------------------------------------------------------------------------------------

    def gather_ahead(self) -> None:
        """Start gathering and tell nothing of it until `gather` is called (a candidate pool)."""

    def gather(self) -> None:
        """Start gathering for the newest generation, once."""

    def configure(self, config: IceConfig) -> None:
        """Settings that count from the next gathering on."""

    def restart(self, ufrag: str | None = None, pwd: str | None = None) -> None:
        """Make a new generation with new credentials. The active pair stays in use until it is
        replaced; a second restart before that replaces the first one's generation."""

    def cancel_restart(self) -> None:
        """Drop a generation that `restart` made and that has no pair yet; the old one goes on."""

    def start(self, ufrag: str, pwd: str, *, controlling: bool, remote_is_lite: bool = False) -> None:
        """Start checks of the newest generation against the peer's credentials, once.

        Args:
            ufrag, pwd: the peer's.
            controlling: this end's role, where the agent has not learnt better from a conflict.
            remote_is_lite: the peer answers checks but makes none.
        """

    def start_anew(self, ufrag: str, pwd: str, *, remote_is_lite: bool = False) -> None:
        """Another peer has answered what the one before had answered provisionally: check its candidates in
        place of that one's, with the candidates of ours that both were told. The role stays.

        An agent without `IceFeature.FORKING` says in the log that it stays with the first.

        Args:
            ufrag, pwd: the other peer's.
            remote_is_lite: it answers checks but makes none.
        """

    def add_remote_candidate(self, candidate: Candidate) -> None:
        """Take a trickled candidate of the peer's newest generation."""

    def end_of_remote_candidates(self) -> None:
        """The peer's newest generation is complete."""

    # -- pairs of the application's choice, with `IceFeature.PAIRS` -------------------------------

    def hold_nominations(self) -> None:
        """From now on nominate no pair without a word: `PairNews.PROPOSED` asks for it. Packets do not wait.

        An agent without the feature says once in the log that it does not heed this.
        """

    def answer_nomination(self, pair: PairKey, *, accepted: bool) -> None:
        """Say whether a pair that was proposed may be nominated; one that may not is not proposed again
        before it is selected. A word on what is not proposed any more changes nothing."""

    def select_pair(self, pair: PairKey) -> bool:
        """Have packets take a pair, once it is known to work, and stay on it while it does. `PairNews.CHOSEN`
        or `NOT_CHOSEN` is told once, unless the agent is closed or has failed before.

        Returns:
            Whether there is such a pair; otherwise nothing will be told.

        Raises:
            NotSupportedError: the agent does not have the feature.
        """

    def remove_pair(self, pair: PairKey) -> None:
        """Forget a pair for good: no check is made or answered on it any more, and no packet takes it.

        Raises:
            NotSupportedError: the agent does not have the feature.
        """

    def send_runs(self, runs: list[Run]) -> None:
        """Send packets on the selected pair; dropped when there is none, or consent has ended."""

    def fail(self, reason: str) -> None:
        """What the agent has cannot be relied on any more, for a fault of ours: "failed", and released.

        Args:
            reason: for the log.
        """

    def abandon(self) -> asyncio.Task[None] | None:
        """Close at once.

        Returns:
            The task that ends when the agent's tasks have, and with them the last socket; None where
            the agent's loop does not run: everything is released then.
        """

    async def close(self) -> None:
        """Close, and wait until every socket and task is gone."""
