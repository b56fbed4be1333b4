"""ICE: gathering, checks, consent, relays, and what they are carried on."""

from typing import TYPE_CHECKING

from rtcstack.lazynames import lazy_names

if TYPE_CHECKING:
    from rtcstack.engine import Address
    from rtcstack.ice.agent import IceAgent, IceObserver
    from rtcstack.ice.candidates import PairView
    from rtcstack.ice.config import (
        GatherPolicy,
        IceConfig,
        IceServer,
        ServerScheme,
        parse_server_uri,
        shown_uri,
    )
    from rtcstack.ice.engine.events import GatheringState, IceState
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

_HOMES = {
    "Address": "rtcstack.engine",
    "GatherPolicy": "rtcstack.ice.config",
    "GatheringState": "rtcstack.ice.engine.events",
    "IceAgent": "rtcstack.ice.agent",
    "IceConfig": "rtcstack.ice.config",
    "IceObserver": "rtcstack.ice.agent",
    "IceServer": "rtcstack.ice.config",
    "IceState": "rtcstack.ice.engine.events",
    "PairView": "rtcstack.ice.candidates",
    "ServerScheme": "rtcstack.ice.config",
    "TcpMux": "rtcstack.ice.tcp",
    "UdpMux": "rtcstack.ice.mux",
    "parse_server_uri": "rtcstack.ice.config",
    "shown_uri": "rtcstack.ice.config",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
