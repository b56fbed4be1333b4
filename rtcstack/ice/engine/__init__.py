"""ICE as an engine: no socket, no clock."""

from typing import TYPE_CHECKING

from rtcstack.lazynames import lazy_names

if TYPE_CHECKING:
    from rtcstack.ice.engine.engine import IceEngine
    from rtcstack.ice.engine.events import (
        Arrival,
        CandidateFound,
        ChoiceEnded,
        ConnectTcp,
        GatheringDone,
        IceCounters,
        IceEvent,
        PairAdded,
        PairProposed,
        PairRemoved,
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
    from rtcstack.ice.states import GatheringState, IceState

__all__ = [
    "Arrival",
    "CandidateFound",
    "ChoiceEnded",
    "ConnectTcp",
    "GatheringDone",
    "GatheringState",
    "IceCounters",
    "IceEngine",
    "IceEvent",
    "IceState",
    "Pair",
    "PairAdded",
    "PairProposed",
    "PairRemoved",
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

_HOMES = {
    "Arrival": "rtcstack.ice.engine.events",
    "CandidateFound": "rtcstack.ice.engine.events",
    "ChoiceEnded": "rtcstack.ice.engine.events",
    "ConnectTcp": "rtcstack.ice.engine.events",
    "GatheringDone": "rtcstack.ice.engine.events",
    "GatheringState": "rtcstack.ice.states",
    "IceCounters": "rtcstack.ice.engine.events",
    "IceEngine": "rtcstack.ice.engine.engine",
    "IceEvent": "rtcstack.ice.engine.events",
    "IceState": "rtcstack.ice.states",
    "Pair": "rtcstack.ice.engine.pair",
    "PairAdded": "rtcstack.ice.engine.events",
    "PairProposed": "rtcstack.ice.engine.events",
    "PairRemoved": "rtcstack.ice.engine.events",
    "PairSelected": "rtcstack.ice.engine.events",
    "PairState": "rtcstack.ice.engine.pair",
    "Path": "rtcstack.ice.engine.pair",
    "PathsReleased": "rtcstack.ice.engine.events",
    "RelayLost": "rtcstack.ice.engine.events",
    "RelayMoved": "rtcstack.ice.engine.events",
    "RelayedArrival": "rtcstack.ice.engine.events",
    "ServerFailed": "rtcstack.ice.engine.events",
    "StateChanged": "rtcstack.ice.engine.events",
    "Transmit": "rtcstack.ice.engine.events",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
