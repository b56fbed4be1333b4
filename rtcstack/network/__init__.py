"""This machine's network, in two forms, and which network whoever asks is on."""

from __future__ import annotations

import asyncio
import weakref

from rtcstack.network.names import is_literal
from rtcstack.network.system import SystemNetwork
from rtcstack.platform.current import installed
from rtcstack.platform.values import Network

__all__ = ["SystemNetwork", "is_literal", "network"]

_of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, SystemNetwork] = weakref.WeakKeyDictionary()


def network() -> Network:
    """The network that the running code is on: the running loop's own, or else this machine's.

    Who keeps what it returns stays on the machine on which it asked.

    Raises:
        RuntimeError: no event loop is running.
    """
    own = installed()
    if own is not None and own.network is not None:
        return own.network()
    loop = asyncio.get_running_loop()
    found = _of_loop.get(loop)
    if found is None:
        found = _of_loop[loop] = SystemNetwork()
    return found
