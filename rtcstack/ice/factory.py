"""Which agent an application gets."""

from __future__ import annotations

from rtcstack.ice.agent import IceAgent
from rtcstack.ice.config import IceConfig
from rtcstack.ice.contract import AnyIceAgent, IceObserver
from rtcstack.platform import Network

__all__ = ["make_agent"]


def make_agent(
    config: IceConfig,
    observer: IceObserver,
    *,
    ufrag: str | None = None,
    pwd: str | None = None,
    network: Network | None = None,
) -> AnyIceAgent:
    """An agent of the kind that the settings name.

    Args:
        config: see `IceConfig`; `rtcstack.ice.features.check_features` has taken it.
        observer: who is told.
        ufrag, pwd: local credentials of the first generation, or None for random ones.
        network: what it is on; None for the network of the code by which it first needs its loop.
    """
    if config.options.agent == "aioice":
        from rtcstack.ice.aioice_agent import AioiceAgent  # nobody else pays for importing it

        return AioiceAgent(config, observer, ufrag=ufrag, pwd=pwd, network=network)
    return IceAgent(config, observer, ufrag=ufrag, pwd=pwd, network=network)
