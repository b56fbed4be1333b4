"""The machine as values: what the stack asks of it, and whose the running loop's are.

`values` has the protocols, `current` says which are in use; `rtcstack.clock` and `rtcstack.entropy` are
this machine's time and chance, `rtcstack.network` its sockets, `rtcstack.workers` its threads.
"""

from rtcstack.platform.current import Platform, install, installed, one_for_loop, uninstall
from rtcstack.platform.values import (
    Clock,
    Counters,
    Entropy,
    HostAddress,
    Inspector,
    Jobs,
    Listener,
    Network,
    Received,
    Stream,
    StreamSink,
    Udp,
    UdpFeatures,
    UdpOptions,
    UdpSink,
    Watch,
)

__all__ = [
    "Clock",
    "Counters",
    "Entropy",
    "HostAddress",
    "Inspector",
    "Jobs",
    "Listener",
    "Network",
    "Platform",
    "Received",
    "Stream",
    "StreamSink",
    "Udp",
    "UdpFeatures",
    "UdpOptions",
    "UdpSink",
    "Watch",
    "install",
    "installed",
    "one_for_loop",
    "uninstall",
]
