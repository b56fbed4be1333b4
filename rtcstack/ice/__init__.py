"""ICE: gathering, checks, consent, relays, and what they are carried on."""

from typing import TYPE_CHECKING

from rtcstack.lazynames import lazy_names

if TYPE_CHECKING:
    from rtcstack.engine import Address
    from rtcstack.ice.config import (
        GatherPolicy,
        IceConfig,
        IceServer,
        ServerScheme,
        parse_server_uri,
        shown_uri,
    )
    from rtcstack.ice.contract import (
        AnyIceAgent,
        IceObserver,
        IceReport,
        LocalCandidate,
        PairKey,
        PairNews,
        PairReport,
        PairView,
    )
    from rtcstack.ice.factory import make_agent
    from rtcstack.ice.features import FEATURES, IceFeature, check_features, lacking
    from rtcstack.ice.mux import UdpMux
    from rtcstack.ice.states import GatheringState, IceState
    from rtcstack.ice.tcp import TcpMux

__all__ = [
    "FEATURES",
    "Address",
    "AnyIceAgent",
    "GatherPolicy",
    "GatheringState",
    "IceConfig",
    "IceFeature",
    "IceObserver",
    "IceReport",
    "IceServer",
    "IceState",
    "LocalCandidate",
    "PairKey",
    "PairNews",
    "PairReport",
    "PairView",
    "ServerScheme",
    "TcpMux",
    "UdpMux",
    "check_features",
    "lacking",
    "make_agent",
    "parse_server_uri",
    "shown_uri",
]

_HOMES = {
    "FEATURES": "rtcstack.ice.features",
    "Address": "rtcstack.engine",
    "AnyIceAgent": "rtcstack.ice.contract",
    "GatherPolicy": "rtcstack.ice.config",
    "GatheringState": "rtcstack.ice.states",
    "IceConfig": "rtcstack.ice.config",
    "IceFeature": "rtcstack.ice.features",
    "IceObserver": "rtcstack.ice.contract",
    "IceReport": "rtcstack.ice.contract",
    "IceServer": "rtcstack.ice.config",
    "IceState": "rtcstack.ice.states",
    "LocalCandidate": "rtcstack.ice.contract",
    "PairKey": "rtcstack.ice.contract",
    "PairNews": "rtcstack.ice.contract",
    "PairReport": "rtcstack.ice.contract",
    "PairView": "rtcstack.ice.contract",
    "ServerScheme": "rtcstack.ice.config",
    "TcpMux": "rtcstack.ice.tcp",
    "UdpMux": "rtcstack.ice.mux",
    "check_features": "rtcstack.ice.features",
    "lacking": "rtcstack.ice.features",
    "make_agent": "rtcstack.ice.factory",
    "parse_server_uri": "rtcstack.ice.config",
    "shown_uri": "rtcstack.ice.config",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
