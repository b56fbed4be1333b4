"""ICE: gathering, checks, consent, relays, and what they are carried on."""

from rtcstack.engine import Address
from rtcstack.ice.config import GatherPolicy, IceConfig, IceServer, ServerScheme, parse_server_uri, shown_uri
from rtcstack.ice.contract import (
    AnyIceAgent,
    GatheringState,
    IceObserver,
    IceReport,
    IceState,
    LocalCandidate,
    PairReport,
    PairView,
)
from rtcstack.ice.factory import make_agent
from rtcstack.ice.features import FEATURES, IceFeature, check_features
from rtcstack.ice.mux import UdpMux
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
    "PairReport",
    "PairView",
    "ServerScheme",
    "TcpMux",
    "UdpMux",
    "check_features",
    "make_agent",
    "parse_server_uri",
    "shown_uri",
]
