"""ICE as an engine: no socket, no clock."""

from rtcstack.ice.engine.engine import IceEngine
from rtcstack.ice.engine.events import (
    Arrival,
    CandidateFound,
    ConnectTcp,
    GatheringDone,
    GatheringState,
    IceCounters,
    IceEvent,
    IceState,
    PairSelected,
    PathsReleased,
    RelayedArrival,
    RelayLost,
    RelayMoved,
    ServerFailed,
    StateChanged,
    Transmit,
)
from rtcstack.ice.engine.pair import Pair, PairState, Path

__all__ = [
    "Arrival",
    "CandidateFound",
    "ConnectTcp",
    "GatheringDone",
    "GatheringState",
    "IceCounters",
    "IceEngine",
    "IceEvent",
    "IceState",
    "Pair",
    "PairSelected",
    "PairState",
    "Path",
    "PathsReleased",
    "RelayLost",
    "RelayMoved",
    "RelayedArrival",
    "ServerFailed",
    "StateChanged",
    "Transmit",
]
