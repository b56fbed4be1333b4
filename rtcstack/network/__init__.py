"""This machine's network, in two forms, and which network whoever asks is on."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import AbstractContextManager, nullcontext

from rtcstack.network.capabilities import Form
from rtcstack.network.names import is_literal
from rtcstack.network.system import SystemNetwork
from rtcstack.platform.current import installed
from rtcstack.platform.values import Network

__all__ = ["Form", "SystemNetwork", "is_literal", "network", "network_here", "standing_on"]

_of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, SystemNetwork] = weakref.WeakKeyDictionary()


def network_here() -> Network | None:
    """The running loop's own network, as the running code has it; None for this machine's.

    Also None without a running loop. For what is made in one place and used from others.
    """
    own = installed()
    return None if own is None or own.network is None else own.network()


def network() -> Network:
    """The network that the running code is on: the running loop's own, or else this machine's.

    Who keeps what it returns stays on the machine on which it asked.

    Raises:
        RuntimeError: no event loop is running.
    """
    here = network_here()
    if here is not None:
        return here
    loop = asyncio.get_running_loop()
    found = _of_loop.get(loop)
    if found is None:
        found = _of_loop[loop] = SystemNetwork()
    return found


def standing_on(network: Network) -> AbstractContextManager[object]:
    """What is called within, and the tasks that are made within, stand on that network's machine.

    For libraries that ask the loop, and not a network: where a loop has several machines, its own calls
    (`asyncio.loop.create_datagram_endpoint`) are for the one on which the code stands.
    """
    place = getattr(network, "host", None)
    return place if isinstance(place, AbstractContextManager) else nullcontext()
