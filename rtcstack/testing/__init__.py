"""A virtual internet in virtual time, to test an application on.

    async def main(): ...

    internet = Internet(seed=1)
    home = Nat(internet)
    alice, bob = internet.add_host("alice", behind=home), internet.add_host("bob")
    run(main(), internet=internet)

Nothing of it waits for the real world, and with the same seed all happens again in the same way. See
docs/testing.md.
"""

from rtcstack.testing.agenda import START_S, Agenda
from rtcstack.testing.clock import START_WALL_S
from rtcstack.testing.errors import NothingHappensError, RealWaitError, TimeLimitError, VirtualTimeError
from rtcstack.testing.host import Host, Interface, LinkSettings
from rtcstack.testing.internet import Internet
from rtcstack.testing.jobs import VirtualJobs
from rtcstack.testing.link import BurstLoss, Link
from rtcstack.testing.loop import VirtualLoop
from rtcstack.testing.nets import Firewall, Lan, Nat, Net, Rule
from rtcstack.testing.network import VirtualNetwork
from rtcstack.testing.runner import run
from rtcstack.testing.servers import TurnServer
from rtcstack.testing.trace import Trace

__all__ = [
    "START_S",
    "START_WALL_S",
    "Agenda",
    "BurstLoss",
    "Firewall",
    "Host",
    "Interface",
    "Internet",
    "Lan",
    "Link",
    "LinkSettings",
    "Nat",
    "Net",
    "NothingHappensError",
    "RealWaitError",
    "Rule",
    "TimeLimitError",
    "Trace",
    "TurnServer",
    "VirtualJobs",
    "VirtualLoop",
    "VirtualNetwork",
    "VirtualTimeError",
    "run",
]
