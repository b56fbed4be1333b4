"""What the ICE engine tells, and what it wants sent.

Spec: RFC 8445.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rtcstack.ice.config import IceServer
from rtcstack.ice.engine.pair import Pair
from rtcstack.ice.states import IceState
from rtcstack.ice.stun import Address
from rtcstack.sdp.candidate import Candidate

__all__ = [
    "Arrival",
    "CandidateFound",
    "ChoiceEnded",
    "ConnectTcp",
    "GatheringDone",
    "IceCounters",
    "IceEvent",
    "PairAdded",
    "PairProposed",
    "PairRemoved",
    "PairSelected",
    "PathsReleased",
    "RelayLost",
    "RelayMoved",
    "RelayedArrival",
    "ServerFailed",
    "StateChanged",
    "Transmit",
]


class Arrival(NamedTuple):
    """A datagram that came in: on which path, from where."""

    path: int
    remote: Address
    data: bytes


class RelayedArrival(NamedTuple):
    """A datagram of a peer's that came through a relay, on which path, and when it reached this machine."""

    path: int
    remote: Address
    data: bytes
    at: float


class Transmit(NamedTuple):
    """A datagram that is to be sent: on which path (never a relay's), where to."""

    path: int
    remote: Address
    data: bytes


@dataclass(frozen=True, slots=True)
class CandidateFound:
    """A local candidate, as the peer may see it.

    Attributes:
        ufrag: of its generation.
        candidate: for the peer.
        server: that was asked for it, or None.
    """

    ufrag: str
    candidate: Candidate
    server: IceServer | None


@dataclass(frozen=True, slots=True)
class GatheringDone:
    """A generation will find no more candidates."""

    ufrag: str


@dataclass(frozen=True, slots=True)
class RelayLost:
    """A relay that was of use is gone: its server has refused to go on, or answers no more.

    Attributes:
        server, code, text: as in `ServerFailed`.
        relayed: the address that it had.
    """

    server: IceServer
    relayed: Address
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class ServerFailed:
    """A server gave no candidate.

    Attributes:
        server: which.
        local: from which address it was asked, or None.
        code: a STUN error code, 701 for no answer.
        text: what the server said, or what went wrong.
    """

    server: IceServer
    local: Address | None
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The agent's state changed."""

    state: IceState


@dataclass(frozen=True, slots=True)
class PairAdded:
    """A pair was formed."""

    pair: Pair


@dataclass(frozen=True, slots=True)
class PairRemoved:
    """A pair is gone, and not by the application's word: its socket is, its generation was replaced, or it
    made way for another."""

    pair: Pair


@dataclass(frozen=True, slots=True)
class PairProposed:
    """A pair would be nominated; `IceEngine.answer` is the word that is waited for."""

    pair: Pair


@dataclass(frozen=True, slots=True)
class ChoiceEnded:
    """What came of `IceEngine.select`.

    Attributes:
        pair: which.
        works: whether packets take it.
    """

    pair: Pair
    works: bool


@dataclass(frozen=True, slots=True)
class PairSelected:
    """Packets take this pair from now on.

    Attributes:
        pair: which; None when they take none any more, for it was removed.
        state: what the agent's state became with it, or None where it stayed.
    """

    pair: Pair | None
    state: IceState | None = None


@dataclass(frozen=True, slots=True)
class PathsReleased:
    """Paths that are not used any longer: their sockets may be closed."""

    paths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RelayMoved:
    """A TURN server wants another one to be asked; `Gathering.followed` ends it, either way.

    Attributes:
        ufrag: of the generation.
        server: as configured.
        path: over which it was asked.
        address: of the other one.
    """

    ufrag: str
    server: IceServer
    path: int
    address: Address


@dataclass(frozen=True, slots=True)
class ConnectTcp:
    """A TCP connection is wanted; `IceEngine.tcp_connected` or `lose_path` is the answer.

    Attributes:
        path: that it will be.
        local: from where; port 0 for any.
        remote: where to.
    """

    path: int
    local: Address
    remote: Address


IceEvent = (
    ConnectTcp
    | CandidateFound
    | GatheringDone
    | RelayLost
    | ServerFailed
    | StateChanged
    | PairAdded
    | PairRemoved
    | PairProposed
    | ChoiceEnded
    | PairSelected
    | PathsReleased
    | RelayMoved
)


class IceCounters:
    """What was dropped, and why."""

    __slots__ = ("candidates", "malformed", "unauthenticated", "unexpected")

    def __init__(self) -> None:
        self.malformed = 0
        self.unauthenticated = 0
        self.unexpected = 0
        self.candidates = 0
