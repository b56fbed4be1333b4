"""Paths, candidates and pairs: what the engine reasons about.

Spec: RFC 8445, sections 5.1.1 (candidates and bases) and 6.1.2 (pairs and their states).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from rtcstack.ice.engine.priority import pair_priority
from rtcstack.ice.stun import Address
from rtcstack.sdp.candidate import Candidate

if TYPE_CHECKING:
    from rtcstack.ice.turn.client import TurnClient

__all__ = ["Pair", "PairState", "Path", "RemoteCandidate"]


class PairState(Enum):
    """RFC 8445, section 6.1.2.6; the values are RTCStatsIceCandidatePairState's."""

    FROZEN = "frozen"
    WAITING = "waiting"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Path:
    """A way out of this machine: a socket, a connection, or an allocation at a relay.

    Attributes:
        id: by which the shell and the engine name it.
        address: its transport address: the base of what is sent on it.
        transport: "udp" or "tcp".
        preference: 0 for the address that is liked best, 1 for the next.
        interface: the network interface's name, where it is known.
        name: that stands for the address in what the peer is told, or None.
        candidate: the local candidate that it is, or None when it carries a relay only.
        relay: the allocation, when it is one.
        via: the path to the relay's server, when it is one.
        server: that server's address.
        tcp_type: "active", "passive" or "so" for TCP.
        peer: the other end of a TCP connection; None for what only listens or may connect.
        is_gone: whether this machine has lost its address; it may come back.
    """

    __slots__ = (
        "address",
        "candidate",
        "id",
        "interface",
        "is_gone",
        "name",
        "peer",
        "preference",
        "relay",
        "server",
        "tcp_type",
        "transport",
        "via",
    )

    def __init__(
        self,
        identifier: int,
        address: Address,
        *,
        transport: str = "udp",
        preference: int = 0,
        candidate: Candidate | None = None,
        tcp_type: str | None = None,
    ) -> None:
        self.id = identifier
        self.address = address
        self.transport = transport
        self.preference = preference
        self.candidate = candidate
        self.tcp_type = tcp_type
        self.peer: Address | None = None
        self.interface: str | None = None
        self.name: str | None = None
        self.relay: TurnClient | None = None
        self.via: Path | None = None
        self.server: Address | None = None
        self.is_gone = False

    @property
    def ip_version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.address[0] else 4

    @property
    def is_here(self) -> bool:
        """Whether this machine has its address, or the address from which its relay is reached."""
        return not self.is_gone and (self.via is None or not self.via.is_gone)

    @property
    def is_base(self) -> bool:
        """Whether pairs are made of it."""
        is_whole = self.transport == "udp" or self.peer is not None
        return self.candidate is not None and is_whole and self.is_here


class RemoteCandidate:
    """A candidate of the peer.

    Attributes:
        candidate: as signalled, or as learnt from a check.
        address: where it is: with a name resolved.
    """

    __slots__ = ("address", "candidate")

    def __init__(self, candidate: Candidate, address: Address) -> None:
        self.candidate = candidate
        self.address = address

    @property
    def transport(self) -> str:
        """ "udp" or "tcp"."""
        return self.candidate.transport.lower()

    @property
    def ip_version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.address[0] else 4


class Pair:
    """A path and a remote candidate, whether packets get through, and what was counted.

    Attributes:
        path, remote: its ends.
        local: the local candidate that the peer sees, known exactly once a check has succeeded.
        state: of its checks.
        priority: the larger, the better.
        nominated: whether the controlling agent has chosen it.
        nominate_on_success: the peer has chosen it; it waits for a check of our own to succeed.
        nomination: the largest value of the peer's NOMINATION attribute, 0 without.
        nominated_at: when the peer last chose it.
        valid_at: when a check succeeded first.
        rtt_s: last round trip, or None.
        is_listed: whether the application was told that it was added, and not that it is gone.
        heard_at: when anything came from the peer.
        consent_at: when the peer last agreed to receive from us.
        packets_sent, bytes_sent, packets_received, bytes_received: what is not STUN; the shell counts.
        packets_discarded, bytes_discarded: what found no place before a full socket.
        data_sent_at, data_received_at: when such a packet went or came last, or None.
    """

    __slots__ = (
        "bytes_discarded",
        "bytes_received",
        "bytes_sent",
        "consent_at",
        "consent_requests_sent",
        "data_received_at",
        "data_sent_at",
        "heard_at",
        "is_listed",
        "local",
        "nominate_on_success",
        "nominated",
        "nominated_at",
        "nomination",
        "packets_discarded",
        "packets_received",
        "packets_sent",
        "path",
        "priority",
        "remote",
        "requests_received",
        "requests_sent",
        "responses_received",
        "responses_sent",
        "rtt_s",
        "rtt_total_s",
        "state",
        "valid_at",
    )

    def __init__(self, path: Path, remote: RemoteCandidate, *, controlling: bool) -> None:
        assert path.candidate is not None
        self.path = path
        self.remote = remote
        self.local: Candidate = path.candidate
        self.state = PairState.FROZEN
        self.nominated = False
        self.nominate_on_success = False
        self.nomination = 0
        self.is_listed = False
        self.nominated_at = 0.0
        self.valid_at: float | None = None
        self.rtt_s: float | None = None
        self.rtt_total_s = 0.0
        self.heard_at = 0.0
        self.consent_at = 0.0
        self.requests_sent = 0
        self.requests_received = 0
        self.responses_sent = 0
        self.responses_received = 0
        self.consent_requests_sent = 0
        self.packets_sent = 0
        self.bytes_sent = 0
        self.packets_received = 0
        self.bytes_received = 0
        self.packets_discarded = 0
        self.bytes_discarded = 0
        self.data_sent_at: float | None = None
        self.data_received_at: float | None = None
        self.priority = 0
        self.update_priority(controlling=controlling)

    def update_priority(self, *, controlling: bool) -> None:
        """Compute the priority anew: the role or a candidate's priority has changed."""
        assert self.path.candidate is not None
        mine, theirs = self.path.candidate.priority, self.remote.candidate.priority
        self.priority = pair_priority(mine, theirs) if controlling else pair_priority(theirs, mine)

    @property
    def foundation(self) -> tuple[str, str]:
        """Pairs with the same one are likely to fare alike."""
        assert self.path.candidate is not None
        return self.path.candidate.foundation, self.remote.candidate.foundation

    @property
    def slowest_type(self) -> str:
        """The less direct of its candidates' types."""
        order = ("host", "prflx", "srflx", "relay")
        kinds = (self.local.type, self.remote.candidate.type)
        return max(kinds, key=lambda kind: order.index(kind) if kind in order else 0)

    def __repr__(self) -> str:
        return (
            f"<Pair {self.path.address} -> {self.remote.address} {self.state.value}"
            f"{' nominated' if self.nominated else ''}>"
        )
