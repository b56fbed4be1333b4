"""ICE: gathering, checks, consent, relays, and what they are carried on."""

from rtcstack.engine import Address
from rtcstack.ice.agent import GatheringState, IceAgent, IceObserver, IceState, PairView
from rtcstack.ice.config import GatherPolicy, IceConfig, IceServer, ServerScheme, parse_server_uri, shown_uri
from rtcstack.ice.mux import UdpMux
from rtcstack.ice.tcp import TcpMux

__all__ = [
    "Address",
    "GatherPolicy",
    "GatheringState",
    "IceAgent",
    "IceConfig",
    "IceObserver",
    "IceServer",
    "IceState",
    "PairView",
    "ServerScheme",
    "TcpMux",
    "UdpMux",
    "parse_server_uri",
    "shown_uri",
]
