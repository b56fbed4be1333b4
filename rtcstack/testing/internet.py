"""An internet in virtual time: hosts, the public net between them, names, and a record of what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from rtcstack.engine import Address
from rtcstack.testing.agenda import Agenda
from rtcstack.testing.host import Host
from rtcstack.testing.link import Link
from rtcstack.testing.nets import Net, must_be_free
from rtcstack.testing.packets import HEADERS_BYTES, Packet, Payload, Receiver
from rtcstack.testing.seeds import source_of
from rtcstack.testing.settings import Setting
from rtcstack.testing.trace import Trace

__all__ = ["DEFAULT_HOST", "Internet"]

DEFAULT_HOST = "host"
"""Name of the host on which code stands that has not said where it does."""


class Internet:
    """Who is where, and how packets fare on the way. It is itself the public `Net`.

    Args:
        delay_s: of each packet on the public net.
        loss: probability per packet on the public net.
        seed: of all that is random in it and on its hosts.

    Attributes:
        agenda: virtual time.
        seed: as given.
        delay_s, loss: as given; may be changed.
        duplicate, reorder: probability per packet on the public net.
        filter: decides for each packet (source, destination, data) whether it may pass.
        names: what the domain name system knows: names and their addresses, in the order to be tried.
        trace: is told of every packet that a host sends, if set.
        sent: packets on the public net.

    Raises:
        ValueError: a delay or a probability is none, now or when it is changed.
    """

    delay_s = Setting()
    loss = Setting(most=1)
    duplicate = Setting(most=1)
    reorder = Setting(most=1)
    _delay_s: float
    _loss: float
    _duplicate: float
    _reorder: float

    def __init__(self, *, delay_s: float = 0.02, loss: float = 0.0, seed: int = 0) -> None:
        self.agenda = Agenda()
        self.seed = seed
        self.delay_s = delay_s
        self.loss = loss
        self.duplicate = 0.0
        self.reorder = 0.0
        self.filter: Callable[[Address, Address, Any], bool] | None = None
        self.names: dict[str, list[str]] = {}
        self.trace: Trace | None = None
        self.sent = 0
        self.random = source_of(seed)
        self.local_names: dict[str, str] | None = None  # the public net carries no multicast
        self._hosts: dict[str, Host] = {}
        self._receivers: dict[str, Receiver] = {}
        self._handed_out = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def now(self) -> float:
        """The virtual time."""
        return self.agenda.now

    def move_on_with(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on a loop moves its time on.

        Raises:
            RuntimeError: another one does, and is not closed.
        """
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("this internet is another loop's, which is not closed: each has its own time")
        self._loop = loop

    # -- hosts ----------------------------------------------------------------------------------

    def add_host(self, name: str, *addresses: str, behind: Net | None = None) -> Host:
        """Put up a host with one interface, "eth0".

        Args:
            name: by which `host` finds it, and others by the domain name system if it is public.
            addresses: of the interface, of one or both families; an IPv4 one is made up if there is none.
            behind: to what the interface is attached; None for the public net.

        Raises:
            ValueError: there is one of that name, or an address is none, or somebody else's.
        """
        host = self.add_bare_host(name)
        try:
            host.add_interface("eth0", *addresses, behind=behind)
        except ValueError:
            del self._hosts[name]
            raise
        if behind is None:
            self.names.setdefault(name, host.addresses())
        return host

    def add_bare_host(self, name: str) -> Host:
        """Put up a host without an interface; see `Host.add_interface`.

        Raises:
            ValueError: there is one of that name.
        """
        if name in self._hosts:
            raise ValueError(f"there is a host {name!r}")
        host = self._hosts[name] = Host(self, name)
        return host

    def host(self, name: str = DEFAULT_HOST) -> Host:
        """The host of that name; a public one is put up if there is none."""
        return self._hosts.get(name) or self.add_host(name)

    @property
    def hosts(self) -> Iterable[Host]:
        """All hosts, in the order in which they were put up."""
        return self._hosts.values()

    def link(self, **settings: Any) -> Link:
        """A link for `Nat`, `Lan` or `Firewall`; the settings are those of `Link`."""
        return Link(self.agenda, **{"overhead_bytes": HEADERS_BYTES, **settings})

    # -- the public net, as `Net` ---------------------------------------------------------------

    def new_address(self) -> str:
        """An IPv4 address that nobody has had yet, of those that documentation may use (RFC 5737) and,
        when these are used up, those for benchmarks (RFC 2544)."""
        while True:
            high, low = divmod(self._handed_out, 200)
            self._handed_out += 1
            second, third = divmod(high, 256)
            address = f"198.{18 + second}.{third}.{low + 1}" if high else f"198.51.100.{low + 51}"
            if address not in self._receivers:
                return address

    def attach(self, address: str, receiver: Receiver) -> None:
        """Give an address to somebody.

        Raises:
            ValueError: somebody else has it.
        """
        must_be_free(address, self._receivers)
        self._receivers[address] = receiver

    def detach(self, address: str) -> None:
        """Take it away."""
        del self._receivers[address]

    def send(self, source: Address, destination: Address, data: Payload) -> None:
        """Send a packet over the public net."""
        self.sent += 1
        if self.filter is not None and not self.filter(source, destination, data):
            return
        if self._loss and self.random.random() < self._loss:
            return
        delay_s = self._delay_s
        if self._reorder and self.random.random() < self._reorder:
            delay_s *= 2
        agenda = self.agenda
        agenda.at(agenda.now + delay_s, self._arrive, (source, destination, data))
        if self._duplicate and self.random.random() < self._duplicate:
            agenda.at(agenda.now + 1.1 * delay_s, self._arrive, (source, destination, data))

    def _arrive(self, packet: Packet) -> None:
        source, destination, data = packet
        receiver = self._receivers.get(destination[0])
        if receiver is not None:
            receiver(destination, source, data)
